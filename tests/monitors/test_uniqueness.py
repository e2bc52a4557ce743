"""Rows that repeat a value, among the latest."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_exporter.batch import Batch, Field
from ml_exporter.columns import ABSENT, Column
from ml_exporter.config.constraints import Constraint
from ml_exporter.formats import Layout, decoder
from ml_exporter.monitors.constraints import ConstraintViolations
from ml_exporter.monitors.uniqueness import RecentValues

A = Field("feature", "a")


def repeated(values: Sequence[object]) -> list[bool]:
    found: list[bool] = RecentValues().repeated(Column(values)).tolist()
    return found


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", "b", "a", "a"], [False, False, True, True]),
        ([1, 1.0, "1", 2], [False, True, True, False]),  # one name
        ([None, None, ABSENT, ABSENT, "", ""], [False] * 6),
        (["<x", "<y", "<missing>"], [False, False, False]),
        (["x" * 500, "x" * 501, "x" * 500], [False, False, True]),
        ([math.nan, [], {}], [True] * 3),  # nobody can see that they differ
        ([], []),
    ],
)
def test_later_rows_of_one_value_repeat_it(values: list[object], expected: list[bool]) -> None:
    assert repeated(values) == expected


def test_batches_follow_each_other() -> None:
    recent = RecentValues()
    assert recent.repeated(Column(["a", "b"])).tolist() == [False, False]
    assert recent.repeated(Column(["b", "c"])).tolist() == [True, False]


@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=5), max_size=6))
def test_however_rows_are_cut(batches: list[list[str]]) -> None:
    recent = RecentValues()
    found = [flag for batch in batches for flag in recent.repeated(Column(batch)).tolist()]
    assert found == repeated([value for batch in batches for value in batch])


def test_memory_is_bounded_and_the_latest_values_are_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecentValues, "MOST", 10)
    recent = RecentValues()
    assert not recent.repeated(Column(list(range(100)))).any()
    assert recent.repeated(Column(list(range(90, 100)))).all()
    assert not recent.repeated(Column(list(range(50)))).any()


def test_rows_that_come_again_after_an_undo_do_not_repeat_themselves() -> None:
    monitor = ConstraintViolations("m", "1", [Constraint("a", unique=True)], ())
    (family,) = monitor.families
    monitor.update(Batch(2, {A: Column(["a", "b"])}))
    again = Batch(2, {A: Column(["b", "c"])})
    monitor.update(again)
    family.values[:] = 0
    monitor.undo()
    monitor.update(again)
    assert family.values.tolist() == [1]


def test_columns_of_json() -> None:
    rows = [{"a": text} for text in ("x", 'q"', "y" * 300, 'q"', "y" * 300, None, 1.0, 1)]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    batch = decoder("jsonl", Layout({A: "a"})).decode(data, end=True).batch
    found = RecentValues().repeated(batch.fields[A]).tolist()
    assert found == [False, False, False, True, True, False, False, True]
