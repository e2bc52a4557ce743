"""How much one field tells of another, from the rows that have each pair of their bins."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ml_exporter.statistics.entropy import entr, rel_entr


def uncertainty_coefficient(counts: ArrayLike) -> float:
    """The share of a target's entropy that a field takes away: from 0 to 1 (it tells all).

    `counts` has the shape (bins of the field, bins of the target). It is their mutual information
    less what it is by chance in the mean, (r - 1)(c - 1) / 2n of n rows in r bins and c, over the
    entropy of the target. NaN without rows, or where the target is always the same.

    H. Theil, On the estimation of relationships involving qualitative variables (1970); G. A.
    Miller, Note on the bias of information estimates (1955).
    """
    table = np.asarray(counts, dtype=np.float64)
    rows = table.sum()
    of_field, of_target = table.sum(axis=1), table.sum(axis=0)
    if np.count_nonzero(of_target) < 2:
        return math.nan
    entropy = float(entr(of_target / rows).sum())
    independent = np.outer(of_field, of_target) / rows
    information = float(rel_entr(table, independent).sum()) / rows
    freedom = (np.count_nonzero(of_field) - 1) * (np.count_nonzero(of_target) - 1)
    share = float(information - freedom / (2 * rows)) / entropy
    return min(max(share, 0.0), 1.0)
