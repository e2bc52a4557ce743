"""Columns of rows that were read in different ways, as one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from ml_exporter.columns import ABSENT, Categories, Column, Numbers
from ml_exporter.formats.rows import Table

Order = NDArray[np.intp]


def joined(parts: Sequence[tuple[Table, NDArray[np.intp]]]) -> Table:
    """Tables as one, whose rows are sorted by the number that each row has beside its table."""
    numbers = np.concatenate([of_rows for _, of_rows in parts])
    if len(parts) == 1 and (np.diff(numbers) >= 0).all():
        return parts[0][0]
    order = np.argsort(numbers, kind="stable")
    tables = [table for table, _ in parts]
    paths = dict.fromkeys(chain.from_iterable(table.columns for table in tables))
    names = dict.fromkeys(chain.from_iterable(table.extra for table in tables))
    return Table(
        numbers.size,
        {path: Joined([_column(table, path) for table in tables], order) for path in paths},
        extra={name: np.concatenate([_mask(one, name) for one in tables])[order] for name in names},
    )


def _column(table: Table, path: str) -> Column:
    values = table.columns.get(path)
    if values is None:
        return Column([ABSENT] * table.rows)
    return values if isinstance(values, Column) else Column(values)


def _mask(table: Table, name: str) -> NDArray[np.bool_]:
    return table.extra.get(name, np.zeros(table.rows, np.bool_))


class Joined(Column):
    """The rows of all parts, one part after the other, in another `order`."""

    def __init__(self, parts: Sequence[Column], order: Order) -> None:
        super().__init__(())
        self._parts = parts
        self._order = order

    def __len__(self) -> int:
        return self._order.size

    @cached_property
    def values(self) -> Sequence[object]:
        values = [*chain.from_iterable(part.values for part in self._parts)]
        return [values[row] for row in self._order.tolist()]

    @cached_property
    def absent(self) -> int:
        return sum(part.absent for part in self._parts)

    def absent_mask(self) -> NDArray[np.bool_]:
        return np.concatenate([part.absent_mask() for part in self._parts])[self._order]

    def missing_mask(self) -> NDArray[np.bool_]:
        return np.concatenate([part.missing_mask() for part in self._parts])[self._order]

    @cached_property
    def numbers(self) -> Numbers:
        parts = [part.numbers for part in self._parts]
        return Numbers(
            np.concatenate([part.values for part in parts])[self._order],
            sum(part.missing for part in parts),
            sum(part.invalid for part in parts),
            sum(part.wrong_type for part in parts),
        )

    @cached_property
    def categories(self) -> Categories:
        parts = [part.categories for part in self._parts]
        names = [*dict.fromkeys(chain.from_iterable(part.names for part in parts))]
        codes = np.concatenate([part.among(names) for part in parts])[self._order]
        return Categories(codes.astype(np.int32), names, sum(part.wrong_type for part in parts))

    def take(self, rows: NDArray[np.intp]) -> Column:
        picked = self._order[rows]
        begins = np.cumsum([0, *(len(part) for part in self._parts)])
        of_parts = np.searchsorted(begins, picked, "right") - 1
        parts = [
            part.take(picked[of_parts == number] - begins[number])
            for number, part in enumerate(self._parts)
        ]
        order = np.empty_like(picked)
        order[np.argsort(of_parts, kind="stable")] = np.arange(picked.size)
        return Joined(parts, order)

    def without_contents(self) -> Column:
        return Joined([part.without_contents() for part in self._parts], self._order)
