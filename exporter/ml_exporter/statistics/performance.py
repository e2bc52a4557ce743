"""The figures of a classifier, and their intervals, from its confusion matrix.

A confusion matrix has the shape (classes, classes): `confusion[i, j]` rows are of class i
and were predicted to be of class j. What is undefined is NaN, and left out of `figures`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ml_exporter.statistics import intervals
from ml_exporter.statistics.bins import OTHER
from ml_exporter.statistics.intervals import Interval

METRICS = ("precision", "recall", "specificity", "f1")
"""The figures that a class has against the rest."""

_AVERAGED = (*METRICS, "negative_predictive_value")
_COMPLEMENTS = {"false_positive_rate": "specificity", "false_negative_rate": "recall"}

Cell = tuple[str, str, bool, float]
"""Actual and predicted class, whether that is correct, and rows."""


@dataclass(frozen=True)
class Outcomes:
    """Counts of one class against the rest, and their ratios: NaN where the divisor is 0."""

    rows: float
    support: float  # rows that are of the class
    predicted: float  # rows that were predicted to be
    true_positives: float
    true_negatives: float

    @property
    def occurs(self) -> bool:
        """Whether any row is of the class, or was predicted to be."""
        return self.support + self.predicted > 0

    @property
    def false_positives(self) -> float:
        return self.predicted - self.true_positives

    @property
    def false_negatives(self) -> float:
        return self.support - self.true_positives

    @property
    def precision(self) -> float:
        return _ratio(*self.share("precision"))

    @property
    def recall(self) -> float:
        return _ratio(*self.share("recall"))

    @property
    def specificity(self) -> float:
        return _ratio(*self.share("specificity"))

    @property
    def negative_predictive_value(self) -> float:
        return _ratio(*self.share("negative_predictive_value"))

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall.

        C. J. van Rijsbergen, Information Retrieval (1979).
        """
        return _ratio(2 * self.true_positives, self.support + self.predicted)

    def share(self, metric: str) -> tuple[float, float]:
        """Successes and trials of a figure that is a share; of F1, those of Jaccard's index."""
        return {
            "precision": (self.true_positives, self.predicted),
            "recall": (self.true_positives, self.support),
            "specificity": (self.true_negatives, self.rows - self.support),
            "negative_predictive_value": (self.true_negatives, self.rows - self.predicted),
            "f1": (self.true_positives, self.support + self.predicted - self.true_positives),
            "false_positive_rate": (self.false_positives, self.rows - self.support),
            "false_negative_rate": (self.false_negatives, self.support),
            "positive_rate": (self.predicted, self.rows),
        }[metric]

    def interval(self, metric: str) -> Interval:
        """95 % interval of a share, or of F1."""
        if metric == "f1":
            return intervals.jaccard_f1(
                self.true_positives, self.false_positives, self.false_negatives
            )
        return intervals.wilson(*self.share(metric))


def of_confusion(confusion: ArrayLike, classes: Sequence[str]) -> dict[str, Outcomes]:
    """The outcomes of each class against all others."""
    return of_cells(cells_of(confusion, classes))


def cells_of(confusion: ArrayLike, classes: Sequence[str]) -> list[Cell]:
    counts = np.asarray(confusion, dtype=np.float64)
    return [
        (actual, predicted, actual == predicted, float(counts[i, j]))
        for i, actual in enumerate(classes)
        for j, predicted in enumerate(classes)
    ]


def of_cells(cells: Iterable[Cell]) -> dict[str, Outcomes]:
    """The outcomes of each class against all others, where classes don't tell what is correct.

    Two that are both `<other>` may differ. Such a row is a mistake, and none of another class.
    """
    actual: dict[str, float] = defaultdict(float)
    predicted: dict[str, float] = defaultdict(float)
    hits: dict[str, float] = defaultdict(float)
    both: dict[str, float] = defaultdict(float)
    for truth, guess, correct, rows in cells:
        actual[truth] += rows
        predicted[guess] += rows
        hits[truth] += rows if correct else 0.0
        both[truth] += rows if truth == guess else 0.0
    total = sum(actual.values())
    return {
        name: Outcomes(
            rows=total,
            support=actual[name],
            predicted=predicted[name],
            true_positives=hits[name],
            true_negatives=total - actual[name] - predicted[name] + both[name],
        )
        for name in sorted({*actual, *predicted})
    }


def class_figures(confusion: ArrayLike, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    """Precision, recall, specificity, F1 and support of each class, each where it is defined."""
    return {
        label: _defined({metric: getattr(outcomes, metric) for metric in METRICS})
        | {"support": outcomes.support}
        for label, outcomes in of_confusion(confusion, classes).items()
    }


def figures(
    confusion: ArrayLike, classes: Sequence[str], positive: str | None = None
) -> dict[str, float]:
    """The figures of a model, as far as defined, from its confusion matrix."""
    return model_figures(of_confusion(confusion, classes), positive)


def model_figures(classes: Mapping[str, Outcomes], positive: str | None = None) -> dict[str, float]:
    """The figures of a model, as far as defined, from the outcomes of its classes.

    With a positive class (binary) they are of that class. Without (multiclass) precision, recall
    and their kin are means over the classes that occur or were predicted, in which an undefined
    figure of such a class is 0: scikit-learn's `average="macro", zero_division=0`; those that end
    in `_weighted` are weighted by support.
    """
    of_shares = {name: _ratio(*share) for name, share in shares(classes, positive).items()}
    of_shares["constant_accuracy"] = _constant_accuracy(classes)
    if positive is not None:
        return _defined(of_shares | _binary(_of_positive(classes, positive)))
    occurring = [one for one in classes.values() if one.occurs]
    averages = {metric: _macro(occurring, metric) for metric in _AVERAGED}
    return _defined(
        of_shares
        | averages
        | {rate: 1 - averages[metric] for rate, metric in _COMPLEMENTS.items()}
        | {f"{metric}_weighted": _weighted(occurring, metric) for metric in ("precision", "f1")}
        | {
            # A mean over the classes that occur.
            "balanced_accuracy": _macro([one for one in occurring if one.support], "recall"),
            "matthews_correlation": _correlation(occurring),
        }
    )


def against_constant(classes: Mapping[str, Outcomes]) -> tuple[float, float]:
    """Rows that are right where the best constant prediction is wrong, and the other way about.

    That always says the most frequent class, which `<other>` isn't. NaN, NaN without one.
    """
    named = [one for name, one in classes.items() if name != OTHER]
    if not named:
        return math.nan, math.nan
    most = max(one.support for one in named)
    hits = min(one.true_positives for one in named if one.support == most)
    return sum(one.true_positives for one in classes.values()) - hits, most - hits


def shares(
    classes: Mapping[str, Outcomes], positive: str | None = None
) -> dict[str, tuple[float, float]]:
    """Successes and trials of the figures that are shares; F1's are those of Jaccard's index."""
    if not classes:
        return {}
    rows = sum(one.support for one in classes.values())
    hits = sum(one.true_positives for one in classes.values())
    if positive is None:
        return {"accuracy": (hits, rows), "recall_weighted": (hits, rows)}
    one = _of_positive(classes, positive)
    return {"accuracy": (hits, rows)} | {
        metric: one.share(metric) for metric in (*_AVERAGED, *_COMPLEMENTS, "positive_rate")
    }


def model_intervals(cells: Iterable[Cell], positive: str | None = None) -> dict[str, Interval]:
    """95 % intervals of a model's figures, as far as defined.

    Of shares they are Wilson's, of averages over classes square-and-add, of Matthews's correlation
    phi's (binary), or by the delta method.
    """
    cells = list(cells)
    classes = of_cells(cells)
    bounds = {name: intervals.wilson(*share) for name, share in shares(classes, positive).items()}
    if positive is not None:
        one = _of_positive(classes, positive)
        halves = [(one.recall, one.interval("recall"), 0.5)]
        halves += [(one.specificity, one.interval("specificity"), 0.5)]
        counts = one.true_positives, one.false_positives, one.false_negatives, one.true_negatives
        bounds |= {
            "f1": one.interval("f1"),
            "balanced_accuracy": _sum_of(halves),
            "matthews_correlation": intervals.phi(*counts),
        }
    else:
        occurring = [one for one in classes.values() if one.occurs]
        equal = [1 / len(occurring) for _ in occurring]
        by_support = [one.support / one.rows for one in occurring]
        present = [one for one in occurring if one.support]
        bounds |= {metric: _averaged(occurring, metric, equal) for metric in _AVERAGED}
        for rate, metric in _COMPLEMENTS.items():
            lower, upper = bounds[metric]
            bounds[rate] = 1 - upper, 1 - lower
        for metric in ("precision", "f1"):
            bounds[f"{metric}_weighted"] = _averaged(occurring, metric, by_support)
        bounds["balanced_accuracy"] = _averaged(
            present, "recall", [1 / len(present) for _ in present]
        )
        bounds["matthews_correlation"] = _correlation_interval(cells)
    return {name: bound for name, bound in bounds.items() if not math.isnan(bound[0])}


def _of_positive(classes: Mapping[str, Outcomes], positive: str) -> Outcomes:
    rows = sum(one.support for one in classes.values())
    return classes.get(positive, Outcomes(rows, 0, 0, 0, rows))


def _constant_accuracy(classes: Mapping[str, Outcomes]) -> float:
    """Accuracy of a classifier that always says the most frequent class, which `<other>` isn't."""
    supports = [one.support for name, one in classes.items() if name != OTHER]
    rows = sum(one.support for one in classes.values())
    return _ratio(max(supports, default=math.nan), rows)


def _binary(one: Outcomes) -> dict[str, float]:
    positives, negatives = one.support, one.rows - one.support
    said, not_said = one.predicted, one.rows - one.predicted
    agreement = one.true_positives * one.true_negatives
    disagreement = one.false_positives * one.false_negatives
    return {
        "f1": one.f1,
        "balanced_accuracy": (one.recall + one.specificity) / 2,
        "matthews_correlation": _ratio(
            agreement - disagreement, math.sqrt(positives * negatives * said * not_said)
        ),
    }


def _correlation(classes: Sequence[Outcomes]) -> float:
    """Matthews's correlation of any number of classes.

    J. Gorodkin, Comparing two K-category assignments by a K-category correlation coefficient
    (2004), R_K. Mistakes among `<other>` classes would take it below -1.
    """
    actual, predicted, hits = (
        np.array([getattr(one, name) for one in classes])
        for name in ("support", "predicted", "true_positives")
    )
    rows = actual.sum()
    varied = (rows**2 - predicted @ predicted) * (rows**2 - actual @ actual)
    correlation = _ratio(float(rows * hits.sum() - actual @ predicted), math.sqrt(varied))
    return min(max(correlation, -1.0), 1.0) if not math.isnan(correlation) else math.nan


def _correlation_interval(cells: Sequence[Cell]) -> Interval:
    index = {
        name: place for place, name in enumerate(sorted({n for cell in cells for n in cell[:2]}))
    }
    counts, correct = np.zeros((len(index), len(index))), np.zeros(len(index))
    for actual, predicted, is_correct, rows in cells:
        counts[index[actual], index[predicted]] += rows
        correct[index[actual]] += rows if is_correct else 0.0
    return intervals.correlation(counts, correct)


def _macro(classes: Sequence[Outcomes], metric: str) -> float:
    """A mean over classes, in which what is undefined is 0; NaN if it is so of all."""
    values = np.array([getattr(one, metric) for one in classes])
    return math.nan if np.isnan(values).all() else float(np.nansum(values) / len(values))


def _weighted(classes: Sequence[Outcomes], metric: str) -> float:
    values = np.array([getattr(one, metric) for one in classes])
    support = np.array([one.support for one in classes])
    return _ratio(float(np.nansum(support * values)), float(support.sum()))


def _averaged(classes: Sequence[Outcomes], metric: str, weights: Sequence[float]) -> Interval:
    parts = []
    for one, weight in zip(classes, weights, strict=True):
        value, (lower, upper) = getattr(one, metric), one.interval(metric)
        if math.isnan(value):
            continue
        # A mistake counts against two classes, whose F1 fall together. The variance of a mean of F1
        # is at most that of independent ones times this, and is that if all classes are alike
        # (by the delta method, as 2ab <= a^2 + b^2).
        shared = math.sqrt(2 / (2 - value)) if metric == "f1" else 1.0
        bounds = value - shared * (value - lower), value + shared * (upper - value)
        parts.append((value, bounds, weight))
    return _sum_of(parts)


def _sum_of(parts: Sequence[tuple[float, Interval, float]]) -> Interval:
    """Interval of a weighted mean of shares: each one's value, interval and weight."""
    lower, upper = intervals.square_and_add(
        [value for value, _, _ in parts],
        [lower for _, (lower, _), _ in parts],
        [upper for _, (_, upper), _ in parts],
        [weight for _, _, weight in parts],
    )
    return (max(0.0, lower), min(1.0, upper)) if lower <= upper else intervals.UNKNOWN


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _defined(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if not math.isnan(value)}
