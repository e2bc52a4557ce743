"""What is muted, until when, and for how long a new version is, as series that rules read."""

from __future__ import annotations

from collections.abc import Sequence

from ml_exporter.batch import Batch
from ml_exporter.config.mutes import Mute
from ml_exporter.families import Family


class Mutes:
    def __init__(self, model: str, version: str, mutes: Sequence[Mute], wait: float = 0.0) -> None:
        of = {"model": model, "version": version}
        family = Family(
            "ml_muted_until_timestamp_seconds",
            "Until when nothing is alerted of a monitor, a field, or a monitor of a field.",
            "gauge",
            ("monitor", "field"),
            of=of,
        )
        until: dict[tuple[str, str], float] = {}
        for mute in mutes:
            for pair in mute.pairs():
                until[pair] = max(mute.until, until.get(pair, 0.0))
        for pair, moment in until.items():
            family.set(moment, *pair)
        waits = Family(
            "ml_alert_wait_seconds",
            "For how long nothing is alerted of a version that is new.",
            "gauge",
            of=of,
        )
        if wait:
            waits.set(wait)
        self.families = (family, waits)

    def update(self, batch: Batch) -> None:
        """Nothing to count."""
