"""How much each feature of a baseline tells of the prediction, or of the label."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ml_exporter.baseline.baseline import BaselineField, Importance
from ml_exporter.batch import LABEL, PREDICTION, Batch
from ml_exporter.statistics.bins import INVALID, MISSING
from ml_exporter.statistics.importance import uncertainty_coefficient


class ImportanceCounter:
    """Counts the rows of a baseline by the bins of each feature and of the prediction.

    Where the rows have no prediction, it is the label. All fields have their bins already.
    """

    def __init__(self, fields: Iterable[BaselineField]) -> None:
        by_key = {field.key: field for field in fields}
        self._target = by_key.get(PREDICTION) or by_key.get(LABEL)
        self._features = [one for one in by_key.values() if one.key.role == "feature"]
        targets = len(self._target.bins) if self._target else 0
        self._tables = {
            one.name: np.zeros((len(one.bins), targets), dtype=np.int64) for one in self._features
        }

    def update(self, batch: Batch) -> None:
        if self._target is None or not batch.rows:
            return
        targets = _places(self._target, batch)
        for one in self._features:
            table = self._tables[one.name]
            cells = _places(one, batch) * table.shape[1] + targets
            table += np.bincount(cells, minlength=table.size).reshape(table.shape)

    def result(self) -> Importance | None:
        """None where nothing can be told."""
        if self._target is None:
            return None
        known = [bin not in (MISSING, INVALID) for bin in self._target.bins]
        shares = {
            name: uncertainty_coefficient(table[:, known]) for name, table in self._tables.items()
        }
        shares = {name: round(share, 6) for name, share in shares.items() if not np.isnan(share)}
        of: Literal["prediction", "label"] = (
            "prediction" if self._target.key == PREDICTION else "label"
        )
        return Importance(of, shares) if shares else None


def _places(field: BaselineField, batch: Batch) -> NDArray[np.intp]:
    return field.places(batch.column(field.key))
