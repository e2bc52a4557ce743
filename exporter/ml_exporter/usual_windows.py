"""How far the hours, days and weeks of a baseline stray from the rest of it.

Real traffic comes in sessions and seasons, so that windows differ by more than independent rows
would. What differs no more than these did is no drift.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ml_exporter.batch import Batch, Column, Field, FieldType
from ml_exporter.segments import BinnedField
from ml_exporter.statistics.bins import INVALID, MISSING
from ml_exporter.statistics.drift import SHARES, TESTS, Test, extremes, mid_ranks

_HOUR = 3600.0  # seconds
_LENGTHS: Mapping[str, int] = {"1h": 1, "24h": 24, "7d": 168}  # in hours
_MOST_CELLS = 1 << 24  # counts that are held, of all hours, fields and bins: 64 MiB


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

    def extremes(self) -> dict[Field, dict[str, dict[Test, float]]]:
        """The greatest statistic of each test of each field, by the length of the windows.

        A length has none where the rows' time has less than two of it.
        """
        found: dict[Field, dict[str, dict[Test, float]]] = {key: {} for key in self._fields}
        for length, hours in _LENGTHS.items():
            windows = self._windows(hours)
            if len(windows) < 2:
                break
            for key, field in self._fields.items():
                found[key][length] = _extremes(field, windows[:, self._bins[key]])
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


def _extremes(field: BinnedField, windows: NDArray[np.int64]) -> dict[Test, float]:
    names = np.array(field.names)
    type: FieldType = "category" if field.edges is None else "number"
    total = windows.sum(axis=0)
    ranks = np.full(names.size, np.nan)
    if type == "number":
        ranked = ~np.isin(names, (MISSING, INVALID))
        ranks[ranked] = mid_ranks(total[ranked])
    shares = {test: np.isin(names, bins) for test, bins in SHARES.items() if test in TESTS[type]}
    found = extremes(windows, total, ranks, shares)
    return {test: float(f"{value:.4g}") for test, value in found.items() if value}
