"""Columns of codes: of each row the place of its value among distinct ones, which are known.

What a value is, as a number or a name, is worked out once for each distinct one, however many rows
and batches have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ml_exporter.columns import Categories, Column, Numbers, named
from ml_exporter.statistics.bins import Binned, Codes, Floats, looked_up

Places = NDArray[np.int32]


class Distinct:
    """What codes stand for: each value once, all numbers or all texts, and null as the last."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.null = len(column) - 1

    @cached_property
    def categories(self) -> Categories:
        return named(np.arange(self.null + 1, dtype=np.int32), self.column.values, text=False)

    @cached_property
    def missing(self) -> NDArray[np.bool_]:
        """Which values are none: null, and the empty text (distinct,)."""
        values = self.column.values
        return np.array([value is None or value == "" for value in values], dtype=np.bool_)

    @cached_property
    def wrong(self) -> NDArray[np.bool_]:
        """Which values are neither numbers nor missing: (distinct,)."""
        wrong: NDArray[np.bool_] = np.isnan(self.column.numbers.values)
        return wrong & ~self.missing

    @cached_property
    def no_category(self) -> NDArray[np.bool_]:
        """Which values are of a type that no category is: (distinct,)."""
        return np.array([isinstance(value, list | dict) for value in self.column.values])


class CodedColumn(Column):
    """The values of one field as codes: (rows,), each less than there are distinct values."""

    def __init__(self, codes: Places, distinct: Distinct) -> None:
        super().__init__((), text=False)
        self._codes = codes
        self._distinct = distinct

    def __len__(self) -> int:
        return self._codes.size

    @cached_property
    def values(self) -> Sequence[object]:
        distinct = self._distinct.column.values
        return [distinct[code] for code in self._codes.tolist()]

    @cached_property
    def absent(self) -> int:
        return 0

    def absent_mask(self) -> NDArray[np.bool_]:
        return np.zeros(len(self), dtype=np.bool_)

    def missing_mask(self) -> NDArray[np.bool_]:
        return self._distinct.missing.take(self._codes)

    def take(self, rows: NDArray[np.intp]) -> CodedColumn:
        return CodedColumn(self._codes[rows], self._distinct)

    def without_contents(self) -> CodedColumn:
        """The same: a list among numbers and texts stands for no text, and is empty."""
        return self

    def texts(self) -> list[str] | None:
        values = self.values
        return list(values) if all(isinstance(value, str) and value for value in values) else None  # type: ignore[arg-type]

    @cached_property
    def numbers(self) -> Numbers:
        return CodedNumbers(self._codes, self._distinct)

    @cached_property
    def categories(self) -> Categories:
        of = self._distinct.categories
        is_same = len(of.names) == self._distinct.null + 1
        codes = self._codes if is_same else of.codes.take(self._codes)
        return Categories(codes, of.names, _count(self._distinct.no_category, self._codes))


class CodedNumbers(Numbers):
    """Numbers that are in a bin because their distinct value is."""

    def __init__(self, codes: Places, distinct: Distinct) -> None:
        of = distinct.column.numbers
        self._of_codes = codes
        self._distinct = of
        invalid = _count(distinct.wrong, codes)
        missing = _count(distinct.missing, codes)
        super().__init__(np.empty(0), missing, invalid, invalid if of.wrong_type else 0)

    @property
    def values(self) -> Floats:
        return self._every_value

    @cached_property
    def _every_value(self) -> Floats:
        return self._distinct.values.take(self._of_codes)

    def _in_bins(self, edges: tuple[float, ...]) -> Binned:
        of = self._distinct.binned(edges)
        return looked_up(self._of_codes, of.codes, of.counts.size)

    def _up_to(self, uppers: tuple[float, ...]) -> Codes:
        return looked_up(self._of_codes, self._distinct.codes(uppers), len(uppers) + 2).codes


def _count(mask: NDArray[np.bool_], codes: Places) -> int:
    """How many codes are of a value in a mask."""
    if not mask[:-1].any():
        return int(np.count_nonzero(codes == mask.size - 1)) if mask[-1] else 0
    return int(np.count_nonzero(mask.take(codes)))
