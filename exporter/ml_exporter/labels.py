"""Joins ground truth to the predictions it belongs to, whichever comes first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from ml_exporter.batch import LABEL, PREDICTION, Batch, Column
from ml_exporter.families import Family
from ml_exporter.statistics.bins import INVALID, MISSING, OTHER

EARLY_WAIT = 3600.0  # seconds that a label waits for its prediction
_LONG = 256  # characters; no name has as many


class Pending(NamedTuple):
    """A prediction whose label is awaited, or has come already."""

    id: str
    version: str
    predicted: str
    at: float  # when it was predicted, seconds since 1970
    label: str | None = None
    labelled_at: float | None = None
    counted: bool = False


class Early(NamedTuple):
    """A label that came before its prediction."""

    id: str
    label: str
    at: float | None  # when it came by its own account, seconds since 1970
    since: float  # what it waits from


class PendingStore(Protocol):
    """Where predictions and labels wait for each other. All belong to one model."""

    def add_pending(self, rows: Sequence[Pending]) -> None:
        """Add predictions that aren't there yet."""

    def latest_pending(self) -> float:
        """When the latest prediction was made; 0 where there is none."""

    def count(self) -> int:
        """How many predictions wait for their label."""

    def find_pending(self, ids: Iterable[str]) -> Mapping[str, Pending]:
        """The waiting or labelled predictions with these ids."""

    def update_pending(self, rows: Sequence[Pending]) -> None:
        """Replace predictions that are there."""

    def settled(self, until: float) -> list[Pending]:
        """Predictions labelled at or before a time, not counted yet."""

    def expire_pending(self, before: float) -> int:
        """Let go of predictions made before a time; how many of them had no label."""

    def add_early(self, rows: Sequence[Early]) -> None:
        """Keep labels without a prediction, in place of an earlier one with the same id."""

    def find_early(self, ids: Iterable[str]) -> Mapping[str, Early]:
        """The kept labels with these ids."""

    def remove_early(self, ids: Iterable[str]) -> None:
        """Let go of kept labels."""

    def expire_early(self, before: float) -> int:
        """Let go of labels that waited since before a time; how many they were."""


class LabelJoin:
    """The join of one model: `wait` and `settle` in seconds; `numbers` says it is a regression.

    Time is the latest prediction's, so that old logs are joined as they would have been live.
    """

    def __init__(
        self,
        model: str,
        version: str,
        store: PendingStore,
        *,
        wait: float,
        settle: float,
        numbers: bool,
    ) -> None:
        of = {"model": model, "version": version}
        self._store = store
        self._numbers = numbers
        self._wait = wait
        self._settle = settle
        self._labels = Family(
            "ml_labels_total",
            "Labels that came apart from their predictions, by what became of them.",
            "counter",
            ("result",),
            of=of,
        )
        for result in ("joined", "unmatched", "duplicate", "corrected"):
            self._labels.add(result)
        self._duplicates = Family(
            "ml_duplicate_predictions_total",
            "Predictions with an id that was waiting for its label already.",
            "counter",
            of=of,
        )
        self._expired = Family(
            "ml_predictions_expired_total",
            "Predictions that gave up waiting for a label.",
            "counter",
            of=of,
        )
        for family in (self._duplicates, self._expired):
            family.add()
        self.families = (self._labels, self._duplicates, self._expired)
        self._clock = store.latest_pending()
        self.waiting = store.count()  # predictions

    def mark(self) -> tuple[float, int]:
        """What `reset` takes it back to, but for the store and the counters."""
        return self._clock, self.waiting

    def reset(self, mark: tuple[float, int]) -> None:
        self._clock, self.waiting = mark

    def predicted(self, batch: Batch, version: str) -> Batch:
        """Remember predictions; returns those of them whose label had come before."""
        assert batch.ids is not None
        assert batch.timestamps is not None
        predicted = _texts(batch.fields[PREDICTION])
        known = self._store.find_pending(batch.ids)
        rows: dict[str, Pending] = {}
        for row, id in enumerate(batch.ids):
            if id in known or id in rows:
                self._duplicates.inc(1)
            else:
                of_row = version if batch.versions is None else batch.versions[row]
                rows[id] = Pending(id, of_row, predicted[row], float(batch.timestamps[row]))
        early = self._store.find_early(rows)
        for id, label in early.items():
            at = rows[id].at if label.at is None else max(label.at, rows[id].at)
            if at - rows[id].at > self._wait:
                self._labels.inc(1, "unmatched")
            else:
                rows[id] = self._joined(rows[id], label.label, at)
        self._store.remove_early(early)
        self._store.add_pending(list(rows.values()))
        self.waiting += len(rows)
        self.advance(max((row.at for row in rows.values()), default=0.0))
        return self._outcomes([rows[id] for id in early if rows[id].counted])

    def labelled(self, batch: Batch, now: float | None) -> Batch:
        """Join labels to predictions; returns the predictions whose outcome is now known.

        A label without a time of its own comes `now`, the time of day. Where that is None, logs
        are read long after they were written, and nobody knows how long such a label took.
        """
        assert batch.ids is not None
        labels = _texts(batch.fields[LABEL])
        times = np.full(batch.rows, np.nan) if batch.timestamps is None else batch.timestamps
        times = np.minimum(times, np.inf if now is None else now)
        found = dict(self._store.find_pending(batch.ids))
        early = dict(self._store.find_early([id for id in batch.ids if id not in found]))
        changed: dict[str, Pending] = {}
        kept: dict[str, Early] = {}
        counted: list[Pending] = []
        delays: list[float] = []
        for row, id in enumerate(batch.ids):
            dated = not np.isnan(times[row])
            at = float(times[row]) if dated else self._clock
            pending = found.get(id)
            if pending is None:
                if first := early.get(id):
                    self._labels.inc(1, "duplicate" if first.label == labels[row] else "corrected")
                    since = first.since if first.at is None else first.at
                    settles = self._settle > 0 and at - since <= self._settle
                    if settles and first.label != labels[row]:
                        early[id] = kept[id] = first._replace(label=labels[row])
                else:
                    since = max(at, self._clock)
                    early[id] = kept[id] = Early(id, labels[row], at if dated else None, since)
            elif pending.label is None:
                if dated and at - pending.at > self._wait:
                    self._labels.inc(1, "unmatched")
                    continue
                found[id] = changed[id] = self._joined(pending, labels[row], at)
                if found[id].counted:
                    counted.append(found[id])
                    came = at if dated else now
                    delays.append(np.nan if came is None else came - pending.at)
            elif pending.label == labels[row]:
                self._labels.inc(1, "duplicate")
            else:
                self._labels.inc(1, "corrected")
                assert pending.labelled_at is not None
                if not pending.counted and at - pending.labelled_at <= self._settle:
                    found[id] = changed[id] = pending._replace(label=labels[row])
        self._store.update_pending(list(changed.values()))
        self._store.add_early(list(kept.values()))
        return self._outcomes(counted, delays)

    def advance(self, time: float) -> None:
        """Let it be as late as that, if it isn't yet."""
        self._clock = max(self._clock, time)

    def pass_time(self, end: bool = False) -> Batch:
        """Settle and expire what time has come for.

        At the `end` of all logs no label can come any more: those there are settle, or belong
        to no prediction.
        """
        clock = np.inf if end else self._clock
        settled = [row._replace(counted=True) for row in self._store.settled(clock - self._settle)]
        self._store.update_pending(settled)
        self._labels.inc(self._store.expire_early(clock - EARLY_WAIT), "unmatched")
        expired = self._store.expire_pending(self._clock - self._wait)
        self._expired.inc(expired)
        self.waiting -= expired
        return self._outcomes(settled)

    def _joined(self, pending: Pending, label: str, at: float) -> Pending:
        self._labels.inc(1, "joined")
        self.waiting -= 1
        return pending._replace(label=label, labelled_at=at, counted=self._settle == 0)

    def _outcomes(self, rows: Sequence[Pending], delays: Sequence[float] | None = None) -> Batch:
        if delays is None:
            delays = [(row.labelled_at or row.at) - row.at for row in rows]
        return Batch(
            rows=len(rows),
            fields={
                PREDICTION: Column([row.predicted for row in rows], text=self._numbers),
                LABEL: Column([row.label for row in rows], text=self._numbers),
            },
            ids=[row.id for row in rows],
            timestamps=np.array([row.at for row in rows], dtype=np.float64),
            versions=[row.version for row in rows],
            delays=np.maximum(0.0, np.array(delays, dtype=np.float64)),
        )


def _texts(column: Column) -> list[str]:
    """Names as they are kept: an empty text is none, and none is escaped."""
    return list(map(_text, column.categories.of_rows, column.values))


def _text(name: str, value: object) -> str:
    if name in (MISSING, INVALID):
        return ""
    if name == OTHER:  # a text too long for a name, which is enough of it to know it by
        return str(value)[:_LONG]
    return name[1:] if name.startswith("\\<") else name
