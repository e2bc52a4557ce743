"""How unequally a model treats groups of rows: differences and ratios of their rates.

All are NaN where there are fewer than two groups of enough rows.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ml_exporter.statistics.bins import Floats

LEAST_ROWS = 30  # of a group, for its rate to be compared


def statistical_parity_difference(positives: ArrayLike, rows: ArrayLike) -> float:
    """The greatest share of positive predictions of a group, less the least.

    `positives` and `rows` are counts of predictions, one a group.

    C. Dwork et al., Fairness through awareness (2012).
    """
    rates = _rates(positives, rows)
    return float(rates.max() - rates.min()) if rates.size > 1 else math.nan


def disparate_impact(positives: ArrayLike, rows: ArrayLike) -> float:
    """The least share of positive predictions of a group over the greatest; 0.8 is a usual limit.

    NaN where no group has any.

    M. Feldman et al., Certifying and removing disparate impact (2015).
    """
    rates = _rates(positives, rows)
    if rates.size < 2 or not rates.max():
        return math.nan
    return float(rates.min() / rates.max())


def equal_opportunity_difference(found: ArrayLike, positives: ArrayLike) -> float:
    """The greatest recall of a group, less the least.

    `positives` are the rows of each group that are of the positive class, `found` those of them
    that were predicted to be.

    M. Hardt, E. Price & N. Srebro, Equality of opportunity in supervised learning (2016).
    """
    return statistical_parity_difference(found, positives)


def _rates(part: ArrayLike, whole: ArrayLike) -> Floats:
    """Shares, of the groups that have enough rows."""
    counts, rows = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    enough = rows >= LEAST_ROWS
    return counts[enough] / rows[enough]
