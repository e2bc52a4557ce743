"""What labelled rows looked like at training time: their scores by outcome, their errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ml_exporter.batch import LABEL, PREDICTION, SCORE, Batch, Field
from ml_exporter.statistics.bins import (
    INVALID,
    MISSING,
    Counts,
    Floats,
    bin_codes,
    count_bins,
    format_number,
    quantile_edges,
    weighted_edges,
)
from ml_exporter.statistics.regression import LARGEST, histogram, percentage_errors
from ml_exporter.statistics.scores import brier_scores, log_losses, tie_chances

_SCORE_BINS = 50  # of a class; of many classes, fewer each
_LEAST_SCORE_BINS = 25  # with fewer, the area under the ROC curve is off by more than 2e-3
_ALL_SCORE_BINS = 500  # of all classes together
_LEAST_TIES = 0.2  # below it average precision hardly changes, and a few rows may do it by chance
_TIES_DIGITS = 4
_ERROR_BINS = 20


@dataclass(frozen=True)
class ScoreBins:
    """The scores of one class, on labelled rows, by whether they are of it.

    Bins are named by their inclusive upper edge, as a histogram's buckets are: `edges[1:]` and
    `+Inf`. What lies below the first edge is in the first one.
    """

    name: str  # the class; of a binary model, the positive one
    edges: list[float]  # k + 1
    positives: list[int]  # k + 1, the last of +Inf
    negatives: list[int]
    # Of the scores themselves, kept within [0, 1]; older files have none.
    sums: list[float] = field(default_factory=list)
    # How likely two rows of a bin have the same score; none if that is rare in all of them.
    ties: list[float] = field(default_factory=list)

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
        if self.sums and len(self.sums) != edges.size:
            return f"sums need {edges.size} numbers, as there are edges"
        in_range = all(0 <= one <= 1 for one in self.ties)
        if self.ties and (len(self.ties) != edges.size or not in_range):
            return f"ties need {edges.size} numbers from 0 to 1, as there are edges"
        return None


def score_counts(values: Floats, edges: Floats) -> Counts:
    """Scores counted into the bins of `ScoreBins`; NaN is counted nowhere."""
    below, first, *rest = count_bins(values, edges).tolist()
    return np.array([below + first, *rest], dtype=np.int64)


def score_sums(values: Floats, edges: Floats) -> Floats:
    """Sums of scores, kept within [0, 1], of the same bins."""
    there = values[~np.isnan(values)]
    codes = bin_codes(there, edges[1:])
    return np.asarray(
        np.bincount(codes, weights=np.clip(there, 0.0, 1.0), minlength=edges.size), dtype=np.float64
    )


@dataclass(frozen=True)
class Losses:
    """Sums of what the scores of labelled rows lost."""

    rows: int
    log_loss: float
    brier_score: float


@dataclass(frozen=True)
class Errors:
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
    # Absolute errors up to each edge, and all; older files have none.
    counts: list[int] = field(default_factory=list)

    @property
    def problem(self) -> str | None:
        edges = np.array(self.edges)
        if not edges.size or not np.all(np.isfinite(edges)) or np.any(np.diff(edges) <= 0):
            return "errors need one or more finite edges in ascending order"
        if not abs(self.mean_actual) <= LARGEST:
            return f"mean_actual can't be beyond {LARGEST:g}"
        if self.counts and (len(self.counts) != edges.size + 1 or min(np.diff(self.counts)) < 0):
            return f"counts need {edges.size + 1} ascending numbers, one more than there are edges"
        return None


def score_key(name: str, positive: str | None) -> Field:
    """Where a batch has the scores of a class."""
    return SCORE if positive is not None else Field("score", name)


def class_scores(batch: Batch, classes: Sequence[str]) -> Floats | None:
    """Scores of a multiclass model as (rows, classes), NaN where a row has none.

    None where the batch has no scores at all.
    """
    columns = [batch.fields.get(score_key(name, None)) for name in classes]
    if all(column is None for column in columns):
        return None
    blank = np.full(batch.rows, np.nan)
    # A class's scores lie side by side, as its column has them.
    return np.stack([blank if column is None else column.numbers.values for column in columns]).T


def losses_of(batch: Batch, classes: Sequence[str], positive: str | None) -> tuple[Floats, Floats]:
    """Log loss and Brier score of each labelled row with usable scores.

    Those are all there and within [0, 1], and the label is one of the classes that have a score:
    `classes`; of a binary model the score is of the `positive` class, and any other label is the
    negative.
    """
    if positive is None:
        return _losses_of_classes(batch, classes)
    column = batch.fields.get(SCORE)
    if column is None:
        return np.empty(0), np.empty(0)
    truth, scores = batch.fields[LABEL].categories, column.numbers.values
    usable = ~truth.is_any(MISSING, INVALID) & _within_unit(scores)
    is_positive, scores = truth.is_any(positive)[usable], scores[usable]
    of_truth = np.where(is_positive, scores, 1 - scores)
    return log_losses(of_truth), np.square(scores - is_positive)


def _losses_of_classes(batch: Batch, classes: Sequence[str]) -> tuple[Floats, Floats]:
    scores = class_scores(batch, classes)
    if scores is None:
        return np.empty(0), np.empty(0)
    truth = batch.fields[LABEL].categories.among(classes)
    usable = (truth >= 0) & _within_unit(scores).all(axis=1)
    if not usable.all():
        scores, truth = scores[usable], truth[usable]
    return log_losses(scores[np.arange(truth.size), truth]), brier_scores(scores, truth)


def _within_unit(scores: Floats) -> NDArray[np.bool_]:
    return (scores >= 0) & (scores <= 1)


def score_edges(of_class: Floats, others: Floats, classes: int) -> Floats:
    """Edges of the scores of one of so many classes, from some of rows of it, and of others.

    Both together weigh the same, however rare the class is: average precision and the area under
    the ROC curve depend on where its rows are as much as on where all others are.
    """
    bins = max(_LEAST_SCORE_BINS, min(_SCORE_BINS, _ALL_SCORE_BINS // max(classes, 1)))
    weights = [np.full(side.size, 1 / max(side.size, 1)) for side in (of_class, others)]
    return weighted_edges(np.concatenate((of_class, others)), np.concatenate(weights), bins)


def score_ties(of_class: Floats, others: Floats, rows: tuple[int, int], edges: Floats) -> Floats:
    """How likely two rows of each bin of `ScoreBins` have the same score: 0 where that is rare.

    `of_class` and `others` are some of so many rows that are of the class and that aren't.
    """
    sides = ((of_class, rows[0]), (others, rows[1]))
    weights = np.concatenate([np.full(some.size, n / max(some.size, 1)) for some, n in sides])
    scores = np.concatenate((of_class, others))
    chances = tie_chances(scores, weights, bin_codes(scores, edges[1:]), edges.size)
    return np.where(chances < _LEAST_TIES, 0.0, np.round(chances, _TIES_DIGITS))


class ScoreCounter:
    """Counts the scores of one class; `key` is where batches have them, and `ties` `score_ties`."""

    def __init__(self, name: str, key: Field, edges: Floats, ties: Floats) -> None:
        self._name = name
        self._key = key
        self._edges = edges
        self._ties = ties
        self._positives = np.zeros(edges.size, dtype=np.int64)
        self._negatives = np.zeros(edges.size, dtype=np.int64)
        self._sums = np.zeros(edges.size)

    def update(self, batch: Batch, is_class: NDArray[np.bool_]) -> None:
        """`is_class`: which rows are of the class; all rows have a label."""
        column = batch.fields.get(self._key)
        if column is not None:
            values = column.numbers.values
            self._positives += score_counts(values[is_class], self._edges)
            self._negatives += score_counts(values[~is_class], self._edges)
            self._sums += score_sums(values, self._edges)

    def result(self) -> ScoreBins:
        return ScoreBins(
            self._name,
            self._edges.tolist(),
            self._positives.tolist(),
            self._negatives.tolist(),
            self._sums.tolist(),
            self._ties.tolist() if self._ties.any() else [],
        )


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
        self._counts = np.zeros(edges.size + 1, dtype=np.int64)

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
        self._counts += histogram(np.abs(errors), self._edges.tolist())

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
            counts=self._counts.tolist(),
        )


class LossCounter:
    """Sums what the scores of labelled rows lost; `classes` are those that have a score."""

    def __init__(self, classes: Sequence[str], positive: str | None) -> None:
        self._classes = classes
        self._positive = positive
        self._rows = 0
        self._sums = np.zeros(2)

    def update(self, batch: Batch) -> None:
        """Add rows, all of which have a label."""
        losses, squares = losses_of(batch, self._classes, self._positive)
        self._rows += losses.size
        self._sums += losses.sum(), squares.sum()

    def result(self) -> Losses | None:
        return Losses(self._rows, *self._sums.tolist()) if self._rows else None
