import math
from dataclasses import replace

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ml_exporter.baseline.labelled_baseline import ScoreBins
from ml_exporter.batch import LABEL, PREDICTION, SCORE, Batch, Field
from ml_exporter.columns import ABSENT, Column
from ml_exporter.exposition import render
from ml_exporter.families import freeze
from ml_exporter.monitors.scores import (
    BaselineTies,
    LabelledScores,
    ScoreLosses,
    ScoreViolations,
    affordable,
)

BINS = ScoreBins("yes", edges=[0.1, 0.5, 0.9], positives=[1, 2, 3], negatives=[6, 5, 4])


def binary(score, label=None, prediction=None):
    columns = {SCORE: score, LABEL: label, PREDICTION: prediction}
    fields = {key: Column(values) for key, values in columns.items() if values is not None}
    return Batch(len(score), fields)


def multiclass(scores, label=None, prediction=None):
    """`scores` maps each class to its column."""
    columns = {Field("score", name): values for name, values in scores.items()}
    columns |= {LABEL: label, PREDICTION: prediction}
    fields = {key: Column(values) for key, values in columns.items() if values is not None}
    return Batch(len(next(iter(scores.values()))), fields)


def exposed(monitor):
    """Values of all samples, by name and the labels that differ."""
    samples = {}
    text = render(freeze(monitor.families)).decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = [v for k, v in sample.labels.items() if k not in ("model", "version")]
            samples[(sample.name, *labels)] = sample.value
    return samples


class TestLabelledScores:
    def monitor(self, *bins, positive="yes"):
        return LabelledScores("m", "1", positive, "0a", bins or (BINS,))

    def test_counts_by_bin_and_outcome(self):
        monitor = self.monitor()
        monitor.update(binary([0.05, 0.1, 0.5, 0.51, 0.95], ["yes", "no", "yes", "yes", "no"]))
        monitor.update(binary([0.7], ["yes"]))
        found = exposed(monitor)
        values = {
            labels[2:]: value
            for (name, *labels), value in found.items()
            if name == "ml_labelled_score_values_total"
            for labels in [tuple(labels)]
        }
        assert values == {
            ("true", "0.5"): 2,
            ("true", "0.9"): 2,
            ("true", "+Inf"): 0,
            ("false", "0.5"): 1,
            ("false", "0.9"): 0,
            ("false", "+Inf"): 1,
        }
        assert found["ml_labelled_score_bin_sum_total", "0a", "yes", "0.5"] == pytest.approx(0.65)
        assert found["ml_labelled_score_bin_sum_total", "0a", "yes", "0.9"] == pytest.approx(1.21)

    def test_the_histogram_is_a_prometheus_histogram(self):
        monitor = self.monitor()
        monitor.update(binary([0.05, 0.6, 0.95], ["yes", "yes", "no"]))
        text = render(freeze(monitor.families[:1])).decode()
        assert (
            text.replace('model="m",version="1",baseline_id="0a",class="yes",', "")
            == """\
# HELP ml_labelled_score Scores of labelled predictions, by whether they are of the class.
# TYPE ml_labelled_score histogram
ml_labelled_score_bucket{actual="false",le="0.5"} 0
ml_labelled_score_bucket{actual="false",le="0.9"} 0
ml_labelled_score_bucket{actual="false",le="+Inf"} 1
ml_labelled_score_sum{actual="false"} 0.95
ml_labelled_score_count{actual="false"} 1
ml_labelled_score_bucket{actual="true",le="0.5"} 1
ml_labelled_score_bucket{actual="true",le="0.9"} 2
ml_labelled_score_bucket{actual="true",le="+Inf"} 2
ml_labelled_score_sum{actual="true"} 0.65
ml_labelled_score_count{actual="true"} 2
"""
        )

    def test_the_baseline_is_beside_it(self):
        found = exposed(self.monitor())
        assert found["ml_labelled_score_baseline_rows", "0a", "yes", "true", "0.9"] == 2
        assert found["ml_labelled_score_baseline_rows", "0a", "yes", "false", "+Inf"] == 4

    def test_ties_are_told_where_there_are_any(self):
        tied = replace(BINS, ties=[0.25, 0.0, 1.0])
        monitor = BaselineTies("m", "1", "0a", [BINS, tied])
        assert exposed(monitor) == {
            ("ml_score_baseline_ties", "0a", "yes", "0.5"): 0.25,
            ("ml_score_baseline_ties", "0a", "yes", "+Inf"): 1,
        }
        assert BaselineTies.series([BINS, tied]) == 2

    def test_all_series_are_there_from_the_start(self):
        monitor = self.monitor()
        before = exposed(monitor)
        assert len(before) == LabelledScores.series([BINS])
        assert {v for (name, *_), v in before.items() if "baseline" not in name} == {0}
        monitor.update(binary([0.3], ["no"]))
        assert exposed(monitor).keys() == before.keys()

    def test_each_class_has_bins_of_its_own(self):
        a = ScoreBins("a", edges=[0.0, 0.5], positives=[1, 0], negatives=[1, 0])
        b = ScoreBins("b", edges=[0.0, 0.2, 1.0], positives=[1, 0, 0], negatives=[1, 0, 0])
        monitor = self.monitor(a, b, positive=None)
        monitor.update(multiclass({"a": [0.9, 0.3, 0.1], "b": [0.1, 0.7, 0.2]}, ["a", "b", "c"]))
        found = exposed(monitor)
        assert found["ml_labelled_score_values_total", "0a", "a", "true", "+Inf"] == 1
        assert found["ml_labelled_score_values_total", "0a", "a", "false", "0.5"] == 2
        assert found["ml_labelled_score_values_total", "0a", "b", "true", "1.0"] == 1
        # A class that the baseline hasn't is not of any other.
        assert found["ml_labelled_score_values_total", "0a", "b", "false", "0.2"] == 2

    @pytest.mark.parametrize(
        ("score", "label"),
        [
            (math.nan, "yes"),
            (math.inf, "yes"),
            ("high", "yes"),
            (None, "yes"),
            (ABSENT, "no"),
            ({}, "no"),
            (True, "no"),
            (0.5, None),
            (0.5, math.nan),
            (0.5, []),
            (0.5, ""),
        ],
    )
    def test_rows_that_lack_either_are_left_out(self, score, label):
        monitor = self.monitor()
        monitor.update(binary([score, 0.7], [label, "yes"]))
        assert exposed(monitor)["ml_labelled_score_count", "0a", "yes", "true"] == 1
        assert exposed(monitor)["ml_labelled_score_count", "0a", "yes", "false"] == 0

    def test_scores_on_another_scale_keep_their_order_and_sums_their_bounds(self):
        monitor = self.monitor()
        monitor.update(binary([-3.0, 1e300, 1.2], ["no", "yes", "yes"]))
        found = exposed(monitor)
        assert found["ml_labelled_score_values_total", "0a", "yes", "false", "0.5"] == 1
        assert found["ml_labelled_score_values_total", "0a", "yes", "true", "+Inf"] == 2
        assert found["ml_labelled_score_sum", "0a", "yes", "false"] == 0
        assert found["ml_labelled_score_bin_sum_total", "0a", "yes", "+Inf"] == 2

    def test_old_predictions_without_a_score_count_nothing(self):
        monitor = self.monitor()
        before = exposed(monitor)
        monitor.update(Batch(1, {LABEL: Column(["yes"]), PREDICTION: Column(["yes"])}))
        monitor.update(binary([], []))
        assert exposed(monitor) == before

    def test_of_very_many_classes_the_most_frequent_are_counted(self):
        bins = [
            ScoreBins(str(n), edges=np.linspace(0, 1, 11).tolist(), positives=[n % 60] * 11,
                      negatives=[1] * 11)
            for n in range(100)
        ]  # fmt: skip
        taken = affordable(bins)
        assert LabelledScores.series(taken) < 4000
        least = min(sum(one.positives) for one in taken)
        assert [one for one in bins if sum(one.positives) > least and one not in taken] == []
        assert [one.name for one in taken] == sorted((one.name for one in taken), key=int)
        assert affordable(bins[:10]) == bins[:10]


def losses(monitor):
    return {name: value for (name,), value in exposed(monitor).items()}


@pytest.fixture(scope="module", params=[load_breast_cancer, load_wine])
def scored(request):
    """The truth of real rows, and what a real model that didn't see them says."""
    data = request.param()
    x, x_test, y, y_test = train_test_split(data.data, data.target, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01)).fit(x, y)
    return y_test, model.predict_proba(x_test)


class TestScoreLosses:
    def test_means_are_scikit_learns(self, scored):
        truth, scores = scored
        classes = [str(name) for name in range(scores.shape[1])]
        if scores.shape[1] == 2:
            monitor = ScoreLosses("m", "1", (), "1")
            batch = binary(scores[:, 1].tolist(), truth.tolist())
        else:
            monitor = ScoreLosses("m", "1", classes, None)
            columns = dict(zip(classes, scores.T.tolist(), strict=True))
            batch = multiclass(columns, truth.tolist())
        monitor.update(batch.slice(0, 20))
        monitor.update(batch.slice(20, truth.size))
        found = losses(monitor)
        rows = found["ml_scored_predictions_total"]
        assert rows == truth.size
        assert found["ml_log_loss_total"] / rows == pytest.approx(
            log_loss(truth, scores), rel=1e-12
        )
        predicted = scores[:, 1] if scores.shape[1] == 2 else scores
        brier = brier_score_loss(truth, predicted)
        assert found["ml_brier_score_total"] / rows == pytest.approx(brier, rel=1e-12)
        of_rows = -np.log(scores[np.arange(truth.size), truth])
        squares = np.square(of_rows).sum()
        assert found["ml_log_loss_squared_total"] == pytest.approx(squares, rel=1e-12)

    def test_squares_of_the_brier_score(self):
        monitor = ScoreLosses("m", "1", (), "yes")
        monitor.update(binary([0.5, 0.25], ["yes", "no"]))
        assert losses(monitor)["ml_brier_score_squared_total"] == 0.5**4 + 0.25**4

    @pytest.mark.parametrize("score", [1.2, -0.1, math.nan, "high", None, ABSENT, [0.5]])
    def test_a_row_without_a_usable_score_is_not_scored(self, score):
        monitor = ScoreLosses("m", "1", (), "yes")
        monitor.update(binary([score, 1.0], ["yes", "yes"]))
        assert losses(monitor)["ml_scored_predictions_total"] == 1
        of_classes = ScoreLosses("m", "1", ("a", "b"), None)
        of_classes.update(multiclass({"a": [score, 1.0], "b": [0.5, 0.0]}, ["b", "a"]))
        assert losses(of_classes)["ml_scored_predictions_total"] == 1

    @pytest.mark.parametrize("label", [None, "", math.nan, {}, "c"])
    def test_a_row_without_a_usable_label_is_not_scored(self, label):
        monitor = ScoreLosses("m", "1", ("a", "b"), None)
        monitor.update(multiclass({"a": [0.5, 1.0], "b": [0.5, 0.0]}, [label, "a"]))
        assert losses(monitor)["ml_scored_predictions_total"] == 1

    def test_a_class_without_a_column_leaves_rows_unscored(self):
        monitor = ScoreLosses("m", "1", ("a", "b"), None)
        monitor.update(multiclass({"a": [0.5, 1.0]}, ["b", "a"]))
        monitor.update(Batch(1, {LABEL: Column(["a"])}))
        assert set(losses(monitor).values()) == {0}

    def test_of_a_binary_model_every_other_label_is_the_negative(self):
        monitor = ScoreLosses("m", "1", (), "yes")
        monitor.update(binary([0.25, 0.25], ["no", "perhaps"]))
        assert losses(monitor)["ml_brier_score_total"] == 2 * 0.25**2


def violations(monitor):
    return {violation: value for (_, violation), value in exposed(monitor).items()}


class TestScoreViolations:
    def test_of_a_binary_model_only_the_range_is_known(self):
        monitor = ScoreViolations("m", "1", (), "yes")
        monitor.update(
            binary([0.2, 1.2, -0.1, math.nan, "x"], prediction=["yes", "yes", "no", "no", "no"])
        )
        assert violations(monitor) == {"out_of_range": 2}

    def test_a_binary_prediction_contradicts_a_threshold_that_is_known(self):
        monitor = ScoreViolations("m", "1", (), "yes", cut=(0.29, 0.31))
        monitor.update(
            binary(
                [0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.4],
                prediction=["no", "yes", "no", "yes", "no", "yes", None],
            )
        )
        assert violations(monitor) == {"out_of_range": 0, "contradiction": 2}

    @pytest.mark.parametrize(
        ("a", "b", "predicted", "expected"),
        [
            (0.7, 0.3, "a", set()),
            (0.7, 0.3, "b", {"contradiction"}),
            (0.5, 0.5, "b", set()),
            (0.7, 0.3005, "a", set()),
            (0.7, 0.4, "a", {"not_normalised"}),
            (1.2, -0.2, "a", {"out_of_range"}),
            (0.7, None, "b", set()),
            (1.7, "x", "b", {"out_of_range"}),
            (0.7, 0.3, "c", set()),
            (0.7, 0.3, None, set()),
            (70.0, 30.0, "a", {"out_of_range", "not_normalised"}),
        ],
    )
    def test_of_many_classes(self, a, b, predicted, expected):
        monitor = ScoreViolations("m", "1", ("a", "b"), None)
        monitor.update(multiclass({"a": [a], "b": [b]}, prediction=[predicted]))
        assert {name for name, rows in violations(monitor).items() if rows} == expected

    def test_all_kinds_are_born_at_0(self):
        monitor = ScoreViolations("m", "1", ("a", "b"), None)
        monitor.update(Batch(1, {PREDICTION: Column(["a"])}))
        assert violations(monitor) == {
            "out_of_range": 0,
            "not_normalised": 0,
            "contradiction": 0,
        }
