import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_wine

from ml_exporter.statistics import drift

NAN = math.nan


def binned(values, edges):
    """Counts of <below>, the bins by upper edge, <above>."""
    return np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)


def columns():
    """Every column of two real data sets, cut into a window and a baseline of older rows."""
    for load in (load_breast_cancer, load_wine):
        data = load()
        for name, column in zip(data.feature_names, data.data.T, strict=True):
            baseline, window = column[:120], column[120:]
            yield pytest.param((window, baseline), id=f"{load.__name__[5:]}-{name}")


@pytest.fixture(params=columns())
def column(request):
    return request.param


# Two sides of one field, with anything in its bins. Rules see counts as floats.
counts = st.lists(
    st.tuples(st.integers(0, 10**7), st.integers(0, 10**7)), min_size=1, max_size=15
).map(lambda pairs: np.array(pairs, dtype=float).T)


class TestPsi:
    @pytest.mark.parametrize(
        ("window", "baseline", "expected"),
        [
            pytest.param([5, 5], [500, 500], 0.0, id="equal shares"),
            # (8.5/11 - 2.5/11) ln(8.5/2.5), for both bins
            pytest.param([8, 2], [2, 8], 2 * 6 / 11 * math.log(8.5 / 2.5), id="swapped"),
            # a = 10.5/11, 0.5/11; b = 0.5/11, 10.5/11
            pytest.param([10, 0], [0, 10], 2 * 10 / 11 * math.log(21), id="empty bins"),
            pytest.param([3], [7], 0.0, id="one bin"),
            pytest.param([0, 0], [5, 5], NAN, id="no window"),
            pytest.param([5, 5], [0, 0], NAN, id="no baseline"),
            pytest.param([], [], NAN, id="no bins"),
        ],
    )
    def test_value(self, window, baseline, expected):
        assert drift.psi(window, baseline) == pytest.approx(expected, nan_ok=True)

    def test_is_the_sum_of_both_divergences(self, column):
        window, baseline = column
        edges = np.unique(np.quantile(baseline, np.linspace(0, 1, 11)))
        w, r = binned(window, edges), binned(baseline, edges)
        smooth_w, smooth_r = w + 0.5, r + 0.5  # scipy normalises
        expected = stats.entropy(smooth_w, smooth_r) + stats.entropy(smooth_r, smooth_w)
        assert drift.psi(w, r) == pytest.approx(expected, rel=1e-12)

    def test_small_windows_without_a_change_average_what_the_docs_say(self):
        generator = np.random.default_rng(1)
        baseline = np.full(10, 10_000)
        special = np.zeros(3)  # <below>, <above>, <missing>
        windows = generator.multinomial(200, np.full(10, 0.1), size=500)
        values = [drift.psi([*w, *special], [*baseline, *special]) for w in windows]
        assert np.mean(values) == pytest.approx(0.09, abs=0.03)


class TestGStatistic:
    @pytest.mark.parametrize(
        ("window", "baseline", "expected"),
        [
            pytest.param([5, 5], [500, 500], 0.0, id="equal shares"),
            pytest.param([10, 0], [0, 10], 40 * math.log(2), id="nothing in common"),
            pytest.param([3], [7], 0.0, id="one bin"),
            pytest.param([0, 0], [5, 5], NAN, id="no window"),
            pytest.param([5, 5], [0, 0], NAN, id="no baseline"),
        ],
    )
    def test_value(self, window, baseline, expected):
        assert drift.g_statistic(window, baseline) == pytest.approx(expected, nan_ok=True)

    def test_equals_scipy_on_real_columns(self, column):
        window, baseline = column
        edges = np.unique(np.quantile(baseline, np.linspace(0, 1, 11)))
        table = np.array([binned(window, edges), binned(baseline, edges)])
        table = table[:, table.sum(axis=0) > 0]  # scipy accepts no empty cells
        expected = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood")
        assert drift.g_statistic(*table) == pytest.approx(expected.statistic, rel=1e-12)

    def test_one_null_is_no_alarm(self):
        """Pearson's statistic has 500 here: one null of 200 rows, against none of 100,000."""
        pearson = stats.chi2_contingency([[199, 1], [100_000, 0]], correction=False)
        assert pearson.statistic == pytest.approx(500, rel=0.01)
        assert drift.g_statistic([199, 1], [100_000, 0]) < 13


class TestShareZ:
    @pytest.mark.parametrize(
        ("window", "baseline", "expected"),
        [
            pytest.param((10, 20), (500, 1000), 0.0, id="equal shares"),
            pytest.param((10, 10), (0, 10), math.sqrt(40 * math.log(2)), id="none to all"),
            pytest.param((0, 10), (10, 10), -math.sqrt(40 * math.log(2)), id="all to none"),
            pytest.param((0, 10), (0, 10), 0.0, id="none on either side"),
            pytest.param((0, 0), (1, 10), NAN, id="no window"),
            pytest.param((1, 10), (0, 0), NAN, id="no baseline"),
        ],
    )
    def test_value(self, window, baseline, expected):
        z = drift.share_z(*window, *baseline)
        assert z == pytest.approx(expected, nan_ok=True)

    @pytest.mark.parametrize(
        ("window", "baseline"), [((30, 200), (500, 10_000)), ((1, 200), (500, 10_000))]
    )
    def test_is_the_root_of_scipys(self, window, baseline):
        table = [[count, rows - count] for count, rows in (window, baseline)]
        g = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic
        sign = 1 if window[0] / window[1] > baseline[0] / baseline[1] else -1
        assert drift.share_z(*window, *baseline) == pytest.approx(sign * math.sqrt(g), rel=1e-9)

    @given(counts)
    def test_a_share_grows_as_its_rest_shrinks(self, sides):
        window, baseline = sides
        n, m = window.sum(), baseline.sum()
        share = drift.share_z(window[0], n, baseline[0], m)
        rest = drift.share_z(n - window[0], n, m - baseline[0], m)
        assert share == pytest.approx(-rest, abs=1e-6, nan_ok=True)


class TestMidRanks:
    @pytest.mark.parametrize(
        ("baseline", "expected"),
        [
            pytest.param([0, 2, 6, 2, 0], [-0.5, -0.4, 0, 0.4, 0.5], id="symmetric"),
            pytest.param([0, 1, 3, 0], [-0.5, -0.375, 0.125, 0.5], id="skewed"),
            pytest.param([0, 7, 0], [-0.5, 0, 0.5], id="a constant"),
            pytest.param([1, 0, 1], [-0.25, 0, 0.25], id="an empty bin in the middle"),
            pytest.param([0, 0], [NAN, NAN], id="no rows"),
        ],
    )
    def test_value(self, baseline, expected):
        assert drift.mid_ranks(baseline) == pytest.approx(expected, nan_ok=True)

    @given(st.lists(st.integers(0, 10**9), min_size=1, max_size=60).filter(any))
    def test_never_fall_and_have_mean_zero(self, baseline):
        ranks = drift.mid_ranks(baseline)
        assert (np.diff(ranks) >= -1e-15).all()
        assert -0.5 <= ranks[0] <= ranks[-1] <= 0.5
        assert np.average(ranks, weights=baseline) == pytest.approx(0, abs=1e-12)


class TestLocation:
    @pytest.mark.parametrize(
        ("window", "baseline", "shift"),
        [
            pytest.param([0, 2, 2, 0], [0, 50, 50, 0], 0.0, id="equal shares"),
            pytest.param([0, 0, 0, 8], [0, 50, 50, 0], 0.5, id="all above"),
            pytest.param([8, 0, 0, 0], [0, 50, 50, 0], -0.5, id="all below"),
            pytest.param([0, 0, 4, 0], [0, 50, 50, 0], 0.25, id="upper half"),
            pytest.param([0, 0, 0, 0], [0, 50, 50, 0], NAN, id="no window"),
            pytest.param([0, 1, 1, 0], [0, 0, 0, 0], NAN, id="no baseline"),
        ],
    )
    def test_shift(self, window, baseline, shift):
        ranks = drift.mid_ranks(baseline)
        assert drift.location_shift(window, baseline, ranks) == pytest.approx(shift, nan_ok=True)

    def test_shift_is_that_of_mann_and_whitney(self, column):
        window, baseline = column
        edges = np.unique(np.quantile(baseline, np.linspace(0, 1, 11)))
        w, r = binned(window, edges), binned(baseline, edges)
        # The test of the values' bins: what ties in a bin is a tie.
        pairs = len(window) * len(baseline)
        u = stats.mannwhitneyu(
            np.searchsorted(edges, window), np.searchsorted(edges, baseline)
        ).statistic
        shift = drift.location_shift(w, r, drift.mid_ranks(r))
        assert shift == pytest.approx(u / pairs - 0.5, abs=1e-12)

    def test_z_is_that_of_mann_and_whitney_but_for_what_is_pooled(self):
        """They rank both samples together; the baseline's ranks alone differ by little."""
        sepal = load_wine().data[:, 0]
        generator = np.random.default_rng(3)
        baseline, window = generator.choice(sepal, 20_000), generator.choice(sepal, 400) + 0.1
        edges = np.unique(np.quantile(baseline, np.linspace(0, 1, 21)))
        w, r = binned(window, edges), binned(baseline, edges)
        ranked = [np.searchsorted(edges, side) for side in (window, baseline)]
        test = stats.mannwhitneyu(*ranked, method="asymptotic", use_continuity=False)
        z = drift.location_z(w, r, drift.mid_ranks(r))
        assert z == pytest.approx(stats.norm.isf(test.pvalue / 2), rel=0.02)
        assert z > 2

    @pytest.mark.parametrize("statistic", [drift.location_z, drift.scale_z])
    @pytest.mark.parametrize(
        ("window", "baseline"),
        [
            pytest.param([0, 0, 0], [0, 9, 0], id="no window"),
            pytest.param([0, 9, 0], [0, 0, 0], id="no baseline"),
            pytest.param([0, 5, 0], [0, 9, 0], id="a constant"),
            pytest.param([0, 0, 5], [0, 9, 0], id="another constant"),
        ],
    )
    def test_z_is_undefined(self, statistic, window, baseline):
        assert math.isnan(statistic(window, baseline, drift.mid_ranks(baseline)))

    def test_scale_of_two_equal_bins_is_undefined(self):
        """Both are as far from the middle: no squared rank varies."""
        baseline = [0, 50, 50, 0]
        ranks = drift.mid_ranks(baseline)
        assert math.isnan(drift.scale_z([0, 9, 1, 0], baseline, ranks))
        assert drift.location_z([0, 9, 1, 0], baseline, ranks) < 0

    @pytest.mark.parametrize("statistic", [drift.location_z, drift.scale_z])
    def test_a_constant_that_begins_to_vary(self, statistic):
        baseline = [0, 2000, 0]
        ranks = drift.mid_ranks(baseline)
        assert statistic([0, 199, 1], baseline, ranks) < 2
        assert statistic([0, 150, 50], baseline, ranks) > 6

    def test_three_rare_values_are_no_alarm(self):
        """They are 6 of the standard errors that the baseline has."""
        baseline = [0, 19_980, 20, 0]
        assert 1 < drift.location_z([0, 197, 3, 0], baseline, drift.mid_ranks(baseline)) < 3


class TestScale:
    @pytest.mark.parametrize(
        ("window", "sign"),
        [
            pytest.param([0, 40, 20, 40, 0], 1, id="wider"),
            pytest.param([0, 10, 80, 10, 0], -1, id="narrower"),
            pytest.param([0, 25, 50, 25, 0], 0, id="the same"),
            pytest.param([10, 20, 40, 20, 10], 1, id="out of range on both sides"),
        ],
    )
    def test_sign(self, window, sign):
        baseline = [0, 250, 500, 250, 0]
        ranks = drift.mid_ranks(baseline)
        assert np.sign(drift.scale_z(window, baseline, ranks)) == sign
        assert drift.location_z(window, baseline, ranks) == pytest.approx(0, abs=1e-12)

    def test_is_a_z_of_the_squared_ranks(self, column):
        """Computed row by row, from the squared rank of every value."""
        window, baseline = column
        edges = np.unique(np.quantile(baseline, np.linspace(0, 1, 11)))
        w, r = binned(window, edges), binned(baseline, edges)
        ranks = drift.mid_ranks(r)
        x, y = (ranks[np.searchsorted(edges, side)] ** 2 for side in (window, baseline))
        pooled = np.average((x.var(), y.var()), weights=(len(x), len(y)))
        variance = max(y.var(), np.mean([x.var(), y.var(), pooled]))
        expected = (x.mean() - y.mean()) / math.sqrt(variance * (1 / len(x) + 1 / len(y)))
        assert drift.scale_z(w, r, ranks) == pytest.approx(expected, rel=1e-9)


class TestProperties:
    @given(counts)
    def test_divergences_are_never_negative(self, sides):
        window, baseline = sides
        for statistic in (drift.psi, drift.g_statistic):
            value = statistic(window, baseline)
            assert value >= 0 or math.isnan(value)

    @given(counts)
    def test_only_a_side_without_rows_is_undefined(self, sides):
        window, baseline = sides
        empty = not (window.sum() and baseline.sum())
        assert math.isnan(drift.psi(window, baseline)) == empty
        assert math.isnan(drift.g_statistic(window, baseline)) == empty
        shift = drift.location_shift(window, baseline, drift.mid_ranks(baseline))
        assert math.isnan(shift) == empty

    @given(counts, st.randoms(use_true_random=False))
    def test_the_order_of_bins_does_not_matter(self, sides, random):
        order = list(range(sides.shape[1]))
        random.shuffle(order)
        for statistic in (drift.psi, drift.g_statistic):
            assert statistic(*sides[:, order]) == pytest.approx(
                statistic(*sides), rel=1e-9, abs=1e-6, nan_ok=True
            )

    @given(counts)
    def test_sides_may_be_swapped(self, sides):
        window, baseline = sides
        for statistic in (drift.psi, drift.g_statistic):
            assert statistic(window, baseline) == pytest.approx(
                statistic(baseline, window), rel=1e-9, abs=1e-6, nan_ok=True
            )

    @given(counts)
    def test_reversing_the_order_reverses_the_shift(self, sides):
        window, baseline = sides
        ahead = drift.location_shift(window, baseline, drift.mid_ranks(baseline))
        back = drift.location_shift(window[::-1], baseline[::-1], drift.mid_ranks(baseline[::-1]))
        assert ahead == pytest.approx(-back, abs=1e-9, nan_ok=True)


class TestCategory:
    @pytest.mark.parametrize(
        ("window", "baseline", "most"),
        [
            pytest.param([30, 10, 10], [100, 100, 100], 0, id="one has grown"),
            pytest.param([20, 10, 40], [100, 100, 100], 2, id="one more than another"),
            pytest.param([50, 0, 50], [100, 100, 100], 1, id="one has gone"),
            pytest.param([50, 50, 100], [100, 100, 0], 0, id="one that the baseline has none of"),
        ],
    )
    def test_is_the_z_of_the_share_that_has_changed_most(self, window, baseline, most):
        z = drift.share_z(window[most], sum(window), baseline[most], sum(baseline))
        assert drift.category_z(window, baseline) == pytest.approx(abs(z))

    def test_no_change(self):
        assert drift.category_z([10, 20, 0], [100, 200, 0]) == pytest.approx(0, abs=1e-6)

    @pytest.mark.parametrize(("window", "baseline"), [([0, 0], [5, 5]), ([5, 5], [0, 0])])
    def test_a_side_without_rows(self, window, baseline):
        assert math.isnan(drift.category_z(window, baseline))


class TestCriticalValues:
    def test_number(self):
        values = drift.critical_values("number", [0, 5, 5, 0, 1], weights=60, false_alarms=0.01)
        alpha = 0.01 / (60 * 168)
        z, often, rarely = (
            pytest.approx(stats.norm.isf(weight * alpha / 2)) for weight in (1, 4, 0.1)
        )
        assert values == {
            "distribution": pytest.approx(stats.chi2.isf(alpha, 3)),
            "location": z,
            "scale": z,
            "missing": often,
            "invalid": rarely,
            "out_of_range": rarely,
        }

    def test_category(self):
        values = drift.critical_values("category", [7, 3, 0, 0], weights=9, false_alarms=0.05)
        alpha = 0.05 / (9 * 168)
        assert list(values) == ["distribution", "category", "missing", "invalid", "unseen"]
        assert values["distribution"] == pytest.approx(stats.chi2.isf(alpha, 2))
        assert values["category"] == pytest.approx(stats.norm.isf(3 * alpha / 2 / 2))
        assert values["unseen"] == pytest.approx(stats.norm.isf(4 * alpha / 2))

    def test_all_tests_together_spend_what_they_may(self):
        """Of a model with a field of each type, counted in the chances of their critical values."""
        fields: list[drift.TestedAs] = ["number", "category", "component"]
        weights, cells = sum(map(drift.weight, fields)), 5
        spent = 0.0
        for field in fields:
            values = drift.critical_values(field, [1] * cells, weights=weights, false_alarms=0.01)
            for test, value in values.items():
                if test == "distribution":
                    spent += stats.chi2.sf(value, cells)
                else:
                    shares = cells if test == "category" else 1
                    spent += shares * 2 * stats.norm.sf(value)
        assert spent * 168 == pytest.approx(0.01)

    @pytest.mark.parametrize(
        ("baseline", "false_alarms", "of_bins"),
        [
            pytest.param([0, 0], 0.01, NAN, id="an empty baseline"),
            pytest.param([4, 6], 0.0, math.inf, id="no false alarm at all"),
        ],
    )
    def test_edges(self, baseline, false_alarms, of_bins):
        values = drift.critical_values("category", baseline, weights=6, false_alarms=false_alarms)
        assert values["distribution"] == pytest.approx(of_bins, nan_ok=True)
        assert values["category"] == pytest.approx(of_bins, nan_ok=True)

    def test_every_test_has_its_statistic(self):
        assert set(drift.STATISTICS) == {test for tests in drift.TESTS.values() for test in tests}


@pytest.mark.parametrize(
    ("statistics", "expected"),
    [
        pytest.param({"distribution": 20.0, "location": -6.0}, 1.5, id="the greatest, unsigned"),
        pytest.param({"distribution": NAN, "location": 2.0}, 0.5, id="an undefined statistic"),
        pytest.param({"distribution": 20.0, "scale": NAN}, 0.5, id="an undefined critical value"),
        pytest.param({"distribution": 20.0, "unseen": 9.0}, 0.5, id="no critical value"),
        pytest.param({"location": 0.0}, 0.0, id="no change"),
        pytest.param({"scale": 5.0}, NAN, id="none defined"),
        pytest.param({}, NAN, id="nothing"),
    ],
)
def test_significance(statistics, expected):
    criticals = {"distribution": 40.0, "location": 4.0, "scale": NAN}
    assert drift.significance(statistics, criticals) == pytest.approx(expected, nan_ok=True)


WINDOWS = 4000


@pytest.fixture(scope="module", params=[100, 2000])
def windows_without_a_change(request):
    """Pairs of a window and a baseline; each window its own, for the luck of both counts."""
    shares = [0, *[0.097] * 10, 0, 0.025, 0.004, 0.001]  # the last three are special bins
    generator = np.random.default_rng(8)
    windows = generator.multinomial(request.param, shares, size=WINDOWS)
    baselines = generator.multinomial(20_000, shares, size=WINDOWS)
    return list(zip(windows, baselines, strict=True))


class TestFalseAlarms:
    """Without a change, each test alarms about as often as its level says."""

    LEVEL = 0.01

    def test_distribution(self, windows_without_a_change):
        alarms = [
            drift.g_statistic(w, r) > stats.chi2.isf(self.LEVEL, np.count_nonzero(r))
            for w, r in windows_without_a_change
        ]
        assert 0 < np.mean(alarms) <= 1.2 * self.LEVEL

    @pytest.mark.parametrize("bin_", [4, 12, 13])
    def test_shares(self, windows_without_a_change, bin_):
        critical = stats.norm.isf(self.LEVEL / 2)
        alarms = [
            abs(drift.share_z(w[bin_], w.sum(), r[bin_], r.sum())) > critical
            for w, r in windows_without_a_change
        ]
        assert 0 < np.mean(alarms) <= 1.6 * self.LEVEL

    @pytest.mark.parametrize("statistic", [drift.location_z, drift.scale_z])
    def test_location_and_scale(self, windows_without_a_change, statistic):
        critical = stats.norm.isf(self.LEVEL / 2)
        alarms = [
            abs(statistic(w[:12], r[:12], drift.mid_ranks(r[:12]))) > critical
            for w, r in windows_without_a_change
        ]
        assert 0.4 * self.LEVEL < np.mean(alarms) <= 1.5 * self.LEVEL

    @pytest.mark.parametrize("statistic", [drift.location_z, drift.scale_z])
    @pytest.mark.parametrize("rare", [1e-3, 1e-2, 0.05, 0.2, 0.5])
    @pytest.mark.parametrize(
        ("rows", "baseline_rows"), [(30, 300), (200, 300), (1000, 300), (50, 2000)]
    )
    def test_numbers_of_two_values(self, statistic, rare, rows, baseline_rows):
        """Every outcome there can be, with its chance, at the level of a hundred fields."""
        level = 4e-7
        outcomes, chances = [], []
        for number in (rows, baseline_rows):
            of_number = stats.binom.pmf(np.arange(number + 1), number, rare)
            outcomes.append(np.flatnonzero(of_number > 1e-11))
            chances.append(of_number[outcomes[-1]])
        critical, alarms = stats.norm.isf(level / 2), 0.0
        for before, chance in zip(outcomes[1], chances[1], strict=True):
            r = [0, baseline_rows - before, before, 0]
            ranks = drift.mid_ranks(r)
            zs = [statistic([0, rows - now, now, 0], r, ranks) for now in outcomes[0]]
            alarms += chance * chances[0][np.abs(zs) > critical].sum()
        assert alarms <= 4 * level
