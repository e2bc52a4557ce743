"""What a model is, and what it was at training time: series that rules join on."""

from __future__ import annotations

from collections.abc import Mapping

from ml_exporter.baseline.baseline import Baseline
from ml_exporter.batch import Batch
from ml_exporter.families import Family
from ml_exporter.monitors.thresholds import labelled_rows


class ModelInfo:
    def __init__(self, model: str, version: str, task: str, positive: str | None) -> None:
        family = Family(
            "ml_model_info",
            "1; what kind of model it is.",
            "gauge",
            ("task", "positive"),
            of={"model": model, "version": version},
        )
        family.set(1, task, positive or "")
        self.families = (family,)

    def update(self, batch: Batch) -> None:
        """Nothing to count."""


class BaselineInfo:
    """`state` is `file`, `learning` or `learned`; there is no baseline while it is learned."""

    def __init__(
        self,
        model: str,
        version: str,
        state: str,
        baseline: Baseline | None,
        performance: Mapping[str, float],
        by_class: Mapping[str, Mapping[str, float]],
    ) -> None:
        of = {"model": model, "version": version}
        info = Family(
            "ml_baseline_info",
            "1; which baseline values are binned and judged by.",
            "gauge",
            ("baseline_id", "state"),
            of=of,
        )
        info.set(1, baseline.id if baseline else "", state)
        figures = Family(
            "ml_baseline_performance",
            "The model's figures on the baseline's rows.",
            "gauge",
            ("metric",),
            of=of,
        )
        for metric, value in performance.items():
            figures.set(value, metric)
        class_figures = Family(figures.name, figures.help, "gauge", ("metric", "class"), of=of)
        for name, values in by_class.items():
            for metric, value in values.items():
                class_figures.set(value, metric, name)
        rows = Family(
            "ml_baseline_labelled_rows",
            "Labelled rows of the baseline, which its figures are of.",
            "gauge",
            of=of,
        )
        if labelled := labelled_rows(baseline):
            rows.set(labelled)
        self.families = (info, figures, class_figures, rows)

    def update(self, batch: Batch) -> None:
        """Nothing to count."""
