import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score, matthews_corrcoef, roc_auc_score

from ml_exporter.statistics import intervals, performance


def rows_of(tp, fp, fn, tn):
    """Actual and predicted classes that have such counts."""
    counts = [tp, fp, fn, tn]
    return np.repeat([1, 0, 1, 0], counts), np.repeat([1, 1, 0, 0], counts)


class TestWilson:
    @pytest.mark.parametrize(
        ("successes", "trials", "lower", "upper"),
        [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ],
    )
    def test_equals_the_published_table(self, successes, trials, lower, upper):
        # R. G. Newcombe, Two-sided confidence intervals for the single proportion (1998), table I,
        # method 3.
        assert intervals.wilson(successes, trials) == pytest.approx((lower, upper), abs=5e-5)

    @pytest.mark.parametrize(
        ("successes", "trials"), [(0, 1), (1, 1), (0, 40), (40, 40), (3, 10), (940, 1000)]
    )
    @pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
    def test_equals_scipy(self, successes, trials, level):
        expected = stats.binomtest(successes, trials).proportion_ci(level, method="wilson")
        interval = intervals.wilson(successes, trials, stats.norm.isf((1 - level) / 2))
        assert interval == pytest.approx((expected.low, expected.high), abs=1e-12)

    @given(st.integers(1, 10**9), st.data(), st.floats(0.1, 6))
    def test_holds_the_share(self, trials, data, z):
        successes = data.draw(st.integers(0, trials))
        low, high = intervals.wilson(successes, trials, z)
        assert 0 <= low <= successes / trials + 1e-12
        assert successes / trials - 1e-12 <= high <= 1


class TestF1:
    @pytest.mark.parametrize("counts", [(35, 10, 5), (0, 3, 4), (8, 0, 0), (1, 200, 0)])
    def test_is_the_interval_of_jaccards_index(self, counts):
        of_jaccard = stats.binomtest(counts[0], sum(counts)).proportion_ci(method="wilson")
        expected = [2 * j / (1 + j) for j in (of_jaccard.low, of_jaccard.high)]
        assert intervals.jaccard_f1(*counts) == pytest.approx(expected, abs=1e-12)


class TestSquareAndAdd:
    @pytest.mark.parametrize(
        ("one", "other", "lower", "upper"),
        [
            ((56, 70), (48, 80), 0.0524, 0.3339),
            ((9, 10), (3, 10), 0.1705, 0.8090),
            ((6, 7), (2, 7), 0.0582, 0.8062),
            ((5, 56), (0, 29), -0.0381, 0.1926),
            ((0, 10), (0, 20), -0.1611, 0.2775),
            ((0, 10), (0, 10), -0.2775, 0.2775),
            ((10, 10), (0, 20), 0.6791, 1.0),
            ((10, 10), (0, 10), 0.6075, 1.0),
        ],
    )
    def test_equals_the_published_table(self, one, other, lower, upper):
        # R. G. Newcombe, Interval estimation for the difference between independent proportions
        # (1998), table II, method 10.
        shares = [share[0] / share[1] for share in (one, other)]
        lowers, uppers = zip(*(intervals.wilson(*share) for share in (one, other)), strict=True)
        difference = intervals.square_and_add(shares, lowers, uppers, [1, -1])
        assert difference == pytest.approx((lower, upper), abs=5.1e-5)

    def test_one_share_keeps_its_interval(self):
        low, high = intervals.wilson(35, 45)
        assert intervals.square_and_add([35 / 45], [low], [high], [1]) == pytest.approx((low, high))


class TestPhi:
    @pytest.mark.parametrize("counts", [(35, 10, 5, 50), (1, 9, 2, 400), (5, 30, 40, 6)])
    def test_is_the_correlation_and_its_variance_by_the_delta_method(self, counts):
        def correlation(counts):
            return matthews_corrcoef(
                [1, 0, 1, 0], [1, 1, 0, 0], sample_weight=np.array(counts, dtype=float)
            )

        rows = sum(counts)
        share, step = np.array(counts) / rows, 1e-6
        gradient = np.array(
            [
                (correlation(share + step * one) - correlation(share - step * one)) / (2 * step)
                for one in np.eye(4)
            ]
        )
        variance = (share @ gradient**2 - (share @ gradient) ** 2) / rows
        low, high = intervals.phi(*counts)
        assert (low + high) / 2 == pytest.approx(matthews_corrcoef(*rows_of(*counts)), abs=1e-12)
        assert (high - low) / (2 * intervals.Z_95) == pytest.approx(math.sqrt(variance), rel=1e-6)

    def test_has_no_width_where_all_is_right(self):
        assert intervals.phi(40, 0, 0, 60) == pytest.approx((1, 1))

    def test_ends_at_one(self):
        assert intervals.phi(10, 1, 0, 9)[1] == 1


class TestCorrelation:
    @pytest.mark.parametrize("classes", [2, 3, 6])
    def test_is_the_correlation_and_its_variance_by_the_delta_method(self, classes):
        counts = np.random.default_rng(classes).integers(1, 40, (classes, classes)) * 1.0
        counts[np.diag_indices(classes)] *= 3
        places = np.indices(counts.shape).reshape(2, -1)

        def correlation(shares):
            return matthews_corrcoef(*places, sample_weight=shares)

        rows, step = counts.sum(), 1e-6
        share = counts.ravel() / rows
        gradient = np.array(
            [
                (correlation(share + step * one) - correlation(share - step * one)) / (2 * step)
                for one in np.eye(share.size)
            ]
        )
        variance = (share @ gradient**2 - (share @ gradient) ** 2) / rows
        low, high = intervals.correlation(counts, counts.diagonal())
        assert (low + high) / 2 == pytest.approx(correlation(share), abs=1e-12)
        assert (high - low) / (2 * intervals.Z_95) == pytest.approx(math.sqrt(variance), rel=1e-6)

    @pytest.mark.parametrize("counts", [(35, 10, 5, 50), (1, 9, 2, 400), (5, 30, 40, 6)])
    def test_is_phis_of_two_classes(self, counts):
        tp, fp, fn, tn = counts
        confusion = np.array([[tn, fp], [fn, tp]], dtype=float)
        found = intervals.correlation(confusion, confusion.diagonal())
        assert found == pytest.approx(intervals.phi(*counts), abs=1e-9)

    def test_has_no_width_where_all_is_right(self):
        counts = np.diag([40.0, 30.0, 7.0])
        assert intervals.correlation(counts, counts.diagonal()) == pytest.approx((1, 1))

    def test_ends_at_one(self):
        counts = np.array([[9.0, 1.0, 0.0], [0.0, 10.0, 0.0], [0.0, 0.0, 5.0]])
        assert intervals.correlation(counts, counts.diagonal())[1] == 1


class TestAveragePrecision:
    def test_is_the_published_formula(self):
        logit, spread = math.log(0.7 / 0.3), 1 / math.sqrt(50 * 0.7 * 0.3)
        ends = [1 / (1 + math.exp(-logit - side * intervals.Z_95 * spread)) for side in (-1, 1)]
        assert intervals.average_precision(0.7, 50) == pytest.approx(ends)

    @pytest.mark.parametrize(("positives", "negatives"), [(100, 400), (50, 1000), (200, 200)])
    def test_holds_that_of_normal_scores_19_times_of_20(self, positives, negatives):
        """The paper's binormal model: N(1, 1) against N(0, 1)."""
        random = np.random.default_rng(4)
        actual = np.repeat([1, 0], [positives, negatives])

        def drawn(times):
            truth = np.repeat(actual, times)
            return truth, random.normal(truth, 1)

        true, held = average_precision_score(*drawn(500)), []
        for _ in range(400):
            value = average_precision_score(*drawn(1))
            low, high = intervals.average_precision(value, positives)
            held.append(low <= true <= high)
        assert 0.92 < np.mean(held) <= 1


class TestAuc:
    def test_equals_the_published_example(self):
        # Hanley & McNeil's figure 2: a standard error of 0.032.
        low, high = intervals.auc(0.893, 51, 58)
        assert (high - low) / (2 * intervals.Z_95) == pytest.approx(0.032, abs=6e-4)
        assert (low + high) / 2 == pytest.approx(0.893)

    def test_holds_the_area_of_exponential_scores_19_times_of_20(self):
        # The model of the paper: the area is 1 / (1 + rate).
        random, held = np.random.default_rng(1), []
        actual = np.repeat([0, 1], [60, 40])
        for _ in range(500):
            scores = np.concatenate((random.exponential(1, 60), random.exponential(4, 40)))
            low, high = intervals.auc(roc_auc_score(actual, scores), 40, 60)
            held.append(low <= 0.8 <= high)
        assert 0.92 < np.mean(held) < 0.98


class TestMean:
    def test_equals_scipy(self):
        values = np.random.default_rng(2).gamma(2, size=50)
        expected = stats.norm.interval(0.95, values.mean(), stats.sem(values))
        assert intervals.mean(values.sum(), (values**2).sum(), 50) == pytest.approx(expected)

    def test_equal_values_have_no_width(self):
        assert intervals.mean(0.3, 0.03, 3) == pytest.approx((0.1, 0.1), abs=1e-8)


@pytest.mark.parametrize(
    "interval",
    [
        pytest.param(intervals.wilson(0, 0), id="wilson"),
        pytest.param(intervals.jaccard_f1(0, 0, 0), id="jaccard_f1"),
        pytest.param(intervals.square_and_add([], [], [], []), id="square_and_add"),
        pytest.param(intervals.phi(0, 0, 0, 0), id="phi: no rows"),
        pytest.param(intervals.phi(0, 0, 4, 7), id="phi: never predicted"),
        pytest.param(intervals.phi(3, 4, 0, 0), id="phi: always predicted"),
        pytest.param(intervals.auc(0.5, 0, 10), id="auc"),
        pytest.param(intervals.average_precision(0.5, 0), id="average precision: no rows"),
        pytest.param(intervals.average_precision(1, 9), id="average precision: perfect"),
        pytest.param(intervals.correlation(np.zeros((3, 3)), np.zeros(3)), id="correlation"),
        pytest.param(intervals.mean(3, 9, 1), id="mean"),
    ],
)
def test_nothing_to_judge_by(interval):
    assert np.isnan(interval).all()


def even(classes, accuracy, priors=None):
    """Shares of a confusion matrix whose mistakes are spread evenly."""
    shares = np.full((classes, classes), (1 - accuracy) / (classes - 1))
    np.fill_diagonal(shares, accuracy)
    return shares * np.array(priors or [1 / classes] * classes)[:, None]


@pytest.mark.parametrize(
    ("shares", "rows", "positive"),
    [
        pytest.param(even(2, 0.9), 200, "1", id="binary"),
        pytest.param(even(2, 0.8, [0.7, 0.3]), 60, "1", id="binary, few rows"),
        pytest.param(even(2, 0.9, [0.95, 0.05]), 400, "1", id="binary, rare"),
        pytest.param(even(2, 0.9), 200, None, id="two classes, averaged"),
        pytest.param(even(3, 0.8, [0.8, 0.15, 0.05]), 300, None, id="three classes, one rare"),
        pytest.param(even(5, 0.7), 400, None, id="five classes"),
    ],
)
def test_intervals_hold_the_true_figure_19_times_of_20(shares, rows, positive):
    classes = [str(i) for i in range(len(shares))]
    truth = performance.figures(shares, classes, positive)
    random, held = np.random.default_rng(3), {}
    for counts in random.multinomial(rows, shares.ravel(), size=400):
        drawn = performance.cells_of(counts.reshape(shares.shape), classes)
        for name, (low, high) in performance.model_intervals(drawn, positive).items():
            held.setdefault(name, []).append(low <= truth[name] <= high)
    assert held.keys() == truth.keys() - {"constant_accuracy"}
    coverage = {name: np.mean(holds) for name, holds in held.items()}
    assert min(coverage.values()) > 0.9, coverage
    assert np.mean(list(coverage.values())) > 0.93, coverage
