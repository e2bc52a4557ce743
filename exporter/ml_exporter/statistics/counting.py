"""Counts numbers, and rows by their components, into bins: in C if compiled, or else in NumPy."""

from __future__ import annotations

__all__ = [
    "bin_codes",
    "count_codes",
    "count_projected",
    "floats",
    "interpolate",
    "leave",
    "look_up",
    "project",
]

try:
    from ml_exporter.statistics._counting import (
        bin_codes,
        count_codes,
        count_projected,
        floats,
        interpolate,
        leave,
        look_up,
        project,
    )
except ImportError:
    from ml_exporter.statistics.numpy_counting import (
        bin_codes,
        count_codes,
        count_projected,
        floats,
        interpolate,
        leave,
        look_up,
        project,
    )
