"""How much worse a model is on a part of its rows: than on all, and than it was there before.

Arrays have the shape (segments,); what is undefined is NaN.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ml_exporter.statistics.bins import Floats
from ml_exporter.statistics.significance import proportion_z


def accuracy_gaps(correct: ArrayLike, rows: ArrayLike) -> Floats:
    """Accuracy on all segments together, less that on each: positive is worse."""
    right, n = np.asarray(correct, dtype=np.float64), np.asarray(rows, dtype=np.float64)
    return _ratio(right.sum(), n.sum()) - _ratio(right, n)


def error_gaps(absolute: ArrayLike, rows: ArrayLike) -> Floats:
    """Mean absolute error of each segment over that of all together, less 1: positive is worse."""
    errors, n = np.asarray(absolute, dtype=np.float64), np.asarray(rows, dtype=np.float64)
    return _ratio(_ratio(errors, n), _ratio(errors.sum(), n.sum())) - 1


def drop_shares(excess: ArrayLike) -> Floats:
    """Each segment's share in what all are worse than expected; NaN where they aren't.

    `excess` are the wrong predictions of each beyond those that were expected, or the sum of its
    absolute errors beyond what was.
    """
    beyond = np.asarray(excess, dtype=np.float64)
    total = float(beyond.sum())
    return beyond / total if total > 0 else np.full(beyond.shape, math.nan)


def accuracy_drop_z(correct: float, rows: float, reference: float, reference_rows: float) -> float:
    """By how many standard errors accuracy is below a reference that was measured, too.

    `reference_rows` are the rows that it was measured on, infinite where it is known.
    """
    return -proportion_z(correct, rows, reference) / math.sqrt(1 + rows / reference_rows)


def error_drop_z(
    absolute: float, squared: float, rows: float, reference: float, reference_rows: float
) -> float:
    """The same of a mean absolute error above a reference, from sums over rows.

    NaN of fewer than two rows, or where all errors are the same.
    """
    if rows < 2:
        return math.nan
    mean = absolute / rows
    variance = squared / rows - mean**2
    if variance <= 0:
        return math.nan
    z = (mean - reference) / math.sqrt(variance / (rows - 1))
    return z / math.sqrt(1 + rows / reference_rows)


def _ratio(part: ArrayLike, whole: ArrayLike) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(whole) > 0, np.divide(part, whole), np.nan)
