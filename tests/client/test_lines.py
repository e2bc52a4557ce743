"""Observations of any kind become lines as a logger would have written them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest

from ml_exporter.client.arguments import model_of
from ml_exporter.client.lines import Writer, line


class Tier(Enum):
    PAID = "paid"


@dataclass
class Dose:
    amount: float


class Tag(str):
    """A text of a class of its own."""


BINARY = {"task": "binary", "positive": "1"}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (np.float64(0.1), 0.1),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.array([1, 2]), [1, 2]),
        (Decimal("1.50"), 1.5),
        (Decimal("1E+3"), 1000.0),
        (Decimal(10**30), 10**30),
        (True, True),
        (None, None),
        (pd.NA, None),
        (pd.NaT, None),
        ("null", "null"),
        ("é\ud800", "é\ud800"),
        (10**30, 10**30),
        (datetime(2026, 3, 1, tzinfo=UTC), "2026-03-01T00:00:00Z"),
        (pd.Timestamp(2026, 3, 1), "2026-03-01T00:00:00"),
        (date(2026, 3, 1), "2026-03-01"),
        (time(1, 2, 3, 500_000, UTC), "01:02:03.500000Z"),
        (timedelta(days=1, seconds=2.5), "P1DT2.5S"),
        (timedelta(seconds=-0.25), "-PT0.25S"),
        (timedelta(0), "P0D"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (b"bytes", "Ynl0ZXM="),
        ({"a"}, ["a"]),
        (Tier.PAID, "paid"),
        (Dose(1.5), {"amount": 1.5}),
        (Tag("a"), "a"),
        (object(), {}),
        ({"a": {1: 2.5}}, {"a": {"1": 2.5}}),
        (math.inf, math.inf),
    ],
)
def test_values(value: Any, written: Any) -> None:
    for others in ({}, {"y": None}, {"y": math.nan}):
        data = line({"x": value, **others})
        assert data.count(b"\n") == 1
        assert data.endswith(b"\n")
        assert json.loads(data)["x"] == written


def test_nan_is_not_null() -> None:
    for value in (math.nan, np.nan, np.float32("nan")):
        assert math.isnan(json.loads(line({"x": value, "y": None}))["x"])


def test_names_are_text() -> None:
    assert json.loads(line({1: 2, "x": math.nan}))["1"] == 2  # type: ignore[dict-item]


def rows_of(writer: Writer, features: Any, **said: Any) -> list[dict[str, Any]]:
    columns = [said.get(name) for name in ("prediction", "score", "id", "label", "version", "time")]
    lines = writer.write([(True, (features, *columns))])
    return [json.loads(one) for piece in lines for one in piece.data.splitlines()]


def test_tables_of_any_kind() -> None:
    writer = Writer(model_of("m", {**BINARY, "features": ["a", "b"]}))
    expected = [{"a": 1.5, "b": "x"}, {"a": None, "b": "y"}]
    tables = [
        pd.DataFrame({"a": [1.5, None], "b": ["x", "y"]}),
        {"a": pd.Series([1.5, np.nan]), "b": np.array(["x", "y"])},
        [{"a": 1.5, "b": "x"}, {"a": None, "b": "y"}],
        [[1.5, "x"], [None, "y"]],
        np.array([[1.5, "x"], [None, "y"]], dtype=object),
    ]
    for table in tables:
        rows = rows_of(writer, table, prediction=np.array([1, 0]), time=5.0)
        assert [{name: row[name] for name in ("a", "b")} for row in rows] == expected
        assert [row["@prediction"] for row in rows] == [1, 0]
        assert [row["@time"] for row in rows] == [5.0, 5.0]
    assert not writer.unreadable


def test_columns_of_other_lengths_are_unreadable() -> None:
    writer = Writer(model_of("m", BINARY))
    assert rows_of(writer, {"a": [1, 2]}, prediction=[1], time=5.0) == []
    assert rows_of(writer, {"a": [1, 2], "b": [1]}, prediction=[1, 0], time=5.0) == []
    assert writer.unreadable.total() == 2


def test_scores_of_classes() -> None:
    classes = {"task": "multiclass", "score": ["a", "b", 3]}
    writer = Writer(model_of("m", classes))
    for score in ({"a": 0.5, 3: 0.2}, [0.5, None, 0.2], {"a": 0.5, "b": None, np.int64(3): 0.2}):
        (row,) = rows_of(writer, [{"x": 1}], prediction=["a"], score=[score], time=5.0)
        assert row["@score"] == [0.5, None, 0.2]
    binary = Writer(model_of("m", {**BINARY, "score": True}))
    (row,) = rows_of(binary, [{"x": 1}], prediction=["1"], score=[{"0": 0.4, 1: 0.6}], time=5.0)
    assert row["@score"] == 0.6


def test_what_a_model_was_not_said_to_have_is_not_written() -> None:
    writer = Writer(model_of("m", BINARY))
    said = {"prediction": ["1"], "score": [0.5], "id": ["a"], "version": "3", "time": 5.0}
    (row,) = rows_of(writer, [{"x": 1}], **said)
    assert row == {"x": 1, "@prediction": "1", "@time": 5.0, "@label": None}


def test_a_label_with_its_prediction_is_joined_where_labels_come_later() -> None:
    writer = Writer(model_of("m", {**BINARY, "labels": True}))
    rows = rows_of(
        writer,
        [{"x": 1}, {"x": 2}],
        prediction=["1", "0"],
        id=["a", "b"],
        label=["0", None],
        time=5.0,
    )
    assert rows == [
        {"x": 1, "@prediction": "1", "@time": 5.0, "@id": "a"},
        {"x": 2, "@prediction": "0", "@time": 5.0, "@id": "b"},
        {"@id": "a", "@label": "0", "@time": 5.0},
    ]


def test_no_piece_is_larger_than_a_frame() -> None:
    writer = Writer(model_of("m", BINARY))
    text = "a" * 900_000
    lines = writer.write([(False, ({"x": text}, "1", None, None, None, None, 5.0))] * 12)
    assert [one.rows for one in lines] == [4, 4, 4]
    assert all(one.data.count(b"\n") == one.rows for one in lines)


SHAP = [{"age": 0.25, "city.name": -1.5}, {"age": 0.5, "city.name": 0.0}]
PIECE = {"features": ["age", "city.name"], "attributions": True}


@pytest.mark.parametrize(
    "attributions",
    [
        SHAP,
        pd.DataFrame(SHAP),
        {"age": [0.25, 0.5], "city.name": np.array([-1.5, 0.0])},
        np.array([[0.25, -1.5], [0.5, 0.0]]),
        [[0.25, -1.5], (0.5, 0.0)],
    ],
)
def test_attributions_of_any_kind(attributions: Any) -> None:
    writer = Writer(model_of("m", {**BINARY, **PIECE}))
    table = ({"age": [1, 2], "city.name": ["a", "b"]}, ["1", "0"], *[None] * 5, attributions)
    (written,) = writer.write([(True, table)])
    assert [json.loads(line)["@attributions"] for line in written.data.splitlines()] == SHAP
    assert not writer.unreadable


@pytest.mark.parametrize(
    "attributions", [SHAP[0], pd.Series(SHAP[0]), [0.25, -1.5], np.array([[0.25, -1.5]])]
)
def test_attributions_of_one_row(attributions: Any) -> None:
    writer = Writer(model_of("m", {**BINARY, **PIECE}))
    (written,) = writer.write([(False, ({"age": 1}, "1", *[None] * 5, attributions))])
    assert json.loads(written.data)["@attributions"] == SHAP[0]


def test_attributions_that_fit_no_row_are_unreadable() -> None:
    writer = Writer(model_of("m", {**BINARY, **PIECE}))
    table = ({"age": [1, 2]}, ["1", "0"], *[None] * 5)
    for attributions in ([SHAP[0]], [[0.25, -1.5, 7.0]] * 2):
        assert writer.write([(True, (*table, attributions))]) == []
    assert list(writer.unreadable) == [
        "ValueError: attributions of 1 rows for 2",
        "ValueError: 3 values without names, and Monitor(attributions=...) has 2 names",
    ]


@pytest.mark.parametrize("ranked", [[["a", "b"], ["b", "c"]], np.array([["a", "b"], ["b", "c"]])])
def test_ranked_items(ranked: Any) -> None:
    writer = Writer(model_of("m", {"task": "multiclass", "ranked": 2}))
    table = ({"age": [1, 2]}, ["a", "b"], *[None] * 6, ranked)
    (written,) = writer.write([(True, table)])
    found = [json.loads(line)["@ranked"] for line in written.data.splitlines()]
    assert found == [["a", "b"], ["b", "c"]]
    (written,) = writer.write([(False, ({"age": 1}, "a", *[None] * 6, ranked[0]))])
    assert json.loads(written.data)["@ranked"] == ["a", "b"]
