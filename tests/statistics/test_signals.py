"""Bands of signals: scales, and what history they are learned from."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ml_exporter.statistics import signals
from ml_exporter.statistics.intervals import wilson
from ml_exporter.statistics.signals import SCALES, Scale

FIGURES = {
    "share": [0.0, 0.01, 0.5, 0.95, 1.0],
    "size": [0.0, 0.2, 7.0, 1e6],
    "number": [-3.0, 0.0, 0.9],
}


@pytest.mark.parametrize("scale", SCALES)
def test_a_scale_is_left_as_it_was_entered(scale: Scale) -> None:
    values = FIGURES[scale]
    assert signals.from_scale(signals.to_scale(values, scale), scale) == pytest.approx(values)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_variance_of_a_score_is_that_of_many_samples(share: float) -> None:
    rows = 400
    correct = np.random.default_rng(1).binomial(rows, share, 20_000)
    ends = np.array([wilson(float(count), rows) for count in correct])
    scores, variances = signals.score(ends[:, 0], ends[:, 1], "share")
    assert np.var(scores) == pytest.approx(1 / rows, rel=0.1)
    assert np.mean(variances) == pytest.approx(1 / rows, rel=0.1)


def test_a_share_of_all_rows_has_an_error_too() -> None:
    lower, upper = wilson(50, 50)
    _, variance = signals.score(lower, upper, "share")
    assert math.sqrt(variance) == pytest.approx(1 / math.sqrt(50), rel=0.05)


def test_variance_of_a_median_is_that_of_many_samples() -> None:
    medians = np.median(np.random.default_rng(1).normal(0, 2, (50_000, 7)), axis=1)
    assert np.var(medians) == pytest.approx(signals.middle_variance([4.0] * 7), rel=0.1)
    assert signals.middle_variance([4.0, math.nan]) == signals.middle_variance([4.0])


def test_median_of_the_excess_is_the_variance_that_is_not_known() -> None:
    """Though the known one differs from hour to hour, and a third of the hours are anomalies."""
    random = np.random.default_rng(1)
    known = np.where(np.arange(100_000) % 2, 0.01, 1.0)
    scores = random.normal(0, np.sqrt(known + 0.25))
    assert np.median(signals.excess(scores, 0, known)) == pytest.approx(0.25, rel=0.1)
    nothing = random.normal(0, np.sqrt(known))
    assert np.median(signals.excess(nothing, 0, known)) == pytest.approx(0, abs=0.005)


def test_a_band_is_never_narrower_than_sampling_asks() -> None:
    assert signals.half_width(0.01, -0.5) == pytest.approx(signals.WIDTH * 0.1)
    assert signals.half_width(0.01, 0.03) == pytest.approx(signals.WIDTH * 0.2)


def test_later_bands_learn_the_end_of_a_band_and_no_more() -> None:
    learned = signals.clip([1.0, 5.0, -5.0, 7.0], [-2, -2, -2, math.nan], [2, 2, 2, math.nan])
    assert learned.tolist() == [1, 2, -2, 7]


@pytest.mark.parametrize("correct", [0, 1, 45, 50])
def test_a_figure_is_outside_its_band_where_its_score_is(correct: int) -> None:
    lower, upper = wilson(correct, 50)
    score, _ = signals.score(lower, upper, "share")
    for distance in (-0.02, 0.02):
        end = signals.band_of_figure(correct / 50, score, score + distance, "share")
        if 0 < end < 1:
            assert np.sign(end - correct / 50) == np.sign(distance)
