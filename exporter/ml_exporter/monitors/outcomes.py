"""Labelled predictions: the confusion matrix, and how long labels took."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml_exporter.batch import LABEL, PREDICTION, Batch
from ml_exporter.families import Family, Histogram
from ml_exporter.statistics.bins import INVALID, MISSING, OTHER

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_DELAYS = (
    *(1.0, 10.0, _MINUTE, 10 * _MINUTE, _HOUR, 6 * _HOUR),
    *(_DAY, 3 * _DAY, 7 * _DAY, 14 * _DAY, 30 * _DAY, 90 * _DAY),
)
_MOST_CLASSES_IN_FULL = 10  # of more classes, only the pairs that occur get a series


class Outcomes:
    """Counts labelled predictions; `classified` is False where the prediction is a number.

    Classes that weren't expected get series as they come, up to `most` classes in all.
    """

    def __init__(self, model: str, version: str, classified: bool, most: int) -> None:
        of = {"model": model, "version": version}
        self._outcomes = Family(
            "ml_outcomes_total",
            "Labelled predictions by actual and predicted class: the confusion matrix.",
            "counter",
            ("actual", "predicted", "correct"),
            of=of,
        )
        self._labelled = Family(
            "ml_labelled_predictions_total",
            "Predictions whose true outcome is known.",
            "counter",
            of=of,
        )
        self._labelled.add()
        self._delay = Histogram(
            "ml_label_delay_seconds", "Time from a prediction to its label.", _DELAYS, of=of
        )
        self.families = (self._outcomes, self._labelled, self._delay)
        self._classified = classified
        self._most = most
        self._classes: dict[str, None] = {}

    def expect(self, classes: Sequence[str]) -> None:
        """Let the series of classes begin, before any of them occurs."""
        self._classes |= dict.fromkeys(classes)
        if len(self._classes) <= _MOST_CLASSES_IN_FULL:
            for actual in self._classes:
                for predicted in self._classes:
                    self._outcomes.add(actual, predicted, correctness(actual, predicted))

    def resume(self) -> None:
        """Know the classes of series that were restored."""
        for labels in self._outcomes.label_sets:
            *_, actual, predicted, _ = labels
            for name in (actual, predicted):
                if name not in (MISSING, INVALID, OTHER):
                    self._classes[name] = None

    def update(self, batch: Batch) -> None:
        if batch.delays is not None:
            self._delay.observe(batch.delays[~np.isnan(batch.delays)])
        label = batch.fields[LABEL]
        if not self._classified:
            self._labelled.inc(int(np.count_nonzero(~np.isnan(label.numbers.values))))
            return
        predicted = batch.fields[PREDICTION].categories
        for (truth, guess), rows in label.categories.cross(predicted).items():
            if truth not in (MISSING, INVALID):  # what is no class is no truth
                labels = (self._class(truth), self._class(guess), correctness(truth, guess))
                self._outcomes.inc(rows, *labels)
                self._labelled.inc(rows)

    def _class(self, name: str) -> str:
        if name in self._classes or name in (MISSING, INVALID):
            return name
        if len(self._classes) >= self._most:
            return OTHER
        self._classes[name] = None
        return name


def correctness(actual: str, predicted: str) -> str:
    """The label `correct` of an outcome."""
    return "true" if actual == predicted else "false"
