"""Where bytes come from, one module a kind of source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_exporter.config.source_settings import EventSource as EventSettings
from ml_exporter.config.source_settings import FileSource as FileSettings
from ml_exporter.config.source_settings import KafkaSource as KafkaSettings
from ml_exporter.config.source_settings import ProxySource as ProxySettings
from ml_exporter.config.source_settings import SourceSettings
from ml_exporter.config.source_settings import SqlSource as SqlSettings
from ml_exporter.sources.events import Lines, PostedSource
from ml_exporter.sources.files import FileSource
from ml_exporter.sources.parts import Chunk, Part, Source, SourceError, Start
from ml_exporter.sources.tables import TableFiles
from ml_exporter.store.store import Position

if TYPE_CHECKING:
    from ml_exporter.sources.capture import Attachment

__all__ = ["Chunk", "Part", "Source", "SourceError", "open_source"]


def open_source(
    settings: SourceSettings,
    positions: dict[str, Position],
    follow: bool,
    start: Start,
    spool: Lines | None = None,
    attachment: Attachment | None = None,
    model: str = "",
) -> Source:
    """The source that the configuration describes, at what was counted of it.

    `spool` holds what is posted, `attachment` what passed through the proxy, of which that of the
    `model` is read; without them nothing is.
    """
    match settings:
        case FileSettings(format="parquet" | "arrow"):
            return TableFiles(settings.path, settings.format, positions, follow, start)
        case FileSettings():
            return FileSource(settings.path, positions, follow, start)
        case KafkaSettings():
            from ml_exporter.sources.kafka import KafkaSource

            return KafkaSource(settings, positions, follow, start)
        case SqlSettings():
            from ml_exporter.sources.sql import SqlSource

            return SqlSource(settings, positions, follow, start)
        case EventSettings():
            return PostedSource(spool, positions)
        case ProxySettings():
            from ml_exporter.sources.capture import Attachment, CaptureSource

            return CaptureSource(attachment or Attachment(), model, positions)
    raise NotImplementedError(settings)
