"""How many rows violate constraints: cases, and the same as one value at a time."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_exporter.batch import PREDICTION, SCORE, Batch, Field
from ml_exporter.columns import ABSENT, Column, category_name
from ml_exporter.config.constraints import COMPARISONS, Constraint
from ml_exporter.formats import Layout, decoder
from ml_exporter.monitors.constraints import ConstraintViolations

A, B = Field("feature", "a"), Field("feature", "b")
NAN, INF = math.nan, math.inf


def counted(
    constraints: Sequence[Constraint], batch: Batch, scores: Sequence[Field] = ()
) -> dict[tuple[str, ...], float]:
    monitor = ConstraintViolations("m", "1", constraints, scores)
    monitor.update(batch)
    (family,) = monitor.families
    values = family.values.tolist()
    return {labels[2:]: rows for labels, rows in zip(family.label_sets, values, strict=True)}


def violations(
    constraint: Constraint, values: Sequence[object], others: Sequence[object] = (), text=False
) -> dict[str, float]:
    """Rows by constraint."""
    fields = {A: Column(values, text)}
    if others:
        fields[B] = Column(others, text)
    found = counted([constraint], Batch(len(values), fields))
    return {name: rows for (_, name), rows in found.items()}


def test_born_at_zero() -> None:
    constraints = [Constraint("a", min=0, required=True), Constraint("b", values=frozenset("x"))]
    (family,) = ConstraintViolations("m", "1", constraints, ()).families
    assert family.label_sets == [
        ("m", "1", "a", "min"),
        ("m", "1", "a", "required"),
        ("m", "1", "b", "values"),
    ]
    assert family.values.tolist() == [0, 0, 0]


def test_what_is_no_longer_configured_is_not_brought_back() -> None:
    (family,) = ConstraintViolations("m", "1", [Constraint("a", min=0)], ()).families
    family.restore(("", "m", "1", "a", "min"), 3)
    family.restore(("", "m", "1", "a", "max"), 5)
    assert family.values.tolist() == [3]


MISSING = [None, ABSENT, ""]
NO_NUMBERS = ["text", True, [], {}, NAN, INF, -INF, 10**400]


@pytest.mark.parametrize(
    ("constraint", "right", "wrong"),
    [
        (Constraint("a", min=18), [18, 18.0, 19, 1e300, *MISSING], [17, 17.99, -1, *NO_NUMBERS]),
        (Constraint("a", max=18), [18, 0, -1e300, *MISSING], [18.01, 19, "18", *NO_NUMBERS]),
        (
            Constraint("a", values=frozenset({"DE", "1", "true", "\\<x>"})),
            ["DE", 1, 1.0, "1", True, "<x>", *MISSING],
            ["de", "DE ", 2, False, "1.0", [], {}, NAN, "x" * 201, "<missing>", "<other>"],
        ),
        (
            Constraint("a", pattern="<?[a-z0-9]+"),
            ["abc", "<abc", 1, 1.0, True, *MISSING],
            ["ABC", "<<a", 1.5, [], NAN, "a" * 201],
        ),
        (Constraint("a", pattern=".*"), ["a" * 200, "<missing>"], ["a" * 201, [], INF]),
        (Constraint("a", required=True), [0, False, "0", " ", [], {}, NAN, INF, "None"], MISSING),
    ],
)
def test_which_values_violate(
    constraint: Constraint, right: list[object], wrong: list[object]
) -> None:
    (name,) = constraint.names
    for value in right:
        assert violations(constraint, [value]) == {name: 0}, value
    for value in wrong:
        assert violations(constraint, [value]) == {name: 1}, value
    assert violations(constraint, [*right, *wrong, *wrong]) == {name: 2 * len(wrong)}


def test_text_that_says_a_number_is_one_in_csv() -> None:
    one = Constraint("a", min=18, values=frozenset({"18", "19"}), pattern="[0-9]+")
    texts = ["18", "18.0", " 19", "17", "", "x", "nan", "1e400"]
    assert violations(one, texts, text=True) == {"min": 4, "values": 5, "pattern": 4}


TIMES = ["2024-05-01T10:00:00Z", "2024-05-01T12:00:00+02:00", "2024-05-01T10:00:00", "2024-05-02"]


@pytest.mark.parametrize(
    ("value", "other", "violated"),
    [
        (2, 1, "below at_most"),
        (1, 1, "above below"),
        (1, 2, "above at_least"),
        (1.5, 1, "below at_most"),
        *((value, 1, "") for value in MISSING),
        *((1, value, "") for value in MISSING),
        *((None, value, "") for value in NO_NUMBERS),
        *((value, 1, "above at_least below at_most") for value in NO_NUMBERS),
        *((1, value, "above at_least below at_most") for value in NO_NUMBERS),
        ("text", "text", "above at_least below at_most"),
        ("2", "1", "above at_least below at_most"),
        (TIMES[0], TIMES[1], "above below"),
        (TIMES[0], TIMES[2], "above below"),
        (TIMES[3], TIMES[0], "below at_most"),
        (TIMES[0], TIMES[3], "above at_least"),
        (TIMES[0], datetime.fromisoformat(TIMES[0]).timestamp(), "above below"),
        (TIMES[0], "yesterday", "above at_least below at_most"),
        ("0001-01-01T00:00:00+14:00", TIMES[0], "above at_least"),
    ],
)
def test_comparisons(value: object, other: object, violated: str) -> None:
    one = Constraint("a", comparisons=tuple((name, "b") for name in COMPARISONS))
    expected = {name: float(name in violated.split()) for name in COMPARISONS}
    assert violations(one, [value], [other]) == expected
    # Beside numbers and times of other rows, too.
    values, others = [3, TIMES[0], value, None], [3, TIMES[0], other, 5]
    equal = {name: rows + 2 * (name in ("above", "below")) for name, rows in expected.items()}
    assert violations(one, values, others) == equal


def test_a_comparison_leaves_the_numbers_of_other_monitors_alone() -> None:
    column = Column([3, TIMES[0]])
    batch = Batch(2, {A: column, B: Column([1, TIMES[1]])})
    counted([Constraint("a", comparisons=(("above", "b"),))], batch)
    assert column.numbers.values[0] == 3
    assert math.isnan(column.numbers.values[1])


def test_a_row_counts_under_each_constraint_and_batches_add_up() -> None:
    constraints = [
        Constraint("a", min=0, values=frozenset({"1", "2"})),
        Constraint("b", required=True),
    ]
    monitor = ConstraintViolations("m", "1", constraints, ())
    batch = Batch(3, {A: Column([-1, 1, 3]), B: Column([None, 1, None])})
    monitor.update(batch)
    monitor.update(batch.take([0]))
    monitor.update(batch.take([]))
    assert monitor.families[0].values.tolist() == [2, 3, 3]


def test_a_field_that_no_row_has_is_missing() -> None:
    constraints = [Constraint("a", 0, 1, frozenset("x"), "x", True, (("above", "b"),))]
    found = counted(constraints, Batch(4, {B: Column([1, 2, 3, 4])}))
    assert {name: rows for (_, name), rows in found.items() if rows} == {"required": 4}


def test_the_prediction_and_its_score() -> None:
    constraints = [
        Constraint("prediction", values=frozenset({"0", "1"})),
        Constraint("score", 0, 1, comparisons=(("below", "prediction"),)),
    ]
    fields = {PREDICTION: Column([0, 1, 2]), SCORE: Column([0.5, 0.6, 1.5])}
    assert counted(constraints, Batch(3, fields), [SCORE]) == {
        ("prediction", "values"): 1,
        ("score", "min"): 0,
        ("score", "max"): 1,
        ("score", "below"): 1,
    }


def test_each_of_several_scores_must_be_right() -> None:
    scores = [Field("score", name) for name in "xyz"]
    columns = ([0.2, 2, None, 0.1], [0.3, -1, 0.5, 0.1], [0.5, 0, 0.5, "high"])
    fields = {key: Column(values) for key, values in zip(scores, columns, strict=True)}
    found = counted([Constraint("score", 0, 1, required=True)], Batch(4, fields), scores)
    assert found == {("score", "min"): 2, ("score", "max"): 2, ("score", "required"): 1}


def test_a_feature_may_be_called_score_where_the_model_has_none() -> None:
    fields = {Field("feature", "score"): Column([1, 2])}
    assert counted([Constraint("score", max=1)], Batch(2, fields)) == {("score", "max"): 1}


@pytest.mark.parametrize(
    ("format", "data"),
    [
        (
            "jsonl",
            b'{"a":1,"b":"2024-05-01"}\n{"a":7,"b":"x"}\n{"a":"x","b":""}\n{"a":null}\n'
            b'{"a":[1],"b":"2024-05-02T00:00:00Z"}\n{"a":1e999,"b":"\\u0032024-05-03"}\n',
        ),
        (
            "csv",
            b"a,b\n1,2024-05-01\n7,x\nx,\n,\ny,2024-05-02T00:00:00Z\ninf,2024-05-03\n",
        ),
    ],
)
def test_columns_of_formats(format: str, data: bytes) -> None:
    batch = decoder(format, Layout({A: "a", B: "b", PREDICTION: "a"})).decode(data, True).batch
    constraints = [
        Constraint("a", 0, 5, required=True, comparisons=(("below", "b"),)),
        Constraint("b", values=frozenset({"2024-05-01"}), pattern="2024.*", required=True),
    ]
    found = {f"{field} {name}": rows for (field, name), rows in counted(constraints, batch).items()}
    assert batch.rows == 6
    assert found == {
        "a min": 3,
        "a max": 4,
        "a required": 1,
        "a below": 3,
        "b values": 3,
        "b pattern": 1,
        "b required": 2,
    }


# One value at a time


def is_missing(value: object) -> bool:
    return value is None or value is ABSENT or value == ""


def number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def moment(value: object) -> float | None:
    if not isinstance(value, str):
        return number(value)
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


HOLDS: Mapping[str, Callable[[float, float], bool]] = {
    "above": operator.gt,
    "at_least": operator.ge,
    "below": operator.lt,
    "at_most": operator.le,
}


def violated(one: Constraint, value: object, other: object) -> set[str]:
    if is_missing(value):
        return {"required"} & {*one.names}
    of, name = number(value), category_name(value)
    held = {
        "min": one.min is None or (of is not None and of >= one.min),
        "max": one.max is None or (of is not None and of <= one.max),
        "values": not one.values or name in one.values,
        "pattern": one.pattern is None
        or (name not in ("<invalid>", "<other>") and bool(re.fullmatch(one.pattern, name))),
    }
    for comparison, _ in one.comparisons:
        this, that = moment(value), moment(other)
        comparable = this is not None and that is not None
        held[comparison] = is_missing(other) or (comparable and HOLDS[comparison](this, that))
    return {name for name, holds in held.items() if not holds}


VALUES = st.one_of(
    st.sampled_from([*MISSING, *NO_NUMBERS, *TIMES, "DE", "FR", 0, 1, 2, 1.0, 0.5]),
    st.integers(-3, 3),
    st.floats(-3, 3),
    st.text("DEF1 -", max_size=4),
)
CONSTRAINTS = st.builds(
    Constraint,
    field=st.just("a"),
    min=st.none() | st.integers(-2, 2),
    max=st.none() | st.floats(-2, 2),
    values=st.frozensets(st.sampled_from(["DE", "1", "true"])),
    pattern=st.none() | st.sampled_from(["[A-Z]+", r"\d*", "true|1"]),
    required=st.booleans(),
    comparisons=st.lists(st.sampled_from(COMPARISONS), unique=True).map(
        lambda names: tuple((name, "b") for name in names)
    ),
)


@given(CONSTRAINTS, st.lists(st.tuples(VALUES, VALUES), max_size=12))
@settings(max_examples=300, deadline=None)
def test_the_same_as_one_value_at_a_time(
    constraint: Constraint, rows: list[tuple[object, object]]
) -> None:
    expected = dict.fromkeys(constraint.names, 0.0)
    for value, other in rows:
        for name in violated(constraint, value, other):
            expected[name] += 1
    fields = {A: Column([value for value, _ in rows]), B: Column([other for _, other in rows])}
    found = counted([constraint], Batch(len(rows), fields))
    assert {name: rows for (_, name), rows in found.items()} == expected


def test_arrow_columns() -> None:
    pa = pytest.importorskip("pyarrow")
    from ml_exporter.formats.arrow_columns import ArrowColumn

    times = pa.array([0, 10**15, None, 5], pa.timestamp("us", "UTC"))
    fields = {
        A: ArrowColumn(times),
        B: ArrowColumn(pa.array(["1970-01-01T00:00:00Z", "2050-01-01", "x", ""])),
    }
    one = Constraint("a", min=0, required=True, comparisons=(("above", "b"),))
    two = Constraint("b", values=frozenset({"x"}), pattern="[0-9].*", required=True)
    found = counted([one, two], Batch(4, fields))
    assert found == {
        ("a", "min"): 3,
        ("a", "required"): 1,
        ("a", "above"): 2,
        ("b", "values"): 2,
        ("b", "pattern"): 1,
        ("b", "required"): 1,
    }


def test_the_last_row_that_violates_a_constraint_is_its_exemplar() -> None:
    monitor = ConstraintViolations("m", "1", [Constraint("a", min=0, max=9)], ())
    traces, times = ["t0", "t1", None], np.array([1.0, 2.0, 3.0])
    monitor.update(Batch(3, {A: Column([-1, -2, 10])}, timestamps=times, traces=traces))
    monitor.update(Batch(1, {A: Column([-1])}))
    (family,) = monitor.families
    found = {family.label_sets[index][-1]: one for index, one in family.exemplars.items()}
    assert {name: (one.trace, one.time) for name, one in found.items()} == {"min": ("t1", 2.0)}
    assert [(*found[:2], found[2].tolist()) for found in monitor.found] == [("a", "min", [True])]
