"""Timeline: what a log that is read once held, by stretch of the time of its rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from ml_exporter.baseline.baseline import Baseline
from ml_exporter.batch import LABEL, PREDICTION, Batch
from ml_exporter.judgement.trends import Onset, onset
from ml_exporter.judgement.verdicts import FieldVerdict, VersionVerdict
from ml_exporter.statistics import drift
from ml_exporter.statistics.bins import INVALID, MISSING, Counts, Floats

_MOST_STRETCHES = 256

IsWorse = Callable[[Floats, Floats], bool]


class Timeline:
    """The values of fields by bin, and how many predictions were right, over a model's log.

    Time is that of the prediction, in seconds since 1970; where the rows don't tell it, rows are
    numbered as they are read. It is cut into at most 256 stretches of equal length that have rows,
    as long as need be: memory doesn't grow with the log.
    """

    def __init__(self, *, has_times: bool, classified: bool) -> None:
        """Predictions of a model that is not `classified` aren't right or wrong."""
        self.has_times = has_times
        self._classified = classified
        self.first, self.last = np.inf, -np.inf
        self._rows = 0
        self._length = 1.0  # of a stretch
        self._values: dict[tuple[str, str, str], dict[int, Counts]] = defaultdict(dict)
        self._outcomes: dict[str, dict[int, Counts]] = defaultdict(dict)  # wrong and right

    def predicted(self, version: str, baseline: Baseline | None, batch: Batch) -> None:
        """Take predictions in, in the order that they are read in."""
        times = self._times(batch)
        self._rows += batch.rows
        if not times.size:
            return
        self.first, self.last = min(self.first, times.min()), max(self.last, times.max())
        if baseline is None:
            return
        stretches, of_rows = self._stretches(times)
        for field in baseline.fields:
            if field.key == LABEL:
                continue
            column = batch.column(field.key)
            counts = _crossed(of_rows, stretches.size, field.places(column), len(field.bins))
            _add(self._values[version, field.role, field.name], stretches, counts)
        self._bound()
        if LABEL in batch.fields:
            self._add_outcomes(version, times, batch)

    def joined(self, version: str, batch: Batch) -> None:
        """Take predictions in whose label has come in a log of its own."""
        if self.has_times and batch.rows and batch.timestamps is not None:
            self._add_outcomes(version, batch.timestamps, batch)

    def since(self, version: VersionVerdict) -> Onset | None:
        """When the first began of all that is unwell; None where nothing is known to be."""
        onsets = [self.field_since(version.version, one) for one in version.unwell_fields]
        onsets += [self.figure_since(version.version)] if version.unwell_figures else []
        return min((one for one in onsets if one), key=lambda one: one.time, default=None)

    def field_since(self, version: str, field: FieldVerdict) -> Onset | None:
        """When a field's values became what they are at the end; None if that is for the better."""

        def is_worse(before: Floats, after: Floats) -> bool:
            usual = field.baseline_counts
            return drift.psi(after, usual) > drift.psi(before, usual)

        return self._onset(self._values[version, field.role, field.name], is_worse)

    def figure_since(self, version: str) -> Onset | None:
        """When the share of correct predictions began to be less, by time of the prediction."""

        def is_worse(before: Floats, after: Floats) -> bool:
            return bool(after[1] * before.sum() < before[1] * after.sum())

        return self._onset(self._outcomes[version], is_worse)

    def _onset(self, counts: Mapping[int, Counts], is_worse: IsWorse) -> Onset | None:
        if not counts:
            return None
        stretches = sorted(counts)
        starts = np.array([*stretches, stretches[-1] + 1]) * self._length
        starts[0] = max(starts[0], self.first)
        counted = np.cumsum([counts[one] for one in stretches], axis=0, dtype=np.float64)
        return onset(starts, np.insert(counted, 0, 0.0, axis=0), is_worse)

    def _add_outcomes(self, version: str, times: Floats, batch: Batch) -> None:
        if not self._classified:
            return
        label, predicted = batch.fields[LABEL].categories, batch.fields[PREDICTION].categories
        known = ~label.is_any(MISSING, INVALID)
        if not known.any():
            return
        stretches, of_rows = self._stretches(times[known])
        right = label.equals(predicted)[known].astype(np.intp)
        _add(self._outcomes[version], stretches, _crossed(of_rows, stretches.size, right, 2))
        self._bound()

    def _times(self, batch: Batch) -> Floats:
        if self.has_times and batch.timestamps is not None:
            return batch.timestamps
        return np.arange(self._rows, self._rows + batch.rows, dtype=np.float64) + 1

    def _stretches(self, times: Floats) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
        """The stretches that have some of the times, and which of them each is in."""
        while True:
            found, of_rows = np.unique(np.floor(times / self._length), return_inverse=True)
            if found.size <= _MOST_STRETCHES:
                return found.astype(np.int64), of_rows
            self._lengthen()

    def _bound(self) -> None:
        """Keep no more stretches than there may be."""
        kept = (*self._values.values(), *self._outcomes.values())
        while max(map(len, kept), default=0) > _MOST_STRETCHES:
            self._lengthen()
            kept = (*self._values.values(), *self._outcomes.values())

    def _lengthen(self) -> None:
        """Make one stretch of each two."""
        self._length *= 2
        self._values = defaultdict(dict, {k: _halved(v) for k, v in self._values.items()})
        self._outcomes = defaultdict(dict, {k: _halved(v) for k, v in self._outcomes.items()})


def _halved(counts: Mapping[int, Counts]) -> dict[int, Counts]:
    joined: dict[int, Counts] = {}
    for stretch, values in counts.items():
        half = stretch // 2
        joined[half] = joined[half] + values if half in joined else values
    return joined


def _crossed(rows: NDArray[np.intp], height: int, columns: NDArray[np.intp], width: int) -> Counts:
    """Counts of pairs, shape (height, width)."""
    counts = np.bincount(rows * width + columns, minlength=height * width)
    return counts.reshape(height, width)


def _add(totals: dict[int, Counts], stretches: NDArray[np.int64], counts: Counts) -> None:
    for stretch, values in zip(stretches.tolist(), counts, strict=True):
        totals[stretch] = totals[stretch] + values if stretch in totals else values
