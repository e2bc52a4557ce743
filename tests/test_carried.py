"""What goes along with predictions is the same when their labels come."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_exporter import carried
from ml_exporter.batch import EXPECTED_ERROR, PREDICTION, REGION, SCORE, Batch, Field
from ml_exporter.carried import Names, Scores, pack, unpack
from ml_exporter.columns import ABSENT, Column
from ml_exporter.statistics.bins import MISSING

COUNTRY, AGE = Field("segment", "country"), Field("segment", "age / sex")
RANKED = Field("ranked", "1")


def batch(**columns: Sequence[object]) -> Batch:
    """`score` is the score, and anything else a segment."""
    fields = {
        SCORE if name == "score" else Field("segment", name): Column(values)
        for name, values in columns.items()
    }
    return Batch(len(next(iter(columns.values()))), fields)


@pytest.mark.parametrize(
    ("columns", "packed"),
    [
        ({"score": [0.25]}, {"score/score": 0.25}),
        ({"score": [1]}, {"score/score": 1.0}),
        ({"country": ["DE"]}, {"segment/country": "DE"}),
        ({"country": ["<x"]}, {"segment/country": "\\<x"}),
        ({"country": [None]}, {"segment/country": "<missing>"}),
        ({"score": [0.5], "country": ["DE"]}, {"segment/country": "DE", "score/score": 0.5}),
        ({"score": [None], "country": ["DE"]}, {"segment/country": "DE"}),
    ],
)
def test_a_row_is_a_map(columns: dict[str, list[object]], packed: dict[str, object]) -> None:
    (row,) = pack(batch(**columns))
    assert msgspec.msgpack.decode(row) == packed


def test_an_expected_error_is_a_number_as_scores_are() -> None:
    columns: dict[Field, Column] = {
        REGION: Names.of(["a", "b"]),
        EXPECTED_ERROR: Scores(np.array([2.5, math.nan])),
    }
    rows = pack(Batch(2, columns))
    first, second = map(msgspec.msgpack.decode, rows)
    assert first == {"region/region": "a", "expected/error": 2.5}
    assert second == {"region/region": "b"}
    assert unpack(rows)[EXPECTED_ERROR].values == [2.5, None]


def test_a_row_is_small() -> None:
    assert [len(row) for row in pack(batch(score=[0.1, 1, None]))] == [22, 22, 0]


@pytest.mark.parametrize(
    "score", [None, ABSENT, "", "text", math.nan, math.inf, True, {}], ids=repr
)
def test_nothing_is_kept_of_what_is_no_number(score: object) -> None:
    assert pack(batch(score=[score])) == [b""]


def test_nothing_is_kept_of_other_columns() -> None:
    other = {PREDICTION: Column(["yes"]), Field("feature", "age"): Column([20])}
    assert pack(Batch(1, other)) == [b""]
    assert unpack([b""]) == {}
    assert unpack([]) == {}


@pytest.mark.parametrize(
    "name", ["DE", "", "<missing>", "<other>", "<invalid>", "\\<x", "1.0", "zażółć\0", "x" * 200]
)
def test_names_are_not_escaped_again(name: str) -> None:
    fields = {COUNTRY: Names.of([name]), AGE: Names.of([name]), REGION: Names.of([name])}
    found = unpack(pack(Batch(1, {**fields, RANKED: Names.of([name])})))
    assert found.keys() == {COUNTRY, AGE, REGION, RANKED}
    for column in found.values():
        assert column.categories.of_rows == [name]
        assert column.take(np.array([0, 0])).categories.of_rows == [name, name]


def test_a_lone_surrogate_is_no_text() -> None:
    assert unpack(pack(batch(country=["\ud800"])))[COUNTRY].values == ["?"]


@pytest.mark.parametrize("entries", [14, 15, 16, 300])
def test_any_number_of_scores(entries: int) -> None:
    numbers = np.random.default_rng(0).random((3, entries))
    numbers[1, ::2] = np.nan
    fields: dict[Field, Column] = {
        Field("score", str(number)): Scores(column) for number, column in enumerate(numbers.T)
    }
    found = unpack(pack(Batch(3, {REGION: Names.of(["a", "b", "c"]), **fields})))
    assert found[REGION].values == ["a", "b", "c"]
    for key, column in fields.items():
        assert np.array_equal(found[key].numbers.values, column.numbers.values, equal_nan=True)


class TestRowsThatLack:
    """Some were packed when other columns were carried, or had none."""

    ROWS = (*pack(batch(score=[0.25, None], country=["DE", None])), b"", *pack(batch(age=["old"])))

    def test_a_number_have_none(self) -> None:
        score = unpack(self.ROWS)[SCORE]
        assert len(score) == 4
        assert score.values == [0.25, None, None, None]
        assert score.missing_mask().tolist() == [False, True, True, True]
        assert score.numbers.missing == 3
        assert score.numbers.invalid == 0
        assert score.take(np.array([3, 0])).values == [None, 0.25]

    def test_a_name_have_none(self) -> None:
        country = unpack(self.ROWS)[COUNTRY]
        assert len(country) == 4
        assert country.values == ["DE", MISSING, ABSENT, ABSENT]
        assert country.categories.of_rows == ["DE", MISSING, MISSING, MISSING]
        assert country.missing_mask().tolist() == [False, True, True, True]
        assert country.absent == 2
        some = country.take(np.array([0, 1, 3]))
        assert some.values == ["DE", MISSING, ABSENT]
        assert some.absent_mask().tolist() == [False, False, True]


@pytest.mark.parametrize(
    "row",
    [
        b"\xc1",
        b"\x81",
        b"\x82\xa1a",
        b"\x81\xa1\xff\x01",
        b"\x80\x80",
        b"\x91\x01",
        msgspec.msgpack.encode({"score/score": [1.0]}),
        msgspec.msgpack.encode({"score/score": "0.5", "segment/country": 0.5}),
        msgspec.msgpack.encode({"label/label": 0.5, "feature/age": "x", "score": 1.0, "": ""}),
        pack(batch(score=[0.5], country=["DE"]))[0][:-1],
    ],
)
def test_a_row_that_is_something_else_spoils_no_other(row: bytes) -> None:
    good = pack(batch(score=[0.25, 0.75], country=["DE", "FR"]))
    found = unpack([row, good[0], row, good[1], row])
    assert found.keys() == {SCORE, COUNTRY}
    assert found[SCORE].values == [None, 0.25, None, 0.75, None]
    assert found[COUNTRY].values == [ABSENT, "DE", ABSENT, "FR", ABSENT]


NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
SOME = st.lists(st.sampled_from(["", "DE", "<missing>", "é" * 40]), min_size=9, max_size=9)


@settings(max_examples=60, deadline=None)
@given(
    scores=st.lists(st.lists(NUMBERS, min_size=9, max_size=9), max_size=20),
    names=st.lists(SOME, max_size=3),
    lost=st.sets(st.integers(0, 8)),
)
def test_what_is_packed_comes_out_again(
    scores: list[list[float | None]], names: list[list[str]], lost: set[int]
) -> None:
    """Whatever rows have, and however many are packed and unpacked at once."""
    keys = [Field("score", str(number)) for number in range(len(scores))]
    segments = [Field("segment", str(number)) for number in range(len(names))]
    columns: dict[Field, Column] = dict(zip(keys, map(Column, scores), strict=True))
    columns |= dict(zip(segments, map(Names.of, names), strict=True))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(carried, "_ROWS", 4)
        monkeypatch.setattr(carried, "_AT_ONCE", 60)
        rows = pack(Batch(9, columns))
        found = unpack([b"" if row in lost else data for row, data in enumerate(rows)])
    for key, of_rows in zip([*keys, *segments], [*scores, *names], strict=True):
        left = [None if row in lost else value for row, value in enumerate(of_rows)]
        if key not in found:
            assert set(left) == {None}
            continue
        none = None if key.role == "score" else ABSENT
        assert found[key].values == [none if value is None else value for value in left]
