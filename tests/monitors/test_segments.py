"""What is counted of segments, on rows whose segments are known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest

from ml_exporter.baseline.baseline import FORMAT, Baseline, BaselineField
from ml_exporter.baseline.regions import Answers, Region, Regions, Split
from ml_exporter.batch import LABEL, PREDICTION, REGION, Batch, Field
from ml_exporter.carried import Names
from ml_exporter.columns import ABSENT, Column
from ml_exporter.config.segments import Segment, SegmentRows
from ml_exporter.families import Family
from ml_exporter.monitors.segments import SegmentOutcomes, SegmentPredictions, series

GENDER, PAIR = Segment(("gender",), protected=True), Segment(("gender", "age"))
REGIONS = Regions(
    splits=[Split(region=0, new=1, role="feature", field="age", at=40.0)],
    regions=[
        Region(name="age <= 40.0", rows=60, answers=[Answers("y", 60, 45, 40.0)], absolute=30.0),
        Region(name="age > 40.0", rows=40, answers=[Answers("n", 20, 20, 15.0)], absolute=10.0),
    ],
    preferred="scores",
)
BASELINE = Baseline(
    format=FORMAT,
    model="m",
    rows=100,
    fields=[
        BaselineField(
            role="feature",
            name="gender",
            type="category",
            counts={"f": 40, "m": 60, "<other>": 0, "<missing>": 0, "<invalid>": 0},
        )
    ],
    classes=["n", "y"],
    segments=[
        SegmentRows(
            field="gender", segment="f", rows=40, labelled=40, correct=30, absolute_error=10.0
        ),
        SegmentRows(field="gender", segment="m", rows=60, labelled=29, correct=29),
        SegmentRows(field="gender & age", segment="f & 20.0", rows=40),
    ],
)
WITH_REGIONS = Baseline(format=FORMAT, model="m", rows=100, fields=[], regions=REGIONS)


def counts(family: Family) -> dict[tuple[str, ...], float]:
    """Values above 0 by labels besides model and version."""
    found = zip(family.label_sets, family.values.tolist(), strict=True)
    return {labels[2:]: value for labels, value in found if value}


def families(monitor: SegmentPredictions | SegmentOutcomes) -> dict[str, Family]:
    return {family.name.removeprefix("ml_segment_"): family for family in monitor.families}


def batch(
    segments: Mapping[Field, Sequence[str | None]],
    predicted: Sequence[object],
    actual: Sequence[object] | None = None,
) -> Batch:
    fields: dict[Field, Column] = {key: Names.of(names) for key, names in segments.items()}
    fields[PREDICTION] = Column(predicted)
    if actual is not None:
        fields[LABEL] = Column(actual)
    return Batch(len(predicted), fields)


def test_predictions_and_positive_ones() -> None:
    monitor = SegmentPredictions("m", "1", [GENDER, PAIR], BASELINE, "y")
    monitor.update(
        batch(
            {
                GENDER.key: ["f", "m", "f", "<missing>", "new"],
                PAIR.key: ["f & 20.0", "<other>", "f & 20.0", "<other>", "new & 20.0"],
            },
            ["y", "y", "n", "y", "n"],
        )
    )
    found = families(monitor)
    assert counts(found["predictions_total"]) == {
        ("gender", "f"): 2,
        ("gender", "m"): 1,
        ("gender", "<missing>"): 1,
        ("gender", "<other>"): 1,
        ("gender & age", "f & 20.0"): 2,
        ("gender & age", "<other>"): 3,
    }
    assert counts(found["positive_predictions_total"]) == {
        ("gender", "f"): 1,
        ("gender", "m"): 1,
        ("gender", "<missing>"): 1,
    }
    assert counts(found["info"]) == {("gender", "true"): 1, ("gender & age", "false"): 1}


def test_all_segments_begin_at_once_and_no_others_ever() -> None:
    predictions = SegmentPredictions("m", "1", [GENDER, PAIR], BASELINE, "y")
    outcomes = SegmentOutcomes("m", "1", [GENDER, PAIR], BASELINE, "binary")
    before = [family.label_sets.copy() for m in (predictions, outcomes) for family in m.families]
    names = ["f", "m", "<missing>", *(f"new {number}" for number in range(1000))]
    answers = ["y", "n"] * 501 + ["y"]
    rows = batch({GENDER.key: names, PAIR.key: names}, answers, answers)
    predictions.update(rows)
    outcomes.update(rows)
    assert before == [family.label_sets for m in (predictions, outcomes) for family in m.families]


def test_outcomes_of_few_classes_are_in_full() -> None:
    monitor = SegmentOutcomes("m", "1", [GENDER], BASELINE, "binary")
    monitor.update(
        batch(
            {GENDER.key: ["f", "f", "m", "m", "m", None]},
            ["y", "n", None, "z", "y", "y"],
            ["y", "y", "n", "z", None, "y"],
        )
    )
    assert counts(families(monitor)["outcomes_total"]) == {
        ("gender", "f", "y", "y", "true"): 1,
        ("gender", "f", "y", "n", "false"): 1,
        ("gender", "m", "n", "<other>", "false"): 1,
        ("gender", "m", "<other>", "<other>", "true"): 1,
    }  # who has no segment, from before there were any, is in none


def test_outcomes_of_many_classes_are_right_or_wrong() -> None:
    many = Baseline(
        format=FORMAT, model="m", rows=100, fields=BASELINE.fields, classes=list("abcdef")
    )
    monitor = SegmentOutcomes("m", "1", [GENDER], many, "multiclass")
    assert series([GENDER], many, "multiclass", None) == 5 * (1 + 2 + 3)
    monitor.update(batch({GENDER.key: ["f"] * 3}, ["a", "b", "new"], ["a", "c", "new"]))
    assert counts(families(monitor)["outcomes_total"]) == {
        ("gender", "f", "<any>", "<any>", "true"): 2,
        ("gender", "f", "<any>", "<any>", "false"): 1,
    }


def test_errors_of_a_regression() -> None:
    monitor = SegmentOutcomes("m", "1", [GENDER], BASELINE, "regression")
    monitor.update(
        batch(
            {GENDER.key: ["f", "f", "m", "m", "m", None]},
            [1.0, 2.0, 5.0, 1e300, None, 7.0],
            [2.0, 4.0, 5.0, -1e300, 1.0, 1.0],
        )
    )
    found = families(monitor)
    assert counts(found["labelled_predictions_total"]) == {("gender", "f"): 2, ("gender", "m"): 1}
    assert counts(found["absolute_error_total"]) == {("gender", "f"): 3}
    assert counts(found["squared_error_total"]) == {("gender", "f"): 5}
    assert counts(found["baseline_performance"]) == {("gender", "f", "mean_absolute_error"): 0.25}


def test_what_a_segment_was_like_is_told_from_30_labelled_rows_on() -> None:
    found = families(SegmentOutcomes("m", "1", [GENDER, PAIR], BASELINE, "binary"))
    assert counts(found["baseline_performance"]) == {("gender", "f", "accuracy"): 0.75}
    assert counts(found["baseline_labelled_rows"]) == {("gender", "f"): 40}
    assert counts(found["baseline_ratio"]) == {
        ("gender", "f"): 0.4,
        ("gender", "m"): 0.6,
        ("gender & age", "f & 20.0"): 0.4,
    }


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_regions_are_segments(task: str) -> None:
    predictions = SegmentPredictions("m", "1", [], WITH_REGIONS, None)
    outcomes = SegmentOutcomes("m", "1", [], WITH_REGIONS, task)
    rows = batch({REGION: ["age <= 40.0", "of another tree"]}, [1.0, 2.0], [1.0, 3.0])
    predictions.update(rows)
    outcomes.update(rows)
    assert counts(families(predictions)["predictions_total"]) == {
        ("<region>", "age <= 40.0"): 1,
        ("<region>", "<other>"): 1,
    }
    usual = counts(families(outcomes)["baseline_performance"])
    if task == "binary":  # one region has 20 labelled rows
        assert usual == {("<region>", "age <= 40.0", "accuracy"): 0.75}
    else:
        assert usual == {
            ("<region>", "age <= 40.0", "mean_absolute_error"): 0.5,
            ("<region>", "age > 40.0", "mean_absolute_error"): 0.25,
        }


def test_rows_without_segments_count_nowhere() -> None:
    predictions = SegmentPredictions("m", "1", [GENDER], BASELINE, "y")
    outcomes = SegmentOutcomes("m", "1", [GENDER], BASELINE, "binary")
    rows = Batch(1, {PREDICTION: Column(["y"]), LABEL: Column(["y"])})
    for monitor in (predictions, outcomes):
        monitor.update(rows)
    assert counts(families(predictions)["predictions_total"]) == {}
    assert counts(families(outcomes)["outcomes_total"]) == {}


def test_names_that_rows_were_given_stay_as_they_are() -> None:
    monitor = SegmentPredictions("m", "1", [GENDER], BASELINE, "y")
    monitor.update(batch({GENDER.key: ["<other>", "<invalid>"]}, [math.nan, ABSENT]))
    assert counts(families(monitor)["predictions_total"]) == {
        ("gender", "<other>"): 1,
        ("gender", "<invalid>"): 1,
    }


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_series_are_as_many_as_are_said(task: str) -> None:
    positive = "y" if task == "binary" else None
    baseline = Baseline(
        format=FORMAT,
        model="m",
        rows=900,
        fields=BASELINE.fields,
        classes=["n", "y"] if positive else [],
        segments=[
            SegmentRows(field="gender", segment=name, rows=100, labelled=100)
            for name in BASELINE.fields[0].counts
        ],
    )
    monitors = (
        SegmentPredictions("m", "1", [GENDER], baseline, positive),
        SegmentOutcomes("m", "1", [GENDER], baseline, task),
    )
    exposed = sum(len(family) for monitor in monitors for family in monitor.families)
    assert exposed == series([GENDER], baseline, task, positive) + 1  # ml_segment_info
