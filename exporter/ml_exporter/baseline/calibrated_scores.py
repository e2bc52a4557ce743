"""What a classifier's answers say of the truth: the probability of each class, as calibrated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ml_exporter.baseline.labelled_baseline import ScoreBins, score_key
from ml_exporter.batch import Batch, Field
from ml_exporter.statistics.bins import OTHER, Floats
from ml_exporter.statistics.calibration import Calibration

Codes = NDArray[np.int64]

_ROWS_OF_ONE_CLASS = (
    0.5  # that each class is taken to have besides its own, where there is no score
)


class Expectation:
    """Probabilities of classes, given the scores of a row, or its prediction where there are none.

    `scores` are the baseline's; `confusion` its rows by actual and predicted class. A binary
    model has the scores of its positive class alone.

    J. Bialek et al., Estimating model performance under covariate shift without labels (2024):
    confidence-based performance estimation.
    """

    def __init__(
        self,
        classes: Sequence[str],
        positive: str | None,
        scores: Sequence[ScoreBins],
        confusion: Mapping[tuple[str, str], float],
    ) -> None:
        self.classes = known_classes(classes, positive)
        known = [
            one for one in scores if one.name in self.classes and any(one.positives + one.negatives)
        ]
        self.scored = [one.name for one in known]
        self.keys = [score_key(name, positive) for name in self.scored]
        self._columns = [self.classes.index(one.name) for one in known]
        self._calibrations = [
            Calibration.of(one.edges, one.positives, one.negatives, one.sums) for one in known
        ]
        self._positive = positive
        self._given_prediction = self._shares(confusion)

    @property
    def has_scores(self) -> bool:
        return bool(self.keys)

    def like(
        self, scores: Sequence[ScoreBins], confusion: Mapping[tuple[str, str], float]
    ) -> Expectation:
        """The same of other rows."""
        return Expectation(self.classes, self._positive, scores, confusion)

    def scores(self, batch: Batch) -> Floats | None:
        """The scores of a batch, of shape (rows, keys); None where a column of them lacks."""
        columns = [batch.fields.get(key) for key in self.keys]
        found = [column.numbers.values for column in columns if column is not None]
        return np.stack(found, axis=1) if found and len(found) == len(columns) else None

    def of_scores(self, scores: Floats) -> Floats:
        """Of shape (rows, classes): rows sum to 1, or are NaN where a score lacks."""
        calibrated = np.stack(
            [one(column) for one, column in zip(self._calibrations, scores.T, strict=True)], axis=1
        )
        probabilities = np.zeros((len(scores), len(self.classes)))
        probabilities[:, self._columns] = calibrated
        if self._positive is not None:
            probabilities[:, [1 - self._columns[0]]] = 1 - calibrated
            return probabilities
        total = probabilities.sum(axis=1, keepdims=True)
        return probabilities / np.where(total > 0, total, np.nan)

    def of_scored(self, probabilities: Floats) -> Floats:
        """Of probabilities of shape (rows, classes), those of classes that have a score."""
        if self._columns == list(range(probabilities.shape[1])):
            return probabilities
        return probabilities[:, self._columns]

    @property
    def positive_code(self) -> int | None:
        """The place of the positive class among two; None where there are not two classes."""
        if self._positive is None or len(self.classes) != 2:
            return None
        return self.classes.index(self._positive)

    def of_positive(self, scores: Floats) -> Floats:
        """Of a binary model: the chance of the positive class, by its score."""
        return self._calibrations[0](scores)

    def of_predictions(self, predicted: Codes) -> Floats:
        """The same from the predicted classes alone, as the baseline's confusion matrix has it."""
        shares: Floats = self._given_prediction[predicted]
        return shares

    def _shares(self, confusion: Mapping[tuple[str, str], float]) -> Floats:
        """Of shape (predicted, actual)."""
        index = {name: code for code, name in enumerate(self.classes)}
        counts = np.zeros((len(index), len(index)))
        for (actual, predicted), rows in confusion.items():
            if actual in index and predicted in index:
                counts[index[predicted], index[actual]] += rows
        counts += _ROWS_OF_ONE_CLASS / max(len(index), 1)
        shares: Floats = counts / counts.sum(axis=1, keepdims=True)
        return shares


def known_classes(classes: Sequence[str], positive: str | None) -> list[str]:
    """All classes; of a binary model the positive one and the first other one."""
    if positive is None:
        return list(classes)
    return [positive, next((name for name in classes if name != positive), OTHER)]


def class_codes(batch: Batch, key: Field, classes: Sequence[str]) -> Codes:
    """The class of each row by its place in `classes`; -1 where it is none of them."""
    column = batch.fields.get(key)
    if column is None:
        return np.full(batch.rows, -1, dtype=np.int64)
    return column.categories.among(classes)
