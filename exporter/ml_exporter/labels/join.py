"""Joins ground truth to the predictions it belongs to, whichever comes first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from ml_exporter.batch import CARRIED, LABEL, PREDICTION, Batch
from ml_exporter.carried import pack, unpack
from ml_exporter.columns import Column
from ml_exporter.families import Family
from ml_exporter.labels.waiting import Early, Pending, PendingStore, keys_of, texts

EARLY_WAIT = 3600.0  # seconds that a label waits for its prediction
RESULTS = ("joined", "unmatched", "duplicate", "corrected")
_FIRST_OF_SEVERAL = ("joined", "corrected", "duplicate", "unmatched")


@dataclass(frozen=True)
class JoinRules:
    """How labels are joined, wherever predictions wait.

    Of predictions, and of labels that came first, at most `most` are kept, in `most_bytes`.
    """

    wait: float  # seconds
    settle: float  # seconds
    numbers: bool  # it is a regression
    most: int = 10_000_000
    most_bytes: int = 4 << 30


class Join(Protocol):
    """The join of one model, wherever predictions wait."""

    waiting: int  # predictions

    @property
    def families(self) -> Sequence[Family]: ...

    def mark(self) -> Any:
        """What `reset` takes it back to, with the store, but without the counters."""

    def reset(self, mark: Any) -> None: ...

    def predicted(self, batch: Batch, version: str) -> Batch:
        """Remember predictions; returns those whose outcome has come to be known."""

    def labelled(self, batch: Batch, now: float | None) -> Batch:
        """Join labels to predictions; returns those whose outcome has come to be known."""

    def advance(self, time: float) -> None:
        """Let it be as late as that, if it isn't yet."""

    def pass_time(self, end: bool = False) -> Batch:
        """Settle and expire what time has come for; returns what is settled."""

    def committed(self) -> None:
        """What was said so far is saved now."""

    def close(self) -> None:
        """Let go of all that is open."""


class JoinCounters:
    """What became of labels and of predictions that waited for one."""

    def __init__(self, model: str, version: str) -> None:
        of = {"model": model, "version": version}
        self.labels = Family(
            "ml_labels_total",
            "Labels that came apart from their predictions, by what became of them.",
            "counter",
            ("result",),
            of=of,
        )
        for result in RESULTS:
            self.labels.add(result)
        self.duplicates = Family(
            "ml_duplicate_predictions_total",
            "Predictions with the id and the version of one that was there already.",
            "counter",
            of=of,
        )
        self.expired = Family(
            "ml_predictions_expired_total",
            "Predictions that gave up waiting for a label.",
            "counter",
            of=of,
        )
        self.evicted = Family(
            "ml_predictions_evicted_total",
            "Predictions among the expired that were let go early, because too many waited.",
            "counter",
            of=of,
        )
        for family in (self.duplicates, self.expired, self.evicted):
            family.add()
        self.families = (self.labels, self.duplicates, self.expired, self.evicted)


class LabelJoin:
    """The join of one model, in tables of the state.

    Time is the latest prediction's, so that old logs are joined as they would have been live.
    """

    def __init__(self, model: str, version: str, store: PendingStore, rules: JoinRules) -> None:
        self._store = store
        self._numbers = rules.numbers
        self._wait = rules.wait
        self._settle = rules.settle
        self._bounds = rules.most, rules.most_bytes
        self._counters = JoinCounters(model, version)
        self.families = self._counters.families
        self._clock = store.latest()
        self.waiting = store.waiting()  # predictions

    def mark(self) -> tuple[float, int]:
        return self._clock, self.waiting

    def reset(self, mark: tuple[float, int]) -> None:
        self._clock, self.waiting = mark
        self._store.undone()

    def predicted(self, batch: Batch, version: str) -> Batch:
        """Remember predictions; returns those whose outcome is known by that.

        Their label had come before, or they are let go while it settles.
        """
        assert batch.ids is not None
        assert batch.timestamps is not None
        keys = keys_of(batch.ids)
        early = self._store.find_early(keys)
        added, others = self._store.add(
            keys,
            [version] * batch.rows if batch.versions is None else batch.versions,
            texts(batch.fields[PREDICTION]),
            batch.timestamps.tolist(),
            pack(batch),
        )
        self._counters.duplicates.inc(batch.rows - added)
        self.waiting += added
        self.advance(self._store.latest())
        joined = self._join_early(early)
        if added:
            joined += self._join_like_others(others)
        expired, settled = self._store.evict(*self._bounds)
        self._counters.evicted.inc(expired)
        self._expire(expired)
        return outcomes([*(row for row in joined if row.counted), *settled], self._numbers)

    def _join_early(self, early: Mapping[bytes, Early]) -> list[Pending]:
        """Join labels to the predictions that they had to wait for."""
        if not early:
            return []
        joined: list[Pending] = []
        for key, rows in self._store.find(list(early)).items():
            label, before = early[key], len(joined)
            for pending in rows:
                at = pending.at if label.at is None else max(label.at, pending.at)
                if at - pending.at <= self._wait:
                    joined.append(self._joined(pending, label.label, at))
            result = "joined" if len(joined) > before else "unmatched"
            self._counters.labels.inc(1, result)
        self._store.label(joined)
        self._store.remove_early(early.values())
        return joined

    def _join_like_others(self, others: Sequence[Pending]) -> list[Pending]:
        """Give new predictions the label that another version's has had for an hour at most."""
        labelled = {row.key: row for row in others if row.label is not None}
        if not labelled:
            return []
        joined = []
        for key, rows in self._store.find(list(labelled)).items():
            other = labelled[key]
            assert other.label is not None
            assert other.labelled_at is not None
            came, until = other.labelled_at, max(other.labelled_at, other.at) + EARLY_WAIT
            for pending in rows:
                in_time = came - self._wait <= pending.at <= until
                if pending.label is None and in_time:
                    joined.append(self._joined(pending, other.label, max(came, pending.at)))
        self._store.label(joined)
        return joined

    def labelled(self, batch: Batch, now: float | None) -> Batch:
        """Join labels to predictions; returns the predictions whose outcome is now known.

        A label without a time of its own comes `now`, the time of day. Where that is None, logs
        are read long after they were written, and nobody knows how long such a label took.
        """
        assert batch.ids is not None
        keys = keys_of(batch.ids)
        found = self._store.find(keys)
        early = dict(self._store.find_early([key for key in keys if key not in found]))
        results: Counter[str] = Counter()
        joined: dict[int, Pending] = {}  # by their places
        kept: dict[bytes, Early] = {}
        delays: list[float] = []
        labels = zip(keys, texts(batch.fields[LABEL]), label_times(batch, now), strict=True)
        for key, label, time in labels:
            at = self._clock if time is None else time
            if rows := found.get(key):
                of_rows = []
                for number, pending in enumerate(rows):
                    result, changed = self._label(pending, label, at, time is not None)
                    of_rows.append(result)
                    if changed is pending:
                        continue
                    rows[number] = changed
                    if result == "joined":
                        joined[pending.place] = changed
                        came = now if time is None else at
                        delays.append(np.nan if came is None else came - pending.at)
                    elif pending.place in joined:
                        joined[pending.place] = changed
                    else:
                        self._store.correct(pending, label)
                results[_result_of(of_rows)] += 1
            elif first := early.get(key):
                results["duplicate" if first.label == label else "corrected"] += 1
                since = first.since if first.at is None else first.at
                settles = self._settle > 0 and at - since <= self._settle
                if settles and first.label != label:
                    early[key] = first._replace(label=label)
                    if key in kept:
                        kept[key] = early[key]
                    else:
                        self._store.correct_early(first, label)
            else:
                early[key] = kept[key] = Early(key, label, time, since=max(at, self._clock))
        self._store.label(list(joined.values()))
        self._store.add_early(list(kept.values()))
        results["unmatched"] += self._store.evict_early(*self._bounds)
        for result, labels_of in results.items():
            self._counters.labels.inc(labels_of, result)
        if self._settle > 0:
            return outcomes([], self._numbers)
        return outcomes(list(joined.values()), self._numbers, delays)

    def _label(
        self, pending: Pending, label: str, at: float, may_be_late: bool
    ) -> tuple[str, Pending]:
        """What becomes of a label by one prediction, and what becomes of that."""
        if pending.label is None:
            if may_be_late and at - pending.at > self._wait:
                return "unmatched", pending
            return "joined", self._joined(pending, label, at)
        if pending.label == label:
            return "duplicate", pending
        assert pending.labelled_at is not None
        if pending.counted or at - pending.labelled_at > self._settle:
            return "corrected", pending
        return "corrected", pending._replace(label=label)

    def committed(self) -> None:
        """Nobody else need know."""

    def close(self) -> None:
        """The store is the pipeline's."""

    def advance(self, time: float) -> None:
        self._clock = max(self._clock, time)

    def pass_time(self, end: bool = False) -> Batch:
        """Settle and expire what time has come for.

        At the `end` of all logs no label can come any more: those there are settle, or belong
        to no prediction.
        """
        clock = np.inf if end else self._clock
        settled = self._store.settle(clock - self._settle)
        self._counters.labels.inc(self._store.expire_early(clock - EARLY_WAIT), "unmatched")
        self._expire(self._store.expire(self._clock - self._wait))
        return outcomes(settled, self._numbers)

    def _expire(self, predictions: int) -> None:
        self._counters.expired.inc(predictions)
        self.waiting -= predictions

    def _joined(self, pending: Pending, label: str, at: float) -> Pending:
        self.waiting -= 1
        return pending._replace(label=label, labelled_at=at, counted=self._settle == 0)


def labelled(batch: Batch) -> Batch:
    """The rows that have their label with them, as a label join would give them."""
    fields = {
        key: column
        for key, column in batch.fields.items()
        if key in (PREDICTION, LABEL) or key.role in CARRIED
    }
    rows = np.flatnonzero(~fields[LABEL].missing_mask())
    without_features = replace(batch, fields=fields, extra={})
    return without_features if rows.size == batch.rows else without_features.take(rows)


def _result_of(results: Sequence[str]) -> str:
    """What becomes of a label, from what became of it by each version's prediction."""
    return results[0] if len(results) == 1 else min(results, key=_FIRST_OF_SEVERAL.index)


def outcomes(
    rows: Sequence[Pending], numbers: bool, delays: Sequence[float] | None = None
) -> Batch:
    """Labelled predictions, and what went along with them.

    `delays` are what the labels took, where they don't tell it.
    """
    if delays is None:
        delays = [(row.labelled_at or row.at) - row.at for row in rows]
    return Batch(
        rows=len(rows),
        fields={
            PREDICTION: Column([row.predicted for row in rows], text=numbers),
            LABEL: Column([row.label for row in rows], text=numbers),
            **unpack([row.carried for row in rows]),
        },
        timestamps=np.array([row.at for row in rows], dtype=np.float64),
        versions=[row.version for row in rows],
        delays=np.maximum(0.0, np.array(delays, dtype=np.float64)),
    )


def label_times(batch: Batch, now: float | None) -> list[float | None]:
    """When labels came by their own account, and not later than now; None where they don't tell."""
    if batch.timestamps is None:
        return [None] * batch.rows
    times = np.minimum(batch.timestamps, np.inf if now is None else now)
    return [None if math.isnan(time) else time for time in times.tolist()]
