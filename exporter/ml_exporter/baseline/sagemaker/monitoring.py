"""How strictly Model Monitor compares, as the `monitoring_config` of a constraints.json says.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-byoc-constraints.html
"""

from __future__ import annotations

from dataclasses import dataclass

from ml_exporter.baseline.sagemaker.files import convert

ENABLED = "Enabled"


@dataclass(frozen=True)
class Comparison:
    """How distributions are compared; ChiSquared isn't known, and compared by LInfinity."""

    perform_comparison: str = ENABLED
    comparison_threshold: float = 0.1
    comparison_method: str = "Robust"  # or "Simple"
    categorical_comparison_threshold: float | None = None  # that of numbers
    categorical_drift_method: str = "LInfinity"

    def threshold(self, is_category: bool) -> float:
        of_categories = self.categorical_comparison_threshold
        if is_category and of_categories is not None:
            return of_categories
        return self.comparison_threshold


@dataclass(frozen=True)
class Monitoring:
    """Thresholds are the least shares: of values of the right type, and of known categories."""

    evaluate_constraints: str = ENABLED
    emit_metrics: str = ENABLED
    datatype_check_threshold: float = 1.0
    domain_content_threshold: float = 1.0
    distribution_constraints: Comparison = Comparison()


@dataclass(frozen=True)
class _File:
    monitoring_config: Monitoring = Monitoring()


def decode_monitoring(constraints: bytes) -> Monitoring:
    """That of a constraints.json, or the usual one; raises BaselineError."""
    return convert(constraints, _File).monitoring_config
