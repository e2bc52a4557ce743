"""Rows as a list of values for each slot, where no scanner is compiled: Python reads every line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Lists:
    """The values of some rows: a column for each slot."""

    def __init__(self, data: bytes, slots: int, text: bool) -> None:
        """As `Spans` are made; whether all is `text`, the table says."""
        self.data = data
        self._columns: list[list[object]] = [[] for _ in range(slots)]
        self.rows = 0

    def scan_json(self, shape: None, offset: int, stop: int) -> int:
        """Every line is an unusual one."""
        return offset

    def scan_csv(self, delimiter: str, slots: NDArray[np.int32], offset: int, stop: int) -> int:
        """Every record is an unusual one."""
        return offset

    def add(self, values: Sequence[object]) -> None:
        """Add a row: a value for each of the first slots."""
        for column, value in zip(self._columns, values, strict=False):
            column.append(value)
        self.rows += 1

    def column(self, slot: int) -> list[object]:
        return self._columns[slot]

    def met(self, slot: int) -> NDArray[np.bool_]:
        """Which rows have anything that was scanned there: none."""
        return np.zeros(self.rows, dtype=np.bool_)


def shape(*known: Any) -> None:
    """What a scanner would be told of rows."""
