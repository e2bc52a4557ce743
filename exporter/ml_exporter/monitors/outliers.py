"""Rows that are unlike any of the baseline, and how unlike rows are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ml_exporter.baseline.baseline import BaselineField
from ml_exporter.families import Family
from ml_exporter.statistics.bins import format_number


class Outliers:
    """Counts rows by the score that a detector gives them; an outlier's is above all edges."""

    def __init__(
        self, model: str, version: str, baseline_id: str, detector: str, edges: Sequence[float]
    ) -> None:
        """`edges` ascend; they are bins of the scores in the baseline, the last its greatest."""
        of = {"model": model, "version": version}
        self._outliers = Family(
            "ml_outliers_total",
            "Predictions whose features are unlike those of any row of the baseline, by detector.",
            "counter",
            ("detector",),
            of=of,
        )
        self._outliers.add(detector)
        # Without a sum: that of squared distances is no number that anybody would look at.
        self._scores = Family(
            "ml_outlier_score",
            "How unlike the rows of the baseline predictions are, by detector.",
            "histogram",
            ("detector", "le"),
            of={**of, "baseline_id": baseline_id},
        )
        for upper in (*_uppers(edges), np.inf):
            self._scores.add(detector, format_number(upper), suffix="_bucket")
        self._detector = detector
        self.families = (self._outliers, self._scores)

    @staticmethod
    def series(field: BaselineField) -> int:
        """How many series a detector costs that has these bins."""
        return 2 + len(_uppers(field.edges or ()))

    def add(self, counts: NDArray[np.int64]) -> None:
        """Count rows by bin: up to the lowest edge, between edges, and above the last."""
        self._outliers.inc(counts[-1], self._detector)
        self._scores.values[:] += np.cumsum(counts)[-len(self._scores) :]


def _uppers(edges: Sequence[float]) -> Sequence[float]:
    """Those that a bin ends at: none does at the lowest, which may be there twice."""
    return edges[1:]
