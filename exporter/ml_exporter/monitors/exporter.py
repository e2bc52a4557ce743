"""The exporter about itself."""

from __future__ import annotations

import platform

import numpy as np

from ml_exporter import __version__
from ml_exporter.families import Family, Histogram

QUEUES = ("captured", "posted")


class ExporterInfo:
    def __init__(self) -> None:
        build = Family(
            "ml_exporter_build_info",
            "1; the version of ML Exporter and of Python.",
            "gauge",
            ("version", "pythonversion"),
        )
        build.set(1, __version__, platform.python_version())
        self._reloaded = _gauge(
            "ml_exporter_config_last_reload_successful",
            "Whether the last attempt to load the configuration succeeded.",
        )
        self._reloaded_at = _gauge(
            "ml_exporter_config_last_reload_success_timestamp_seconds",
            "When the configuration in use was loaded.",
        )
        self._saved_at = _gauge(
            "ml_exporter_state_last_save_timestamp_seconds",
            "When offsets and counters were last saved; absent without state.",
        )
        self._pending = _gauge(
            "ml_exporter_pending_predictions", "Predictions that wait for their label."
        )
        self._queues = Family(
            "ml_exporter_queue_length",
            "Bytes that wait to be counted, by queue.",
            "gauge",
            ("queue",),
        )
        for queue in QUEUES:
            self._queues.add(queue)
        self._series = _gauge("ml_exporter_series", "Series exposed.")
        self._suppressed = _gauge(
            "ml_exporter_series_suppressed", "Series left out, because limits.series was reached."
        )
        self._batches = Histogram(
            "ml_exporter_batch_duration_seconds",
            "How long it took to decode and count one chunk of a log.",
            (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
        )
        self.families: tuple[Family, ...] = (
            build,
            self._reloaded,
            self._reloaded_at,
            self._saved_at,
            self._pending,
            self._queues,
            self._series,
            self._suppressed,
            self._batches,
        )

    def loaded(self, successful: bool, time: float) -> None:
        self._reloaded.set(float(successful))
        if successful:
            self._reloaded_at.set(time)

    def saved(self, time: float) -> None:
        self._saved_at.set(time)

    def took(self, seconds: float) -> None:
        self._batches.observe(np.array([seconds]))

    def queued(self, *, captured: int, posted: int) -> None:
        """Bytes between the proxy and telemetry, and of what was posted."""
        self._queues.set(captured, "captured")
        self._queues.set(posted, "posted")

    def holds(self, *, pending: int, series: int, suppressed: int) -> None:
        self._pending.set(pending)
        self._series.set(series)
        self._suppressed.set(suppressed)


def _gauge(name: str, help: str) -> Family:
    return Family(name, help, "gauge")
