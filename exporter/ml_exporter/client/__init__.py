"""The exporter within an application: no sidecar, no log. docs/client.md shows it at work."""

from __future__ import annotations

from ml_exporter.client.middleware import MonitorMiddleware, MonitorWsgiMiddleware
from ml_exporter.client.monitor import Monitor
from ml_exporter.client.wrapping import WatchedModel

__all__ = ["Monitor", "MonitorMiddleware", "MonitorWsgiMiddleware", "WatchedModel"]
