"""Scores as they are expected to turn out: by bin and expected outcome, and what they lose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ml_exporter.baseline.labelled_baseline import ScoreBins
from ml_exporter.baseline.regions import Estimator
from ml_exporter.families import Family
from ml_exporter.statistics.bins import Floats, bin_codes
from ml_exporter.statistics.scores import BinaryLosses, LossSums, expected_losses


class ExpectedLosses:
    """Sums the expected log loss and Brier score of rows whose scores are within [0, 1]."""

    def __init__(
        self, name: str, of: Mapping[str, str], estimators: Sequence[Estimator], rows: str
    ) -> None:
        """Series begin with `name`; `rows` is what they are of, in words."""
        kinds = {
            "scored_predictions": f"{rows} with usable scores that an estimator has counted.",
            "log_loss": "Expected log losses.",
            "log_loss_squared": "Expected squares of the log loss.",
            "brier_score": "Expected Brier scores.",
            "brier_score_squared": "Expected squares of the Brier score.",
        }
        self.families = tuple(
            Family(f"{name}_{kind}_total", help, "counter", ("estimator",), of=of, complete=True)
            for kind, help in kinds.items()
        )
        for family in self.families:
            for estimator in estimators:
                family.add(estimator)

    def add(self, estimator: Estimator, chances: Floats, scores: Floats) -> None:
        """Of shape (rows, classes)."""
        usable = _usable(scores)
        if not usable.all():
            chances, scores = chances[usable], scores[usable]
        self._add(estimator, len(scores), expected_losses(chances, scores))

    def add_binary(self, estimator: Estimator, chances: Floats, of: BinaryScores) -> None:
        """By chances of the positive class: (rows,)."""
        chances = chances if of.usable.all() else chances[of.usable]
        self._add(estimator, chances.size, of.losses.expected(chances))

    def _add(self, estimator: Estimator, rows: int, sums: LossSums) -> None:
        for family, amount in zip(self.families, (float(rows), *sums), strict=True):
            family.inc(amount, estimator)


class BinaryScores:
    """Scores of the positive class, and what each may lose, whoever estimates whether it will."""

    def __init__(self, scores: Floats) -> None:
        """Of shape (rows,)."""
        self.scores = scores
        self.usable = _usable(scores[:, None])
        self.losses = BinaryLosses(scores if self.usable.all() else scores[self.usable])


def _usable(scores: Floats) -> NDArray[np.bool_]:
    """Rows whose scores, (rows, classes), are probabilities."""
    return np.asarray(((scores >= 0) & (scores <= 1)).all(axis=1))


class ExpectedScores:
    """Counts scores by bin and by whether they are expected to be of the class.

    The bins are those of labelled scores, so that the figures are made of them in the same way.
    """

    def __init__(
        self,
        of: Mapping[str, str],
        estimator: Estimator,
        bins: Sequence[ScoreBins],
        columns: Sequence[int],
    ) -> None:
        """`columns` are the places of the classes of `bins` in what is added."""
        labels = ("estimator", "class", "actual", "bin")
        self._values = Family(
            "ml_estimated_score_values_total",
            "Scores by bin and by whether they are expected to be of the class, in parts of rows.",
            "counter",
            labels,
            of=of,
            complete=True,
        )
        self._cumulative = Family(
            "ml_estimated_score_cumulative_total",
            "The same, of a bin and all below.",
            "counter",
            labels,
            of=of,
            complete=True,
        )
        self.families = (self._values, self._cumulative)
        self._classes = [
            (column, np.array(one.edges[1:]), self._cells(estimator, one))
            for column, one in zip(columns, bins, strict=True)
        ]

    def _cells(self, estimator: Estimator, bins: ScoreBins) -> NDArray[np.intp]:
        """The index of each bin, of shape (2, bins): of the class, and not. Both families' are."""
        cells = [
            [(estimator, bins.name, actual, bin) for bin in bins.bins]
            for actual in ("true", "false")
        ]
        for row in cells:
            self._cumulative.add_all(row)
        return np.array([self._values.add_all(row) for row in cells])

    @staticmethod
    def series(bins: Sequence[ScoreBins]) -> int:
        """How many series the classes cost."""
        return sum(4 * len(one.bins) for one in bins)

    def add(self, chances: Floats, scores: Floats) -> None:
        """Of shape (rows, classes), as those of `ExpectedLosses`."""
        for column, uppers, cells in self._classes:
            chance = chances[:, column]
            codes = bin_codes(scores[:, column], uppers)
            size = cells.shape[1]
            of_class = np.bincount(codes, weights=chance, minlength=size)
            counts = np.stack([of_class, np.bincount(codes, minlength=size) - of_class])
            self._values.values[cells] += counts
            self._cumulative.values[cells] += np.cumsum(counts, axis=1)
