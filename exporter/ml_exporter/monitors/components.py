"""Values of components by bin, beside the baseline's, and what components are made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ml_exporter.baseline.baseline import Baseline, BaselineField
from ml_exporter.baseline.components import DISTANCE, LOADINGS_TOLD, Projection
from ml_exporter.batch import Batch
from ml_exporter.families import Family
from ml_exporter.monitors.fields import FieldValues
from ml_exporter.monitors.outliers import Outliers


class ComponentValues:
    """Counts the components of a baseline, which has some, as the numbers that they are.

    `fields` are those of them that this monitor is to count.
    """

    def __init__(
        self,
        model: str,
        version: str,
        baseline: Baseline,
        fields: Sequence[BaselineField],
        false_alarms: float,
    ) -> None:
        assert baseline.components is not None
        self._projection = Projection(baseline.components, baseline.fields)
        names = [one.name for one in baseline.component_fields]
        self._places = [names.index(one.name) for one in fields]
        self._distance = names.index(DISTANCE)
        edges = baseline.component_fields[self._distance].edges or ()
        self._farthest = edges[-1] if edges else np.inf
        self._are_beyond = False  # some rows of the last batch
        self._counted = FieldValues(model, version, baseline, fields, false_alarms)
        of = {"model": model, "version": version, "baseline_id": baseline.id}
        loading = Family(
            "ml_component_loading",
            f"What a feature counts in a component: of each the {LOADINGS_TOLD} that count most.",
            "gauge",
            ("component", "field", "bin"),
            of=of,
        )
        variance = Family(
            "ml_component_variance",
            "Variance of a component in the baseline, each input of it having 1.",
            "gauge",
            ("component",),
            of=of,
        )
        self.families: tuple[Family, ...] = (*self._counted.families, loading, variance)
        self._outliers: Outliers | None = None
        if self._distance in self._places:
            self._outliers = Outliers(model, version, baseline.id, DISTANCE, edges)
            self.families += self._outliers.families
        for component in (baseline.components.components[place] for place in self._places):
            if component.name != DISTANCE:
                variance.set(component.variance, component.name)
                for one in component.strongest():
                    loading.set(one.value, component.name, one.field, one.category or "")

    @staticmethod
    def series(field: BaselineField) -> int:
        """How many series a component costs."""
        own = Outliers.series(field) if field.name == DISTANCE else 1 + LOADINGS_TOLD
        return FieldValues.series(field) + own

    def update(self, batch: Batch) -> None:
        counts = self._projection.count(batch)
        self._counted.add([np.append(counts[place], (0, 0)) for place in self._places])
        distances = counts[self._distance]
        if self._outliers is not None:
            self._outliers.add(distances)
        self._are_beyond = bool(distances[-1])

    def outliers(self, batch: Batch) -> NDArray[np.bool_]:
        """Rows of the batch that was counted last, farther out than any of the baseline."""
        if not self._are_beyond:
            return np.zeros(batch.rows, dtype=np.bool_)
        beyond: NDArray[np.bool_] = self._projection.of(batch)[-1] > self._farthest
        return beyond
