"""Lanes for exchanges that come whole: in C if it is compiled, or else none."""

from __future__ import annotations

__all__ = ["Lane", "Recorder"]

try:
    from ml_exporter.proxy._plain import Lane, Recorder
except ImportError:
    from ml_exporter.proxy.no_lane import Lane, Recorder  # type: ignore[assignment]
