"""The figures of scores: of labelled rows counted by score bin, and of single rows.

Bins are in ascending order of the score. `positives` and `negatives` are the rows of each bin that
are of the class, and that are not. What is undefined is NaN, and left out of `figures`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ml_exporter.statistics import intervals
from ml_exporter.statistics.bins import Codes, Floats
from ml_exporter.statistics.intervals import Interval

HARMONIC_SHIFT = math.exp(-2 * np.euler_gamma) - 1 / 4

_EPSILON = float(np.finfo(np.float64).eps)


class ScoredRows(NamedTuple):
    """The rows of one class's score bins, and how tied the scores of each bin are."""

    positives: ArrayLike
    negatives: ArrayLike
    ties: ArrayLike = 0.0  # `tie_chances`


class Gain(NamedTuple):
    """Rows above each threshold: -infinity, then the upper edge of each bin."""

    population: Floats  # share of all rows
    captured: Floats  # share of the rows of the class: the true-positive rate, or recall
    false_positive_rate: Floats
    precision: Floats  # share of the rows above that are of the class
    lift: Floats  # precision over the share of the class among all rows


def roc_auc(positives: ArrayLike, negatives: ArrayLike) -> float:
    """How likely a row of the class has the higher score, where a bin's rows are equals.

    It is the area under the ROC curve, drawn straight through the bins' edges.
    """
    of_class, rest = _counts(positives, negatives)
    pairs = of_class.sum() * rest.sum()
    if not pairs:
        return math.nan
    below = np.cumsum(rest) - rest
    return float(of_class @ (below + rest / 2) / pairs)


def gini(auc: float) -> float:
    """Gini coefficient: 0 is chance, 1 perfect."""
    return 2 * auc - 1


def average_precision(positives: ArrayLike, negatives: ArrayLike, ties: ArrayLike = 0.0) -> float:
    """Mean precision over the rows of the class, each at its own score.

    Rows of a bin whose scores differ may be in any order: the mean is taken over all of them. A row
    of the class at place r of the n of its bin, p of which are of the class, below B others, A of
    which are, has 1 + A + (r - 1) s of the class among the B + r at or above it, where
    s = (p - 1) / (n - 1). The mean over r is s + (A + 1 - (B + 1) s) / n (H(B + n) - H(B)), with
    harmonic numbers H. Were all scores of the bin the same, each would have the precision at its
    end, (A + p) / (B + n).

    Where two scores of the bin are the same with a chance t, the precision is t of the way from one
    to the other. For k scores with as many rows each, t is 1 / k, and a sum of k steps is about k
    times as near to an integral as one step is.
    """
    of_class, rest = _counts(positives, negatives)
    if not of_class.sum():
        return math.nan
    rows = of_class + rest
    filled = rows > 0
    hits_above = (of_class.sum() - np.cumsum(of_class))[filled]
    above = (rows.sum() - np.cumsum(rows))[filled]
    p, n = of_class[filled], rows[filled]
    tied = np.broadcast_to(np.asarray(ties, dtype=np.float64), filled.shape)[filled]
    # s, and 1 where all are of the class.
    others = np.maximum(1 - (n - p) / np.maximum(n - 1, 1), 0)
    inverses = _harmonic(above + n) - _harmonic(above)
    in_any_order = others + (hits_above + 1 - (above + 1) * others) / n * inverses
    at_the_end = (hits_above + p) / (above + n)
    precision = (1 - tied) * in_any_order + tied * at_the_end
    return float(p @ precision / of_class.sum())


def tie_chances(scores: Floats, weights: Floats, bins: Codes, size: int) -> Floats:
    """How likely two rows have the same score, in each of so many bins.

    Rows stand for as many as they weigh, and `bins` has the bin of each. One pair more in each bin
    is as often tied as pairs are in the mean of bins, so that a bin of two rows isn't sure of it.
    """
    _, first, places = np.unique(scores, return_index=True, return_inverse=True)
    of_values = np.bincount(places, weights=weights)
    alone = np.bincount(bins, weights=np.square(weights), minlength=size)
    tied = np.bincount(bins[first], weights=np.square(of_values), minlength=size) - alone
    pairs = np.square(np.bincount(bins, weights=weights, minlength=size)) - alone
    several = pairs > 0
    if not several.any():
        return np.zeros(size)
    usual = (tied[several] / pairs[several]).mean()
    # Each pair is there twice.
    return np.asarray(np.clip((tied + 2 * usual) / (pairs + 2), 0.0, 1.0))


def _harmonic(numbers: Floats) -> Floats:
    """Harmonic numbers less Euler's constant, of anything from 0 on, within 3e-3.

    After D. W. DeTemple, A quicker convergence to Euler's constant (1993), who has 1/12 in place of
    `HARMONIC_SHIFT`, which makes it exact at 0.
    """
    shifted: Floats = (numbers + 0.5) ** 2 + HARMONIC_SHIFT
    return np.log(shifted) / 2


def expected_calibration_error(
    positives: ArrayLike, negatives: ArrayLike, score_sums: ArrayLike
) -> float:
    """Mean distance of the mean score of a bin from its share of the class, by rows.

    M. P. Naeini, G. F. Cooper & M. Hauskrecht, Obtaining well calibrated probabilities using
    Bayesian binning (2015).
    """
    of_class, rest = _counts(positives, negatives)
    rows = of_class.sum() + rest.sum()
    if not rows:
        return math.nan
    return float(np.abs(np.asarray(score_sums, dtype=np.float64) - of_class).sum() / rows)


def figures(classes: Iterable[ScoredRows]) -> dict[str, float]:
    """ROC AUC, Gini and average precision: means over the classes that have them.

    A binary model has one class, its positive one.
    """
    found: dict[str, list[float]] = {"roc_auc": [], "average_precision": []}
    for positives, negatives, ties in classes:
        found["roc_auc"].append(roc_auc(positives, negatives))
        found["average_precision"].append(average_precision(positives, negatives, ties))
    means = {name: _mean(values) for name, values in found.items()}
    means["gini"] = gini(means["roc_auc"])
    return {name: value for name, value in means.items() if not math.isnan(value)}


def figure_intervals(classes: Iterable[ScoredRows]) -> dict[str, Interval]:
    """95 % intervals of these: means of the ends over the classes that have them."""
    of_auc, of_precision = [], []
    for positives, negatives, ties in classes:
        of_class, rest = (float(side.sum()) for side in _counts(positives, negatives))
        of_auc.append(intervals.auc(roc_auc(positives, negatives), of_class, rest))
        of_precision.append(
            intervals.average_precision(average_precision(positives, negatives, ties), of_class)
        )
    found = {"roc_auc": _mean_ends(of_auc), "average_precision": _mean_ends(of_precision)}
    lower, upper = found["roc_auc"]
    found["gini"] = gini(lower), gini(upper)
    return {name: ends for name, ends in found.items() if not math.isnan(ends[0])}


def gain(positives: ArrayLike, negatives: ArrayLike) -> Gain:
    """Points of the gain, lift, ROC and precision-recall charts: k + 1 of k bins."""
    of_class, rest = _counts(positives, negatives)
    hits, false = (np.append(0.0, np.cumsum(counts)) for counts in (of_class, rest))
    hits, false = hits[-1] - hits, false[-1] - false
    rows = hits + false
    population, captured = _ratios(rows, rows[0]), _ratios(hits, hits[0])
    return Gain(
        population=population,
        captured=captured,
        false_positive_rate=_ratios(false, false[0]),
        precision=_ratios(hits, rows if hits[0] else 0),
        lift=_ratios(captured, population),
    )


def calibration(
    positives: ArrayLike, negatives: ArrayLike, score_sums: ArrayLike
) -> tuple[Floats, Floats]:
    """The share of the class in each bin, and its mean score: points of a reliability diagram."""
    of_class, rest = _counts(positives, negatives)
    rows = of_class + rest
    return _ratios(of_class, rows), _ratios(np.asarray(score_sums, dtype=np.float64), rows)


def log_losses(of_truth: Floats) -> Floats:
    """Log loss of each row, by the score of the class that it is of, from 0 to 1.

    Scores are kept off 0 and 1 by the least step of a double, as in scikit-learn's `log_loss`.
    """
    return np.asarray(-np.log(np.clip(of_truth, _EPSILON, 1 - _EPSILON)))


def brier_scores(scores: Floats, truth: NDArray[np.intp]) -> Floats:
    """Brier score of each row: squared distances of all classes' scores from what came, summed.

    `scores` are (rows, classes), and `truth` is the index of each row's class. It is from 0 to 2,
    as scikit-learn's `brier_score_loss` is for more than two classes. Of a binary model it is half
    of that, `(score - outcome) ** 2`.

    G. W. Brier, Verification of forecasts expressed in terms of probability (1950).
    """
    distances = scores.copy()
    distances[np.arange(truth.size), truth] -= 1
    return np.asarray(np.square(distances).sum(axis=1))


class LossSums(NamedTuple):
    """Sums over rows of what is expected of their losses, and of the squares of these."""

    log_loss: float
    log_loss_squared: float
    brier_score: float
    brier_score_squared: float


def expected_losses(chances: Floats, scores: Floats) -> LossSums:
    """What is expected by `chances` of the classes, of their `scores`; both are (rows, classes).

    One column is of the positive class of two.
    """
    if scores.shape[1] == 1:
        return BinaryLosses(scores[:, 0]).expected(chances[:, 0])
    # If class k comes true: the squares of all scores, with the k-th one taken from 1.
    brier = np.square(scores).sum(axis=1, keepdims=True) - 2 * scores + 1
    both = (log_losses(scores), brier)
    return LossSums(
        *(float((chances * one).sum()) for loss in both for one in (loss, np.square(loss)))
    )


class BinaryLosses:
    """What rows lose by their scores of the positive class, whichever of two comes true."""

    def __init__(self, scores: Floats) -> None:
        """Scores are (rows,), from 0 to 1."""
        self._if_positive, self._if_negative = _losses(scores), _losses(1 - scores)

    def expected(self, chances: Floats) -> LossSums:
        """What is expected by chances of the positive class: (rows,)."""
        both = ((self._if_positive, chances), (self._if_negative, 1 - chances))
        # Products of matrices would be shared among threads, whose number would change the sums.
        sums = [np.einsum("lr,r->l", losses, chance) for losses, chance in both]
        return LossSums(*(sums[0] + sums[1]).tolist())


def _losses(of_truth: Floats) -> Floats:
    """Both losses of rows by the score of what came true, each with its square: (4, rows)."""
    losses = np.empty((4, of_truth.size))
    log_loss, log_loss_squared, brier_score, brier_score_squared = losses
    np.log(np.clip(of_truth, _EPSILON, 1 - _EPSILON), out=log_loss)
    np.negative(log_loss, out=log_loss)
    np.square(log_loss, out=log_loss_squared)
    np.square(1 - of_truth, out=brier_score)
    np.square(brier_score, out=brier_score_squared)
    return losses


def _counts(positives: ArrayLike, negatives: ArrayLike) -> tuple[Floats, Floats]:
    return np.asarray(positives, dtype=np.float64), np.asarray(negatives, dtype=np.float64)


def _ratios(part: Floats, whole: ArrayLike) -> Floats:
    divisor = np.broadcast_to(np.asarray(whole, dtype=np.float64), part.shape)
    ratios = np.full(part.shape, np.nan)
    np.divide(part, divisor, out=ratios, where=divisor > 0)
    return ratios


def _mean_ends(ends: Sequence[Interval]) -> Interval:
    return _mean([lower for lower, _ in ends]), _mean([upper for _, upper in ends])


def _mean(values: list[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan
