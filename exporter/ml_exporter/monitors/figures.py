"""The figures that a model had on the rows of its baseline."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ml_exporter.baseline.baseline import Baseline
from ml_exporter.monitors.errors import baseline_figures
from ml_exporter.statistics import performance, scores


def baseline_performance(
    baseline: Baseline | None, positive: str | None
) -> tuple[Mapping[str, float], Mapping[str, Mapping[str, float]]]:
    """The model's figures, and those of each class, as far as the baseline has what they need."""
    if baseline is None:
        return {}, {}
    of_scores = _figures_of_scores(baseline)
    if not baseline.confusion:
        return of_scores | baseline_figures(baseline.errors), {}
    met = (name for cell in baseline.confusion for name in (cell.actual, cell.predicted))
    classes = sorted({*baseline.classes, *met})
    index = {name: number for number, name in enumerate(classes)}
    confusion = np.zeros((len(classes), len(classes)))
    for cell in baseline.confusion:
        confusion[index[cell.actual], index[cell.predicted]] = cell.count
    return (
        performance.figures(confusion, classes, positive) | of_scores,
        performance.class_figures(confusion, classes),
    )


def _figures_of_scores(baseline: Baseline) -> dict[str, float]:
    found = scores.figures(
        scores.ScoredRows(one.positives, one.negatives, one.ties or 0.0) for one in baseline.scores
    )
    distances = [
        scores.expected_calibration_error(one.positives, one.negatives, one.sums)
        for one in baseline.scores
        if one.sums
    ]
    if distances:
        found["expected_calibration_error"] = sum(distances) / len(distances)
    if losses := baseline.losses:
        found["log_loss"] = losses.log_loss / losses.rows
        found["brier_score"] = losses.brier_score / losses.rows
    return found
