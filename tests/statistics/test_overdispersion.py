import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_exporter.statistics.overdispersion import critical_values, overdispersion
from ml_exporter.statistics.tails import chi_squared_isf

RANDOM = np.random.default_rng(1)


@pytest.mark.parametrize("windows", [8, 29, 169, 673])
@pytest.mark.parametrize(
    ("test", "cells"), [("location", 12), ("category", 3), ("distribution", 12)]
)
def test_half_of_independent_ones_are_above_one(test, cells, windows):
    """In so many windows less one, for the last follows from the others."""
    draws = RANDOM.chisquare(cells, (2000, windows - 1))
    if test != "distribution":
        directions = cells if test == "category" else 1
        draws = np.abs(RANDOM.normal(size=(*draws.shape, directions))).max(axis=-1)
    statistics = np.hstack([draws, np.zeros((2000, 1))])
    found = [overdispersion(test, of, cells) for of in statistics]
    assert np.mean(np.array(found) > 1) == pytest.approx(0.5, abs=0.04)


def test_that_of_a_square_is_the_square():
    z = np.abs(RANDOM.normal(size=100)) * 3
    of_square = overdispersion("distribution", z**2, 1)
    assert overdispersion("missing", z, 1) == pytest.approx(math.sqrt(of_square))


@given(st.floats(1, 100))
def test_it_is_by_how_much_statistics_are_wider(width):
    statistics = np.arange(1.0, 200.0)
    once = overdispersion("scale", statistics, 5)
    assert overdispersion("scale", statistics * width, 5) == pytest.approx(once * width)


@pytest.mark.parametrize("windows", [7, 28, 672])
def test_one_outage_widens_nothing(windows):
    statistics = np.abs(RANDOM.normal(size=windows))
    statistics[3] = statistics.max()
    before = overdispersion("missing", statistics, 12)
    statistics[3] = 1000.0
    assert overdispersion("missing", statistics, 12) == before


@pytest.mark.parametrize(
    ("windows", "cells"),
    [
        pytest.param(0, 12, id="none"),
        pytest.param(6, 12, id="less than a week of days"),
        pytest.param(100, 0, id="a field without rows"),
    ],
)
def test_of_too_little_it_is_undefined(windows, cells):
    assert math.isnan(overdispersion("distribution", np.ones(windows), cells))


CELLS = 12
THEORY = {"distribution": 60.0, "location": 5.0}


@pytest.mark.parametrize(
    ("overdispersions", "extremes", "expected"),
    [
        pytest.param({}, {}, {"1h": 5, "24h": 5, "7d": 5}, id="no times: theory"),
        pytest.param({"1h": 2}, {}, {"1h": 10, "24h": 10, "7d": 10}, id="hours alone"),
        pytest.param({"24h": 2}, {}, {"1h": 5, "24h": 10, "7d": 10}, id="days alone stray"),
        pytest.param(
            {"1h": 3, "24h": 2, "7d": 4}, {}, {"1h": 15, "24h": 15, "7d": 20}, id="never less"
        ),
        pytest.param({"1h": 0.5}, {}, {"1h": 5, "24h": 5, "7d": 5}, id="never below theory"),
        pytest.param({}, {"24h": 7}, {"1h": 5, "24h": 7, "7d": 5}, id="of an older baseline"),
        pytest.param(
            {"1h": 2}, {"1h": 11, "24h": 9}, {"1h": 11, "24h": 10, "7d": 10}, id="an outage"
        ),
    ],
)
def test_critical_values(overdispersions, extremes, expected):
    found = critical_values(
        THEORY,
        CELLS,
        {length: {"location": value} for length, value in overdispersions.items()},
        {length: {"location": value} for length, value in extremes.items()},
    )
    assert {length: values["location"] for length, values in found.items()} == expected


@pytest.mark.parametrize(
    ("overdispersions", "expected"),
    [
        pytest.param({"location": 1.2}, 60.0, id="a location that strays little"),
        pytest.param({"location": 2.0}, 10.0**2 + 11, id="one that strays far"),
        pytest.param({"location": 2.0, "distribution": 3.0}, 180.0, id="all directions stray"),
    ],
)
def test_a_distribution_may_stray_as_its_location_does(overdispersions, expected):
    (hour, *_) = critical_values(THEORY, CELLS, {"1h": overdispersions}, {}).values()
    assert hour["distribution"] == expected


@given(st.floats(1e-9, 0.01), st.integers(1, 200))
def test_without_overdispersion_theory_stands(alpha, cells):
    theory = {
        "distribution": chi_squared_isf(alpha, cells),
        "missing": math.sqrt(chi_squared_isf(alpha, 1)),
    }
    for values in critical_values(theory, cells, {}, {}).values():
        assert values == pytest.approx(theory)


def test_what_theory_leaves_undefined_stays_so():
    theory = {"distribution": math.nan, "location": math.inf}
    (hour, *_) = critical_values(theory, 0, {"1h": {"distribution": 2.0}}, {}).values()
    assert math.isnan(hour["distribution"])
    assert hour["location"] == math.inf
