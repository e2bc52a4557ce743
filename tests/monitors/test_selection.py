"""Which monitors a model has, and what they cost at the most."""

import math
from dataclasses import replace

import numpy as np
import pytest

from ml_exporter.baseline.baseline import Request
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import LABEL, PREDICTION, SCORE, Batch, Field
from ml_exporter.columns import Column
from ml_exporter.config.config import Fields, FileSource, Limits, Model, ProxySource
from ml_exporter.config.segments import Segment
from ml_exporter.config.thresholds import Threshold
from ml_exporter.labels.join import labelled
from ml_exporter.pipeline.version import Budget, Version


def model(task, **fields):
    return Model(
        name="m",
        task=task,
        source=FileSource("m.jsonl", "jsonl"),
        fields=Fields(prediction="p", **fields),
        positive="1" if task == "binary" else None,
    )


def names(version):
    own, judged = version.selections
    return [
        {type(monitor).__name__ for some in (own, judged) for monitor in getattr(some, side)}
        for side in ("of_predictions", "of_labelled")
    ]


@pytest.mark.parametrize(
    ("of", "of_predictions", "of_labelled"),
    [
        (model("binary"), set(), set()),
        (
            model("binary", label="y", scores={"1": "s"}),
            {"ScoreViolations", "CohortPredictions"},
            {"Outcomes", "CohortOutcomes", "ScoreLosses"},
        ),
        (
            model("multiclass", label="y", scores={"a": "s.a", "b": "s.b"}),
            {"ScoreViolations", "CohortPredictions"},
            {"Outcomes", "CohortOutcomes", "ScoreLosses", "ScoreRanks"},
        ),
        (
            model("multiclass", label="y", ranked=("i.0", "i.1")),
            {"CohortPredictions"},
            {"Outcomes", "CohortOutcomes", "ListRanks"},
        ),
        (
            model("regression", label="y", attributions={"x": "shap.x"}),
            {"CohortPredictions", "Attributions"},
            {"Outcomes", "CohortOutcomes", "ErrorSums", "ErrorDistribution"},
        ),
    ],
    ids=lambda value: value.task if isinstance(value, Model) else "",
)
def test_a_model_has_what_its_fields_allow(of, of_predictions, of_labelled):
    always = {"ModelInfo", "Traffic", "BaselineInfo", "Thresholds", "SchemaViolations"}
    version = Version(of, "1", None, Limits(), Budget(10_000))
    assert names(version) == [always | of_predictions, of_labelled]


def many_classes(number, classes=100):
    random = np.random.default_rng(0)
    scores = random.dirichlet(np.full(classes, 0.05), number)
    truth = (scores.cumsum(axis=1) > random.random((number, 1))).argmax(axis=1)
    columns = {
        PREDICTION: [f"c{code}" for code in scores.argmax(axis=1)],
        LABEL: [f"c{code}" for code in truth],
        Field("feature", "x"): random.normal(size=number).tolist(),
    }
    columns |= {Field("score", f"c{i}"): scores[:, i].tolist() for i in range(classes)}
    return Batch(number, {key: Column(values) for key, values in columns.items()})


def test_a_hundred_classes_cost_fewer_than_10000_series():
    rows = many_classes(5000)
    of = model("multiclass", label="y", scores={f"c{i}": f"s.{i}" for i in range(100)})
    version = Version(of, "1", None, Limits(), Budget(40_000))
    types = {PREDICTION: "category", LABEL: "category"}
    version.judge_by(build(lambda: [rows], Request("m", "1", types, {}, 10, 50)), "file")
    batch = version.annotated(rows)
    version.update(batch)
    version.update_labelled(labelled(batch))
    assert sum(len(family) for family in version.families) < 10_000


def test_segments_and_scores_that_cost_too_much_are_left_out():
    rows = Batch(
        200,
        {
            PREDICTION: Column(["1", "0"] * 100),
            LABEL: Column(["1", "0"] * 100),
            SCORE: Column([0.9, 0.2] * 100),
            Field("feature", "city"): Column(["a", "b"] * 100),
        },
    )
    of = model("binary", label="y", scores={"1": "s"})
    segments = (Segment(("city",)),)
    of = Model(**{**of.__dict__, "segments": segments})
    types = {PREDICTION: "category", LABEL: "category"}
    request = Request("m", "1", types, {}, 10, 50, positive="1", segments=segments)
    baseline = build(lambda: [rows], request)
    every = {"FieldValues", "LabelledScores", "SegmentOutcomes"}
    for series, there in ((10_000, every), (0, {"FieldValues"})):
        budget = Budget(series)
        version = Version(of, "1", None, Limits(), budget)
        version.judge_by(baseline, "file")
        assert names(version)[1] & every == there
        assert (budget.suppressed > 0) is (series == 0)


@pytest.mark.parametrize(
    "fields", [{"scores": {"1": "s"}, "label": "y"}, {"scores": {"1": "s"}}, {}]
)
@pytest.mark.parametrize("decimals", [1, 15])
def test_ties_of_scores_that_are_read_are_told_with_labels_or_without(fields, decimals):
    scores = np.random.default_rng(0).random(500).round(decimals)
    said = np.where(scores > 0.5, "1", "0").tolist()
    columns = {PREDICTION: said, LABEL: said, SCORE: scores.tolist()}
    rows = Batch(500, {key: Column(values) for key, values in columns.items()})
    types = {PREDICTION: "category", LABEL: "category"}
    version = Version(model("binary", **fields), "1", None, Limits(), Budget(10_000))
    version.judge_by(
        build(lambda: [rows], Request("m", "1", types, {}, 10, 50, positive="1")), "file"
    )
    assert ("BaselineTies" in names(version)[0]) is (decimals == 1 and "scores" in fields)


def test_the_hour_of_the_prediction_s_own_time_may_be_constant():
    features = {"hour": "t", "opened": "o", "day": "t", "t": "t", "words": "t"}
    extracted = {"hour": "hour", "opened": "hour", "day": "weekday", "words": "words"}
    of = model("multiclass", timestamp="t", features=features, extracted=extracted)
    of = replace(of, thresholds=(Threshold("constant_z", "critical", 50.0, "feature", "day"),))
    version = Version(of, "1", None, Limits(), Budget(10_000))
    limits = {
        tuple(labels[2:]): value
        for family in version.families
        if family.name == "ml_threshold"
        for labels, value in zip(family.label_sets, family.values.tolist(), strict=True)
        if "constant_z" in labels
    }
    assert limits == {
        ("constant_z", "warning"): 16.0,
        ("constant_z", "warning", "feature", "hour"): math.inf,
        ("constant_z", "critical", "feature", "day"): 50.0,
    }


@pytest.mark.parametrize(
    ("source", "configured", "limits"),
    [
        (ProxySource(format="jsonl"), (), {}),
        (
            ProxySource(format="openai"),
            (),
            {
                ("cut_off_rise", "warning"): 0.05,
                ("cut_off_rise", "critical"): 0.2,
                ("first_token_slowdown", "warning"): 2.0,
                ("first_token_slowdown", "critical"): 5.0,
            },
        ),
        (
            ProxySource(format="openai"),
            (
                Threshold("cut_off_rise", "critical", 0.5),
                Threshold("time_to_first_token_seconds", "warning", 2.0),
            ),
            {
                ("cut_off_rise", "warning"): 0.05,
                ("cut_off_rise", "critical"): 0.5,
                ("time_to_first_token_seconds", "warning"): 2.0,
            },
        ),
    ],
)
def test_language_models_have_thresholds_of_their_own(source, configured, limits):
    off = frozenset({"first_token_slowdown"}) if configured else frozenset()
    of = replace(model("multiclass"), source=source, thresholds=configured, thresholds_off=off)
    version = Version(of, "1", None, Limits(), Budget(10_000))
    found = {
        tuple(labels[2:]): value
        for family in version.families
        if family.name == "ml_threshold"
        for labels, value in zip(family.label_sets, family.values.tolist(), strict=True)
        if labels[2] in ("cut_off_rise", "first_token_slowdown", "time_to_first_token_seconds")
    }
    assert found == limits
