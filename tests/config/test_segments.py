"""Segments: how they are configured, which one a row is in, and what a baseline knows of them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_exporter.baseline.baseline import Request, segments_of
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import LABEL, PREDICTION, Batch, Field, FieldType
from ml_exporter.columns import Column
from ml_exporter.config.segments import Segment, SegmentCounter, SegmentRows, read_segments
from ml_exporter.config.yaml_file import read_yaml
from ml_exporter.config.yaml_nodes import ConfigError

COUNTRY, AGE = Field("feature", "country"), Field("feature", "age")
BY_COUNTRY, BY_AGE = Segment(("country",)), Segment(("age",))
BY_BOTH = Segment(("country", "age"))


def read(folder: Path, text: str, features: list[str] | None) -> tuple[Segment, ...]:
    path = folder / "segments.yml"
    path.write_text(text)
    node = read_yaml(str(path), {})
    assert node is not None
    segments = read_segments(node, features)
    node.document.check()
    return segments


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", []),
        ("[country]", [Segment(("country",))]),
        ("[country, [country, age]]", [Segment(("country",)), Segment(("country", "age"))]),
        ("[{field: gender, protected: true}]", [Segment(("gender",), True)]),
        ("[{fields: [a, b], protected: true}]", [Segment(("a", "b"), True)]),
        ("[{fields: [a, b]}]", [Segment(("a", "b"))]),
    ],
)
def test_configured(tmp_path: Path, text: str, expected: list[Segment]) -> None:
    assert list(read(tmp_path, text, None)) == expected


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[contry]", "1: [0]: unknown feature; did you mean 'country'?"),
        ("[[country, aeg]]", "1: [0][1]: unknown feature; did you mean 'age'?"),
        ("[country, country]", "1: [1]: 'country' is already in the list"),
        ("[[age, country],\n [country, age]]", "2: [1]: 'country & age' is already in the list"),
        ("[[country]]", None),
        ("[[country, age, zip]]", "1: [0]: must name one feature, or two different ones"),
        ("[[age, age]]", "1: [0]: must name one feature, or two different ones"),
        ("[[]]", "1: [0]: must name one feature, or two different ones"),
        ("[{protected: true}]", "1: [0]: must have either 'field' or 'fields'"),
        ("[{field: age, fields: [zip]}]", "1: [0]: must have either 'field' or 'fields'"),
        ("[{field: age, protekted: no}]", "1: [0].protekted: unknown key"),
        ("[{field: age, protected: very}]", "1: [0].protected: must be true or false, not 'very'"),
        ("country", "1: must be a list, not a string"),
    ],
)
def test_errors_say_where_and_what(tmp_path: Path, text: str, error: str | None) -> None:
    features = ["country", "age", "zip"]
    if error is None:
        assert read(tmp_path, text, features)
        return
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, text, features)
    [message] = raised.value.errors
    assert message.replace("ml_exporter", "").startswith(f"{tmp_path}/segments.yml:{error}")


def test_segments_are_named_after_their_fields() -> None:
    assert BY_BOTH.name == "country & age"
    assert BY_BOTH.key == Field("segment", "country & age")


def rows(
    countries: list[object],
    ages: list[object],
    predicted: list[object] | None = None,
    actual: list[object] | None = None,
) -> Batch:
    fields = {COUNTRY: Column(countries), AGE: Column(ages)}
    if predicted is not None and actual is not None:
        fields |= {PREDICTION: Column(predicted), LABEL: Column(actual)}
    return Batch(len(countries), fields)


def request(*segments: Segment, categories: int = 50, task: FieldType = "category") -> Request:
    types = {PREDICTION: task, LABEL: task, COUNTRY: "category", AGE: "number"}
    return Request("m", None, types, {}, bins=4, categories=categories, segments=tuple(segments))


BASELINE = rows(["DE"] * 60 + ["FR"] * 36 + ["IT"] * 4, [20.0] * 30 + [40.0] * 30 + [60.0] * 40)


def named(batch: Batch, *segments: Segment, categories: int = 50) -> list[list[object]]:
    """The segments of a batch by those of the baseline."""
    made = build(lambda: [BASELINE], request(*segments, categories=categories))
    found = segments_of(segments, made.fields, made.segments).of(batch)
    return [list(found[one.key].values) for one in segments]


@pytest.mark.parametrize(
    ("country", "name"),
    [("DE", "DE"), ("FR", "FR"), ("IT", "<other>"), ("XX", "<other>"), ("<x", "<other>"),
     ("", "<missing>"), (None, "<missing>"), ({}, "<invalid>")],
)  # fmt: skip
def test_a_category_is_its_name_in_the_baseline(country: object, name: str) -> None:
    assert named(rows([country], [20.0]), BY_COUNTRY) == [[name]]


@pytest.mark.parametrize(
    ("age", "name"),
    [(19.9, "<below>"), (20.0, "20.0"), (20.1, "40.0"), (40, "40.0"), (41, "60.0"),
     (60.0, "60.0"), (60.1, "<above>"), (None, "<missing>"), ("", "<missing>"),
     ("old", "<invalid>"), (math.inf, "<invalid>"), (True, "<invalid>")],
)  # fmt: skip
def test_a_number_is_its_bin(age: object, name: str) -> None:
    assert named(rows(["DE"], [age]), BY_AGE) == [[name]]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(), st.integers(-100, 100), st.text(max_size=2))))
def test_numbers_are_in_the_bins_that_fields_count_them_in(values: list[object]) -> None:
    made = build(lambda: [BASELINE], request(BY_AGE))
    field = made.by_key[AGE]
    batch = rows(["DE"] * len(values), values)
    column = segments_of([BY_AGE], made.fields).of(batch)[BY_AGE.key]
    counted = dict(zip(field.bins, field.count(batch.fields[AGE]).tolist(), strict=True))
    assert column.categories.counts == {bin: n for bin, n in counted.items() if n}


def test_a_pair_has_a_name_if_the_baseline_has_ten_rows_of_it() -> None:
    batch = rows(["DE", "DE", "FR", "FR", "XX", None], [20.0, 40.0, 60.0, 20.0, 20.0, 20.0])
    assert named(batch, BY_BOTH) == [
        ["DE & 20.0", "DE & 40.0", "FR & 60.0", "<other>", "<other>", "<other>"]
    ]


def test_of_many_pairs_the_most_frequent_have_names() -> None:
    batch = rows(["DE", "DE", "FR"], [20.0, 40.0, 60.0])
    [[*names]] = named(batch, BY_BOTH, categories=2)
    assert names == ["DE & 20.0", "<other>", "FR & 60.0"]  # of equal ones, the first by name


def test_a_field_that_rows_lack_is_missing() -> None:
    assert named(Batch(2, {AGE: Column([20.0, 20.0])}), BY_COUNTRY) == [["<missing>"] * 2]


def test_fields_that_the_baseline_lacks_make_no_segments() -> None:
    made = build(lambda: [BASELINE], request())
    zip_code = Segment(("zip",))
    assert segments_of([zip_code, BY_AGE], made.fields).segments == (BY_AGE,)


def test_text_of_which_most_values_differ_is_one_segment() -> None:
    many = rows([f"id {number}" for number in range(100)], [20.0] * 100)
    untyped = Request("m", None, {}, {}, bins=4, categories=50)
    made = build(lambda: [many], untyped)
    assert "<any>" in made.by_key[COUNTRY].counts
    column = segments_of([BY_COUNTRY], made.fields).of(rows(["x", None], [1.0, 1.0]))
    assert list(column[BY_COUNTRY.key].values) == ["<any>", "<missing>"]


def test_segments_are_taken_along_with_their_rows() -> None:
    made = build(lambda: [BASELINE], request(BY_AGE))
    column = segments_of([BY_AGE], made.fields).of(BASELINE)[BY_AGE.key]
    assert list(column.take(np.array([99, 0])).values) == ["60.0", "20.0"]


class TestBaseline:
    def test_counts_rows_and_correct_ones(self) -> None:
        predicted: list[object] = ["y"] * 100
        actual: list[object] = ["y"] * 50 + ["n"] * 40 + [None] * 10
        batch = rows(["DE"] * 60 + ["FR"] * 36 + ["IT"] * 4, [20.0] * 100, predicted, actual)
        made = build(lambda: [batch.slice(0, 55), batch.slice(55, 100)], request(BY_COUNTRY))
        assert made.segments == [
            SegmentRows(field="country", segment="DE", rows=60, labelled=60, correct=50),
            SegmentRows(field="country", segment="FR", rows=36, labelled=30),
            SegmentRows(field="country", segment="<other>", rows=4),
        ]

    def test_sums_errors(self) -> None:
        predicted: list[object] = [1.0] * 20
        actual: list[object] = [1.5] * 15 + [0.0] * 4 + [None]
        batch = rows(["DE"] * 20, [20.0] * 20, predicted, actual)
        made = build(lambda: [batch], request(BY_COUNTRY, task="number"))
        assert made.segments == [
            SegmentRows(field="country", segment="DE", rows=20, labelled=19, absolute_error=11.5)
        ]

    def test_counts_nothing_without_labels(self) -> None:
        counter = SegmentCounter(regression=False)
        made = build(lambda: [BASELINE], request())
        counter.update(BASELINE, segments_of([BY_COUNTRY], made.fields).of(BASELINE))
        assert [(one.segment, one.rows, one.labelled) for one in counter.rows(50)] == [
            ("DE", 60, 0),
            ("FR", 36, 0),
            ("<other>", 4, 0),
        ]
