"""By how much windows of real traffic stray further than windows of independent rows would.

Rows come in sessions and seasons, which widens the whole distribution of a statistic: for clustered
counts by about one factor, the design effect. Windows without a change tell it, for it is known
how far the greatest of so many would stray of independent rows.

J. N. K. Rao, A. J. Scott, The analysis of categorical data from complex sample surveys: chi-squared
tests for goodness of fit and independence in two-way tables (1981).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ml_exporter.statistics.bins import Floats
from ml_exporter.statistics.drift import Test
from ml_exporter.statistics.tails import beta_median, chi_squared_isf

LENGTHS: Mapping[str, int] = {"1h": 1, "24h": 24, "7d": 168}
"""Hours of the windows that are judged, the shortest first."""

LEAST_WINDOWS = 7
"""How many windows it takes to tell: a week has so many days.

In four of five cases the overdispersion of independent z's is then from 0.6 to 1.5; of 28 windows
it is from 0.8 to 1.25, of 672 from 0.93 to 1.07.
"""

_GREATEST = 0.01  # of the windows
_LEAST_GREATEST = 2


def overdispersion(test: Test, statistics: Floats, cells: int) -> float:
    """A test's statistics over what they would be of independent rows; NaN of too few windows.

    `statistics` are absolute, of windows that are compared each with the rest of what they were cut
    from, shape (windows,). `cells` are the bins of the field that have rows. It is the last of the
    greatest hundredth of them (of fewer than 250 the second greatest) over its median of as many
    independent rows, where the last window follows from the others and isn't counted.

    Of the greatest, because critical values are taken from the tail; not the greatest itself,
    because it varies more, and because an hour's outage within the baseline makes no other hour
    stray. The median, because it is the same whether a z or its square is looked at.

    H. A. David, H. N. Nagaraja, Order Statistics (2003), section 2.1.
    """
    if statistics.size < LEAST_WINDOWS or not cells:
        return math.nan
    draws = statistics.size - 1
    place = max(_LEAST_GREATEST, round(_GREATEST * statistics.size))
    found = float(np.partition(statistics, -place)[-place])
    alpha = beta_median(place, draws - place + 1)
    if test == "distribution":
        return found / chi_squared_isf(alpha, cells)
    if test == "category":  # the greatest of so many
        alpha = -math.expm1(math.log1p(-alpha) / cells)
    return found / math.sqrt(chi_squared_isf(alpha, 1))


def critical_values(
    theory: Mapping[Test, float],
    cells: int,
    overdispersions: Mapping[str, Mapping[Test, float]],
    extremes: Mapping[str, Mapping[Test, float]],
) -> dict[str, dict[Test, float]]:
    """What the absolute statistic of each test must exceed in windows of each length.

    `theory` is what it must of independent rows, as `drift.critical_values` has it; NaN stays NaN.
    `cells` are the bins of the field that have rows. By length, as far as known: the
    overdispersions, and the greatest absolute statistics of the windows without a change.

    Theory is multiplied by the overdispersion, or that of a shorter length if it is greater, or 1:
    a day has the sessions that its hours have, and there are more hours to tell from. No value is
    below the greatest statistic: what came without a change is none.

    Location, scale and each share, a category's too, are one direction of the distribution, whose
    statistic is about the square of theirs and, of independent rows, one for each other direction.
    Its critical value isn't below that of a window in which one that strays is at its own: where
    windows stray in one direction, the tail of the distribution's statistic is as long as that of
    the square.
    """
    factors: dict[Test, float] = dict.fromkeys(theory, 1.0)
    found: dict[str, dict[Test, float]] = {}
    for length in LENGTHS:
        of_length, greatest = overdispersions.get(length, {}), extremes.get(length, {})
        factors = {test: max(factor, of_length.get(test, 1.0)) for test, factor in factors.items()}
        values = {
            test: max(value * factors[test], greatest.get(test, 0.0))
            for test, value in theory.items()
        }
        if "distribution" in values:
            parts = (test for test in theory if test != "distribution")
            astray = (values[test] for test in parts if values[test] > theory[test])
            greatest_part = max(astray, default=0.0)
            of_one = greatest_part * greatest_part + cells - 1  # ** raises where it overflows
            values["distribution"] = max(values["distribution"], of_one)
        found[length] = values
    return found
