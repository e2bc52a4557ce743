"""Bytes to Batch, one module a wire or file format."""

from __future__ import annotations

from ml_exporter.formats.csv import Csv, HeaderError
from ml_exporter.formats.jsonl import JsonLines
from ml_exporter.formats.rows import Decoded, Decoder, Layout

__all__ = ["Decoded", "Decoder", "HeaderError", "Layout", "decoder"]


def decoder(format: str, layout: Layout) -> Decoder:
    """A decoder for one file of a format that the configuration knows."""
    match format:
        case "jsonl":
            return JsonLines(layout)
        case "csv":
            return Csv(layout, delimiter=",")
        case "tsv":
            return Csv(layout, delimiter="\t")
    raise ValueError(f"unknown format {format!r}")
