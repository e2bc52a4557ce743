"""What kind of change it is: the inputs, what follows from them, or only the mix of classes.

Scores and outcomes have one joint distribution, which factors in two ways: outcomes given the
score, and scores given the outcome. Where inputs alone have moved, the first is as it was (the
calibration holds); where only the mix of classes has, the second is; where neither is, the relation
has changed.

J. G. Moreno-Torres et al., A unifying view on dataset shift in classification (2012); Z. C. Lipton,
Y.-X. Wang & A. Smola, Detecting and correcting for label shift with black box predictors (2018).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ml_exporter.statistics.drift import g_statistic, share_z

Kind = Literal["inputs", "relation", "classes"]
KINDS: tuple[Kind, ...] = get_args(Kind)

SPANS = (*("5m", "10m", "30m", "1h", "2h", "4h", "8h", "16h", "32h", "64h"), "7d")
"""Over which error rates are looked at: one fits a change, however much traffic there is."""

CRITICAL_VALUE = 4.0
"""What z of an error rate must exceed. Among all spans and both references that is 0.09 false
alarms in 10,000 rows at 100 rows an hour, and fewer with more (`benchmarks/concept_drift.py`)."""

LEAST_ROWS = 100  # of a span, for its error rate to be judged: with 30 there are twice as many
MATERIAL_GROWTH = 1.1  # by which an error rate must have grown, to be told of


def error_significance(
    errors: ArrayLike, rows: ArrayLike, before: ArrayLike, rows_before: ArrayLike
) -> NDArray[np.float64]:
    """Z of an error rate having grown, over its critical value: above 1 is significant.

    All are counts of one shape: of spans, and of what each is compared with. NaN where a span has
    fewer rows than it needs, its reference none, or the rate hasn't grown by enough to matter.
    """
    counts = [np.atleast_1d(np.asarray(one, float)) for one in (errors, rows, before, rows_before)]
    return np.array(
        [
            share_z(a, n, b, m) / CRITICAL_VALUE
            if n >= LEAST_ROWS and m and a / n > MATERIAL_GROWTH * b / m
            else math.nan
            for a, n, b, m in zip(*np.broadcast_arrays(*counts), strict=True)
        ]
    )


def conditional_significance(
    window: Sequence[ArrayLike], baseline: Sequence[ArrayLike], critical_value: float
) -> float:
    """How far scores given the outcome are from the baseline's: above 1 is significant.

    Both sides are counts by bin of the score, of rows of a class and of the others; the statistic
    of each is the likelihood ratio of two samples. NaN where neither has rows on both sides.
    """
    statistics = [g_statistic(w, b) for w, b in zip(window, baseline, strict=True)]
    return max((g for g in statistics if not math.isnan(g)), default=math.nan) / critical_value


def mix_significance(
    positives: float, rows: float, before: float, rows_before: float, critical_value: float
) -> float:
    """How far the share of a class is from the baseline's: above 1 is significant."""
    return abs(share_z(positives, rows, before, rows_before)) / critical_value


def kinds(
    *, calibration: float, conditional: float, mix: float, errors: float, drifted_features: float
) -> frozenset[Kind]:
    """What has changed, by the significance of each test (NaN: unknown) and features that drifted.

    A moved mix of classes moves the inputs as well, which isn't told apart from it. Without scores
    a greater error rate on inputs that haven't moved is taken for a changed relation.
    """
    if calibration > 1 and mix > 1 and conditional <= 1:
        return frozenset({"classes"})
    found: set[Kind] = set()
    if drifted_features > 0:
        found.add("inputs")
    if calibration > 1 or (math.isnan(calibration) and errors > 1 and not found):
        found.add("relation")
    return frozenset(found)
