"""Bytes to Batch, one module a wire or file format."""

from __future__ import annotations

from ml_exporter.config.source_settings import PROTOCOLS, ProxySource
from ml_exporter.formats.csv import Csv, HeaderError
from ml_exporter.formats.jsonl import JsonLines
from ml_exporter.formats.pairing import Pairing
from ml_exporter.formats.rows import Decoded, Decoder, Layout

__all__ = ["Decoded", "Decoder", "HeaderError", "Layout", "decoder"]


def decoder(
    format: str,
    layout: Layout,
    pairing: Pairing | None = None,
    *,
    captured: ProxySource | None = None,
) -> Decoder:
    """A decoder for one file of a format that the configuration knows.

    `pairing` is shared by all files of a log whose requests and responses come apart. What was
    `captured` are frames of the proxy's buffer, and the format is that of the bodies.
    """
    if captured is not None:
        from ml_exporter.formats.captured import Captured

        return Captured(layout, format, captured.version_header)
    match format:
        case "jsonl":
            return JsonLines(layout)
        case "csv":
            return Csv(layout, ",", layout.columns)
        case "tsv":
            return Csv(layout, "\t", layout.columns)
        case "sagemaker":
            from ml_exporter.formats.sagemaker import SageMakerCapture

            return SageMakerCapture(layout)
        case "sagemaker-ground-truth":
            from ml_exporter.formats.sagemaker import SageMakerGroundTruth

            return SageMakerGroundTruth(layout)
        case "cloudevents":
            from ml_exporter.formats.cloudevents import CloudEvents

            return CloudEvents(layout, pairing)
        case _ if format in PROTOCOLS:
            from ml_exporter.formats.exchange_lines import ExchangeLines

            return ExchangeLines(layout, format)
    raise ValueError(f"unknown format {format!r}")
