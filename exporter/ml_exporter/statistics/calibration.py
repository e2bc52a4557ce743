"""Scores made probabilities, and whether they still are: both from counts by bin of the score."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ml_exporter.statistics import counting
from ml_exporter.statistics.entropy import rel_entr
from ml_exporter.statistics.tails import chi_squared_isf

LEAST_IN_BIN = 5  # rows of the window, for its bin to be compared by likelihood

HOURS_PER_WEEK = 168


def isotonic(positives: ArrayLike, rows: ArrayLike) -> NDArray[np.float64]:
    """The share of positives by bin, made to rise from bin to bin: least squares, by rows.

    Both are arrays of shape (bins,), in the order of the score. A bin without rows has the
    value of the one before it, the first ones that of the one after; all are NaN where no bin
    has rows.

    M. Ayer et al., An empirical distribution function for sampling with incomplete information
    (1955): adjacent violators are pooled.
    """
    hits, trials = np.asarray(positives, dtype=np.float64), np.asarray(rows, dtype=np.float64)
    blocks: list[tuple[float, float, int]] = []  # positives, rows, and how many bins
    for block_hits, block_trials in zip(hits.tolist(), trials.tolist(), strict=True):
        pooled = (block_hits, block_trials, 1)
        while blocks and not _rises(blocks[-1], pooled):
            before = blocks.pop()
            pooled = (before[0] + pooled[0], before[1] + pooled[1], before[2] + pooled[2])
        blocks.append(pooled)
    shares = [block_hits / n if n else math.nan for block_hits, n, _ in blocks]
    return np.repeat(shares, [bins for *_, bins in blocks])


def _rises(before: tuple[float, float, int], after: tuple[float, float, int]) -> bool:
    """Whether the share rises; without rows on either side, both are one block."""
    if not (before[1] and after[1]):
        return False
    return before[0] * after[1] < after[0] * before[1]


@dataclass(frozen=True)
class Calibration:
    """The probability that a score stands for, on the line between the bins' mean scores.

    Equal to scikit-learn's `IsotonicRegression(out_of_bounds="clip")`, fitted on the share of
    positives in each bin that has rows, at its mean score, weighted by its rows.
    """

    means: NDArray[np.float64]  # of bins that have rows, at least one
    shares: NDArray[np.float64]

    @staticmethod
    def of(
        edges: ArrayLike, positives: ArrayLike, negatives: ArrayLike, sums: ArrayLike = ()
    ) -> Calibration:
        """From k + 1 edges of k bins, and k + 1 counts, the last of what is above all edges.

        `sums` are of the bins' scores. Without any, or where a sum leads out of its bin, as it
        does of scores that aren't within [0, 1], the middle of the bin stands for its mean.
        """
        bounds, hits = np.asarray(edges, dtype=np.float64), np.asarray(positives, dtype=np.float64)
        rows = hits + np.asarray(negatives, dtype=np.float64)
        filled = rows > 0
        means = np.append((bounds[:-1] + bounds[1:]) / 2, bounds[-1])
        totals = np.asarray(sums, dtype=np.float64)
        if totals.size:
            found = totals / np.where(filled, rows, math.nan)
            is_within = (bounds < found) & (found <= np.append(bounds[1:], math.inf))
            is_within[0] |= found[0] == bounds[0]  # the least score
            means = np.where(is_within, found, means)
        return Calibration(means[filled], isotonic(hits[filled], rows[filled]))

    def __call__(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Probabilities of scores, in an array of any shape; NaN stays NaN."""
        values = np.ascontiguousarray(scores, dtype=np.float64)
        results = np.empty_like(values)
        counting.interpolate(values, self.means, self.shares, self._slopes, results)
        return results

    @cached_property
    def _slopes(self) -> NDArray[np.float64]:
        """Of the line that begins at each mean; behind the last one it is level."""
        with np.errstate(divide="ignore", invalid="ignore"):  # no value is on a line without width
            return np.append(np.diff(self.shares) / np.diff(self.means), 0.0)


def bin_statistic(
    positives: ArrayLike, negatives: ArrayLike, before: ArrayLike, negatives_before: ArrayLike
) -> float:
    """Likelihood-ratio statistic of each bin's share being that of the baseline, summed over bins.

    All are counts of shape (bins,), those of the window first. Each bin's statistic is divided by
    Williams's factor, without which it is too large by chance where rows are few: three times as
    many false alarms as there should be, and at most 1.5 times with it (simulated to 2e-4). Bins of
    fewer than `LEAST_IN_BIN` rows in the window are left out. NaN where no bin is left.

    S. S. Wilks, The likelihood test of independence in contingency tables (1935); D. A. Williams,
    Improved likelihood ratio tests for complete contingency tables (1976).
    """
    counts = _counts(positives, negatives, before, negatives_before)
    counts = counts[:, (counts[:2].sum(axis=0) >= LEAST_IN_BIN) & (counts[2:].sum(axis=0) > 0)]
    if not counts.size:
        return math.nan
    a, b, c, d = counts
    total, window, baseline, hits, misses = a + b + c + d, a + b, c + d, a + c, b + d
    expected = (hits * window, misses * window, hits * baseline, misses * baseline)
    terms = (rel_entr(n, e / total) for n, e in zip(counts, expected, strict=True))
    with np.errstate(divide="ignore"):  # without hits or misses the statistic is 0 anyway
        of_outcomes = total / hits + total / misses - 1
    factor = 1 + (total / window + total / baseline - 1) * of_outcomes / (6 * total)
    return max(0.0, float(np.sum(2 * sum(terms) / factor)))


def overall_z(
    positives: ArrayLike, negatives: ArrayLike, before: ArrayLike, negatives_before: ArrayLike
) -> float:
    """Z of there being more positives than the baseline has at the same scores: all bins together.

    It sees a small change in one direction from few rows. All are counts of shape (bins,), those
    of the window first. NaN where the variance is zero.

    N. Mantel and W. Haenszel, Statistical aspects of the analysis of data from retrospective
    studies of disease (1959), a stratum a bin.
    """
    counts = _counts(positives, negatives, before, negatives_before)
    counts = counts[:, (counts[:2].sum(axis=0) > 0) & (counts[2:].sum(axis=0) > 0)]
    a, b, c, d = counts
    window, baseline, total = a + b, c + d, counts.sum(axis=0)
    surplus = float(np.sum(a - (a + c) * window / total))
    per_bin = (a + c) * (b + d) * window * baseline / (total**2 * np.maximum(total - 1, 1))
    variance = float(np.sum(per_bin))
    return surplus / math.sqrt(variance) if variance > 0 else math.nan


def critical_values(bins: int, *, tests: int, false_alarms: float) -> dict[str, float]:
    """What the two statistics of one class must exceed to be significant, by test.

    `bins` are those of the baseline that have rows, at least one; `tests` is how many tests the
    model has over all its classes, and `false_alarms` the chance of one false alarm among them
    within a week of independent hours (Bonferroni's bound).
    """
    alpha = false_alarms / (tests * HOURS_PER_WEEK)
    return {
        "bins": chi_squared_isf(alpha, float(bins)),
        "overall": math.sqrt(chi_squared_isf(alpha, 1.0)),  # in either direction
    }


def _counts(*arrays: ArrayLike) -> NDArray[np.float64]:
    return np.array([np.asarray(one, dtype=np.float64) for one in arrays])
