"""Figures of performance against their thresholds, as `model:shortfall` judges them.

A figure is judged from 100 labelled predictions on. It is unwell if it is beyond its threshold, and
worse than its reference by more than chance explains.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ml_exporter.config.thresholds import Severity
from ml_exporter.judgement.samples import Samples
from ml_exporter.judgement.verdicts import ConstantVerdict, Figure, Limits, State, worst
from ml_exporter.rules.best_constant import LEAST_OF_OTHERS
from ml_exporter.rules.degradation import LEAST_LABELLED, USUAL_CRITICAL_VALUE
from ml_exporter.statistics import figures, intervals, performance, regression, scores
from ml_exporter.statistics.intervals import UNKNOWN, Interval
from ml_exporter.statistics.performance import Cell
from ml_exporter.statistics.significance import interval_z, mcnemar_z, proportion_z


def judged_figures(samples: Samples, positive: str | None, labelled: float) -> Iterable[Figure]:
    """The figures that can be judged, as far as they are defined."""
    baseline = baseline_figures(samples)
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


def against_constant(
    samples: Samples, labelled: float, judged: Iterable[Figure]
) -> ConstantVerdict | None:
    """Whether a model is better than a constant one, as `model:worthless`; None without labels."""
    by_metric = {one.metric: one for one in judged}
    critical = critical_value(samples)
    if (r2 := by_metric.get("r2")) is not None:
        z = -interval_z(r2.value, r2.value, r2.interval[1], 0.0) / 2
        is_worse = labelled >= LEAST_LABELLED and z > critical
        return ConstantVerdict("r2", r2.value, 0.0, "warning" if is_worse else "ok")
    classes = performance.of_cells(outcomes(samples))
    constant = performance.model_figures(classes).get("constant_accuracy")
    if "accuracy" not in by_metric or constant is None:
        return None
    gained, lost = performance.against_constant(classes)
    others = (1 - constant) * labelled
    knows = any(
        by_metric[metric].interval[0] > chance
        for metric, chance in (("matthews_correlation", 0.0), ("roc_auc", 0.5))
        if metric in by_metric
    )
    is_worse = not gained or mcnemar_z(lost, gained) > critical
    is_known = labelled >= LEAST_LABELLED and others >= LEAST_OF_OTHERS
    state: State = "warning" if is_worse and is_known and not knows else "ok"
    return ConstantVerdict("accuracy", by_metric["accuracy"].value, constant, state)


@dataclass(frozen=True)
class _Found:
    values: Mapping[str, float]
    intervals: Mapping[str, Interval]
    shares: Mapping[str, tuple[float, float]]  # successes and trials


def _figures(samples: Samples, positive: str | None) -> _Found:
    cells = list(outcomes(samples))
    classes = performance.of_cells(cells)
    values = [performance.model_figures(classes, positive)]
    bounds = [performance.model_intervals(cells, positive)]
    for of_values, of_bounds in (_of_scores(samples), _of_losses(samples), _of_errors(samples)):
        values.append(of_values)
        bounds.append(of_bounds)
    return _Found(
        {name: value for found in values for name, value in found.items()},
        {name: bound for found in bounds for name, bound in found.items()},
        performance.shares(classes, positive),
    )


_Figures = tuple[dict[str, float], dict[str, Interval]]


def _of_scores(samples: Samples) -> _Figures:
    """Of score bins: several classes are averaged, as `rules/scores.py` does."""
    counts = score_counts(samples, "ml_labelled_score_values_total")
    classes = scored_rows(samples, counts)
    values = scores.figures(classes)
    bounds = scores.figure_intervals(classes)
    sums = {
        (labels["class"], labels["bin"]): total
        for labels, total in samples["ml_labelled_score_bin_sum_total"]
    }
    errors = [
        scores.expected_calibration_error(
            of.positives, of.negatives, [sums.get((name, bin), 0.0) for bin in counts[name]]
        )
        for name, of in zip(counts, classes, strict=True)
        if np.sum(of.positives) + np.sum(of.negatives)
    ]
    if errors:
        values["expected_calibration_error"] = sum(errors) / len(errors)
    return values, bounds


def _of_losses(samples: Samples) -> _Figures:
    """Means of sums over labelled predictions."""
    values: dict[str, float] = {}
    bounds: dict[str, Interval] = {}
    for name, of, rows_of in (
        ("log_loss", "ml_log_loss", "ml_scored_predictions_total"),
        ("brier_score", "ml_brier_score", "ml_scored_predictions_total"),
        ("mean_reciprocal_rank", "ml_reciprocal_rank", "ml_ranked_predictions_total"),
    ):
        if rows := samples.total(rows_of):
            total = samples.total(f"{of}_total")
            values[name] = total / rows
            bounds[name] = intervals.mean(total, samples.total(f"{of}_squared_total"), rows)
    return values, bounds


def _of_errors(samples: Samples) -> _Figures:
    """Of a regression."""
    deviation = samples.by("ml_actual_deviation_total", "direction")
    of = regression.Sums(
        rows=samples.total("ml_prediction_errors_total"),
        absolute=samples.total("ml_absolute_error_total"),
        squared=samples.total("ml_squared_error_total"),
        squared_squared=samples.total("ml_squared_error_squared_total"),
        percentage=samples.total("ml_absolute_percentage_error_total"),
        percentage_squared=samples.total("ml_absolute_percentage_error_squared_total"),
        percentage_rows=samples.total("ml_percentage_error_rows_total"),
        over=samples.total("ml_overprediction_total"),
        under=samples.total("ml_underprediction_total"),
        above=deviation.get("above", 0.0),
        below=deviation.get("below", 0.0),
        squared_deviation=samples.total("ml_actual_squared_deviation_total"),
    )
    if not of.rows:
        return {}, {}
    values, bounds = regression.figures(of), regression.figure_intervals(of)
    cumulative = samples.by("ml_prediction_error_bucket", "le")
    uppers = [float(le) for le in cumulative]
    counts = np.array(list(cumulative.values()))
    if samples.total("ml_prediction_error_count"):
        for name, q in (("median_absolute_error", 0.5), ("p90_absolute_error", 0.9)):
            values[name] = regression.quantile(q, uppers[:-1], counts)
            bounds[name] = regression.quantile_interval(q, uppers[:-1], counts)
    return values, bounds


def outcomes(samples: Samples) -> Iterable[Cell]:
    for labels, rows in samples["ml_outcomes_total"]:
        yield labels["actual"], labels["predicted"], labels["correct"] == "true", rows


def score_counts(samples: Samples, name: str) -> dict[str, dict[str, tuple[float, float]]]:
    """Labelled rows by class and score bin: those of the class, and the others."""
    found: dict[str, dict[str, tuple[float, float]]] = defaultdict(dict)
    for of, rows in samples[name]:
        hits, others = found[of["class"]].get(of["bin"], (0.0, 0.0))
        of_bin = (hits + rows, others) if of["actual"] == "true" else (hits, others + rows)
        found[of["class"]][of["bin"]] = of_bin
    return found


def scored_rows(
    samples: Samples, counts: Mapping[str, Mapping[str, tuple[float, float]]]
) -> list[scores.ScoredRows]:
    """`score_counts` of each class, with how tied the baseline's scores are in each bin."""
    ties = {(of["class"], of["bin"]): chance for of, chance in samples["ml_score_baseline_ties"]}
    return [
        scores.ScoredRows(
            [hits for hits, _ in bins.values()],
            [others for _, others in bins.values()],
            [ties.get((name, bin), 0.0) for bin in bins],
        )
        for name, bins in counts.items()
    ]


def baseline_figures(samples: Samples) -> dict[str, float]:
    """What the baseline has of the whole model, by metric."""
    return {
        labels["metric"]: value
        for labels, value in samples["ml_baseline_performance"]
        if "class" not in labels
    }


def critical_value(samples: Samples) -> float:
    """By how many standard errors a figure must be worse, for chance not to explain it."""
    return samples.total("ml_performance_critical_value") or USUAL_CRITICAL_VALUE


def shortfall_state(
    samples: Samples,
    metric: str,
    value: float,
    thresholds: Limits,
    z: Callable[[Severity, float], float],
) -> State:
    """Of a figure that is beyond thresholds, and worse than their references by more than chance.

    `z` gives by how many standard errors the figure is above a severity's reference; NaN where
    that isn't known, and the threshold alone decides.
    """
    references = _by_severity(samples, "ml_threshold_reference", metric)
    critical = critical_value(samples)
    sign = 1 if metric in figures.HIGHER_IS_BETTER else -1
    crossed: list[State] = []
    for severity, threshold in thresholds.items():
        is_beyond = sign * (threshold - value) > 0
        worse = -sign * z(severity, references.get(severity, threshold))
        if is_beyond and (math.isnan(worse) or worse > critical):
            crossed.append(severity)
    return worst(crossed)


def _by_severity(samples: Samples, name: str, metric: str) -> dict[str, float]:
    return {
        labels["severity"]: value for labels, value in samples[name] if labels["monitor"] == metric
    }


def _state(
    metric: str, found: _Found, samples: Samples, thresholds: Limits, labelled: float
) -> State:
    rows = _by_severity(samples, "ml_threshold_reference_rows", metric)

    def z(severity: Severity, reference: float) -> float:
        # A reference that was measured has an error of its own.
        growth = math.sqrt(1 + labelled / rows.get(severity, math.inf))
        return _z(metric, found, reference) / growth

    return shortfall_state(samples, metric, found.values[metric], thresholds, z)


def _z(metric: str, found: _Found, reference: float) -> float:
    """By how many standard errors a figure is above its reference; NaN where that isn't known."""
    if metric in found.shares:
        if metric == "f1":  # whose share is Jaccard's index
            reference = reference / (2 - reference)
        return proportion_z(*found.shares[metric], reference)
    return interval_z(found.values[metric], *found.intervals.get(metric, UNKNOWN), reference)
