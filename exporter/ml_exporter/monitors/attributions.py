"""Attributions: how much each feature had to do with predictions, as the model's log says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ml_exporter.batch import Batch, Field
from ml_exporter.families import Family
from ml_exporter.monitors.sums import Sums
from ml_exporter.statistics.regression import LARGEST


class Attributions:
    """Sums the absolute attributions of features over predictions that have any.

    A feature without one had nothing to do with the prediction, as in logs that name only the
    most important ones. What is no number, or beyond 1e75, is none.
    """

    def __init__(self, model: str, version: str, features: Iterable[str]) -> None:
        of = {"model": model, "version": version}
        attribution = Family(
            "ml_field_attribution_total",
            "Absolute attributions of a feature, summed.",
            "counter",
            ("field",),
            of=of,
            complete=True,
        )
        self._rows = Family(
            "ml_attributed_predictions_total",
            "Predictions with an attribution of some feature.",
            "counter",
            of=of,
        )
        self._rows.add()
        self._features = tuple(features)
        self._sums = Sums([(attribution, (name,)) for name in self._features])
        self.families = (attribution, self._rows)

    def update(self, batch: Batch) -> None:
        amounts = np.zeros(len(self._features))
        attributed = np.zeros(batch.rows, dtype=np.bool_)
        for number, name in enumerate(self._features):
            column = batch.fields.get(Field("attribution", name))
            if column is None:
                continue
            sizes = np.abs(column.numbers.values)
            usable = sizes <= LARGEST
            amounts[number] = sizes[usable].sum()
            attributed |= usable
        rows = int(np.count_nonzero(attributed))
        self._sums.add(amounts, rows)
        self._rows.inc(rows)


class BaselineAttributions:
    """Shows the mean absolute attributions of the baseline."""

    def __init__(self, model: str, version: str, baseline: Mapping[str, float]) -> None:
        attribution = Family(
            "ml_field_baseline_attribution",
            "Mean absolute attribution of a feature in the baseline.",
            "gauge",
            ("field",),
            of={"model": model, "version": version},
        )
        for name, value in baseline.items():
            attribution.set(value, name)
        self.families = (attribution,)

    def update(self, batch: Batch) -> None:
        """It counts nothing."""
