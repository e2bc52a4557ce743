"""Joins ground truth to the predictions it belongs to, whichever comes first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

import numpy as np

from ml_exporter.batch import LABEL, PREDICTION, Batch, Column
from ml_exporter.carried import pack, unpack
from ml_exporter.families import Family
from ml_exporter.statistics.bins import INVALID, MISSING, OTHER

EARLY_WAIT = 3600.0  # seconds that a label waits for its prediction
RESULTS = ("joined", "unmatched", "duplicate", "corrected")
_FIRST_OF_SEVERAL = ("joined", "corrected", "duplicate", "unmatched")
KEY_SIZE = 16  # bytes
_LONG = 256  # characters; no name has as many


class Pending(NamedTuple):
    """A prediction whose label is awaited, or has come already."""

    key: bytes  # of its id
    version: str
    predicted: str
    at: float  # when it was predicted, seconds since 1970
    label: str | None = None
    labelled_at: float | None = None
    counted: bool = False
    place: int = 0  # where its store has it
    carried: bytes = b""  # what goes along with it; forgotten when it is counted


class Early(NamedTuple):
    """A label that came before its prediction."""

    key: bytes
    label: str
    at: float | None  # when it came by its own account, seconds since 1970
    since: float  # what it waits from
    place: int = 0


class PendingStore(Protocol):
    """Where predictions and labels wait for each other. All belong to one model."""

    def undone(self) -> None:
        """What was said lately is not so: the transaction was taken back."""

    def latest(self) -> float:
        """When the latest prediction was made; 0 where there is none."""

    def waiting(self) -> int:
        """How many predictions wait for their label."""

    def add(
        self,
        keys: Sequence[bytes],
        versions: Sequence[str],
        predicted: Sequence[str],
        at: Sequence[float],
        carried: Sequence[bytes],
    ) -> tuple[int, list[Pending]]:
        """Add predictions of whose key and version there is none yet, of several the first.

        How many, and the predictions that were there with their keys.
        """

    def find(self, keys: Sequence[bytes]) -> Mapping[bytes, list[Pending]]:
        """The waiting or labelled predictions with these keys, of each version one."""

    def label(self, rows: Sequence[Pending]) -> None:
        """Give predictions that were found without one their label."""

    def correct(self, row: Pending, label: str) -> None:
        """Give a labelled prediction another label."""

    def settle(self, until: float) -> list[Pending]:
        """Predictions labelled at or before a time and not counted yet, which they are then."""

    def expire(self, before: float) -> int:
        """Let go of predictions made before a time; how many of them had no label.

        Those whose label still settles are kept.
        """

    def evict(self, rows: int, size: int) -> tuple[int, list[Pending]]:
        """Let go of the oldest until no more than so many, of so many bytes, are there.

        How many had no label, and those whose label still settled.
        """

    def add_early(self, rows: Sequence[Early]) -> None:
        """Keep labels without a prediction, of whose key there is none yet."""

    def find_early(self, keys: Sequence[bytes]) -> Mapping[bytes, Early]:
        """The kept labels with these keys."""

    def correct_early(self, row: Early, label: str) -> None:
        """Replace a kept label."""

    def remove_early(self, rows: Iterable[Early]) -> None:
        """Let go of kept labels."""

    def expire_early(self, before: float) -> int:
        """Let go of labels that waited since before a time; how many they were."""

    def evict_early(self, rows: int, size: int) -> int:
        """Let go of the oldest kept labels as of predictions; how many they were."""


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


def keys_of(ids: Sequence[str]) -> list[bytes]:
    """What ids are known by: hashes, so that an id of any length takes as much as another."""
    try:
        return [blake2b(id.encode(), digest_size=KEY_SIZE).digest() for id in ids]
    except UnicodeEncodeError:  # a lone surrogate, which JSON can write
        texts = [id.encode("utf-8", "surrogatepass") for id in ids]
        return [blake2b(text, digest_size=KEY_SIZE).digest() for text in texts]


def label_times(batch: Batch, now: float | None) -> list[float | None]:
    """When labels came by their own account, and not later than now; None where they don't tell."""
    if batch.timestamps is None:
        return [None] * batch.rows
    times = np.minimum(batch.timestamps, np.inf if now is None else now)
    return [None if math.isnan(time) else time for time in times.tolist()]


def texts(column: Column) -> list[str]:
    """Names as they are kept: an empty text is none, and none is escaped."""
    categories = column.categories
    names = [_text(name) for name in categories.names]
    found = [names[code] for code in categories.codes.tolist()]
    if OTHER in categories.names:
        too_long = categories.codes == list(categories.names).index(OTHER)
        for row in np.flatnonzero(too_long).tolist():
            # No name, and its beginning is enough to know it by.
            found[row] = _encodable(str(column.values[row])[:_LONG])
    return found


def _text(name: str) -> str:
    if name in (MISSING, INVALID):
        return ""
    return _encodable(name[1:] if name.startswith("\\<") else name)


def _encodable(text: str) -> str:
    """Without lone surrogates, which no file takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
