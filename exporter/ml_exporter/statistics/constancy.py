"""Whether a field that used to vary has stopped, as the reading of a sensor that froze."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ml_exporter.statistics.drift import share_z

LEAST_Z = 16.0
"""What `constant_z` must exceed: 5 standard errors, as if of each ten rows one were independent."""
USUAL_SHARE = 0.1
"""Of the hours of a week: a field that was constant in more of them is so by nature."""


def constant_z(window: ArrayLike, baseline: ArrayLike) -> float:
    """How unlikely it is that all values are in one bin, by the bin's share in the baseline.

    The signed root of the likelihood-ratio statistic of that bin against all others; NaN where
    values are in several bins, or either side has none. Both arrays are the counts of the bins of
    plain values and, last, of all others that are values (out of range, unseen).
    """
    w, r = np.asarray(window, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    only = int(np.argmax(w[:-1])) if w.size > 1 else 0
    if w.size < 2 or not w.sum() or w[only] < w.sum():
        return math.nan
    return share_z(w[only], w.sum(), r[only], r.sum())
