"""Whether a figure is worse than a reference by more than chance."""

from __future__ import annotations

import math

from ml_exporter.statistics.drift import HOURS_PER_WEEK
from ml_exporter.statistics.tails import chi_squared_isf

Z_95 = 1.959963984540054  # the normal quantile of 97.5 %


def critical_value(monitors: int, false_alarms: float) -> float:
    """What z must exceed, for a chance of one false alarm among all figures within a week.

    Each of so many figures is looked at once an hour (Bonferroni; looks at windows that overlap
    are far from independent, so that the true chance is smaller).
    """
    if not false_alarms or not monitors:
        return math.inf
    one_sided = min(0.05, false_alarms / (monitors * HOURS_PER_WEEK))
    return math.sqrt(chi_squared_isf(2 * one_sided, 1))


def proportion_z(successes: float, trials: float, reference: float) -> float:
    """Signed root of the likelihood ratio of a share against a known one: positive if it is above.

    The share is taken half a row closer to the reference (Yates's correction), which keeps the
    tails right for small counts: the chance to exceed 2.3 or 4.4 is at most 1.1 times the nominal
    one for references from 0.5 to 0.999 and 5 to 5000 trials. NaN without trials.

    O. Barndorff-Nielsen, Inference on full or partial parameters based on the standardized signed
    log likelihood ratio (1986); F. Yates, Contingency tables involving small numbers and the
    chi-squared test (1934).
    """
    if not trials:
        return math.nan
    expected = trials * reference
    distance = max(abs(successes - expected) - 0.5, 0.0)
    above = successes > expected
    hits = expected + (distance if above else -distance)
    g = _log_ratio(hits, expected) + _log_ratio(trials - hits, trials - expected)
    return math.copysign(math.sqrt(max(0.0, 2 * g)), 1 if above else -1)


def mcnemar_z(lost: float, gained: float) -> float:
    """By how many standard errors one classifier is worse than another on the same rows.

    `lost` rows it has wrong and the other one right, `gained` the other way about. NaN without any.

    Q. McNemar, Note on the sampling error of the difference between correlated proportions or
    percentages (1947).
    """
    differing = lost + gained
    return (lost - gained) / math.sqrt(differing) if differing else math.nan


def interval_z(value: float, lower: float, upper: float, reference: float) -> float:
    """How many standard errors a figure is above a reference, by its 95 % interval.

    NaN where the interval has no width.
    """
    width = upper - lower
    return (value - reference) * 2 * Z_95 / width if width > 0 else math.nan


def _log_ratio(count: float, expected: float) -> float:
    if count <= 0:
        return 0.0
    return count * math.log(count / expected) if expected > 0 else math.inf
