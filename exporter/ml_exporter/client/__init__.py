"""The exporter within an application: no sidecar, no log. docs/client.md shows it at work."""

from __future__ import annotations

from ml_exporter.client.monitor import Monitor

__all__ = ["Monitor"]
