"""What kind of change a version sees, from its labelled scores: by the twins of `drift_kinds`."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np

from ml_exporter.rules.degradation import LEAST_LABELLED
from ml_exporter.samples import Samples
from ml_exporter.statistics import calibration
from ml_exporter.statistics.bins import Floats
from ml_exporter.statistics.concept_drift import (
    Kind,
    conditional_significance,
    kinds,
    mix_significance,
)

_Sides = dict[str, tuple[Floats, Floats]]  # by class: rows of it and of the others, by bin


def change_kinds(samples: Samples, labelled: float, drifted_features: int) -> frozenset[Kind]:
    """The kinds of change; without labels, scores or enough of them, inputs alone can be told."""
    window, baseline = (
        _sides(samples, name)
        for name in ("ml_labelled_score_values_total", "ml_labelled_score_baseline_rows")
    )
    critical: dict[str, dict[str, float]] = defaultdict(dict)
    for labels, value in samples["ml_calibration_critical_value"]:
        critical[labels["class"]][labels["test"]] = value
    calibrations, conditionals, mixes = [math.nan], [math.nan], [math.nan]
    for name in window.keys() & baseline.keys() & critical.keys():
        now, before, limits = window[name], baseline[name], critical[name]
        if labelled < LEAST_LABELLED or not limits.keys() >= {"bins", "overall"}:
            continue
        calibrations += [
            calibration.bin_statistic(*now, *before) / limits["bins"],
            abs(calibration.overall_z(*now, *before)) / limits["overall"],
        ]
        conditionals.append(conditional_significance(now, before, limits["bins"]))
        hits, misses, hits_before, misses_before = (float(side.sum()) for side in (*now, *before))
        mixes.append(
            mix_significance(
                hits, hits + misses, hits_before, hits_before + misses_before, limits["overall"]
            )
        )
    return kinds(
        calibration=float(np.fmax.reduce(calibrations)),
        conditional=float(np.fmax.reduce(conditionals)),
        mix=float(np.fmax.reduce(mixes)),
        errors=math.nan,  # a day's counts know no week before
        drifted_features=drifted_features,
    )


def _sides(samples: Samples, name: str) -> _Sides:
    counts: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for labels, rows in samples[name]:
        counts[labels["class"]][labels["actual"]][labels["bin"]] = rows
    sides: _Sides = {}
    for of_class, of in counts.items():
        bins = sorted(of["true"].keys() | of["false"].keys())
        hits, misses = (np.array([of[a].get(bin, 0.0) for bin in bins]) for a in ("true", "false"))
        sides[of_class] = hits, misses
    return sides
