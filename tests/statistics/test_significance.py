"""Whether a figure is worse than it was by more than chance."""

import math

import numpy as np
import pytest
from scipy import stats

from ml_exporter.statistics.significance import (
    Z_95,
    critical_value,
    interval_z,
    mcnemar_z,
    proportion_z,
)


@pytest.mark.parametrize("reference", [0.5, 0.8, 0.95, 0.999])
@pytest.mark.parametrize("trials", [5, 20, 100, 1000])
@pytest.mark.parametrize("critical", [2.3, 3.1, 4.4])
def test_the_tails_are_at_most_a_tenth_too_heavy(reference, trials, critical):
    """By all outcomes that there are, weighted by their exact probability."""
    successes = np.arange(trials + 1)
    z = np.array([proportion_z(k, trials, reference) for k in successes])
    chances = stats.binom.pmf(successes, trials, reference)
    nominal = stats.norm.sf(critical)
    assert chances[z < -critical].sum() <= 1.1 * nominal
    assert chances[z > critical].sum() <= 1.1 * nominal


@pytest.mark.parametrize(
    ("successes", "trials", "reference", "z"),
    [
        (80, 100, 0.8, 0.0),
        (80.4, 100, 0.8, 0.0),  # half a row is no difference
        (100, 100, 1.0, 0.0),
        (99, 100, 1.0, -math.inf),  # who is always right is never wrong
    ],
)
def test_special_cases(successes, trials, reference, z):
    assert proportion_z(successes, trials, reference) == z


def test_the_sign_tells_which_side():
    assert proportion_z(70, 100, 0.8) < -2 < 2 < proportion_z(90, 100, 0.8)
    assert math.isnan(proportion_z(0, 0, 0.5))


def test_is_near_the_exact_test():
    exact = stats.binomtest(60, 100, 0.8, alternative="less").pvalue
    assert stats.norm.cdf(proportion_z(60, 100, 0.8)) == pytest.approx(exact, rel=0.1)


@pytest.mark.parametrize(("lost", "gained"), [(60, 30), (200, 140), (500, 420)])
def test_two_classifiers_of_the_same_rows(lost, gained):
    exact = stats.binomtest(lost, lost + gained, alternative="greater").pvalue
    assert stats.norm.sf(mcnemar_z(lost, gained)) == pytest.approx(exact, rel=0.35)
    assert mcnemar_z(gained, lost) == -mcnemar_z(lost, gained)
    assert math.isnan(mcnemar_z(0, 0))


def test_a_figure_at_the_end_of_its_interval():
    assert interval_z(0.5, 0.4, 0.6, 0.6) == pytest.approx(-Z_95)
    assert math.isnan(interval_z(0.5, 0.5, 0.5, 0.6))


@pytest.mark.parametrize(("monitors", "false_alarms"), [(1, 0.01), (5, 0.01), (3, 1e-6), (2, 0.5)])
def test_critical_value(monitors, false_alarms):
    alpha = false_alarms / (monitors * 168)
    assert critical_value(monitors, false_alarms) == pytest.approx(stats.norm.isf(alpha))


def test_no_false_alarm_at_all_is_no_alarm():
    assert critical_value(3, 0) == math.inf
