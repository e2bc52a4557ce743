import math

import numpy as np
import pytest
from scipy import stats

from ml_exporter.statistics.constancy import LEAST_Z, constant_z


@pytest.mark.parametrize(("w", "r"), [(500, (100, 900)), (60, (50_000, 50_000)), (5, (1, 9))])
def test_is_the_likelihood_ratio_of_a_two_by_two_table(w, r):
    table = [[w, 0], [r[0], r[1]]]
    g = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic
    assert constant_z([w, 0, 0], [*r, 0]) == pytest.approx(math.sqrt(g))


@pytest.mark.parametrize(
    ("window", "baseline"),
    [
        ([0, 0, 0], [5, 5, 0]),  # no values
        ([9, 1, 0], [5, 5, 0]),  # in two bins
        ([9, 0, 1], [5, 5, 0]),  # one of them is out of range
        ([0, 0, 9], [5, 5, 0]),  # all of them are
        ([9, 0, 0], [0, 0, 0]),
        ([], []),
    ],
)
def test_undefined_where_no_single_bin_has_all(window, baseline):
    assert math.isnan(constant_z(window, baseline))


@pytest.mark.parametrize("rows", [10, 1000, 10**6])
@pytest.mark.parametrize("baseline", [[1000, 0], [999, 1, 0], [30, 0]])
def test_what_hardly_varied_is_no_alarm_however_many_rows(rows, baseline):
    window = [rows, *[0] * (len(baseline) - 1)]
    assert constant_z(window, baseline) < LEAST_Z


def test_sessions_of_ten_alike_rows_are_no_alarm():
    """Forty thousand hours of sixty rows, ten of which are always alike, of two even values."""
    rng = np.random.default_rng(7)
    ones = rng.integers(0, 2, (40_000, 6)).sum(axis=1) * 10
    constant = np.flatnonzero((ones == 0) | (ones == 60))
    assert constant.size > 1000  # one hour in 32 is constant
    assert constant_z([60, 0, 0], [500, 500, 0]) < LEAST_Z
