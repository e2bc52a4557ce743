"""Money: what the outcomes of labelled predictions were worth, at configured prices."""

from __future__ import annotations

import numpy as np

from ml_exporter.baseline.labelled_baseline import errors_of
from ml_exporter.batch import LABEL, PREDICTION, Batch
from ml_exporter.columns import Column
from ml_exporter.config.outcome_values import OF_REGRESSION, OutcomeValues
from ml_exporter.families import Family
from ml_exporter.monitors.sums import Sums
from ml_exporter.statistics.bins import INVALID, MISSING, Floats


class OutcomeValue:
    """Sums the prices of outcomes, gains apart from losses.

    They are priced that are in the confusion matrix, or have an error. A binary prediction that is
    no class is not the positive one.
    """

    def __init__(self, model: str, version: str, values: OutcomeValues) -> None:
        of = {"model": model, "version": version}
        value = Family(
            "ml_outcome_value_total",
            "What outcomes were worth, gained and lost.",
            "counter",
            ("sign", "currency"),
            of=of,
        )
        self._valued = Family(
            "ml_valued_predictions_total",
            "Labelled predictions whose outcome was priced, at 0 too.",
            "counter",
            ("currency",),
            of=of,
        )
        self._valued.add(values.currency)
        self._sums = Sums([(value, (sign, values.currency)) for sign in ("gain", "loss")])
        self.families = (value, self._valued)
        self._values = values

    def update(self, batch: Batch) -> None:
        if set(OF_REGRESSION) & set(self._values.values):
            errors, _ = errors_of(batch)
            rows, prices = errors.size, self._of_errors(errors)
        elif PREDICTION not in batch.fields:
            return
        else:
            rows, prices = self._of_classes(batch.fields[LABEL], batch.fields[PREDICTION])
        amounts = np.array((prices[prices > 0].sum(), -prices[prices < 0].sum()))
        self._sums.add(amounts, rows)
        self._valued.inc(rows, self._values.currency)

    def _of_errors(self, errors: Floats) -> Floats:
        over, under = (self._values.values.get(name, 0.0) for name in OF_REGRESSION)
        return np.where(errors > 0, over * errors, -under * errors)

    def _of_classes(self, label: Column, prediction: Column) -> tuple[int, Floats]:
        priced = {
            outcome: rows
            for outcome, rows in label.categories.cross(prediction.categories).items()
            if outcome[0] not in (MISSING, INVALID)
        }
        prices = [rows * self._price(*outcome) for outcome, rows in priced.items()]
        return sum(priced.values()), np.array(prices, dtype=np.float64)

    def _price(self, actual: str, predicted: str) -> float:
        of = self._values
        if of.positive is None:
            return of.cells.get((actual, predicted), 0.0)
        correct = "true" if (actual == of.positive) == (predicted == of.positive) else "false"
        sign = "positive" if predicted == of.positive else "negative"
        return of.values.get(f"{correct}_{sign}", 0.0)
