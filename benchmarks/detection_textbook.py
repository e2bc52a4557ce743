"""The tests that a textbook has, by the exporter's bins and components, to hold its own against.

Of each field: Pearson's statistic of the distribution and of the share that is missing, and by
mid-ranks of the bins z's of location and scale, whose variance is the baseline's alone. Critical
values are those of theory, for a chance of a false alarm in each window over all tests.

K. Pearson, On the criterion that a given system of deviations from the probable ... (1900);
F. Wilcoxon, Individual comparisons by ranking methods (1945); A. M. Mood, On the asymptotic
efficiency of certain nonparametric two-sample tests (1954).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import special

from ml_exporter.baseline.baseline import Baseline, BaselineField
from ml_exporter.statistics.bins import MISSING, Floats
from ml_exporter.statistics.drift import mid_ranks

_TESTS = {"number": 4, "category": 2, "component": 3}


def chance(baseline: Baseline, windows: Mapping[tuple[str, str], Floats]) -> float:
    """At most that of any test to be as far out as the farthest without a change, by Bonferroni.

    `windows` has counts by bin, by a field's role and name.
    """
    fields = (*baseline.fields, *baseline.component_fields)
    tests = sum(_TESTS[field.tested_as] for field in fields)
    return tests * min(
        chance for field in fields for chance in _chances(field, windows[field.role, field.name])
    )


def _chances(field: BaselineField, window: Floats) -> list[float]:
    """For each of a field's tests: the chance to be as far out without a change."""
    usual, found = field.array(), []
    cells = np.count_nonzero(window + usual)
    found.append(float(special.chdtrc(max(cells - 1, 1), pearson(window, usual))))
    if field.tested_as != "component":
        missing = np.isin(field.bins, MISSING)
        of_share = ([side[missing].sum(), side[~missing].sum()] for side in (window, usual))
        found.append(float(special.chdtrc(1, pearson(*map(np.array, of_share)))))
    if field.edges is not None:
        ranked = np.isin(field.bins, field.ranked_bins)
        ranks = mid_ranks(usual[ranked])
        for scores in (ranks, np.square(ranks)):
            z = shift_z(window[ranked], usual[ranked], scores)
            found.append(float(special.chdtrc(1, z * z)))
    return found


def pearson(window: Floats, usual: Floats) -> float:
    """Of two samples having one distribution over the bins in which either has rows."""
    n, m = window.sum(), usual.sum()
    differences = window * np.sqrt(m / n) - usual * np.sqrt(n / m)
    return float(np.sum(np.square(differences) / np.maximum(window + usual, 1)))


def shift_z(window: Floats, usual: Floats, scores: Floats) -> float:
    """Of the mean score's shift, by the variance in the baseline; 0 where there is none."""
    n, m = window.sum(), usual.sum()
    if not (n and m):
        return 0.0
    mean = usual @ scores / m
    variance = usual @ np.square(scores) / m - mean**2
    if variance < 1e-12:
        return 0.0
    return float((window @ scores / n - mean) / np.sqrt(variance * (1 / n + 1 / m)))
