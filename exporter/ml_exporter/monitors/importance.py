"""How important each feature is to the model, by its baseline."""

from __future__ import annotations

from collections.abc import Collection

from ml_exporter.baseline.baseline import Baseline
from ml_exporter.batch import Batch
from ml_exporter.families import Family


class BaselineImportance:
    """Shows the share of the attributions, or else of the prediction that the feature tells."""

    def __init__(
        self, model: str, version: str, baseline: Baseline, fields: Collection[str]
    ) -> None:
        """`fields` are the names of those that are watched."""
        importance = Family(
            "ml_field_baseline_importance",
            "How important a feature is: its share of the mean absolute attributions, or what it "
            "tells of the prediction or label, from 0 to 1.",
            "gauge",
            ("baseline_id", "field", "of"),
            of={"model": model, "version": version},
        )
        total = sum(baseline.attributions.values())
        if total > 0:
            of = "attribution"
            shares = {name: mean / total for name, mean in baseline.attributions.items()}
        elif baseline.importance is not None:
            of, shares = baseline.importance.of, baseline.importance.shares
        else:
            of, shares = "", {}
        for name, share in shares.items():
            if name in fields:
                importance.set(share, baseline.id, name, of)
        self.families = (importance,)

    def update(self, batch: Batch) -> None:
        """Nothing to count."""
