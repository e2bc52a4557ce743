"""Errors of predicted numbers as sums that add up, and the figures that are made of them.

An error is the prediction less the truth. Figures are named as the rules name them, and are left
out where they are undefined.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np

from ml_exporter.statistics import intervals
from ml_exporter.statistics.bins import Counts, Floats
from ml_exporter.statistics.intervals import Interval
from ml_exporter.statistics.significance import Z_95

LARGEST = 1e75
"""No prediction or truth beyond it is counted: the fourth power of an error has to be a number."""

QUANTILES: Mapping[str, float] = {"median_absolute_error": 0.5, "p90_absolute_error": 0.9}
SPARSITY_STEPS: Mapping[float, float] = {0.5: 0.1, 0.9: 0.05}
"""How far from a quantile its neighbours are, whose distance tells how sure it is."""
ROUNDING = 1e-12
"""Share of a sum of squares that may be rounding: the truth is constant if it varies no more."""

_SMALLEST_TRUTH = float(np.finfo(np.float64).eps)  # as in scikit-learn


@dataclass(frozen=True)
class Sums:
    """Sums over rows that have a prediction and a truth."""

    rows: float = 0
    absolute: float = 0  # |error|
    squared: float = 0
    squared_squared: float = 0
    percentage: float = 0  # |error / truth|, of rows whose truth isn't 0
    percentage_squared: float = 0
    percentage_rows: float = 0
    over: float = 0  # of errors above 0
    under: float = 0  # of errors below 0, as a positive number
    above: float = 0  # of the truth above a fixed point
    below: float = 0
    squared_deviation: float = 0  # of the truth from that point

    def __add__(self, other: Sums) -> Sums:
        """The sums of both; of one point."""
        return Sums(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def variation(self) -> float:
        """Squared deviations of the truth from its mean; 0 where they may be rounding."""
        if not self.rows:
            return 0.0
        about_mean = self.squared_deviation - (self.above - self.below) ** 2 / self.rows
        return about_mean if about_mean > ROUNDING * self.squared_deviation else 0.0


def sums(errors: Floats, actual: Floats, point: float = 0.0) -> Sums:
    """Sums of n errors and truths, none beyond `LARGEST`.

    `point` is what the truth's deviations are measured from: any will do, and the nearer to the
    truth's mean, the more digits are right.
    """
    squared = np.square(errors)
    over, under, _ = deviations(errors)
    above, below, squared_deviation = deviations(actual, point)
    percentages = percentage_errors(errors, actual)
    return Sums(
        rows=errors.size,
        absolute=over + under,
        squared=float(squared.sum()),
        squared_squared=float(np.square(squared).sum()),
        percentage=float(percentages.sum()),
        percentage_squared=float(np.square(percentages).sum()),
        percentage_rows=percentages.size,
        over=over,
        under=under,
        above=above,
        below=below,
        squared_deviation=squared_deviation,
    )


def deviations(values: Floats, point: float = 0.0) -> tuple[float, float, float]:
    """Distances from a point, summed: of what is above it, of what is below; and their squares."""
    distances = values - point
    above, below = np.maximum(distances, 0.0).sum(), -np.minimum(distances, 0.0).sum()
    return float(above), float(below), float(np.square(distances).sum())


def percentage_errors(errors: Floats, actual: Floats) -> Floats:
    """|error / truth| of the rows whose truth isn't 0.

    A truth nearer to 0 than 2.2e-16 is taken for that, as scikit-learn does. It does so where the
    truth is 0, too, and one such row is then the whole of its mean.
    """
    some = actual != 0
    truth: Floats = np.maximum(np.abs(actual[some]), _SMALLEST_TRUTH)
    return np.asarray(np.abs(errors[some]) / truth)


def figures(of: Sums) -> dict[str, float]:
    """All figures that sums tell: those of the histogram are `quantile`'s."""
    if not of.rows:
        return {}
    bias = (of.over - of.under) / of.rows
    found = {
        "mean_absolute_error": of.absolute / of.rows,
        "root_mean_squared_error": math.sqrt(of.squared / of.rows),
        "bias": bias,
        "overprediction": of.over / of.rows,
        "underprediction": of.under / of.rows,
    }
    if of.percentage_rows:
        found["mean_absolute_percentage_error"] = of.percentage / of.percentage_rows
    if of.variation:
        spread = max(0.0, of.squared - (of.over - of.under) ** 2 / of.rows)
        found |= {
            "r2": 1 - of.squared / of.variation,
            "explained_variance": 1 - spread / of.variation,
            "constant_root_mean_squared_error": math.sqrt(of.variation / of.rows),
        }
    return found


def figure_intervals(of: Sums, z: float = Z_95) -> dict[str, Interval]:
    """Intervals of the figures that have one; see `r2_interval` and `intervals.mean`.

    That of the root is of the mean squared error, whose ends are taken the root of.
    """
    squared = intervals.mean(of.squared, of.squared_squared, of.rows, z)
    found = {
        "mean_absolute_error": intervals.mean(of.absolute, of.squared, of.rows, z),
        "root_mean_squared_error": _root(squared),
        "mean_absolute_percentage_error": intervals.mean(
            of.percentage, of.percentage_squared, of.percentage_rows, z
        ),
        "bias": intervals.mean(of.over - of.under, of.squared, of.rows, z),
        "r2": r2_interval(of, z),
        "explained_variance": r2_interval(
            of, z, bias=(of.over - of.under) / of.rows if of.rows else 0.0
        ),
    }
    return {name: ends for name, ends in found.items() if not math.isnan(ends[0])}


def _root(ends: Interval) -> Interval:
    lower, upper = ends
    return ends if math.isnan(lower) else (math.sqrt(max(0.0, lower)), math.sqrt(upper))


def r2_interval(of: Sums, z: float = Z_95, *, bias: float = 0.0) -> Interval:
    """Interval of R²; of the explained variance, where the mean error is given as `bias`.

    J. Cohen, P. Cohen, S. G. West & L. S. Aiken, Applied Multiple Regression/Correlation Analysis
    for the Behavioral Sciences (3rd ed. 2003), 3.6, for one predictor, which the prediction is.
    That knows no R² below 0: there it is the interval of the mean squared error, over the
    variance of the truth as it is.
    """
    n = of.rows
    if n < 3 or not of.variation:
        return intervals.UNKNOWN
    of_bias = n * bias**2
    r2 = 1 - (of.squared - of_bias) / of.variation
    if r2 > 0:
        variance = 4 * r2 * (1 - r2) ** 2 * (n - 2) ** 2 / ((n**2 - 1) * (n + 3))
        spread = z * math.sqrt(variance)
        return r2 - spread, min(1.0, r2 + spread)
    least, most = (
        end * n - of_bias for end in intervals.mean(of.squared, of.squared_squared, n, z)
    )
    return 1 - most / of.variation, 1 - max(0.0, least) / of.variation


def histogram(absolute: Floats, uppers: Sequence[float]) -> Counts:
    """Absolute errors up to each upper edge, and all of them."""
    up_to = [np.count_nonzero(absolute <= upper) for upper in uppers]
    return np.array([*up_to, absolute.size], dtype=np.int64)


def quantile(q: float, uppers: Sequence[float], counts: Counts) -> float:
    """A quantile of a histogram of positive numbers, as Prometheus's `histogram_quantile` has it.

    `counts` are those up to each of the k upper edges, and all: k + 1. A quantile beyond the last
    edge is that edge; NaN where nothing is counted.
    """
    wanted = q * counts[-1]
    if not counts[-1]:
        return math.nan
    bin = int(np.searchsorted(counts, wanted))
    if bin >= len(uppers):
        return uppers[-1]
    if not bin and uppers[0] <= 0:
        return uppers[0]
    low, before = (uppers[bin - 1], counts[bin - 1]) if bin else (0.0, 0)
    return float(low + (uppers[bin] - low) * (wanted - before) / (counts[bin] - before))


def quantile_interval(
    q: float, uppers: Sequence[float], counts: Counts, z: float = Z_95
) -> Interval:
    """Interval of a quantile, from how far apart its neighbours are.

    M. M. Siddiqui, Distribution of quantiles in samples from a bivariate population (1960).
    """
    middle, step = quantile(q, uppers, counts), SPARSITY_STEPS[q]
    if math.isnan(middle):
        return intervals.UNKNOWN
    neighbours = [quantile(q + by, uppers, counts) for by in (-step, step)]
    sparsity = (neighbours[1] - neighbours[0]) / (2 * step)
    spread = z * sparsity * math.sqrt(q * (1 - q) / counts[-1])
    return max(0.0, middle - spread), middle + spread
