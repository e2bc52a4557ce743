"""The page's figures of performance are scikit-learn's, and judged as the rules do."""

import numpy as np
import pytest
from sklearn import metrics
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ml_exporter.baseline.baseline import Request
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import LABEL, PREDICTION, SCORE, Batch
from ml_exporter.columns import Column
from ml_exporter.config.config import Fields, FileSource, Limits, Model
from ml_exporter.families import freeze
from ml_exporter.judgement.judgement import judge
from ml_exporter.monitors.selection import for_baseline, for_model


def model(task, thresholds=()):
    return Model(
        name="m",
        task=task,
        source=FileSource("m.jsonl", "jsonl"),
        fields=Fields(prediction="p", label="y", scores={"1": "s"} if task == "binary" else {}),
        positive="1" if task == "binary" else None,
        thresholds=thresholds,
    )


def judged(of, usual, rows):
    """A verdict on rows whose baseline was made of usual ones."""
    kind = "number" if of.task == "regression" else "category"
    types = {PREDICTION: kind, LABEL: kind}
    baseline = build(lambda: [usual], Request("m", "1", types, {}, 10, 50, positive=of.positive))
    own = for_model(of, "1", Limits())
    of_baseline = for_baseline(of, "1", "file", baseline, None, lambda series: True)
    families = []
    for monitor in (*own.of_predictions, *of_baseline.of_predictions):
        monitor.update(rows)
        families += monitor.families
    for monitor in (*own.of_labelled, *of_baseline.of_labelled):
        monitor.update(rows)
        families += monitor.families
    (verdict,) = judge(freeze(families))
    return verdict.versions[0]


def figures(of, usual, rows):
    return {one.metric: one for one in judged(of, usual, rows).figures}


def tumours():
    data = load_breast_cancer()
    classifier = make_pipeline(StandardScaler(), LogisticRegression())
    scores = cross_val_predict(classifier, data.data, data.target, method="predict_proba")[:, 1]
    return data.target, scores


def classified(truth, scores):
    predicted = (scores >= 0.5).astype(int)
    columns = {LABEL: truth, PREDICTION: predicted, SCORE: scores}
    return Batch(len(truth), {key: Column(values.tolist()) for key, values in columns.items()})


def test_scores():
    truth, scores = tumours()
    rows = classified(truth, scores)
    found = figures(model("binary"), rows, rows)
    assert found["log_loss"].value == pytest.approx(metrics.log_loss(truth, scores), abs=1e-12)
    brier = metrics.brier_score_loss(truth, scores)
    assert found["brier_score"].value == pytest.approx(brier, abs=1e-12)
    area = metrics.roc_auc_score(truth, scores)
    assert found["roc_auc"].value == pytest.approx(area, abs=2e-3)
    assert found["roc_auc"].baseline == found["roc_auc"].value
    lower, upper = found["roc_auc"].interval
    assert lower < area <= upper
    assert found["expected_calibration_error"].value < 0.03


def test_scores_that_tell_less_are_unwell():
    truth, scores = tumours()
    usual = classified(truth, scores)
    shuffled = np.random.default_rng(1).permutation(scores)
    found = figures(model("binary"), usual, classified(truth, shuffled))
    assert {name: one.state for name, one in found.items() if one.state} == {
        "accuracy": "critical",
        "f1": "critical",
        "roc_auc": "critical",
    }


def test_errors():
    data = load_diabetes()
    predicted = cross_val_predict(LinearRegression(), data.data, data.target)
    columns = {LABEL: data.target, PREDICTION: predicted}
    rows = Batch(len(predicted), {key: Column(one.tolist()) for key, one in columns.items()})
    found = figures(model("regression"), rows, rows)
    expected = {
        "mean_absolute_error": metrics.mean_absolute_error(data.target, predicted),
        "root_mean_squared_error": metrics.root_mean_squared_error(data.target, predicted),
        "mean_absolute_percentage_error": metrics.mean_absolute_percentage_error(
            data.target, predicted
        ),
        "r2": metrics.r2_score(data.target, predicted),
        "explained_variance": metrics.explained_variance_score(data.target, predicted),
    }
    assert {name: found[name].value for name in expected} == pytest.approx(expected, rel=1e-12)
    median = metrics.median_absolute_error(data.target, predicted)
    assert found["median_absolute_error"].value == pytest.approx(median, rel=0.02)
    assert found["mean_absolute_error"].state == "ok"


def test_errors_that_grow_are_unwell():
    data = load_diabetes()
    predicted = cross_val_predict(LinearRegression(), data.data, data.target)
    usual = Batch(
        442, {LABEL: Column(data.target.tolist()), PREDICTION: Column(predicted.tolist())}
    )
    shifted = Batch(
        442, {LABEL: Column(data.target.tolist()), PREDICTION: Column((predicted + 80).tolist())}
    )
    found = figures(model("regression"), usual, shifted)
    assert found["mean_absolute_error"].state == "critical"


class TestAgainstAConstant:
    """The verdict of `model:worthless`."""

    def test_a_model_that_says_one_class_always_is_worthless_if_its_scores_are(self):
        truth, scores = tumours()
        noise = np.random.default_rng(0).permutation(scores)
        usual = classified(truth, scores)
        for found, state in ((scores, "ok"), (noise, "warning")):
            batch = classified(truth, found)
            always = Column(np.ones(len(truth), dtype=int).tolist())
            rows = Batch(batch.rows, {**batch.fields, PREDICTION: always})
            verdict = judged(model("binary"), usual, rows).against_constant
            assert verdict.state == state
            assert verdict.value == verdict.constant == pytest.approx(truth.mean())

    def test_a_model_that_finds_some_of_a_rare_class_is_not(self):
        """It is right less often than one that never tries."""
        truth = np.repeat([1, 0], [60, 2940])
        predicted = np.repeat([1, 0, 1, 0], [30, 30, 120, 2820])
        columns = {LABEL: truth, PREDICTION: predicted}
        batch = Batch(3000, {key: Column(values.tolist()) for key, values in columns.items()})
        verdict = judged(model("binary"), batch, batch).against_constant
        assert verdict.value < verdict.constant
        assert verdict.state == "ok"

    @pytest.mark.parametrize(("factor", "state"), [(1.0, "ok"), (-1.0, "warning")])
    def test_a_regression_against_the_mean(self, factor, state):
        rng = np.random.default_rng(1)
        actual = rng.normal(size=500)
        columns = {LABEL: actual, PREDICTION: factor * actual + 0.3 * rng.normal(size=500)}
        batch = Batch(500, {key: Column(values.tolist()) for key, values in columns.items()})
        verdict = judged(model("regression"), batch, batch).against_constant
        assert (verdict.metric, verdict.constant, verdict.state) == ("r2", 0.0, state)
