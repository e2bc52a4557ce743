"""Which predictions are worth a look, and what is said of them."""

import json
import math

import numpy as np
import pytest

from ml_exporter.baseline.baseline import Baseline, Request
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import PREDICTION, SCORE, Batch, Field
from ml_exporter.columns import ABSENT, Column
from ml_exporter.config.constraints import Constraint
from ml_exporter.config.notable import Notable
from ml_exporter.monitors.components import ComponentValues
from ml_exporter.monitors.constraints import ConstraintViolations
from ml_exporter.monitors.notable import NotablePredictions

AGE, COUNTRY, NOTE = (Field("feature", name) for name in ("age", "country", "note"))
NOON = 1_700_000_000.0


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    """Ages from 18 to 67, two countries, and a note that half of the rows lack."""
    rows = 1000
    columns = {
        AGE: Column([18 + row % 50 for row in range(rows)]),
        COUNTRY: Column(["DE" if row % 3 else "FR" for row in range(rows)]),
        NOTE: Column([None if row % 2 else "new" for row in range(rows)]),
    }
    return build(lambda: [Batch(rows, columns)], Request("m", None, {}, {}, 10, 50))


def monitor(
    settings: Notable | None = None,
    baseline: Baseline | None = None,
    constraints: ConstraintViolations | None = None,
    scores: tuple[str, ...] = (),
    positive: str | None = None,
    most_lines: int = 10,
) -> NotablePredictions:
    made = NotablePredictions(
        "m", "1", settings or Notable(), scores, positive, constraints, most_lines
    )
    made.judge_by(baseline, None)
    return made


def counts(monitor: NotablePredictions) -> dict[str, float]:
    """Predictions by reason, of those that there are any of."""
    (family,) = monitor.families
    return {
        labels[-1]: value
        for labels, value in zip(family.label_sets, family.values.tolist(), strict=True)
        if value
    }


def lines(monitor: NotablePredictions) -> list[dict[str, object]]:
    return [json.loads(text) for text in monitor.take().texts]


@pytest.mark.parametrize(
    ("age", "country", "reasons", "fields"),
    [
        (41, "DE", "", {}),
        (17, "DE", "out_of_range", {"age": "out_of_range"}),
        (4_000, "DE", "out_of_range", {"age": "out_of_range"}),
        (41, "XX", "unseen", {"country": "unseen"}),
        (None, "DE", "missing", {"age": "missing"}),
        (ABSENT, "", "missing", {"age": "missing", "country": "missing"}),
        ("old", ["DE"], "invalid", {"age": "invalid", "country": "invalid"}),
        (math.inf, "XX", "invalid,unseen", {"age": "invalid", "country": "unseen"}),
    ],
)
def test_what_the_baseline_has_hardly_any_of(
    baseline: Baseline, age: object, country: object, reasons: str, fields: dict[str, str]
) -> None:
    of = monitor(baseline=baseline)
    of.update(Batch(2, {AGE: Column([41, age]), COUNTRY: Column(["FR", country])}))
    assert set(counts(of)) == set(filter(None, reasons.split(",")))
    found = lines(of)
    if not reasons:
        assert found == []
        return
    (line,) = found
    assert line == {
        **{"time": None, "model": "m", "version": "1"},
        **{"reasons": reasons, "fields": fields},
    }


def test_what_the_baseline_has_many_of_is_nothing_to_look_at(baseline: Baseline) -> None:
    of = monitor(baseline=baseline)
    columns = {AGE: Column([41]), COUNTRY: Column(["DE"]), NOTE: Column([None])}
    of.update(Batch(1, columns))
    assert counts(of) == {}


def test_constraints_need_no_baseline() -> None:
    violations = ConstraintViolations(
        "m", "1", [Constraint("age", min=18, max=120), Constraint("country", required=True)], ()
    )
    of = monitor(constraints=violations)
    batch = Batch(3, {AGE: Column([17, 41, 400]), COUNTRY: Column(["DE", "DE", None])})
    violations.update(batch)
    of.update(batch)
    assert counts(of) == {"constraint": 2}
    assert [line["constraints"] for line in lines(of)] == [
        {"age": "min"},
        {"age": "max", "country": "required"},
    ]


@pytest.mark.parametrize(
    ("scores", "low"),
    [([0.5, 0.54, 0.46, 0.56, 0.9, None], 3), ([0.0, 1.0], 0), ([math.nan], 0)],
)
def test_a_binary_model_that_is_not_sure(scores: list[object], low: int) -> None:
    of = monitor(Notable(margin=0.1), scores=("1",), positive="1")
    of.update(Batch(len(scores), {SCORE: Column(scores)}))
    assert counts(of).get("low_confidence", 0) == low


def test_a_multiclass_model_that_is_not_sure() -> None:
    of = monitor(Notable(margin=0.1), scores=("a", "b", "c"))
    rows = [(0.4, 0.35, 0.25), (0.8, 0.1, 0.1), (0.5, None, 0.5)]
    columns = {
        Field("score", name): Column(list(values))
        for name, values in zip("abc", zip(*rows, strict=True), strict=True)
    }
    of.update(Batch(3, columns))
    assert counts(of) == {"low_confidence": 1}


def test_a_row_far_from_all_others_is_an_outlier() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=4000)
    two = {
        Field("feature", "x"): Column(x.tolist()),
        Field("feature", "y"): Column((x + rng.normal(size=4000) / 20).tolist()),
    }
    known = build(lambda: [Batch(4000, two)], Request("m", None, {}, {}, 10, 50))
    components = ComponentValues("m", "1", known, known.component_fields, 0.01)
    of = monitor()
    of.judge_by(known, None, components)
    usual = Batch(2, {key: Column([0.1, 1.0]) for key in two})
    torn = Batch(
        2, {key: Column([0.1, value]) for key, value in zip(two, (2.0, -2.0), strict=True)}
    )
    for batch, outliers in ((usual, {}), (torn, {"outlier": 1})):
        components.update(batch)
        of.update(batch)
        assert counts(of) == outliers


class TestLines:
    def test_have_time_trace_and_the_values_that_are_allowed(self, baseline: Baseline) -> None:
        of = monitor(Notable(values=("age", "prediction", "id")), baseline)
        columns = {AGE: Column([400]), COUNTRY: Column(["DE"]), PREDICTION: Column(["yes"])}
        times = np.array([NOON])
        of.update(Batch(1, columns, ["a1"], timestamps=times, traces=["4bf9"]))
        (line,) = lines(of)
        assert line == {
            "time": "2023-11-14T22:13:20.000Z",
            **{"model": "m", "version": "1", "trace_id": "4bf9"},
            **{"reasons": "out_of_range", "fields": {"age": "out_of_range"}},
            "values": {"age": 400, "prediction": "yes", "id": "a1"},
        }

    @pytest.mark.parametrize(
        ("value", "told"),
        [
            ("XX", "XX"),
            ("mail to a@b.example", "<redacted>"),
            ("y" * 199 + "a@b.example", "<redacted>"),
            ("x" * 1000, "x" * 200),
            (4111111111111111, "<redacted>"),
            (17.5, 17.5),
            (True, True),
            (math.nan, "nan"),
            ({}, "<dict>"),
            (None, None),
            (ABSENT, None),
            ("two\nlines", "two\nlines"),
        ],
    )
    def test_redact_values(self, value: object, told: object) -> None:
        violations = ConstraintViolations("m", "1", [Constraint("age", required=True)], ())
        of = monitor(Notable(values=("country",), redact=("@", "[0-9]{13,}")), None, violations)
        batch = Batch(1, {AGE: Column([None]), COUNTRY: Column([value])})
        violations.update(batch)
        of.update(batch)
        (text,) = of.take().texts
        assert text.count(b"\n") == 1
        assert json.loads(text)["values"] == {"country": told}

    def test_are_of_the_first_rows_alone(self, baseline: Baseline) -> None:
        of = monitor(baseline=baseline, most_lines=2)
        of.update(Batch(5, {AGE: Column([400, 41, 500, 600, 700]), COUNTRY: Column(["DE"] * 5)}))
        taken = of.take()
        assert (len(taken.texts), taken.others) == (2, 2)
        assert counts(of) == {"out_of_range": 4}

    def test_are_taken_once_and_not_of_what_is_undone(self, baseline: Baseline) -> None:
        of = monitor(baseline=baseline)
        batch = Batch(1, {AGE: Column([400]), COUNTRY: Column(["DE"])})
        of.update(batch)
        assert [len(of.take().texts), len(of.take().texts)] == [1, 0]
        of.update(batch)
        of.undo()
        assert of.take().texts == []


def test_the_last_row_of_a_reason_is_its_exemplar(baseline: Baseline) -> None:
    of = monitor(baseline=baseline)
    columns = {AGE: Column([400, 500, 41]), COUNTRY: Column(["DE", "DE", "XX"])}
    times = NOON + np.arange(3)
    of.update(Batch(3, columns, timestamps=times, traces=["t1", "t2", "t3"]))
    (family,) = of.families
    found = {family.label_sets[index][-1]: one for index, one in family.exemplars.items()}
    assert {reason: (one.trace, one.time - NOON) for reason, one in found.items()} == {
        "out_of_range": ("t2", 1),
        "unseen": ("t3", 2),
    }
