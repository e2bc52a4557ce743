import math

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from ml_exporter.baseline.labelled_baseline import score_counts, score_edges, score_sums
from ml_exporter.statistics.calibration import (
    Calibration,
    bin_statistic,
    critical_values,
    isotonic,
    overall_z,
)


def tumours():
    data = load_breast_cancer()
    weak = data.data[:, [4, 8, 9]]
    scores = cross_val_predict(
        LogisticRegression(C=0.1), weak, data.target, cv=3, method="predict_proba"
    )
    return scores[:, 1], data.target == 1


def threes():
    data = load_digits()
    model = LogisticRegression(C=1e-5, max_iter=1000)
    scores = cross_val_predict(model, data.data, data.target, cv=3, method="predict_proba")
    return scores[:, 3], data.target == 3


@pytest.fixture(scope="module", params=[tumours, threes])
def binned(request):
    """Scores of a real model, the edges of their bins, and what came true in each."""
    scores, is_class = request.param()
    edges = score_edges(scores[is_class], scores[~is_class], 1)
    return (
        scores,
        edges,
        score_counts(scores[is_class], edges),
        score_counts(scores[~is_class], edges),
    )


class TestIsotonic:
    @pytest.mark.parametrize(
        ("positives", "rows", "expected"),
        [
            ([1, 2, 3], [4, 4, 4], [0.25, 0.5, 0.75]),
            ([3, 2, 1], [4, 4, 4], [0.5, 0.5, 0.5]),
            ([1, 3, 1, 4], [10, 10, 10, 10], [0.1, 0.2, 0.2, 0.4]),
            ([0, 5], [10, 10], [0, 0.5]),
            ([4, 0], [4, 12], [0.25, 0.25]),
            ([0, 2, 0, 3], [0, 4, 0, 4], [0.5, 0.5, 0.5, 0.75]),  # bins without rows
            ([7], [7], [1]),
            ([], [], []),
        ],
    )
    def test_shares_rise(self, positives, rows, expected):
        assert isotonic(positives, rows).tolist() == pytest.approx(expected, abs=1e-15)

    def test_is_undefined_without_rows(self):
        assert np.isnan(isotonic([0, 0], [0, 0])).all()

    def test_equals_scikit_learn(self, binned):
        _, _, positives, negatives = binned
        rows = positives + negatives
        filled = rows > 0
        shares = positives[filled] / rows[filled]
        order = np.arange(shares.size)
        expected = IsotonicRegression().fit_transform(order, shares, sample_weight=rows[filled])
        assert isotonic(positives, rows)[filled] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("has_sums", [True, False])
def test_calibration_equals_scikit_learn(binned, has_sums):
    scores, edges, positives, negatives = binned
    rows = positives + negatives
    filled = rows > 0
    sums = score_sums(scores, edges) if has_sums else []
    middles = np.append((edges[:-1] + edges[1:]) / 2, edges[-1])
    means = sums[filled] / rows[filled] if has_sums else middles[filled]
    fitted = IsotonicRegression(out_of_bounds="clip").fit(
        means, (positives[filled] / rows[filled]), sample_weight=rows[filled]
    )
    asked = np.concatenate([scores, [-1.0, 0.0, 0.5, 1.0, 2.0]])
    calibrated = Calibration.of(edges, positives, negatives, sums)(asked)
    assert calibrated == pytest.approx(fitted.predict(asked), abs=1e-12)
    assert np.isnan(Calibration.of(edges, positives, negatives, sums)([math.nan])).all()


def test_a_bin_whose_sum_leads_out_of_it_has_its_middle():
    scores = np.array([-3.0, -2.5, -1.0, 0.25, 0.75, 4.0])  # no probabilities
    edges = np.array([-3.0, -1.0, 1.0, 5.0])
    counts = score_counts(scores, edges)
    found = Calibration.of(edges, counts, counts, 2 * score_sums(scores, edges))
    assert found.means.tolist() == [-2.0, 0.5, 3.0]


@pytest.mark.parametrize("bins", [1, 2, 50, 150])
def test_a_score_between_means_is_interpolated_to_the_bit(bins):
    random = np.random.default_rng(bins)
    edges = np.sort(np.append(0.1, random.random(bins)))
    positives, negatives = random.integers(0, 40, (2, bins + 1))
    calibration = Calibration.of(edges, positives, negatives + 1)
    means, shares = calibration.means, calibration.shares
    asked = np.concatenate((random.random(5000), means, [-math.inf, -1, 2, math.inf, math.nan]))
    expected = np.interp(asked, means, shares)
    assert np.array_equal(calibration(asked), expected, equal_nan=True)


def test_a_bin_without_width_is_a_step():
    calibration = Calibration.of([0.5, 0.5], [1, 3], [3, 1])
    assert calibration([0.4, 0.5, 0.6]).tolist() == [0.75, 0.75, 0.75]


def halves(binned):
    """Counts of two samples of the same rows."""
    _, _, positives, negatives = binned
    before = positives // 2, negatives // 2
    return positives - before[0], negatives - before[1], *before


class TestBinStatistic:
    def test_is_the_sum_of_scipys_over_williamss_factor(self, binned):
        expected = 0.0
        for cells in zip(*halves(binned), strict=True):
            table = np.reshape(cells, (2, 2))
            n, m, hits, misses = (*table.sum(axis=1), *table.sum(axis=0))
            if n >= 5 and m and hits and misses:
                g = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood")
                rows = n + m
                by_side = (rows / n + rows / m - 1) * (rows / hits + rows / misses - 1)
                expected += g.statistic / (1 + by_side / (6 * rows))
        assert expected > 1
        assert bin_statistic(*halves(binned)) == pytest.approx(expected)

    def test_is_0_where_all_are_alike(self):
        assert bin_statistic([9], [0], [50], [0]) == 0

    def test_is_undefined_where_no_bin_has_enough_rows(self):
        assert math.isnan(bin_statistic([2, 1], [2, 3], [50, 50], [50, 50]))
        assert math.isnan(bin_statistic([9], [9], [0], [0]))


class TestOverallZ:
    def test_of_one_bin_is_pearsons(self):
        table = np.array([[30, 70], [200, 900]])
        pearson = stats.chi2_contingency(table, correction=False).statistic
        rows = table.sum()
        z = overall_z([30], [70], [200], [900])
        assert z == pytest.approx(math.sqrt(pearson * (rows - 1) / rows))

    def test_sees_what_many_bins_share(self):
        # 2 of 4 where the baseline has 1 of 4: in no bin is that news.
        window, before = ([2] * 40, [2] * 40), ([100] * 40, [300] * 40)
        assert overall_z(*window, *before) > 7
        assert math.isnan(bin_statistic(*window, *before))
        assert overall_z(*window[::-1], *before[::-1]) == pytest.approx(
            -overall_z(*window, *before)
        )

    def test_is_undefined_where_nothing_varies(self):
        assert math.isnan(overall_z([0, 0], [5, 6], [0, 0], [50, 60]))
        assert math.isnan(overall_z([5], [5], [0], [0]))


@pytest.mark.parametrize("labels", [100, 1000])
def test_chance_is_not_taken_for_a_break(labels):
    rng = np.random.default_rng(1)
    bins, baseline, alpha, trials = 50, 5000, 0.02, 2000
    share = np.linspace(0.02, 0.95, bins)
    critical = critical_values(bins, tests=1, false_alarms=alpha * 168)
    alarms = dict.fromkeys(critical, 0)
    before = rng.binomial(baseline // bins, share, (trials, bins))
    rows = rng.multinomial(labels, [1 / bins] * bins, trials)
    hits = rng.binomial(rows, share)
    for of_window, of_baseline, n in zip(hits, before, rows, strict=True):
        counts = of_window, n - of_window, of_baseline, baseline // bins - of_baseline
        alarms["bins"] += bin_statistic(*counts) > critical["bins"]
        alarms["overall"] += abs(overall_z(*counts)) > critical["overall"]
    assert alarms["bins"] <= 1.5 * alpha * trials
    assert 0.5 * alpha * trials < alarms["overall"] < 1.5 * alpha * trials


def test_critical_values_are_those_of_scipy():
    values = critical_values(30, tests=5, false_alarms=0.01)
    alpha = 0.01 / (5 * 168)
    assert values["bins"] == pytest.approx(stats.chi2.isf(alpha, 30))
    assert values["overall"] == pytest.approx(stats.norm.isf(alpha / 2))
