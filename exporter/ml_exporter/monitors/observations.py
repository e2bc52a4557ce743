"""Observations that were let go uncounted, so that nothing that serves had to wait."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ml_exporter.families import Family

REASONS = ("queue_full", "buffer_full", "too_large", "unreadable", "unknown_model", "error")


class DroppedObservations:
    """By reasons that are known from the start; what another process counts isn't `kept` here."""

    def __init__(
        self,
        help: str = "Observations that were let go uncounted, by reason.",
        reasons: Iterable[str] = REASONS,
        kept: bool = True,
    ) -> None:
        self._dropped = Family(
            "ml_exporter_observations_dropped_total",
            help,
            "counter",
            ("reason",),
            kept=kept,
        )
        for reason in reasons:
            self._dropped.add(reason)
        self.families = (self._dropped,)

    def drop(self, observations: Mapping[str, int]) -> None:
        """Count them by their reasons."""
        for reason, count in observations.items():
            self._dropped.inc(count, reason)

    def show(self, counted: Mapping[str, int]) -> None:
        """Take over what was counted so far."""
        for reason, count in counted.items():
            self._dropped.set(count, reason)
