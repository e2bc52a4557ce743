"""How many predictions there were, and when the last one was."""

from __future__ import annotations

import numpy as np

from ml_exporter.batch import Batch
from ml_exporter.families import Family


class Traffic:
    def __init__(self, model: str, version: str) -> None:
        of = {"model": model, "version": version}
        self._predictions = Family(
            "ml_predictions_total", "Predictions that were accepted.", "counter", of=of
        )
        self._predictions.add()
        self._last = Family(
            "ml_last_prediction_timestamp_seconds",
            "When the latest prediction was made, by its own timestamp where it has one.",
            "gauge",
            kept=True,
            of=of,
        )
        self.families = (self._predictions, self._last)

    def update(self, batch: Batch) -> None:
        self._predictions.inc(batch.rows)
        if batch.rows and batch.timestamps is not None:
            self._last.set(max(self._last.value(), float(np.max(batch.timestamps))))
