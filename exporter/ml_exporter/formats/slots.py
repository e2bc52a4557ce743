"""What the values of rows are read into: spans, if the scanner is compiled, or else lists."""

from __future__ import annotations

__all__ = ["IS_COMPILED", "Slots", "shape"]

IS_COMPILED = True

try:
    from ml_exporter.formats.json_shape import shape
    from ml_exporter.formats.spans import Spans as Slots
except ImportError:  # _scanner
    IS_COMPILED = False
    from ml_exporter.formats.lists import Lists as Slots  # type: ignore[assignment]
    from ml_exporter.formats.lists import shape  # type: ignore[assignment]
