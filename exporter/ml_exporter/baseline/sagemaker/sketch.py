"""A sketch of a column's quantiles, in bounded memory (Karnin, Lang and Liberty, 2016).

https://arxiv.org/abs/1603.05346; levels as statistics.json has them: a value of level i stands for
2^i rows.
"""

from __future__ import annotations

import math

import numpy as np

from ml_exporter.statistics.bins import Counts, Floats


class Sketch:
    """Exact up to k values; with more, ranks are off by about a thousandth of them at most."""

    k = 2048  # values of the highest level; Model Monitor's own figures
    c = 0.64  # by which each level below it is smaller

    def __init__(self) -> None:
        self.levels: list[Floats] = [np.empty(0)]
        self._odd = 0

    def add(self, values: Floats) -> None:
        self.levels[0] = np.append(self.levels[0], values)
        height = 0
        while height < len(self.levels):
            if self.levels[height].size > self._capacity(height):
                self._compact(height)
            height += 1

    def rows_below(self, bounds: Floats) -> Counts:
        """How many rows have a value less than each of the bounds."""
        rows = np.zeros(bounds.size, dtype=np.int64)
        for height, values in enumerate(self.levels):
            rows += np.searchsorted(np.sort(values), bounds, side="left") << height
        return rows

    def _capacity(self, height: int) -> int:
        below_the_top = len(self.levels) - 1 - height
        return max(2, math.ceil(self.k * self.c**below_the_top))

    def _compact(self, height: int) -> None:
        """Let one of every two neighbours stand for both, the first and the second by turns."""
        ordered = np.sort(self.levels[height])
        left = ordered.size % 2
        self.levels[height] = ordered[:left]
        if height + 1 == len(self.levels):
            self.levels.append(np.empty(0))
        kept = ordered[left + self._odd :: 2]
        self.levels[height + 1] = np.append(self.levels[height + 1], kept)
        self._odd = 1 - self._odd
