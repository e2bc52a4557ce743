"""The figures of a classifier, from its confusion matrix.

A confusion matrix has the shape (classes, classes): `confusion[i, j]` rows are of class i
and were predicted to be of class j. What is undefined is NaN, and left out of `figures`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

METRICS = ("precision", "recall", "specificity", "f1")
"""The figures that a class has against the rest."""


@dataclass(frozen=True)
class Outcomes:
    """Counts of one class against the rest, and their ratios: NaN where the divisor is 0."""

    true_positives: float
    false_positives: float
    false_negatives: float
    true_negatives: float

    @property
    def support(self) -> float:
        """Rows that are of the class."""
        return self.true_positives + self.false_negatives

    @property
    def occurs(self) -> bool:
        """Whether any row is of the class, or was predicted to be."""
        return self.support + self.false_positives > 0

    @property
    def precision(self) -> float:
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        return _ratio(self.true_positives, self.support)

    @property
    def specificity(self) -> float:
        return _ratio(self.true_negatives, self.true_negatives + self.false_positives)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall.

        C. J. van Rijsbergen, Information Retrieval (1979).
        """
        mistakes = self.false_positives + self.false_negatives
        return _ratio(2 * self.true_positives, 2 * self.true_positives + mistakes)


def one_vs_rest(confusion: ArrayLike, classes: Sequence[str], label: str) -> Outcomes:
    """The confusion matrix of one class against all others; no rows are of an unknown class."""
    counts = np.asarray(confusion, dtype=np.float64)
    is_class = np.array([name == label for name in classes], dtype=bool)
    predicted_class = counts[:, is_class].sum(axis=1)
    predicted_rest = counts[:, ~is_class].sum(axis=1)
    return Outcomes(
        true_positives=float(predicted_class[is_class].sum()),
        false_positives=float(predicted_class[~is_class].sum()),
        false_negatives=float(predicted_rest[is_class].sum()),
        true_negatives=float(predicted_rest[~is_class].sum()),
    )


def accuracy(confusion: ArrayLike) -> float:
    """Share of rows on the diagonal; NaN without rows."""
    counts = np.asarray(confusion, dtype=np.float64)
    return _ratio(float(np.trace(counts)), float(counts.sum()))


def class_figures(confusion: ArrayLike, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    """Precision, recall, specificity, F1 and support of each class, each where it is defined."""
    every = {label: one_vs_rest(confusion, classes, label) for label in classes}
    return {
        label: _defined(outcomes) | {"support": outcomes.support}
        for label, outcomes in every.items()
    }


def figures(
    confusion: ArrayLike, classes: Sequence[str], positive: str | None = None
) -> dict[str, float]:
    """Accuracy, precision, recall, specificity and F1 of a model, as far as defined.

    With a positive class (binary) they are of that class. Without (multiclass) all but
    accuracy are means over the classes that occur or were predicted, in which an undefined
    figure of such a class is 0: scikit-learn's `average="macro", zero_division=0`.
    """
    total = accuracy(confusion)
    if math.isnan(total):
        return {}
    if positive is not None:
        return {"accuracy": total} | _defined(one_vs_rest(confusion, classes, positive))
    every = [one_vs_rest(confusion, classes, label) for label in classes]
    occurring = [_defined(outcomes) for outcomes in every if outcomes.occurs]
    return {"accuracy": total} | {
        metric: sum(figure.get(metric, 0.0) for figure in occurring) / len(occurring)
        for metric in METRICS
    }


def wilson_interval(successes: float, trials: float, z: float) -> tuple[float, float]:
    """Score interval of a probability; `z` is the normal quantile, 1.96 for 95 % of both sides.

    NaN, NaN without trials.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference (1927).
    """
    if not trials:
        return math.nan, math.nan
    share = successes / trials
    spread = z * math.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    middle = share + z * z / (2 * trials)
    shrinkage = 1 + z * z / trials
    return (
        max(0.0, (middle - spread) / shrinkage),
        min(1.0, (middle + spread) / shrinkage),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _defined(outcomes: Outcomes) -> dict[str, float]:
    figures: dict[str, float] = {metric: getattr(outcomes, metric) for metric in METRICS}
    return {metric: value for metric, value in figures.items() if not math.isnan(value)}
