"""How far a window's counts by bin have moved from the baseline's, and whether by chance.

All functions take counts of the bins of one field: `window` and `baseline` are arrays of
shape (bins,) in the same order, as counts rather than shares. What is undefined (a side
without rows, a variance of zero) is NaN; a recording rule leaves such a series out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ml_exporter.statistics.bins import ABOVE, BELOW, INVALID, MISSING, OTHER, Floats
from ml_exporter.statistics.entropy import rel_entr
from ml_exporter.statistics.tails import chi_squared_isf

Test = Literal[
    "distribution",
    "location",
    "scale",
    "category",
    "missing",
    "invalid",
    "out_of_range",
    "unseen",
]

TestedAs = Literal["number", "category", "component"]

TESTS: Mapping[TestedAs, tuple[Test, ...]] = {
    "number": ("distribution", "location", "scale", "missing", "invalid", "out_of_range"),
    "category": ("distribution", "category", "missing", "invalid", "unseen"),
    "component": ("distribution", "location", "scale"),
}
"""The tests that a field of each type gets; a component, though a number, is never missing."""

SHARES: Mapping[Test, tuple[str, ...]] = {
    "missing": (MISSING,),
    "invalid": (INVALID,),
    "out_of_range": (BELOW, ABOVE),
    "unseen": (OTHER,),
}
"""The bins of values that should not be, by the test of their share."""

STATISTICS: Mapping[Test, str] = {
    "distribution": "g_statistic",
    "location": "location_z",
    "scale": "scale_z",
    "category": "category_z",
    "missing": "missing_z",
    "invalid": "invalid_z",
    "out_of_range": "out_of_range_z",
    "unseen": "unseen_z",
}
"""The statistic of each test, by the name its recording rule has."""

WEIGHTS: Mapping[Test, float] = {
    "distribution": 1.0,
    "location": 1.0,
    "scale": 1.0,
    "category": 3.0,
    "missing": 4.0,
    "invalid": 0.1,
    "out_of_range": 0.1,
    "unseen": 4.0,
}
"""How much of the chance of a false alarm a test may spend, beside the others.

Rows are whole: of 200 of them, three that the baseline of 10,000 has none like have a chance of
1.2e-6, four of 2e-8. A test that may spend what is between the two sees four, so that more is
lost on invalid values and those out of range, and a little more lets missing and unseen ones be
seen at three. Of categories, one that has become more frequent is seen by its own share long before
all of them together differ. The others pay with a point of what they see
(`benchmarks/detection.py`).
"""

HOURS_PER_WEEK = 168
LEAST_VARIANCE = 1e-12  # of ranks; rounding leaves no exact zero


def psi(window: ArrayLike, baseline: ArrayLike) -> float:
    """Population stability index, over all bins of the field, special ones included.

    Half a row is added to every bin (the prior of Jeffreys), so that an empty bin counts
    as a little rather than as infinity. It measures the size of a change, not its
    significance. NaN where either side has no rows.

    E. M. Lewis, An Introduction to Credit Scoring (1994); N. Siddiqi, Credit Risk
    Scorecards (2006).
    """
    w, r = _counts(window), _counts(baseline)
    if not (w.sum() and r.sum()):
        return math.nan
    a = (w + 0.5) / (w.sum() + w.size / 2)
    b = (r + 0.5) / (r.sum() + r.size / 2)
    return float(np.sum((a - b) * np.log(a / b)))


def g_statistic(window: ArrayLike, baseline: ArrayLike) -> float:
    """Likelihood-ratio statistic of two samples having one distribution, over all bins.

    Without a change it is about chi-squared, with one degree of freedom less than there
    are bins with rows. NaN where either side has no rows.

    S. S. Wilks, The likelihood test of independence in contingency tables (1935).
    """
    return float(_g_statistic(_counts(window), _counts(baseline)))


def share_z(
    window_count: float, window_rows: float, baseline_count: float, baseline_rows: float
) -> float:
    """Signed root of the G statistic of one share against the rest: positive if it grew.

    Without a change it is about a standard normal variable. NaN where either side has no
    rows.

    O. Barndorff-Nielsen, Inference on full or partial parameters based on the
    standardized signed log likelihood ratio (1986).
    """
    return float(
        _share_z(*map(_counts, (window_count, window_rows, baseline_count, baseline_rows)))
    )


def category_z(window: ArrayLike, baseline: ArrayLike) -> float:
    """The greatest `share_z` of one category against the rest, without its sign.

    Of those bins of the field that the baseline has rows in. NaN where either side has no rows.
    """
    return float(_category_z(_counts(window), _counts(baseline)))


def mid_ranks(baseline: ArrayLike) -> NDArray[np.float64]:
    """Mid-rank of each ranked bin in the baseline, from -0.5 to 0.5; their mean over it is 0.

    `baseline` has the counts of the bins that have an order, in that order: `<below>`, the
    bins by upper edge, `<above>`. A rank is the share of the bins before, plus half the
    bin's own, less a half. All NaN where the baseline has no ranked rows.

    I. D. J. Bross, How to use ridit analysis (1958).
    """
    r = _counts(baseline)
    if not r.sum():
        return np.full(r.shape, np.nan)
    ranks: NDArray[np.float64] = (np.cumsum(r) - r / 2) / r.sum() - 0.5
    return ranks


def location_shift(window: ArrayLike, baseline: ArrayLike, ranks: ArrayLike) -> float:
    """By how much a value of the window is more likely than not to exceed a baseline's.

    Between -0.5 and 0.5, a tie being half a win: the statistic U of Mann and Whitney over
    the number of pairs, less a half. All arrays are of the ranked bins alone, with `ranks`
    as `mid_ranks` gives them. NaN where either side has no ranked rows.

    H. B. Mann, D. R. Whitney, On a test of whether one of two random variables is
    stochastically larger than the other (1947).
    """
    return float(_shift(_counts(window), _counts(baseline), np.asarray(ranks, dtype=float)))


def location_z(window: ArrayLike, baseline: ArrayLike, ranks: ArrayLike) -> float:
    """The location shift over its standard error: about a standard normal variable if all is well.

    All arrays are of the ranked bins alone. NaN where either side has no ranked rows, or
    the ranks have no variance on either side (each is in one bin).

    The variance is the mean of the baseline's, the window's and that of both sides pooled, and
    the baseline's where that is greater. With the baseline's alone a number that is almost
    constant alarms falsely, for its ranks are skewed: of 200 rows, 0.1 % of which are not
    zero, three such rows are 6 standard errors. This mean agrees with the likelihood-ratio
    statistic to the third order, which leaves no skewness. At a level of 4e-7, for a share
    of two values from 1e-4 to a half, 30 to 5,000 rows in the window and 1,000 or more in
    the baseline, the chance of a false alarm is 1.2e-6 at most (enumerated); it was up to 2.5e-2
    with the baseline's variance. The price, on a normal number of 10 bins, at 20,000 rows:

    | rows, change | baseline's variance | this one |
    | --- | --- | --- |
    | 1,000, mean by 0.25 standard deviations: location | 99.2 % | 99.2 % |
    | 200, mean by 0.5: location | 95.2 % | 95.1 % |
    | 1,000, standard deviation 1.25 times: scale | 99.5 % | 99.4 % |
    | 200, 1.5 times: scale | 88.8 % | 85.1 % |
    | 1,000, 0.8 times: scale | 99.8 % | 99.8 % |

    F. Wilcoxon, Individual comparisons by ranking methods (1945).
    """
    return float(_shift_z(_counts(window), _counts(baseline), np.asarray(ranks, dtype=float)))


def scale_z(window: ArrayLike, baseline: ArrayLike, ranks: ArrayLike) -> float:
    """The same as `location_z` of the squared ranks: positive if values moved to the outside.

    NaN where either side has no ranked rows, or the squared ranks have no variance on either
    side (each is in one bin, or in two as far from the middle).

    A. M. Mood, On the asymptotic efficiency of certain nonparametric two-sample tests (1954).
    """
    squares = np.square(np.asarray(ranks, dtype=float))
    return float(_shift_z(_counts(window), _counts(baseline), squares))


def critical_values(
    field_type: TestedAs,
    baseline: ArrayLike,
    *,
    weights: float,
    false_alarms: float,
) -> dict[Test, float]:
    """What the absolute statistic of each test of a field must exceed to be significant.

    `baseline` has the counts of all bins of the field; `weights` is the sum of the `weight` of
    all fields of the model, and `false_alarms` the chance of one false alarm among their tests
    within a week of independent hours (Bonferroni's bound, with weights). `distribution` and
    `category` are NaN where the baseline has no rows.

    C. R. Genovese, K. Roeder, L. Wasserman, False discovery control with p-value weighting (2006).
    """
    cells = float(np.count_nonzero(_counts(baseline)))

    def critical(test: Test) -> float:
        alpha = false_alarms * WEIGHTS[test] / (weights * HOURS_PER_WEEK)
        if test == "distribution":
            return chi_squared_isf(alpha, cells) if cells else math.nan
        shares = cells if test == "category" else 1.0
        # In either direction.
        return math.sqrt(chi_squared_isf(alpha / shares, 1.0)) if shares else math.nan

    return {test: critical(test) for test in TESTS[field_type]}


def weight(field_type: TestedAs) -> float:
    """That of all tests of a field together."""
    return sum(WEIGHTS[test] for test in TESTS[field_type])


def significance(statistics: Mapping[Test, float], criticals: Mapping[Test, float]) -> float:
    """The greatest of absolute statistic over critical value: above 1 is significant.

    Tests that are undefined, or are in one of the two mappings only, are left out; NaN
    where none is left.
    """
    ratios = [abs(statistics[test]) / criticals[test] for test in statistics if test in criticals]
    return max((ratio for ratio in ratios if not math.isnan(ratio)), default=math.nan)


def of_windows(
    windows: ArrayLike,
    baseline: ArrayLike,
    ranks: ArrayLike,
    shares: Mapping[Test, NDArray[np.bool_]],
) -> dict[Test, Floats]:
    """The statistic of each test of a field, for many windows at once: arrays of shape (windows,).

    A field none of whose bins has a rank is one of categories.

    `windows` has their counts, of shape (windows, bins), and `baseline` the one that all are
    compared with, of shape (bins,), or one for each. `ranks` are of shape (bins,), NaN for bins
    that have none; `shares` are the bins of each share, as masks.
    """
    w, r = _counts(windows), _counts(baseline)
    scores = np.asarray(ranks, dtype=float)
    ranked = ~np.isnan(scores)
    found: dict[Test, Floats] = {"distribution": _g_statistic(w, r)}
    if ranked.any():
        of_ranked = w[..., ranked], r[..., ranked]
        found["location"] = _shift_z(*of_ranked, scores[ranked])
        found["scale"] = _shift_z(*of_ranked, np.square(scores[ranked]))
    else:
        found["category"] = _category_z(w, r)
    for test, bins in shares.items():
        counts = (counted for side in (w, r) for counted in (side[..., bins].sum(-1), side.sum(-1)))
        found[test] = _share_z(*counts)
    return found


# What follows takes arrays of shape (..., bins), and gives one of shape (...).


def _counts(counts: ArrayLike) -> Floats:
    return np.asarray(counts, dtype=np.float64)


def _g_statistic(w: Floats, r: Floats) -> Floats:
    n, m = w.sum(-1, keepdims=True), r.sum(-1, keepdims=True)
    pooled = (w + r) / np.maximum(n + m, 1)
    g = 2 * np.sum(rel_entr(w, pooled * n) + rel_entr(r, pooled * m), axis=-1)
    # Equal shares may round to just below zero.
    return np.where((n * m)[..., 0] > 0, np.maximum(g, 0.0), np.nan)


def _share_z(count: Floats, rows: Floats, usual_count: Floats, usual_rows: Floats) -> Floats:
    g = _g_statistic(
        np.stack((count, rows - count), axis=-1),
        np.stack((usual_count, usual_rows - usual_count), axis=-1),
    )
    growth = count * usual_rows - usual_count * rows
    # Equal shares have a statistic of 0, but for rounding.
    return np.where(np.isnan(g), np.nan, np.sign(growth) * np.sqrt(g))


def _category_z(w: Floats, r: Floats) -> Floats:
    z = np.abs(_share_z(w, w.sum(-1, keepdims=True), r, r.sum(-1, keepdims=True)))
    greatest: Floats = np.max(np.where(r > 0, z, -np.inf), axis=-1)
    return np.where(np.isfinite(greatest), greatest, np.nan)


def _shift(w: Floats, r: Floats, scores: Floats) -> Floats:
    with np.errstate(invalid="ignore"):  # a side without rows
        shift: Floats = w @ scores / w.sum(-1) - r @ scores / r.sum(-1)
    return shift


def _shift_z(w: Floats, r: Floats, scores: Floats) -> Floats:
    n, m = w.sum(-1), r.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        of_window, of_baseline = _variance(w, scores), _variance(r, scores)
        # The mean of the three: n / (n + m) of the pooled one is the window's.
        excess = (of_window - of_baseline) * (1 + n / (n + m)) / 3
        variance = of_baseline + np.maximum(excess, 0.0)
        z = _shift(w, r, scores) / np.sqrt(variance * (1 / n + 1 / m))
        return np.where(variance > LEAST_VARIANCE, z, np.nan)


def _variance(counts: Floats, scores: Floats) -> Floats:
    shares = counts / counts.sum(-1, keepdims=True)
    variance: Floats = shares @ np.square(scores) - (shares @ scores) ** 2
    return variance
