"""Figures of performance against their thresholds, as `model:shortfall` judges them.

A figure is judged from 100 labelled predictions on. It is unwell if it is beyond its threshold, and
worse than its reference by more than chance explains.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ml_exporter.rules.degradation import LEAST_LABELLED, USUAL_CRITICAL_VALUE
from ml_exporter.samples import Samples
from ml_exporter.statistics import figures, performance
from ml_exporter.statistics.intervals import UNKNOWN, Interval
from ml_exporter.statistics.performance import Cell
from ml_exporter.statistics.significance import interval_z, proportion_z
from ml_exporter.thresholds import Severity
from ml_exporter.verdicts import Figure, State, worst


def judged_figures(samples: Samples, positive: str | None, labelled: float) -> Iterable[Figure]:
    """The figures that can be judged, as far as they are defined."""
    baseline = {
        labels["metric"]: value
        for labels, value in samples["ml_baseline_performance"]
        if "class" not in labels
    }
    found = _figures(samples, positive)
    for metric in figures.JUDGED:
        if metric not in found.values:
            continue
        thresholds = samples.thresholds(metric)
        state: State | None = None
        if thresholds:
            state = "no data"
            if labelled >= LEAST_LABELLED:
                state = _state(metric, found, samples, thresholds, labelled)
        yield Figure(
            metric=metric,
            value=found.values[metric],
            interval=found.intervals.get(metric, UNKNOWN),
            baseline=baseline.get(metric),
            thresholds=thresholds,
            state=state,
        )


@dataclass(frozen=True)
class _Found:
    values: Mapping[str, float]
    intervals: Mapping[str, Interval]
    shares: Mapping[str, tuple[float, float]]  # successes and trials


def _figures(samples: Samples, positive: str | None) -> _Found:
    classes = performance.of_cells(outcomes(samples))
    return _Found(
        performance.model_figures(classes, positive),
        performance.model_intervals(classes, positive),
        performance.shares(classes, positive),
    )


def outcomes(samples: Samples) -> Iterable[Cell]:
    for labels, rows in samples["ml_outcomes_total"]:
        yield labels["actual"], labels["predicted"], labels["correct"] == "true", rows


def _state(
    metric: str,
    found: _Found,
    samples: Samples,
    thresholds: Mapping[Severity, float],
    labelled: float,
) -> State:
    references, rows = (
        {
            labels["severity"]: value
            for labels, value in samples[name]
            if labels["monitor"] == metric
        }
        for name in ("ml_threshold_reference", "ml_threshold_reference_rows")
    )
    critical = samples.total("ml_performance_critical_value") or USUAL_CRITICAL_VALUE
    sign = 1 if metric in figures.HIGHER_IS_BETTER else -1
    crossed = []
    for severity, threshold in thresholds.items():
        is_beyond = sign * (threshold - found.values[metric]) > 0
        # A reference that was measured has an error of its own.
        growth = math.sqrt(1 + labelled / rows.get(severity, math.inf))
        z = -sign * _z(metric, found, references.get(severity, threshold)) / growth
        if is_beyond and (math.isnan(z) or z > critical):
            crossed.append(severity)
    return worst(crossed)


def _z(metric: str, found: _Found, reference: float) -> float:
    """By how many standard errors a figure is above its reference; NaN where that isn't known."""
    if metric in found.shares:
        if metric == "f1":  # whose share is Jaccard's index
            reference = reference / (2 - reference)
        return proportion_z(*found.shares[metric], reference)
    return interval_z(found.values[metric], *found.intervals.get(metric, UNKNOWN), reference)
