"""Values of fields by bin, beside the baseline they are judged by: drift and integrity are here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml_exporter.baseline.baseline import Baseline, BaselineField
from ml_exporter.batch import Batch
from ml_exporter.families import Family
from ml_exporter.statistics import overdispersion
from ml_exporter.statistics.bins import Counts
from ml_exporter.statistics.drift import TESTS, critical_values, mid_ranks, weight
from ml_exporter.statistics.effects import bin_distances, places


class FieldValues:
    """Counts the fields of a baseline in the bins that the baseline gave them.

    `fields` are those of them that this monitor is to count; `false_alarms` is the chance of
    one among all tests of the baseline within a week.
    """

    def __init__(
        self,
        model: str,
        version: str,
        baseline: Baseline,
        fields: Sequence[BaselineField],
        false_alarms: float,
    ) -> None:
        of = {"model": model, "version": version, "baseline_id": baseline.id}
        field = ("role", "field")
        self._values = Family(
            "ml_field_values_total",
            "Values of a field by bin.",
            "counter",
            (*field, "bin"),
            of=of,
            complete=True,
        )
        ratio = Family(
            "ml_field_baseline_ratio",
            "Share of a bin in the baseline.",
            "gauge",
            (*field, "bin"),
            of=of,
        )
        rank = Family(
            "ml_field_baseline_rank",
            "Mid-rank of a number's bin in the baseline, from -0.5 to 0.5.",
            "gauge",
            (*field, "bin"),
            of=of,
        )
        distance = Family(
            "ml_field_baseline_distance",
            "From a number's bin to the next one, in standard deviations of the baseline.",
            "gauge",
            (*field, "bin", "block", "place"),
            of=of,
        )
        rows = Family("ml_field_baseline_rows", "Rows behind the baseline.", "gauge", field, of=of)
        critical = Family(
            "ml_field_critical_value",
            "What the statistic of a test must exceed to be significant.",
            "gauge",
            (*field, "test", "window"),
            of=of,
        )
        self.families = (self._values, ratio, rank, rows, critical, distance)
        self._fields = fields
        every = (*baseline.fields, *baseline.component_fields)
        weights = sum(weight(field.tested_as) for field in every)
        self._indices = self._values.add_all(
            (one.role, one.name, bin) for one in fields for bin in one.bins
        )
        for one in fields:
            key = (one.role, one.name)
            rows.set(one.rows, *key)
            for bin, count in one.counts.items():
                ratio.set(count / one.rows if one.rows else 0.0, *key, bin)
            if one.edges is not None:
                ranked = [one.counts[bin] for bin in one.ranked_bins]
                if any(ranked):
                    for bin, value in zip(one.ranked_bins, mid_ranks(ranked).tolist(), strict=True):
                        rank.set(value, *key, bin)
                    distances = bin_distances(one.edges, ranked).tolist()
                    for bin, value, place in zip(
                        one.ranked_bins, distances, places(len(distances)), strict=False
                    ):
                        distance.set(value, *key, bin, *place)
            theory = critical_values(
                one.tested_as, one.array(), weights=weights, false_alarms=false_alarms
            )
            cells = int(np.count_nonzero(one.array()))
            judged_by = overdispersion.critical_values(
                theory, cells, one.overdispersions, one.extremes
            )
            for window, values in judged_by.items():
                for test, value in values.items():
                    if not np.isnan(value):
                        critical.set(value, *key, test, window)

    @staticmethod
    def series(field: BaselineField) -> int:
        """How many series a field costs."""
        tests = len(TESTS[field.tested_as]) * len(overdispersion.LENGTHS)
        ranked = len(field.ranked_bins)
        return 2 * len(field.bins) + ranked + max(0, ranked - 1) + 1 + tests

    def update(self, batch: Batch) -> None:
        self.add([field.count(batch.column(field.key)) for field in self._fields])

    def add(self, counts: Sequence[Counts]) -> None:
        """Count values of each field that are in bins already."""
        if counts:
            self._values.values[self._indices] += np.concatenate(counts)
