from typing import Any

import numpy as np
import pytest

from ml_exporter.columns import ABSENT, Column
from ml_exporter.formats.joined import Joined, joined
from ml_exporter.formats.rows import Table
from tests.formats.feeding import plain

MIXED = [1, None, "x", ABSENT, 2.5, "", {"a": 1}, True, "1"]
COLUMNS: list[list[Any]] = [MIXED, [3, 4, float("nan")], [], ["x", "y", ABSENT]]


@pytest.fixture
def order() -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    return np.random.default_rng(1).permutation(sum(map(len, COLUMNS)))


def test_it_is_like_one_column(order: Any) -> None:
    values = [value for column in COLUMNS for value in column]
    whole = Column([values[row] for row in order])
    parts = Joined([*map(Column, COLUMNS)], order)
    assert len(parts) == len(whole)
    assert plain(parts) == plain(whole)
    rows = np.array([3, 0, 3, 9, 14, 5])
    assert plain(parts.take(rows)) == plain(whole.take(rows))
    assert plain(parts.take(rows).take(np.array([2]))) == plain(whole.take(np.array([3])))
    assert [*parts.without_contents().values] == [*whole.without_contents().values]
    assert parts.item_counts() == whole.item_counts()


def test_tables_are_one_in_the_order_of_their_numbers() -> None:
    first = Table(2, {"a": [1, 2], "b": [5, 6]}, extra={"new": np.array([True, False])})
    second = Table(3, {"a": Column([7, 8, 9])})
    table = joined([(first, np.array([0, 3])), (second, np.array([1, 1, 2]))])
    assert table.rows == 5
    columns = {path: [*column.values] for path, column in table.columns.items()}  # type: ignore[union-attr, operator]
    assert columns == {"a": [1, 7, 8, 9, 2], "b": [5, ABSENT, ABSENT, ABSENT, 6]}
    assert table.extra["new"].tolist() == [True, False, False, False, False]


def test_one_table_is_itself() -> None:
    table = Table(2, {"a": [1, 2]})
    assert joined([(table, np.array([4, 5]))]) is table
