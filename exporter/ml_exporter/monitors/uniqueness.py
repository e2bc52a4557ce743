"""Which of the latest rows have a value that an earlier one of them had."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ml_exporter.columns import Column
from ml_exporter.statistics.bins import INVALID, MISSING, OTHER


class RecentValues:
    """The different values of the latest rows, as hashes: at least `MOST`, at most twice as many.

    They are this process's own, and gone when it ends: what repeats is found where both rows come
    to it within so many values, and never said of one that doesn't repeat.
    """

    MOST = 100_000

    def __init__(self) -> None:
        self._now: set[int] = set()
        self._before: set[int] = set()
        self._latest: list[int] = []  # what the last column brought

    def repeated(self, column: Column) -> NDArray[np.bool_]:
        """The rows whose value an earlier row has had, or that have none that can be compared."""
        self._latest = []
        categories = column.categories
        repeated = ~categories.is_any(MISSING)
        codes, firsts = np.unique(categories.codes, return_index=True)
        for code, first in zip(codes.tolist(), firsts.tolist(), strict=True):
            name = categories.names[code]
            if name not in (MISSING, INVALID, OTHER) and self._is_new(name):
                repeated[first] = False
        for row in np.flatnonzero(categories.is_any(OTHER)).tolist():
            if self._is_new(str(column.values[row])):  # too long for a name
                repeated[row] = False
        return repeated

    def undo(self) -> None:
        """Forget what the last column brought: its rows will come again."""
        for values in (self._now, self._before):
            values.difference_update(self._latest)
        self._latest = []

    def _is_new(self, text: str) -> bool:
        value = hash(text)
        if value in self._now or value in self._before:
            return False
        if len(self._now) >= self.MOST:
            self._now, self._before = set(), self._now
        self._now.add(value)
        self._latest.append(value)
        return True
