import math

import numpy as np
import pytest
from scipy.stats import ttest_ind_from_stats

from ml_exporter.statistics.segments import (
    accuracy_drop_z,
    accuracy_gaps,
    drop_shares,
    error_drop_z,
    error_gaps,
)
from ml_exporter.statistics.versions import two_mean_z, two_proportion_z

NAN = math.nan


def test_gaps_are_to_all_segments_together() -> None:
    assert accuracy_gaps([90, 30, 0], [100, 50, 0]) == pytest.approx([-0.1, 0.2, NAN], nan_ok=True)
    assert error_gaps([100, 300, 0], [100, 100, 0]) == pytest.approx([-0.5, 0.5, NAN], nan_ok=True)
    assert error_gaps([0, 0], [100, 100]) == pytest.approx([NAN, NAN], nan_ok=True)


@pytest.mark.parametrize(
    ("excess", "shares"),
    [
        ([30, 10], [0.75, 0.25]),
        ([30, -10], [1.5, -0.5]),
        ([0, 0], [NAN, NAN]),
        ([10, -30], [NAN, NAN]),
    ],
)
def test_shares_of_a_drop(excess: list[float], shares: list[float]) -> None:
    assert drop_shares(excess) == pytest.approx(shares, nan_ok=True)


def test_a_reference_that_was_measured_has_an_error_too() -> None:
    known = accuracy_drop_z(600, 1000, 0.7, math.inf)
    assert known == pytest.approx(6.6876, abs=1e-4)  # 0.1 / sqrt(0.7 * 0.3 / 1000) is 6.9
    assert accuracy_drop_z(600, 1000, 0.7, 1000) == pytest.approx(known / math.sqrt(2))
    assert accuracy_drop_z(800, 1000, 0.7, 1000) < 0


def test_chance_seldom_looks_like_a_drop() -> None:
    random = np.random.default_rng(1)
    then, now = random.binomial(400, 0.8, 4000), random.binomial(300, 0.8, 4000)
    z = [accuracy_drop_z(a, 300, b / 400, 400) for a, b in zip(now, then, strict=True)]
    assert np.mean(np.array(z) > 1.96) < 0.035


def test_errors_that_have_grown() -> None:
    # 50 errors of mean 3 and variance 1.
    z = error_drop_z(150, 500, 50, 2, math.inf)
    assert z == pytest.approx(7)
    assert error_drop_z(150, 500, 50, 2, 50) == pytest.approx(7 / math.sqrt(2))
    assert error_drop_z(150, 500, 50, 3, 50) == 0
    assert math.isnan(error_drop_z(1, 1, 1, 2, 50))
    assert math.isnan(error_drop_z(4, 8, 2, 2, 50))


@pytest.mark.parametrize(
    ("counts", "z"),
    [
        ((400, 500, 900, 1000), 5.370862),
        ((900, 1000, 400, 500), -5.370862),
        ((10, 10, 20, 20), NAN),
        ((0, 10, 0, 20), NAN),
        ((0, 0, 5, 10), NAN),
    ],
)
def test_two_proportions(counts: tuple[int, int, int, int], z: float) -> None:
    assert two_proportion_z(*counts) == pytest.approx(z, rel=1e-6, nan_ok=True)


def test_two_means_are_welchs() -> None:
    random = np.random.default_rng(2)
    one, other = random.gamma(2, 2, 300), random.gamma(2, 1, 100)
    t, _ = ttest_ind_from_stats(
        *(one.mean(), one.std(ddof=1), one.size, other.mean(), other.std(ddof=1), other.size),
        equal_var=False,
    )
    sums = [f for x in (one, other) for f in (x.sum(), np.square(x).sum(), x.size)]
    assert two_mean_z(*sums) == pytest.approx(t, rel=1e-12)
    assert math.isnan(two_mean_z(1, 1, 1, *sums[3:]))
    assert math.isnan(two_mean_z(2, 4, 1, 2, 4, 1))
