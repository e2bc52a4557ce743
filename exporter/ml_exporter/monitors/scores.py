"""Scores: those of labelled predictions by bin, how good they were, and which can't be right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ml_exporter.baseline.labelled_baseline import ScoreBins, class_scores, losses_of, score_key
from ml_exporter.batch import LABEL, PREDICTION, SCORE, Batch
from ml_exporter.columns import Categories
from ml_exporter.families import Family
from ml_exporter.statistics.bins import INVALID, MISSING, bin_codes

_MOST_BINS = 512  # of all classes together
_SUM_TOLERANCE = 1e-3
_ROUNDING = 1e-9


def affordable(bins: Sequence[ScoreBins]) -> list[ScoreBins]:
    """The classes whose scores are counted: of very many, those that the baseline has most of."""
    left = _MOST_BINS
    taken = set()
    for one in sorted(bins, key=lambda one: sum(one.positives), reverse=True):
        left -= len(one.bins)
        if left >= 0:
            taken.add(one.name)
    return [one for one in bins if one.name in taken]


class LabelledScores:
    """Counts the scores of labelled predictions in the bins that the baseline gave each class.

    A finite score is counted on whatever scale it is, since the area under the ROC curve knows only
    order. Sums take what is outside [0, 1] for the nearer end: scores are probabilities.
    """

    def __init__(
        self,
        model: str,
        version: str,
        positive: str | None,
        baseline_id: str,
        bins: Sequence[ScoreBins],
    ) -> None:
        of = {"model": model, "version": version, "baseline_id": baseline_id}
        by_bin = ("class", "actual", "bin")
        self._histogram = Family(
            "ml_labelled_score",
            "Scores of labelled predictions, by whether they are of the class.",
            "histogram",
            ("class", "actual", "le"),
            of=of,
            complete=True,
        )
        self._values = Family(
            "ml_labelled_score_values_total",
            "The same, not cumulative: by the bin whose upper edge is named.",
            "counter",
            by_bin,
            of=of,
            complete=True,
        )
        self._sums = Family(
            "ml_labelled_score_bin_sum_total",
            "Sum of the scores of labelled predictions, by bin.",
            "counter",
            ("class", "bin"),
            of=of,
            complete=True,
        )
        baseline = Family(
            "ml_labelled_score_baseline_rows",
            "Labelled rows of the baseline, by the bin of their score.",
            "gauge",
            by_bin,
            of=of,
        )
        self.families = (self._histogram, self._values, self._sums, baseline)
        self._classes = [
            _ClassScores(self._histogram, self._values, self._sums, one, positive) for one in bins
        ]
        for one in bins:
            for actual, counts in (("true", one.positives), ("false", one.negatives)):
                for bin, rows in zip(one.bins, counts, strict=True):
                    baseline.set(rows, one.name, actual, bin)

    @staticmethod
    def series(bins: Sequence[ScoreBins]) -> int:
        """How many series the classes cost."""
        return sum(7 * len(one.bins) + 4 for one in bins)

    def update(self, batch: Batch) -> None:
        truth = batch.fields[LABEL].categories
        known = ~truth.is_any(MISSING, INVALID)
        for one in self._classes:
            one.update(batch, truth, known)


class _ClassScores:
    """The samples of one class in the families of its monitor."""

    def __init__(
        self,
        histogram: Family,
        values: Family,
        sums: Family,
        bins: ScoreBins,
        positive: str | None,
    ) -> None:
        self._name = bins.name
        self._key = score_key(bins.name, positive)
        self._uppers = np.array(bins.edges[1:])
        self._families = (histogram, values, sums)
        self._of_histogram: list[list[int]] = []
        self._of_sum: list[int] = []
        self._of_values: list[NDArray[np.intp]] = []
        for actual in ("false", "true"):  # as False and True are indices
            labels = (bins.name, actual)
            buckets = [histogram.add(*labels, bin, suffix="_bucket") for bin in bins.bins]
            self._of_sum.append(histogram.add(*labels, suffix="_sum"))
            buckets.append(histogram.add(*labels, suffix="_count"))
            self._of_histogram.append(buckets)
            self._of_values.append(values.add_all((*labels, bin) for bin in bins.bins))
        self._of_bin_sums = sums.add_all((bins.name, bin) for bin in bins.bins)

    def update(self, batch: Batch, truth: Categories, known: NDArray[np.bool_]) -> None:
        column = batch.fields.get(self._key)
        if column is None:
            return
        scores = column.numbers.values
        rows = known & ~np.isnan(scores)
        scores = scores[rows]
        is_class = truth.is_any(self._name)[rows].astype(np.intp)
        histogram, values, sums = self._families
        bins = self._of_bin_sums.size
        # One code a bin and outcome, and one more sum each.
        codes = bin_codes(scores, self._uppers) + bins * is_class
        counts = np.bincount(codes, minlength=2 * bins).reshape(2, bins)
        clipped = np.clip(scores, 0.0, 1.0)
        totals = np.bincount(codes, weights=clipped, minlength=2 * bins).reshape(2, bins)
        for actual in (0, 1):
            cumulative = np.cumsum(counts[actual])
            histogram.values[self._of_histogram[actual]] += np.append(cumulative, cumulative[-1])
            histogram.values[self._of_sum[actual]] += totals[actual].sum()
            values.values[self._of_values[actual]] += counts[actual]
        sums.values[self._of_bin_sums] += totals.sum(axis=0)


class BaselineTies:
    """How tied the baseline's scores are, of the bins where they are: there need be no labels."""

    def __init__(
        self, model: str, version: str, baseline_id: str, bins: Sequence[ScoreBins]
    ) -> None:
        ties = Family(
            "ml_score_baseline_ties",
            "How likely two rows of the baseline with a score in the bin have the same one.",
            "gauge",
            ("class", "bin"),
            of={"model": model, "version": version, "baseline_id": baseline_id},
        )
        for one in bins:
            for bin, chance in zip(one.bins, one.ties, strict=False):
                if chance:
                    ties.set(chance, one.name, bin)
        self.families = (ties,)

    @staticmethod
    def series(bins: Sequence[ScoreBins]) -> int:
        return sum(int(np.count_nonzero(one.ties)) for one in bins)

    def update(self, batch: Batch) -> None:
        """Nothing to count."""


class ScoreLosses:
    """Sums log loss and Brier score over labelled predictions: it needs no baseline.

    `classes` are those of a multiclass model that have a score; see `losses_of`.
    """

    def __init__(
        self, model: str, version: str, classes: Sequence[str], positive: str | None
    ) -> None:
        of = {"model": model, "version": version}
        sums = (
            ("ml_scored_predictions_total", "Labelled predictions with usable scores."),
            ("ml_log_loss_total", "Log loss, summed over scored predictions."),
            ("ml_log_loss_squared_total", "Squares of the log loss."),
            ("ml_brier_score_total", "Brier score, summed over scored predictions."),
            ("ml_brier_score_squared_total", "Squares of the Brier score."),
        )
        self.families = tuple(Family(name, help, "counter", of=of) for name, help in sums)
        for family in self.families:
            family.add()
        self._classes = classes
        self._positive = positive

    def update(self, batch: Batch) -> None:
        losses, squares = losses_of(batch, self._classes, self._positive)
        for family, amount in zip(
            self.families,
            (
                losses.size,
                losses.sum(),
                np.square(losses).sum(),
                squares.sum(),
                np.square(squares).sum(),
            ),
            strict=True,
        ):
            family.inc(float(amount))


class ScoreViolations:
    """Counts predictions whose scores can't be right, before any label comes.

    A multiclass prediction contradicts its scores where another class has a higher one. A binary
    model's threshold is its team's own, so a contradiction is only told where `cut` is known: the
    highest score that the baseline has of a negative prediction and the lowest of a positive one,
    where the former is below the latter.
    """

    def __init__(
        self,
        model: str,
        version: str,
        classes: Sequence[str],
        positive: str | None,
        cut: tuple[float, float] | None = None,
    ) -> None:
        self._violations = Family(
            "ml_score_violations_total",
            "Predictions with scores outside [0, 1], that don't sum to 1, or that contradict it.",
            "counter",
            ("violation",),
            of={"model": model, "version": version},
            complete=True,
        )
        self._violations.add("out_of_range")
        if positive is None:
            self._violations.add("not_normalised")
        if positive is None or cut is not None:
            self._violations.add("contradiction")
        self.families = (self._violations,)
        self._classes = classes
        self._positive = positive
        self._cut = cut

    def update(self, batch: Batch) -> None:
        counts = self._of_binary(batch) if self._positive is not None else self._of_classes(batch)
        for violation, rows in counts.items():
            self._violations.inc(int(np.count_nonzero(rows)), violation)

    def _of_binary(self, batch: Batch) -> Mapping[str, NDArray[np.bool_]]:
        column = batch.fields.get(SCORE)
        if column is None or self._positive is None:
            return {}
        scores = column.numbers.values
        counts = {"out_of_range": (scores < 0) | (scores > 1)}
        prediction = batch.fields.get(PREDICTION)
        if self._cut is not None and prediction is not None:
            predicted = prediction.categories
            positive, (highest, lowest) = predicted.is_any(self._positive), self._cut
            negative = ~predicted.is_any(MISSING, INVALID) & ~positive
            counts["contradiction"] = (positive & (scores <= highest)) | (
                negative & (scores >= lowest)
            )
        return counts

    def _of_classes(self, batch: Batch) -> Mapping[str, NDArray[np.bool_]]:
        scores = class_scores(batch, self._classes)
        if scores is None:
            return {}
        complete = ~np.isnan(scores).any(axis=1)
        counts = {
            "out_of_range": ((scores < 0) | (scores > 1)).any(axis=1),
            "not_normalised": complete & (np.abs(scores.sum(axis=1) - 1) > _SUM_TOLERANCE),
        }
        if PREDICTION in batch.fields:
            predicted = batch.fields[PREDICTION].categories.among(self._classes)
            own = scores[np.arange(batch.rows), predicted]
            highest = scores.max(axis=1)
            counts["contradiction"] = complete & (predicted >= 0) & (highest - own > _ROUNDING)
        return counts
