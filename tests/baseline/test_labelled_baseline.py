"""Scores by outcome and errors, of the rows that a baseline is made of."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics

from ml_exporter.baseline.baseline import BaselineError, Request, decode, encode
from ml_exporter.baseline.labelled_baseline import error_edges, score_counts, score_edges
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import LABEL, PREDICTION, SCORE, Batch, Field
from ml_exporter.columns import Column
from ml_exporter.monitors.figures import baseline_performance


def classified(positive=None):
    types = {PREDICTION: "category", LABEL: "category"}
    return Request("m", "1", types, {}, bins=10, categories=50, positive=positive)


def regression():
    types = {PREDICTION: "number", LABEL: "number"}
    return Request("m", "1", types, {}, bins=10, categories=50)


def binary_batch(scores, labels):
    predicted = ["1" if isinstance(s, float) and s > 0.5 else "0" for s in scores]
    fields = {PREDICTION: Column(predicted), SCORE: Column(scores), LABEL: Column(labels)}
    return Batch(len(scores), fields)


class TestScores:
    def test_are_counted_by_whether_the_row_is_positive(self):
        batch = binary_batch([0.1, 0.2, 0.7, 0.9, 0.9], [0, 0, 1, 1, 0])
        (scores,) = build(lambda: [batch], classified("1")).scores
        assert scores.name == "1"
        assert scores.bins == ["0.1", "0.2", "0.7", "0.9", "+Inf"]
        assert scores.positives == [0, 0, 1, 1, 0]
        assert scores.negatives == [1, 1, 0, 1, 0]

    def test_rows_without_a_label_or_a_score_are_left_out(self):
        batch = binary_batch([0.1, None, "x", 0.9, 0.4], [0, 1, 1, 1, None])
        (scores,) = build(lambda: [batch], classified("1")).scores
        assert sum(scores.positives) == 1
        assert sum(scores.negatives) == 1

    def test_of_several_classes_each_has_its_own(self):
        names = [Field("score", name) for name in "abc"]
        values = np.random.default_rng(1).dirichlet([1, 1, 1], 300)
        labels = ["abc"[i] for i in values.argmax(axis=1)]
        fields = {PREDICTION: Column(labels), LABEL: Column(labels)}
        fields |= {key: Column(values[:, i].tolist()) for i, key in enumerate(names)}
        baseline = build(lambda: [Batch(300, fields)], classified())
        assert [scores.name for scores in baseline.scores] == ["a", "b", "c"]
        for scores in baseline.scores:
            assert sum(scores.positives) == labels.count(scores.name)
            assert sum(scores.positives) + sum(scores.negatives) == 300
            assert len(scores.edges) == 51

    def test_without_labels_there_are_none(self):
        fields = {PREDICTION: Column(["1", "0"]), SCORE: Column([0.9, 0.1])}
        assert build(lambda: [Batch(2, fields)], classified("1")).scores == []

    def test_more_classes_have_fewer_bins_each(self):
        sample = np.random.default_rng(0).random(10_000)
        bins = [len(score_edges(sample[:5000], sample[5000:], n)) - 1 for n in (2, 20, 50, 1000)]
        assert bins == [50, 25, 25, 25]

    def test_scores_that_are_alike_have_a_bin_at_either_end(self):
        sample = np.concatenate([np.zeros(500), np.linspace(0.01, 0.99, 400), np.ones(500)])
        edges = score_edges(sample, np.empty(0), 2)
        counts = score_counts(sample, edges)
        assert counts[0] == 500
        assert counts[-2:].tolist() == [500, 0]
        assert (edges[1], edges[-1]) == (0, 1)
        assert counts[1:-2].max() <= 10  # the others share the rest of the bins

    def test_a_rare_class_has_half_of_the_bins(self):
        rng = np.random.default_rng(1)
        of_class, others = rng.uniform(0.9, 1, 100), rng.uniform(0, 0.9, 9900)
        edges = score_edges(of_class, others, 2)
        assert np.count_nonzero(edges > 0.9) == 25
        assert score_counts(of_class, edges)[-26:].max() <= 6

    def test_what_lies_below_the_least_score_is_in_the_first_bin(self):
        edges = np.array([0.2, 0.5, 0.8])
        counts = score_counts(np.array([0.1, 0.2, 0.5, 0.51, 0.9, np.nan]), edges)
        assert counts.tolist() == [3, 1, 1]


class TestFigures:
    """What production is judged by: figures as scikit-learn has them, on the baseline's rows."""

    def test_of_a_binary_models_scores(self):
        rng = np.random.default_rng(5)
        labels = rng.integers(0, 2, 2000)
        scores = np.clip(rng.normal(0.35 + 0.3 * labels, 0.15), 0.0, 1.0)
        batch = binary_batch(scores.tolist(), labels.tolist())
        batches = [batch.slice(0, 700), batch.slice(700, 2000)]
        baseline = build(lambda: batches, classified("1"))
        found, _ = baseline_performance(baseline, "1")
        assert found["log_loss"] == pytest.approx(metrics.log_loss(labels, scores), abs=1e-12)
        brier = metrics.brier_score_loss(labels, scores)
        assert found["brier_score"] == pytest.approx(brier, abs=1e-12)
        (bins,) = baseline.scores
        places = np.searchsorted(bins.edges[1:], scores)
        off = [abs((scores - labels)[places == bin].sum()) for bin in range(51)]
        assert found["expected_calibration_error"] == pytest.approx(sum(off) / 2000, abs=1e-12)

    def test_of_tied_scores(self):
        """Of ten values of a score, which are all alike in a bin, and of as many as rows."""
        rng = np.random.default_rng(8)
        scores = rng.random(50_000)
        labels = (rng.random(50_000) < scores).astype(int).tolist()
        apart = build(lambda: [binary_batch(scores.tolist(), labels)], classified("1"))
        assert apart.scores[0].ties == []
        assert b"ties" not in encode(apart)
        batch = binary_batch((np.floor(scores * 10) / 10).tolist(), labels)
        batches = [batch.slice(0, 30_000), batch.slice(30_000, 50_000)]
        baseline = build(lambda: batches, classified("1"))
        assert baseline.scores[0].ties == [1.0] * len(baseline.scores[0].bins)
        assert decode(encode(baseline)) == baseline
        found, _ = baseline_performance(baseline, "1")
        values = batch.fields[SCORE].numbers.values
        expected = metrics.average_precision_score(labels, values)
        assert found["average_precision"] == pytest.approx(expected, rel=1e-12)

    def test_of_several_classes_scores(self):
        rng = np.random.default_rng(6)
        scores = rng.dirichlet([1, 2, 3], 500)
        labels = [rng.choice(["a", "b", "c"], p=row) for row in scores]
        columns = {Field("score", name): scores[:, i].tolist() for i, name in enumerate("abc")}
        fields = {key: Column(values) for key, values in columns.items()}
        fields |= {PREDICTION: Column(labels), LABEL: Column(labels)}
        found, _ = baseline_performance(build(lambda: [Batch(500, fields)], classified()), None)
        assert found["log_loss"] == pytest.approx(metrics.log_loss(labels, scores), abs=1e-12)
        assert found["brier_score"] == pytest.approx(metrics.brier_score_loss(labels, scores))

    def test_of_errors(self):
        rng = np.random.default_rng(7)
        actual = rng.normal(size=4000)
        predicted = actual + rng.standard_t(4, 4000)
        columns = {PREDICTION: Column(predicted.tolist()), LABEL: Column(actual.tolist())}
        found, _ = baseline_performance(build(lambda: [Batch(4000, columns)], regression()), None)
        errors = np.abs(predicted - actual)
        assert found["median_absolute_error"] == pytest.approx(np.median(errors), rel=0.01)
        assert found["p90_absolute_error"] == pytest.approx(np.quantile(errors, 0.9), rel=0.01)

    def test_older_files_have_none(self):
        batch = binary_batch([0.1, 0.2, 0.7, 0.9], [0, 0, 1, 1])
        made = build(lambda: [batch], classified("1"))
        (bins,) = made.scores
        older = replace(made, losses=None, scores=[replace(bins, sums=[])])
        read = decode(encode(older))
        assert read.id != made.id  # scores are calibrated otherwise
        found, _ = baseline_performance(read, "1")
        assert not {"log_loss", "brier_score", "expected_calibration_error"} & found.keys()


class TestErrors:
    def test_are_sums_over_the_rows_that_have_both(self):
        predicted = [1.0, 2.0, 5.0, None, 4.0]
        actual = [2.0, 2.0, 1.0, 3.0, "x"]
        batch = Batch(5, {PREDICTION: Column(predicted), LABEL: Column(actual)})
        errors = build(lambda: [batch], regression()).errors
        assert errors.rows == 3
        assert errors.mean_actual == pytest.approx(5 / 3)
        assert (errors.absolute, errors.squared) == (5.0, 17.0)
        assert (errors.over, errors.under) == (4.0, 1.0)
        assert errors.percentage == pytest.approx(0.5 + 0 + 4)
        assert errors.squared_deviation == pytest.approx(2 / 3)

    def test_a_truth_of_0_has_no_percentage(self):
        batch = Batch(2, {PREDICTION: Column([1.0, 3.0]), LABEL: Column([0.0, 2.0])})
        errors = build(lambda: [batch], regression()).errors
        assert (errors.percentage, errors.percentage_rows) == (0.5, 1)

    def test_the_same_whatever_chunks_rows_come_in(self):
        rng = np.random.default_rng(2)
        predicted, actual = rng.normal(size=(2, 1000))
        columns = {PREDICTION: predicted.tolist(), LABEL: actual.tolist()}

        def batches(size):
            for start in range(0, 1000, size):
                stop = min(start + size, 1000)
                fields = {key: Column(values[start:stop]) for key, values in columns.items()}
                yield Batch(stop - start, fields)

        one, many = (build(lambda size=s: batches(size), regression()).errors for s in (1000, 7))
        assert one.edges == many.edges
        assert one.squared == pytest.approx(many.squared, rel=1e-12)
        assert one.mean_actual == pytest.approx(many.mean_actual, abs=1e-12)

    def test_errors_that_are_all_0_have_a_bin(self):
        assert error_edges(np.zeros(10)).tolist() == [0.0]


class TestFile:
    def test_loads_to_what_it_was(self):
        batch = binary_batch([0.1, 0.2, 0.7, 0.9], [0, 0, 1, 1])
        made = build(lambda: [batch], classified("1"))
        assert decode(encode(made)) == made

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (b'"positives": [', b'"positives": [0, ', "positives and negatives need 5 counts"),
            (b'"negatives": [\n    1,', b'"negatives": [\n    -1,', "counts can't be negative"),
        ],
    )
    def test_broken_scores_are_told(self, old, new, message):
        batch = binary_batch([0.1, 0.2, 0.7, 0.9], [0, 0, 1, 1])
        data = encode(build(lambda: [batch], classified("1")))
        assert old in data
        with pytest.raises(BaselineError, match=rf"scores\[0\] \(1\): {message}"):
            decode(data.replace(old, new))

    def test_sums_of_scores_must_be_of_every_bin(self):
        data = encode(build(lambda: [binary_batch([0.1, 0.9], [0, 1])], classified("1")))
        assert b'"sums": [' in data
        with pytest.raises(BaselineError, match=r"scores\[0\] \(1\): sums need 3 numbers"):
            decode(data.replace(b'"sums": [', b'"sums": [0.5, '))

    @pytest.mark.parametrize("ties", [[0.5], [0.5, 1.5, 0.0], [0.5, -0.5, 0.0]])
    def test_ties_of_scores_must_be_chances_of_every_bin(self, ties):
        made = build(lambda: [binary_batch([0.1, 0.9], [0, 1])], classified("1"))
        broken = replace(made, scores=[replace(made.scores[0], ties=ties)])
        with pytest.raises(BaselineError, match=r"scores\[0\] \(1\): ties need 3 numbers from 0"):
            decode(encode(broken))

    @pytest.mark.parametrize("counts", [[1, 2], [3, *range(20)]])
    def test_counts_of_errors_must_be_of_every_edge_and_rise(self, counts):
        columns = {PREDICTION: Column([1.0, 2.0, 4.0]), LABEL: Column([1.5, 2.0, 1.0])}
        made = build(lambda: [Batch(3, columns)], regression())
        broken = replace(made, errors=replace(made.errors, counts=counts))
        with pytest.raises(BaselineError, match=r"errors: counts need \d+ ascending numbers"):
            decode(encode(broken))

    def test_what_scores_are_judged_by_is_part_of_the_id(self):
        calm = build(lambda: [binary_batch([0.1, 0.9], [0, 1])], classified("1"))
        other = build(lambda: [binary_batch([0.1, 0.9], [1, 0])], classified("1"))
        assert calm.id != other.id
