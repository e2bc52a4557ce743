"""Whether one version of a model is worse than another by more than chance."""

from __future__ import annotations

import math


def two_proportion_z(successes: float, trials: float, others: float, other_trials: float) -> float:
    """By how many standard errors a share is below another one, of `others` in `other_trials`.

    The error is that of the pooled share. NaN without trials, or where nothing differs.
    """
    if not trials or not other_trials:
        return math.nan
    pooled = (successes + others) / (trials + other_trials)
    variance = pooled * (1 - pooled) * (1 / trials + 1 / other_trials)
    if variance <= 0:
        return math.nan
    return (others / other_trials - successes / trials) / math.sqrt(variance)


def two_mean_z(
    total: float, squares: float, n: float, other: float, other_squares: float, other_n: float
) -> float:
    """By how many standard errors a mean is above another one, from sums of values and squares.

    NaN of fewer than two values on either side, or where none differs.

    B. L. Welch, The generalization of "Student's" problem when several different population
    variances are involved (1947).
    """
    if n < 2 or other_n < 2:
        return math.nan
    variance = _of_mean(total, squares, n) + _of_mean(other, other_squares, other_n)
    return (total / n - other / other_n) / math.sqrt(variance) if variance > 0 else math.nan


def _of_mean(total: float, squares: float, n: float) -> float:
    return (squares / n - (total / n) ** 2) / (n - 1)
