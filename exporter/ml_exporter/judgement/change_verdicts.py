"""What kind of change a version sees, from its labelled scores: by the twins of `drift_kinds`."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np

from ml_exporter.judgement.estimate_verdicts import labelled_scores
from ml_exporter.judgement.samples import Samples
from ml_exporter.rules.degradation import LEAST_LABELLED
from ml_exporter.statistics import calibration
from ml_exporter.statistics.concept_drift import (
    Kind,
    conditional_significance,
    kinds,
    mix_significance,
)


def change_kinds(samples: Samples, labelled: float, drifted_features: int) -> frozenset[Kind]:
    """The kinds of change; without labels, scores or enough of them, inputs alone can be told."""
    critical: dict[str, dict[str, float]] = defaultdict(dict)
    for labels, value in samples["ml_calibration_critical_value"]:
        critical[labels["class"]][labels["test"]] = value
    calibrations, conditionals, mixes = [math.nan], [math.nan], [math.nan]
    for name, counts in labelled_scores(samples).items():
        limits = critical[name]
        if labelled < LEAST_LABELLED or not limits.keys() >= {"bins", "overall"}:
            continue
        calibrations += [
            calibration.bin_statistic(*counts) / limits["bins"],
            abs(calibration.overall_z(*counts)) / limits["overall"],
        ]
        now, before = [*counts[:2]], [*counts[2:]]
        conditionals.append(conditional_significance(now, before, limits["bins"]))
        hits, misses, hits_before, misses_before = counts.sum(axis=1).tolist()
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
