"""Sums of numbers that go on for years, and that no absurd row spoils."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml_exporter.families import Family
from ml_exporter.statistics.bins import Floats

_SPAN = 1000  # rows
_HIDES = 2.0**43  # times what was added in a span: of those digits, a float has ten more bits


class Sums:
    """Adds to several series at once.

    One row that is a sensor's 1e30 would make of a sum a number that takes no other in. Such a sum
    begins at 0 again, as it does when an exporter is replaced: who reads counters knows what to do.
    """

    def __init__(self, series: Sequence[tuple[Family, tuple[str, ...]]]) -> None:
        self._at = [(family, family.add(*labels)) for family, labels in series]
        self._recent = np.zeros(len(series))
        self._rows = 0

    def add(self, amounts: Floats, rows: int) -> None:
        """Add what so many rows come to: a finite number for each series."""
        for (family, index), amount in zip(self._at, amounts.tolist(), strict=True):
            family.values[index] += amount
        self._recent += amounts
        self._rows += rows
        if self._rows >= _SPAN:
            self._forget_the_absurd()

    def _forget_the_absurd(self) -> None:
        for (family, index), recent in zip(self._at, self._recent.tolist(), strict=True):
            if 0 < recent < family.values[index] / _HIDES:
                family.values[index] = 0.0
        self._recent[:] = 0
        self._rows = 0
