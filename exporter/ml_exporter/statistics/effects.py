"""How large a change is, as distances between the binned values of a window and the baseline.

All functions take counts of the bins of one field: `window` and `baseline` are arrays of shape
(bins,) in the same order, as counts rather than shares. They measure size alone: with few rows
they are large by chance, and `drift.significance` says whether that may be. NaN where either
side has no rows; a recording rule leaves such a series out.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ml_exporter.statistics.entropy import rel_entr

DIGITS = "0123456789a"
MOST_PLACES = len(DIGITS) ** 2
"""More than the bins that a configuration can ask for; a file may have more of them."""

ROBUST = 1.8
"""Deequ's c(alpha) for alpha = 0.003: how many standard errors its robust distances forgive."""


def js_distance(window: ArrayLike, baseline: ArrayLike) -> float:
    """Jensen-Shannon distance over all bins of the field, from 0 to 1 (nothing in common).

    The root of the divergence to base 2: SciPy's `spatial.distance.jensenshannon(p, q, base=2)`.

    J. Lin, Divergence measures based on the Shannon entropy (1991); D. M. Endres, J. E.
    Schindelin, A new metric for probability distributions (2003).
    """
    p, q = _shares(window, baseline)
    if not p.size:
        return math.nan
    middle = (p + q) / 2
    divergence = np.sum(rel_entr(p, middle) + rel_entr(q, middle)) / 2
    return math.sqrt(max(0.0, float(divergence)) / math.log(2))


def total_variation(window: ArrayLike, baseline: ArrayLike) -> float:
    """Total variation distance over all bins of the field: the share of rows that moved.

    Half of the sum of the differences of shares, from 0 to 1.

    D. A. Levin, Y. Peres, Markov Chains and Mixing Times, section 4.1 (2017).
    """
    p, q = _shares(window, baseline)
    return float(np.abs(p - q).sum() / 2) if p.size else math.nan


def l_infinity(window: ArrayLike, baseline: ArrayLike) -> float:
    """The greatest difference of a bin's shares, over all bins of the field: from 0 to 1.

    What Deequ, and so SageMaker Model Monitor, compares categories by ("Simple"):
    https://github.com/awslabs/deequ, analyzers/Distance.scala, `categoricalDistance`.
    """
    p, q = _shares(window, baseline)
    return float(np.abs(p - q).max()) if p.size else math.nan


def ks(window: ArrayLike, baseline: ArrayLike) -> float:
    """Kolmogorov-Smirnov distance: the greatest difference of cumulative shares, from 0 to 1.

    Over the ranked bins alone, in their order: `<below>`, the bins by upper edge, `<above>`.
    It is the statistic of SciPy's `stats.ks_2samp` where what shares a bin is a tie, and what
    Deequ compares numbers by ("Simple"), there from sketches of the values.

    A. N. Kolmogorov, Sulla determinazione empirica di una legge di distribuzione (1933);
    N. V. Smirnov, On the estimation of the discrepancy between empirical curves (1939).
    """
    p, q = _shares(window, baseline)
    return float(np.abs(np.cumsum(p - q)).max()) if p.size else math.nan


def robust(distance: float, window_rows: float, baseline_rows: float) -> float:
    """What is left of `ks` or `l_infinity` after what samples of that size differ by anyway.

    Deequ's "Robust" distance, SageMaker's default: the simple one less
    1.8 √((n + m) / nm), the critical value of Kolmogorov and Smirnov at 0.003, and never
    below 0. For `ks` the rows are those of the ranked bins. NaN where either side has none.

    https://github.com/awslabs/deequ, analyzers/Distance.scala, `selectMetrics`; the critical
    value: D. E. Knuth, The Art of Computer Programming 2, section 3.3.1 (1998).
    """
    if not (window_rows and baseline_rows):
        return math.nan
    return max(0.0, distance - ROBUST * math.sqrt(1 / window_rows + 1 / baseline_rows))


def wasserstein(window: ArrayLike, baseline: ArrayLike, distances: ArrayLike) -> float:
    """By how many standard deviations of the baseline a value has moved, in the mean.

    Over the ranked bins, with every value at the middle of its bin; `distances`, of shape
    (bins - 1,), are those from each bin's middle to the next one's, as `bin_distances` gives
    them. It is SciPy's `stats.wasserstein_distance` of those middles. What lies outside the
    baseline's range counts as lying at its edge. NaN also where all distances are 0.

    L. N. Vaserstein, Markov processes over denumerable products of spaces (1969).
    """
    d = np.asarray(distances, dtype=np.float64)
    p, q = _shares(window, baseline)
    if not (p.size and d.sum()):
        return math.nan
    return float(np.abs(np.cumsum(p - q)[:-1]) @ d)


def bin_distances(edges: ArrayLike, baseline: ArrayLike) -> NDArray[np.float64]:
    """From the middle of each ranked bin to the next one's, in the baseline's standard deviations.

    `edges` are the k + 1 edges of k bins, `baseline` the counts of the k + 2 ranked bins. The
    middles of `<below>` and `<above>` are the outermost edges; the standard deviation is that
    of the middles. Returns k + 1 distances; all are 0 where the baseline doesn't vary.
    """
    e, r = np.asarray(edges, dtype=np.float64), _counts(baseline)
    # Within [0, 1], whatever the unit is: squares of large numbers would overflow.
    e = e / (np.abs(e).max() or 1.0)
    e = (e - e[0]) / ((e[-1] - e[0]) or 1.0)
    middles = np.concatenate((e[:1], (e[1:] + e[:-1]) / 2, e[-1:]))
    if not r.sum():
        return np.zeros(middles.size - 1)
    variance = np.average(np.square(middles - np.average(middles, weights=r)), weights=r)
    deviation = math.sqrt(variance)
    # A constant's deviation is rounding at most.
    return np.diff(middles) / deviation if deviation > 1e-12 else np.zeros(middles.size - 1)


def places(bins: int) -> list[tuple[str, str]]:
    """The places of so many ranked bins in their order, as two digits: a block, and one within it.

    A rule selects all bins up to one by their digits. There are as many blocks as bins in a block,
    which makes least of such sums; and the last block and the last bin of each have the greatest
    digit, so that no sum is of a digit beyond them. Empty for more than `MOST_PLACES`.
    """
    if bins > MOST_PLACES:
        return []
    width = math.isqrt(bins - 1) + 1 if bins else 0
    digits = DIGITS[len(DIGITS) - width :]
    return [(block, place) for block in digits for place in digits][width**2 - bins :]


def _counts(counts: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(counts, dtype=np.float64)


def _shares(
    window: ArrayLike, baseline: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The shares of both sides; empty where either has no rows."""
    w, r = _counts(window), _counts(baseline)
    if not (w.sum() and r.sum()):
        return np.empty(0), np.empty(0)
    return w / w.sum(), r / r.sum()
