"""Attributions: how much each feature had to do with predictions, as the model's log says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ml_exporter.batch import Batch, Field
from ml_exporter.families import Family
from ml_exporter.monitors.sums import Sums
from ml_exporter.statistics.regression import LARGEST

BASELINE_ROWS = 200  # of the probes that make a baseline


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


class ProbedAttributions:
    """Sums attributions that probes have found; of the first rows it makes the baseline.

    The first `BASELINE_ROWS` are in the baseline alone, as with a baseline that is learned.
    """

    def __init__(self, model: str, version: str, features: Sequence[str]) -> None:
        of = {"model": model, "version": version}
        self._features = features
        self._live = Attributions(model, version, features)
        self._baseline = _of_baseline(of, kept=True)
        for name in features:
            self._baseline.add(name)
        self._rows = Family(
            "ml_baseline_attributed_rows",
            "Rows whose probes have made the baseline of attributions so far.",
            "gauge",
            of=of,
            kept=True,
        )
        self._rows.add()
        self.families = (*self._live.families, self._baseline, self._rows)

    def update(self, batch: Batch) -> None:
        """Predictions of a model that is probed have no attributions."""

    def probed(self, batch: Batch) -> None:
        """Count the attributions of rows that were probed."""
        missing = max(0, BASELINE_ROWS - int(self._rows.value()))
        learned = batch.slice(0, missing)
        if missing and learned.rows:
            before = self._rows.value()
            rows = before + learned.rows
            for name in self._features:
                sizes = learned.column(Field("attribution", name)).numbers.values
                mean = self._baseline.value(name)
                self._baseline.set((mean * before + np.abs(sizes).sum()) / rows, name)
            self._rows.set(rows)
        if batch.rows > missing:
            self._live.update(batch.slice(missing, batch.rows))


class BaselineAttributions:
    """Shows the mean absolute attributions of the baseline."""

    def __init__(self, model: str, version: str, baseline: Mapping[str, float]) -> None:
        attribution = _of_baseline({"model": model, "version": version}, kept=False)
        for name, value in baseline.items():
            attribution.set(value, name)
        self.families = (attribution,)

    def update(self, batch: Batch) -> None:
        """It counts nothing."""


def _of_baseline(of: Mapping[str, str], *, kept: bool) -> Family:
    return Family(
        "ml_field_baseline_attribution",
        "Mean absolute attribution of a feature in the baseline.",
        "gauge",
        ("field",),
        of=of,
        kept=kept,
        complete=kept,
    )
