"""What labelled rows looked like at training time: their scores by outcome, their errors."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml_exporter.batch import LABEL, PREDICTION, SCORE, Batch, Field
from ml_exporter.statistics.bins import (
    Counts,
    Floats,
    count_bins,
    format_number,
    quantile_edges,
    round_up,
)
from ml_exporter.statistics.regression import LARGEST, percentage_errors

_SCORE_BINS = 50  # of a class; of many classes, fewer each
_LEAST_SCORE_BINS = 25  # with fewer, the area under the ROC curve is off by more than 2e-3
_ALL_SCORE_BINS = 500  # of all classes together
_MASS_DIGITS = 12  # of an edge just below scores that are alike
_ERROR_BINS = 20


class ScoreBins(msgspec.Struct, frozen=True):
    """The scores of one class, on labelled rows, by whether they are of it.

    Bins are named by their inclusive upper edge, as a histogram's buckets are: `edges[1:]` and
    `+Inf`. What lies below the first edge is in the first one.
    """

    name: str  # the class; of a binary model, the positive one
    edges: list[float]  # k + 1
    positives: list[int]  # k + 1, the last of +Inf
    negatives: list[int]

    @property
    def bins(self) -> list[str]:
        return [*(format_number(edge) for edge in self.edges[1:]), "+Inf"]

    @property
    def problem(self) -> str | None:
        """What is wrong with it, as a file has it."""
        edges = np.array(self.edges)
        is_finite = edges.size >= 2 and np.all(np.isfinite(edges))
        if not is_finite or edges[0] > edges[1] or np.any(edges[2:] <= edges[1:-1]):
            return "scores need two or more finite edges in ascending order"
        if not len(self.positives) == len(self.negatives) == edges.size:
            return f"positives and negatives need {edges.size} counts each, as there are edges"
        if min(*self.positives, *self.negatives) < 0:
            return "counts can't be negative"
        return None


def score_counts(values: Floats, edges: Floats) -> Counts:
    """Scores counted into the bins of `ScoreBins`; NaN is counted nowhere."""
    below, first, *rest = count_bins(values, edges).tolist()
    return np.array([below + first, *rest], dtype=np.int64)


class Errors(msgspec.Struct, frozen=True):
    """The errors of a regression on labelled rows, as sums."""

    rows: int
    mean_actual: float
    edges: list[float]  # upper edges of the absolute errors' histogram
    absolute: float
    squared: float
    percentage: float  # of the truth, over rows whose truth isn't 0
    percentage_rows: int
    over: float
    under: float
    squared_deviation: float  # of the truth about its mean

    @property
    def problem(self) -> str | None:
        edges = np.array(self.edges)
        if not edges.size or not np.all(np.isfinite(edges)) or np.any(np.diff(edges) <= 0):
            return "errors need one or more finite edges in ascending order"
        if not abs(self.mean_actual) <= LARGEST:
            return f"mean_actual can't be beyond {LARGEST:g}"
        return None


def score_key(name: str, positive: str | None) -> Field:
    """Where a batch has the scores of a class."""
    return SCORE if positive is not None else Field("score", name)


def score_edges(sample: Floats, classes: int) -> Floats:
    """Edges of the scores of one of so many classes, from some of them, of which there are any."""
    bins = max(_LEAST_SCORE_BINS, min(_SCORE_BINS, _ALL_SCORE_BINS // max(classes, 1)))
    edges = quantile_edges(sample, bins)
    # Many scores that are alike, such as 1, have a bin of their own at that end, too.
    top = sample.max()
    lower = sample[sample < top]
    if lower.size and sample.size - lower.size > sample.size / bins:
        below_top = round_up(float(lower.max()), _MASS_DIGITS)
        if edges[-2] < below_top < top:
            edges = np.insert(edges, -1, below_top)
    return edges


class ScoreCounter:
    """Counts the scores of one class; `key` is where batches have them."""

    def __init__(self, name: str, key: Field, edges: Floats) -> None:
        self._name = name
        self._key = key
        self._edges = edges
        self._positives = np.zeros(edges.size, dtype=np.int64)
        self._negatives = np.zeros(edges.size, dtype=np.int64)

    def update(self, batch: Batch, is_class: NDArray[np.bool_]) -> None:
        """`is_class`: which rows are of the class; all rows have a label."""
        column = batch.fields.get(self._key)
        if column is not None:
            values = column.numbers.values
            self._positives += score_counts(values[is_class], self._edges)
            self._negatives += score_counts(values[~is_class], self._edges)

    def result(self) -> ScoreBins:
        edges, counts = self._edges.tolist(), (self._positives.tolist(), self._negatives.tolist())
        return ScoreBins(self._name, edges, *counts)


def errors_of(batch: Batch) -> tuple[Floats, Floats]:
    """Prediction less truth, and the truth, of rows that have both as numbers to count with."""
    if PREDICTION not in batch.fields or LABEL not in batch.fields:
        return np.empty(0), np.empty(0)
    predicted, actual = (batch.fields[key].numbers.values for key in (PREDICTION, LABEL))
    both = (np.abs(predicted) <= LARGEST) & (np.abs(actual) <= LARGEST)  # NaN isn't
    return predicted[both] - actual[both], actual[both]


def error_edges(sample: Floats) -> Floats:
    """Upper edges of the histogram of absolute errors, from some of them."""
    edges = np.unique(quantile_edges(np.abs(sample), _ERROR_BINS)[1:])
    return edges if edges.size else np.array([1.0])


class ErrorCounter:
    """Sums the errors of a regression, and the truth about a mean that is known."""

    def __init__(self, mean_actual: float, edges: Floats) -> None:
        self._mean = mean_actual
        self._edges = edges
        self._rows = self._percentage_rows = 0
        self._sums = np.zeros(6)

    def update(self, batch: Batch) -> None:
        errors, actual = errors_of(batch)
        percentages = percentage_errors(errors, actual)
        self._rows += errors.size
        self._percentage_rows += percentages.size
        self._sums += (
            np.abs(errors).sum(),
            np.square(errors).sum(),
            percentages.sum(),
            errors[errors > 0].sum(),
            -errors[errors < 0].sum(),
            np.square(actual - self._mean).sum(),
        )

    def result(self) -> Errors:
        absolute, squared, percentage, over, under, deviation = self._sums.tolist()
        return Errors(
            rows=self._rows,
            mean_actual=self._mean,
            edges=self._edges.tolist(),
            absolute=absolute,
            squared=squared,
            percentage=percentage,
            percentage_rows=self._percentage_rows,
            over=over,
            under=under,
            squared_deviation=deviation,
        )
