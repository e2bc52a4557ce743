"""How far the hours, days and weeks of a baseline stray from the rest of it.

Real traffic comes in sessions and seasons, so that windows differ by more than independent rows
would. What differs no more than these did is no drift.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml_exporter.baseline.components import Binned, Components, Projection
from ml_exporter.batch import Batch, Field, FieldType
from ml_exporter.carried import Scores
from ml_exporter.columns import Column
from ml_exporter.config.segments import BinnedField
from ml_exporter.statistics.bins import INVALID, MISSING, Floats
from ml_exporter.statistics.drift import SHARES, TESTS, Test, mid_ranks, of_windows
from ml_exporter.statistics.overdispersion import LENGTHS, overdispersion

_HOUR = 3600.0  # seconds
_MOST_CELLS = 1 << 24  # counts that are held, of all hours, fields and bins: 64 MiB


class Straying(NamedTuple):
    """How far a field's windows of each length stray, by test.

    There is no length that the rows' time has less than two of.
    """

    extremes: dict[str, dict[Test, float]]  # the greatest statistic, if any is above 0
    overdispersions: dict[str, dict[Test, float]]  # those above 1


class WindowCounter:
    """Counts bins by the hour of the rows' own time, of the first hours that fit into memory."""

    def __init__(self, fields: Mapping[Field, BinnedField]) -> None:
        self._fields = fields
        starts = np.cumsum([0, *(len(field.names) for field in fields.values())]).tolist()
        self._bins = {key: slice(*ends) for key, ends in zip(fields, pairwise(starts), strict=True)}
        self._width = starts[-1]
        self._hours: dict[int, NDArray[np.int32]] = {}

    def update(self, batch: Batch, columns: Mapping[Field, Column]) -> None:
        """Count the rows of a batch that have a time; `columns` has every field."""
        if batch.timestamps is None:
            return
        rows = np.flatnonzero(np.isfinite(batch.timestamps))
        hours, of_row = np.unique(batch.timestamps[rows] // _HOUR, return_inverse=True)
        counted = [self._of_hour(int(hour)) for hour in hours.tolist()]
        for key, bins in self._bins.items():
            width = bins.stop - bins.start
            codes = of_row * width + self._fields[key].codes(columns[key])[rows]
            added = np.bincount(codes, minlength=hours.size * width).reshape(-1, width)
            for hour, counts in zip(counted, added, strict=True):
                hour[bins] += counts.astype(np.int32)

    def _of_hour(self, hour: int) -> NDArray[np.int32]:
        if hour not in self._hours:
            counts = np.zeros(self._width, dtype=np.int32)
            if (len(self._hours) + 1) * self._width > _MOST_CELLS:
                return counts
            self._hours[hour] = counts
        return self._hours[hour]

    def straying(self) -> dict[Field, Straying]:
        """How far the windows of each field stray, each compared with all others together."""
        found = {key: Straying({}, {}) for key in self._fields}
        for length, hours in LENGTHS.items():
            windows = self._windows(hours)
            if len(windows) < 2:
                break
            for key, field in self._fields.items():
                counts = windows[:, self._bins[key]]
                cells = int(np.count_nonzero(counts.sum(axis=0)))
                strays = _strays(field, counts)
                greatest = {test: _rounded(of.max(initial=0.0)) for test, of in strays.items()}
                widths = {test: overdispersion(test, of, cells) for test, of in strays.items()}
                found[key].extremes[length] = {test: x for test, x in greatest.items() if x}
                if wide := {test: _rounded(x) for test, x in widths.items() if x > 1}:
                    found[key].overdispersions[length] = wide
        return found

    def _windows(self, hours: int) -> NDArray[np.int64]:
        """What whole windows of so many hours counted, of shape (windows, bins of all fields)."""
        numbers = np.array(sorted(self._hours), dtype=np.int64)
        passed = numbers - numbers[:1]
        whole = numbers[passed < (passed.max(initial=-1) + 1) // hours * hours]
        if not whole.size:
            return np.empty((0, self._width), dtype=np.int64)
        counts = np.array([self._hours[hour] for hour in whole.tolist()], dtype=np.int64)
        _, starts = np.unique((whole - numbers[0]) // hours, return_index=True)
        return np.add.reduceat(counts, starts)


def of_components(
    batches: Callable[[], Iterable[Batch]], components: Components, fields: Sequence[Binned]
) -> dict[Field, Straying]:
    """How far the windows of components stray, whose values are made of the rows once more.

    `fields` are those of the baseline. A sample of the rows wouldn't do: sessions of which every
    other row is seen are half as long.
    """
    projection = Projection(components, fields)
    binned = {
        Field("component", one.name): BinnedField(list(one.counts), one.edges)
        for one in components.components
    }
    counter = WindowCounter(binned)
    for batch in batches():
        if batch.timestamps is None:
            continue
        columns = dict(zip(binned, map(Scores, projection.of(batch)), strict=True))
        counter.update(Batch(batch.rows, columns, timestamps=batch.timestamps), columns)
    return counter.straying()


def _strays(field: BinnedField, windows: NDArray[np.int64]) -> dict[Test, Floats]:
    """The absolute statistics of each test, of the windows that have one."""
    names = np.array(field.names)
    type: FieldType = "category" if field.edges is None else "number"
    total = windows.sum(axis=0)
    ranks = np.full(names.size, np.nan)
    if type == "number":
        ranked = ~np.isin(names, (MISSING, INVALID))
        ranks[ranked] = mid_ranks(total[ranked])
    shares = {test: np.isin(names, bins) for test, bins in SHARES.items() if test in TESTS[type]}
    found = of_windows(windows, total - windows, ranks, shares)
    return {test: np.abs(values[~np.isnan(values)]) for test, values in found.items()}


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
