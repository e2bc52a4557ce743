"""What is expected of figures before labels come, and whether that still holds.

The judgements are those of `model:estimated_shortfall` and of the alert `ConceptDrift`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ml_exporter.config.thresholds import Severity
from ml_exporter.judgement.performance_verdicts import (
    baseline_figures,
    score_counts,
    scored_rows,
    shortfall_state,
)
from ml_exporter.judgement.samples import Samples
from ml_exporter.judgement.verdicts import EstimateVerdict, Figure, State
from ml_exporter.rules import estimated_scores
from ml_exporter.rules.degradation import LEAST_LABELLED
from ml_exporter.rules.estimation import FIGURES, INTERVALS, REGRESSION, SAME_ROWS
from ml_exporter.rules.estimation_alerts import LEAST_PREDICTIONS, MATERIAL, MATERIAL_SHARE
from ml_exporter.statistics import calibration, intervals, performance, scores
from ml_exporter.statistics.bins import Floats
from ml_exporter.statistics.intervals import UNKNOWN, Interval
from ml_exporter.statistics.significance import interval_z

Values = Mapping[str, float]


def judged_estimate(
    samples: Samples, positive: str | None, labelled: float, truth: Values
) -> EstimateVerdict | None:
    """By the better estimator, if there is one; `truth` has the figures that labels gave."""
    estimator = next(
        (of["estimator"] for of, _ in samples["ml_estimator_info"] if of["preferred"] == "true"),
        None,
    )
    if estimator is None:
        return None
    rows, values = _expected(samples, "ml_estimated", estimator, positive)
    errors = _errors(samples, estimator, positive, labelled, truth)
    drift = _calibration_drift(samples, labelled, truth, errors)
    concept: State | None = None
    if labelled >= LEAST_LABELLED and not math.isnan(drift):
        concept = "warning" if drift > 1 and _is_material(errors, truth) else "ok"
    is_broken = concept is not None and drift > 1
    bounds = _bounds(samples, estimator, positive)
    return EstimateVerdict(
        estimator=estimator,
        rows=rows,
        figures=tuple(
            _figure(samples, metric, values[metric], bounds.get(metric, UNKNOWN), rows, is_broken)
            for metric in FIGURES
            if metric in values
        ),
        errors=errors,
        calibration_drift=drift,
        concept=concept,
    )


def _expected(
    samples: Samples, of: str, estimator: str, positive: str | None
) -> tuple[float, Values]:
    """Rows that an estimator has counted, and the figures that it expects of them."""
    rows, absolute, squared = _sums(samples, of, estimator)
    classes = performance.of_cells(_cells(samples, of, estimator))
    if not rows:
        return 0.0, {}
    if classes:
        losses = {name: value for name, (value, _) in _losses(samples, of, estimator).items()}
        areas = scores.figures(_score_bins(samples)) if of == "ml_estimated" else {}
        return rows, {**performance.model_figures(classes, positive), **areas, **losses}
    return rows, {
        "mean_absolute_error": absolute / rows,
        "root_mean_squared_error": math.sqrt(squared / rows),
    }


def _sums(samples: Samples, of: str, estimator: str) -> list[float]:
    """Rows that an estimator has counted, their absolute errors and their squared ones."""
    return [
        sum(value for labels, value in samples[f"{of}_{kind}_total"] if _is(labels, estimator))
        for kind in ("predictions", "absolute_error", "squared_error")
    ]


def _is(labels: Mapping[str, str], estimator: str) -> bool:
    return labels["estimator"] == estimator


def _cells(samples: Samples, of: str, estimator: str) -> list[performance.Cell]:
    return [
        (labels["actual"], labels["predicted"], labels["correct"] == "true", rows)
        for labels, rows in samples[f"{of}_outcomes_total"]
        if _is(labels, estimator)
    ]


def _bounds(samples: Samples, estimator: str, positive: str | None) -> Mapping[str, Interval]:
    """Intervals of the figures that have one, if the estimator's probabilities are right."""
    cells = _cells(samples, "ml_estimated", estimator)
    if not sum(rows for *_, rows in cells):
        rows, absolute, squared = _sums(samples, "ml_estimated", estimator)
        return {"mean_absolute_error": intervals.mean(absolute, squared, rows)}
    found = performance.model_intervals(cells, positive)
    known = INTERVALS if positive is not None else ("accuracy",)
    return {
        **{metric: found[metric] for metric in known if metric in found},
        **scores.figure_intervals(_score_bins(samples)),
        **{name: ends for name, (_, ends) in _losses(samples, "ml_estimated", estimator).items()},
    }


def _score_bins(samples: Samples) -> list[scores.ScoredRows]:
    """Rows of each class's score bins that are expected to be of it, and those that aren't."""
    return scored_rows(samples, score_counts(samples, "ml_estimated_score_values_total"))


def _losses(samples: Samples, of: str, estimator: str) -> dict[str, tuple[float, Interval]]:
    """Expected losses of scores, and their intervals."""

    def total(kind: str) -> float:
        found = samples[f"{of}_{kind}_total"]
        return sum(value for labels, value in found if _is(labels, estimator))

    rows = total("scored_predictions")
    if not rows:
        return {}
    return {
        name: (
            total(name) / rows,
            intervals.mean(total(name), total(f"{name}_squared"), rows),
        )
        for name in estimated_scores.LOSSES
    }


def _errors(
    samples: Samples, estimator: str, positive: str | None, labelled: float, truth: Values
) -> Values:
    """What was expected of labelled predictions, less what came true."""
    rows, values = _expected(samples, "ml_labelled_estimated", estimator, positive)
    if not rows or rows < SAME_ROWS * labelled:
        return {}
    return {
        metric: values[metric] - truth[metric]
        for metric in FIGURES
        if metric in values and metric in truth
    }


def _is_material(errors: Values, truth: Values) -> bool:
    shares = any(abs(errors.get(metric, 0.0)) > MATERIAL for metric in ("accuracy", "f1"))
    error = abs(errors.get("mean_absolute_error", 0.0))
    return shares or error > MATERIAL_SHARE * truth.get("mean_absolute_error", math.inf)


def _calibration_drift(samples: Samples, labelled: float, truth: Values, errors: Values) -> float:
    """The greatest of statistic over critical value, as `model:calibration_drift`."""
    critical = {
        (of["class"], of["test"]): value for of, value in samples["ml_calibration_critical_value"]
    }
    ratios: list[float] = []
    for name, counts in labelled_scores(samples).items():
        for test, statistic in (
            ("bins", calibration.bin_statistic),
            ("overall", calibration.overall_z),
        ):
            if (name, test) in critical:
                ratios.append(abs(statistic(*counts)) / critical[name, test])
    if ("", "error") in critical:
        rows = samples.total("ml_estimator_baseline_rows")
        ratios.append(abs(_error_z(errors, truth, labelled, rows)) / critical["", "error"])
    return max((one for one in ratios if not math.isnan(one)), default=math.nan)


def labelled_scores(samples: Samples) -> dict[str, Floats]:
    """Labelled rows by class, shape (4, bins of the score).

    They are those of the class and the others, then the same of the baseline.
    """
    now, usual = (
        score_counts(samples, name)
        for name in ("ml_labelled_score_values_total", "ml_labelled_score_baseline_rows")
    )
    return {
        name: np.array(
            [(*rows, *usual.get(name, {}).get(bin, (0.0, 0.0))) for bin, rows in bins.items()]
        ).T
        for name, bins in now.items()
    }


def _error_z(errors: Values, truth: Values, labelled: float, baseline_rows: float) -> float:
    """The estimator's own error over its standard error."""
    if not labelled or not baseline_rows:
        return math.nan
    if "accuracy" in errors:
        error, variance = errors["accuracy"], truth["accuracy"] * (1 - truth["accuracy"])
    elif "mean_absolute_error" in errors:
        mean, root = truth["mean_absolute_error"], truth["root_mean_squared_error"]
        error, variance = errors["mean_absolute_error"], root**2 - mean**2
    else:
        return math.nan
    squared = variance * (1 / labelled + 1 / baseline_rows)
    return error / math.sqrt(squared) if squared > 0 else math.nan


def _figure(
    samples: Samples,
    metric: str,
    value: float,
    interval: Interval,
    rows: float,
    is_broken: bool,
) -> Figure:
    def z(_: Severity, reference: float) -> float:
        return interval_z(value, *interval, reference)

    thresholds = samples.thresholds(metric)
    state: State | None = None
    # A mean over classes has no interval: of few rows it is often as low by chance.
    may_be_judged = metric in REGRESSION or not math.isnan(interval[0])
    if thresholds and may_be_judged and not is_broken:
        state = "no data"
        if rows >= LEAST_PREDICTIONS:
            state = shortfall_state(samples, metric, value, thresholds, z)
    baseline = baseline_figures(samples).get(metric)
    return Figure(metric, value, interval, baseline, thresholds, state)
