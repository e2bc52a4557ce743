"""Confidence intervals of the figures of performance, each by a published approximation.

All are (lower, upper) for a normal quantile `z`, 95 % of both sides by default, and NaN, NaN
where there is nothing to judge by.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ml_exporter.statistics.bins import Floats
from ml_exporter.statistics.significance import Z_95

Interval = tuple[float, float]

ROUNDING = 1e-12
"""Of a variance, what may be rounding."""

UNKNOWN: Interval = (math.nan, math.nan)


def wilson(successes: float, trials: float, z: float = Z_95) -> Interval:
    """Score interval of a probability.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference (1927).
    """
    if trials <= 0:
        return UNKNOWN
    spread = z * math.sqrt(successes * (trials - successes) / trials + z * z / 4)
    middle = successes + z * z / 2
    certain = trials + z * z
    return max(0.0, (middle - spread) / certain), min(1.0, (middle + spread) / certain)


def jaccard_f1(
    true_positives: float, false_positives: float, false_negatives: float, z: float = Z_95
) -> Interval:
    """Interval of F1, which rises with Jaccard's index J = TP / (TP + FP + FN): it is 2J / (1 + J).

    J is a share of the rows that are of the class or were predicted to be, so that its interval is
    Wilson's.
    """
    trials = true_positives + false_positives + false_negatives
    lower, upper = wilson(true_positives, trials, z)
    return 2 * lower / (1 + lower), 2 * upper / (1 + upper)


def square_and_add(
    shares: Sequence[float],
    lowers: Sequence[float],
    uppers: Sequence[float],
    weights: Sequence[float],
) -> Interval:
    """Interval of a weighted sum of independent figures, from their own (unequal) intervals.

    A negative weight subtracts: (1, -1) is a difference of two shares.

    R. G. Newcombe, Interval estimation for the difference between independent proportions:
    comparison of eleven methods (1998), method 10; G. Y. Zou & A. Donner, Construction of
    confidence limits about effect measures: a general approach (2008).
    """
    if not len(shares):
        return UNKNOWN
    weight = np.asarray(weights, dtype=np.float64)
    below = weight * (np.asarray(shares) - np.asarray(lowers))
    above = weight * (np.asarray(uppers) - np.asarray(shares))
    total = float(weight @ np.asarray(shares))
    falls, rises = np.where(weight < 0, above, below), np.where(weight < 0, below, above)
    return total - math.sqrt(falls @ falls), total + math.sqrt(rises @ rises)


def phi(
    true_positives: float,
    false_positives: float,
    false_negatives: float,
    true_negatives: float,
    z: float = Z_95,
) -> Interval:
    """Interval of Matthews's correlation of two classes, which is phi, from its variance.

    It has no width where the correlation is 1 or -1.

    Y. M. M. Bishop, S. E. Fienberg & P. W. Holland, Discrete Multivariate Analysis (1975), 11.3.
    """
    actual = true_positives + false_negatives
    predicted = true_positives + false_positives
    rows = actual + false_positives + true_negatives
    actual_product = actual * (rows - actual)
    predicted_product = predicted * (rows - predicted)
    if actual_product <= 0 or predicted_product <= 0:
        return UNKNOWN
    value = (true_positives * true_negatives - false_positives * false_negatives) / math.sqrt(
        actual_product * predicted_product
    )
    # How unequal the classes are, among the labels and among the predictions.
    of_actual = (2 * actual - rows) / math.sqrt(actual_product)
    of_predicted = (2 * predicted - rows) / math.sqrt(predicted_product)
    variance = (
        1
        - value**2
        + (value + value**3 / 2) * of_actual * of_predicted
        - 0.75 * value**2 * (of_actual**2 + of_predicted**2)
    ) / rows
    spread = z * math.sqrt(max(0.0, variance))
    return max(-1.0, value - spread), min(1.0, value + spread)


def correlation(counts: Floats, correct: Floats, z: float = Z_95) -> Interval:
    """Interval of Matthews's correlation of any number of classes, R_K, by the delta method.

    `counts` are rows (actual, predicted), and `correct` those of each class that are right: its
    cell of the diagonal, or less where classes aren't told apart. It has no width where the
    correlation is 1 or -1.

    A. Agresti, Categorical Data Analysis (3rd ed. 2013), 16.1, for functions of multinomial shares;
    J. Gorodkin (2004) for R_K.
    """
    rows = counts.sum()
    if not rows:
        return UNKNOWN
    actual, predicted = counts.sum(axis=1) / rows, counts.sum(axis=0) / rows
    of_actual, of_predicted = 1 - actual @ actual, 1 - predicted @ predicted
    varied = math.sqrt(of_actual * of_predicted)
    if varied <= 0:
        return UNKNOWN
    hits = correct.sum() / rows
    value = min(max(float(hits - actual @ predicted) / varied, -1.0), 1.0)
    # By how much one row more changes the correlation: what its actual class does, what its
    # predicted one does, and 1 / varied where it is correct.
    by_actual = value * actual / of_actual - predicted / varied
    by_predicted = value * predicted / of_predicted - actual / varied
    mean = hits / varied + actual @ by_actual + predicted @ by_predicted
    mean_square = (
        hits / varied**2
        + actual @ by_actual**2
        + predicted @ by_predicted**2
        + 2
        * (correct @ (by_actual + by_predicted) / varied + by_actual @ counts @ by_predicted)
        / rows
    )
    spread = z * math.sqrt(max(0.0, mean_square - mean**2 - ROUNDING) / rows)
    return max(-1.0, value - spread), min(1.0, value + spread)


def auc(auc: float, positives: float, negatives: float, z: float = Z_95) -> Interval:
    """Interval of the area under the ROC curve of so many rows of both classes.

    J. A. Hanley & B. J. McNeil, The meaning and use of the area under a receiver operating
    characteristic (ROC) curve (1982).
    """
    if positives <= 0 or negatives <= 0:
        return UNKNOWN
    two_positives = auc / (2 - auc) - auc**2
    two_negatives = 2 * auc**2 / (1 + auc) - auc**2
    variance = (
        auc * (1 - auc) + (positives - 1) * two_positives + (negatives - 1) * two_negatives
    ) / (positives * negatives)
    spread = z * math.sqrt(max(0.0, variance))
    return max(0.0, auc - spread), min(1.0, auc + spread)


def average_precision(value: float, positives: float, z: float = Z_95) -> Interval:
    """Interval of average precision by the rows of the class, on the scale of its logit.

    NaN, NaN where it is 0 or 1.

    K. Boyd, K. H. Eng & C. D. Page, Area under the precision-recall curve: point estimates and
    confidence intervals (2013).
    """
    if positives <= 0 or not 0 < value < 1:
        return UNKNOWN
    odds = value / (1 - value)
    factor = math.exp(z / math.sqrt(positives * value * (1 - value)))
    return odds / (odds + factor), odds / (odds + 1 / factor)


def mean(total: float, squares: float, n: float, z: float = Z_95) -> Interval:
    """Interval of a mean, from the sum of n values and of their squares: a normal approximation."""
    if n < 2:
        return UNKNOWN
    middle = total / n
    spread = z * math.sqrt(max(0.0, squares / n - middle**2) / (n - 1))
    return middle - spread, middle + spread
