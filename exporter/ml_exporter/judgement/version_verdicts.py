"""Versions of a model against the one with the most predictions, as `VersionRegression` does."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ml_exporter.config.thresholds import SEVERITIES
from ml_exporter.judgement.performance_verdicts import critical_value
from ml_exporter.judgement.samples import Samples
from ml_exporter.judgement.verdicts import ChampionVerdict, State, worst
from ml_exporter.rules.degradation import LEAST_LABELLED
from ml_exporter.rules.versions import MATERIAL
from ml_exporter.statistics.versions import two_mean_z, two_proportion_z


def against_champion(versions: Mapping[str, Samples]) -> dict[str, ChampionVerdict]:
    """The verdicts of all versions but the champion, as far as both have labels."""
    predictions = {name: of.total("ml_predictions_total") for name, of in versions.items()}
    champion = max(predictions, key=lambda name: predictions[name], default=None)
    if champion is None or not predictions[champion]:
        return {}
    verdicts = {}
    for name, samples in versions.items():
        if name == champion:
            continue
        gap, z = _compare(samples, versions[champion])
        if math.isnan(gap):
            continue
        state: State = "no data"
        labelled = (
            one.total("ml_labelled_predictions_total") for one in (samples, versions[champion])
        )
        if min(labelled) >= LEAST_LABELLED:
            crossed = (severity for severity in SEVERITIES if gap > MATERIAL[severity])
            state = worst(crossed) if z > critical_value(samples) else "ok"
        thresholds = {severity: MATERIAL[severity] for severity in SEVERITIES}
        verdicts[name] = ChampionVerdict(champion, gap, z, thresholds, state)
    return verdicts


def _compare(samples: Samples, champion: Samples) -> tuple[float, float]:
    """By how much a version is worse, and by how many standard errors; NaN if unknown."""
    own, others = (_outcomes(one) for one in (samples, champion))
    if own[1] and others[1]:
        return others[0] / others[1] - own[0] / own[1], two_proportion_z(*own, *others)
    errors, usual = (_errors(one) for one in (samples, champion))
    if errors[2] and usual[2] and usual[0]:
        gap = (errors[0] / errors[2]) / (usual[0] / usual[2]) - 1
        return gap, two_mean_z(*errors, *usual)
    return math.nan, math.nan


def _outcomes(samples: Samples) -> tuple[float, float]:
    """Correct predictions, and all that are labelled."""
    outcomes = samples["ml_outcomes_total"]
    right = sum(rows for labels, rows in outcomes if labels["correct"] == "true")
    return right, sum(rows for _, rows in outcomes)


def _errors(samples: Samples) -> tuple[float, float, float]:
    """Sums of absolute and of squared errors, and how many they are of."""
    absolute, squared, rows = (
        samples.total(name)
        for name in (
            "ml_absolute_error_total",
            "ml_squared_error_total",
            "ml_prediction_errors_total",
        )
    )
    return absolute, squared, rows
