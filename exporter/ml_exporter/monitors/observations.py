"""Observations that were let go uncounted, so that nothing that serves had to wait."""

from __future__ import annotations

from collections import Counter

from ml_exporter.families import Family

REASONS = ("queue_full", "buffer_full", "too_large", "unreadable", "unknown_model", "error")


class DroppedObservations:
    def __init__(self) -> None:
        self._dropped = Family(
            "ml_exporter_observations_dropped_total",
            "Observations that were let go uncounted, by reason.",
            "counter",
            ("reason",),
        )
        for reason in REASONS:
            self._dropped.add(reason)
        self.families = (self._dropped,)

    def drop(self, observations: Counter[str]) -> None:
        """Count them by their reasons."""
        for reason, count in observations.items():
            self._dropped.inc(count, reason)
