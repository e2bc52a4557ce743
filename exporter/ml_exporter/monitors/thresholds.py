"""Every threshold as a series, so that one rule serves all monitors of all models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ml_exporter.baseline.baseline import Baseline, BaselineField
from ml_exporter.batch import Batch
from ml_exporter.config.thresholds import Severity, Threshold
from ml_exporter.families import Family
from ml_exporter.statistics import constancy, figures, significance
from ml_exporter.statistics.bins import INVALID, MISSING, OTHER

_SIZES: Mapping[Severity, float] = {"warning": 0.1, "critical": 0.2}  # of a shift
# Of broken values, above the baseline's own; of performance, below it; of errors, times it; of a
# segment's figure, below what the segment's used to be.
_SHARES: Mapping[Severity, float] = {"warning": 0.05, "critical": 0.2}
_VIOLATIONS: Mapping[Severity, float] = {"warning": 0.01, "critical": 0.05}  # of constraints
_DROPS: Mapping[Severity, float] = {"warning": 0.05, "critical": 0.1}
_GROWTHS: Mapping[Severity, float] = {"warning": 1.2, "critical": 1.5}
_SIGNIFICANCES: Mapping[Severity, float] = {"warning": 1.0, "critical": 1.0}  # of components
_GAPS: Mapping[Severity, float] = {"warning": 0.1, "critical": 0.2}


class Thresholds:
    def __init__(
        self,
        model: str,
        version: str,
        baseline: Baseline | None,
        performance: Mapping[str, float],
        configured: Sequence[Threshold],
        off: Iterable[str],
        false_alarms: float,
    ) -> None:
        of = {"model": model, "version": version}
        help = "What a monitored figure is judged by; the one with a field goes before."
        self._default = Family("ml_threshold", help, "gauge", ("monitor", "severity"), of=of)
        self._of_field = Family(
            "ml_threshold", help, "gauge", ("monitor", "severity", "role", "field"), of=of
        )
        reference = Family(
            "ml_threshold_reference",
            "What a figure of performance must be significantly worse than, to be judged.",
            "gauge",
            ("monitor", "severity"),
            of=of,
        )
        rows = Family(
            "ml_threshold_reference_rows",
            "Labelled rows of the baseline that the reference was measured on.",
            "gauge",
            ("monitor", "severity"),
            of=of,
        )
        critical = Family(
            "ml_performance_critical_value",
            "How many standard errors a figure must be worse than its reference.",
            "gauge",
            of=of,
        )
        self.families = (self._default, self._of_field, reference, rows, critical)
        labelled = labelled_rows(baseline)
        thresholds = resolve(baseline, performance, configured, off)
        judged = {one.monitor for one in thresholds if one.monitor in figures.JUDGED}
        if judged and false_alarms:
            critical.set(significance.critical_value(len(judged), false_alarms))
        for threshold in thresholds:
            if threshold.monitor in judged:
                worse_than = threshold.value if threshold.reference is None else threshold.reference
                reference.set(worse_than, threshold.monitor, threshold.severity)
                if threshold.reference is not None and labelled:
                    rows.set(labelled, threshold.monitor, threshold.severity)
            if threshold.field is None:
                self._default.set(threshold.value, threshold.monitor, threshold.severity)
            else:
                self._of_field.set(
                    threshold.value,
                    threshold.monitor,
                    threshold.severity,
                    threshold.role or "feature",
                    threshold.field,
                )

    def update(self, batch: Batch) -> None:
        """Nothing to count."""


def resolve(
    baseline: Baseline | None,
    performance: Mapping[str, float],
    configured: Sequence[Threshold],
    off: Iterable[str],
) -> list[Threshold]:
    """The configured thresholds, and a default wherever none is configured."""
    said = {(one.monitor, one.severity) for one in configured if one.field is None}
    defaults = [
        *_sizes(),
        *_shares(baseline.fields if baseline else ()),
        *_performance(performance, labelled_rows(baseline)),
        *(Threshold("performance_gap", severity, gap) for severity, gap in _GAPS.items()),
        Threshold("anomaly", "warning", 1.0),  # half widths of its band
        *(Threshold("multivariate_drift", *of) for of in _SIGNIFICANCES.items()),
        *(Threshold("constraint_violation_ratio", *share) for share in _VIOLATIONS.items()),
        Threshold("constant_z", "warning", constancy.LEAST_Z),
    ]
    off = set(off)
    kept = [one for one in defaults if (one.monitor, one.severity) not in said]
    return [one for one in [*kept, *configured] if one.monitor not in off]


def _sizes() -> Iterable[Threshold]:
    for monitor in ("psi", "location_shift"):
        for severity, value in _SIZES.items():
            yield Threshold(monitor, severity, value)


def _shares(fields: Sequence[BaselineField]) -> Iterable[Threshold]:
    bins = {"missing_ratio": MISSING, "invalid_ratio": INVALID, "unseen_ratio": OTHER}
    for severity, value in _SHARES.items():
        for monitor in (*bins, "out_of_range_ratio"):
            yield Threshold(monitor, severity, value)
        for field in fields:
            for monitor, bin in bins.items():
                if count := field.counts.get(bin, 0):
                    above = value + count / field.rows
                    yield Threshold(monitor, severity, above, field.role, field.name)


def _performance(performance: Mapping[str, float], rows: int) -> Iterable[Threshold]:
    for metric in ("accuracy", "f1", "roc_auc"):
        if metric in performance:
            value = performance[metric]
            usual = value
            if metric == "accuracy" and rows:
                # Nobody is always right (Laplace's rule of succession).
                usual = (value * rows + 1) / (rows + 2)
            for severity, drop in _DROPS.items():
                yield Threshold(metric, severity, value - drop, reference=usual)
    if "mean_absolute_error" in performance:
        value = performance["mean_absolute_error"]
        for severity, growth in _GROWTHS.items():
            yield Threshold("mean_absolute_error", severity, value * growth, reference=value)


def labelled_rows(baseline: Baseline | None) -> int:
    """How many rows of a baseline its figures are of."""
    if baseline is None:
        return 0
    errors = baseline.errors.rows if baseline.errors else 0
    return errors or sum(cell.count for cell in baseline.confusion)
