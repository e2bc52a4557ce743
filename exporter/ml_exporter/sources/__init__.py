"""Where bytes come from, one module a kind of source."""

from __future__ import annotations

from ml_exporter.source_settings import FileSource as FileSettings
from ml_exporter.source_settings import SourceSettings
from ml_exporter.sources.files import FileSource
from ml_exporter.sources.parts import Chunk, Part, Source, Start
from ml_exporter.store import Position

__all__ = ["Chunk", "Part", "Source", "open_source"]


def open_source(
    settings: SourceSettings, positions: dict[str, Position], follow: bool, start: Start
) -> Source:
    """The source that the configuration describes, at what was counted of it."""
    match settings:
        case FileSettings():
            return FileSource(settings.path, positions, follow, start)
    raise NotImplementedError(settings)
