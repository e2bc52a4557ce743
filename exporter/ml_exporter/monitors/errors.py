"""Errors of a regression: sums over labelled predictions, and a histogram."""

from __future__ import annotations

import numpy as np

from ml_exporter.baseline.labelled_baseline import Errors as BaselineErrors
from ml_exporter.baseline.labelled_baseline import errors_of
from ml_exporter.batch import Batch
from ml_exporter.families import Family, Histogram
from ml_exporter.monitors.sums import Sums
from ml_exporter.statistics import regression

DEFAULT_EDGES = tuple(
    float(f"{digit}e{exponent}") for exponent in range(-3, 6) for digit in (1, 2, 5)
)
_BEYOND = (2.0, 5.0, 10.0, 100.0)  # times the greatest error of the baseline: a model gets worse


class ErrorSums:
    """Sums of the errors of rows that have a number as prediction and as label.

    A prediction or label beyond 1e75 is no number here. The percentage errors have a count of rows
    of their own: those whose truth isn't 0.
    """

    def __init__(self, model: str, version: str) -> None:
        of = {"model": model, "version": version}
        of_rows = "Labelled predictions with a number for prediction and truth."
        of_percentages = "Those of them whose truth isn't 0: they have a percentage error."
        sums = {
            "ml_absolute_error_total": "Absolute errors, summed.",
            "ml_squared_error_total": "Squares of errors.",
            "ml_squared_error_squared_total": "Squares of squared errors.",
            "ml_absolute_percentage_error_total": "|error / truth|, where the truth isn't 0.",
            "ml_absolute_percentage_error_squared_total": "Squares of |error / truth|.",
            "ml_overprediction_total": "Prediction less truth, where it is above 0.",
            "ml_underprediction_total": "Truth less prediction, where it is above 0.",
        }
        self._rows = Family("ml_prediction_errors_total", of_rows, "counter", of=of)
        self._percentage_rows = Family(
            "ml_percentage_error_rows_total", of_percentages, "counter", of=of
        )
        self._rows.add()
        self._percentage_rows.add()
        families = [Family(name, help, "counter", of=of) for name, help in sums.items()]
        self.families = (self._rows, self._percentage_rows, *families)
        self._sums = Sums([(family, ()) for family in families])

    def update(self, batch: Batch) -> None:
        of = regression.sums(*errors_of(batch))
        self._rows.inc(of.rows)
        self._percentage_rows.inc(of.percentage_rows)
        amounts = (
            *(of.absolute, of.squared, of.squared_squared),
            *(of.percentage, of.percentage_squared, of.over, of.under),
        )
        self._sums.add(np.array(amounts), int(of.rows))


class ErrorDistribution:
    """A histogram of absolute errors by the baseline's edges, and the truth about its mean.

    Without labelled rows in the baseline, edges are the usual ones and the truth is about 0. As
    long as its series count, the point stays: another baseline has series of its own.
    """

    def __init__(
        self, model: str, version: str, baseline_id: str, errors: BaselineErrors | None
    ) -> None:
        of = {"model": model, "version": version, "baseline_id": baseline_id}
        self._point = errors.mean_actual if errors else 0.0
        self._histogram = Histogram(
            "ml_prediction_error", "Absolute errors of labelled predictions.", edges(errors), of=of
        )
        deviation = Family(
            "ml_actual_deviation_total",
            "Distances of the truth from the baseline's mean, above and below it.",
            "counter",
            ("direction",),
            of=of,
        )
        squared = Family(
            "ml_actual_squared_deviation_total",
            "Squared distances of the truth from the baseline's mean.",
            "counter",
            of=of,
        )
        point = Family(
            "ml_baseline_mean_actual", "Mean of the truth in the baseline, or 0.", "gauge", of=of
        )
        point.set(self._point)
        self._sums = Sums([(deviation, ("above",)), (deviation, ("below",)), (squared, ())])
        self.families = (self._histogram, deviation, squared, point)

    def update(self, batch: Batch) -> None:
        errors, actual = errors_of(batch)
        self._histogram.observe(np.abs(errors))
        self._sums.add(np.array(regression.deviations(actual, self._point)), errors.size)


def edges(errors: BaselineErrors | None) -> list[float]:
    """Upper edges of the histogram of absolute errors, in ascending order."""
    if errors is None:
        return list(DEFAULT_EDGES)
    last = errors.edges[-1]
    beyond = [last * times for times in _BEYOND if 0 < last < regression.LARGEST]
    return [*errors.edges, *beyond]


def baseline_figures(errors: BaselineErrors | None) -> dict[str, float]:
    """The figures that a regression had on the rows of its baseline."""
    if errors is None:
        return {}
    quantiles = {
        name: regression.quantile(q, errors.edges, np.array(errors.counts))
        for name, q in regression.QUANTILES.items()
        if errors.counts
    }
    return quantiles | regression.figures(
        regression.Sums(
            rows=errors.rows,
            absolute=errors.absolute,
            squared=errors.squared,
            percentage=errors.percentage,
            percentage_rows=errors.percentage_rows,
            over=errors.over,
            under=errors.under,
            squared_deviation=errors.squared_deviation,
        )
    )
