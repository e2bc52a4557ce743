"""What Model Monitor would report of judged fields: its constraint_violations.json.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-interpreting-violations.html
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from ml_exporter.baseline.sagemaker.monitoring import ENABLED, Monitoring
from ml_exporter.judgement.verdicts import FieldVerdict, VersionVerdict
from ml_exporter.judgement.wording import count, percent
from ml_exporter.serialization.json_text import indented
from ml_exporter.statistics import effects
from ml_exporter.statistics.bins import ANY, INVALID, MISSING, OTHER

_MONITORED = ("feature", "prediction", "score", "label")  # roles
_USUAL = Monitoring()

Check = Literal[
    "data_type_check",
    "completeness_check",
    "baseline_drift_check",
    "missing_column_check",
    "extra_column_check",
    "categorical_values_check",
]


@dataclass(frozen=True)
class ConstraintViolation:
    feature_name: str
    constraint_check_type: Check
    description: str


def encode_violations(found: Iterable[ConstraintViolation]) -> bytes:
    """The file of what was found, of one window."""
    return indented({"violations": [asdict(one) for one in found]}, 2)


def constraint_violations(
    version: VersionVerdict, monitoring: Monitoring = _USUAL
) -> Iterable[ConstraintViolation]:
    """As strict as Model Monitor, which knows no chance: see `Monitoring` for its thresholds.

    Distances are of bins, not of sketches. A field that is gone from all rows is a missing column,
    and nothing else is said of it.
    """
    if monitoring.evaluate_constraints != ENABLED:
        return
    gone = {one.field for one in version.violations if _is_gone(one.kind, one.ratio)}
    for field in sorted(version.fields, key=lambda one: (_role(one), one.name)):
        if field.role not in _MONITORED or not field.rows:
            continue
        if field.role == "feature" and field.name in gone:
            text = f"In the baseline, and in none of {count(field.rows, 'row')}."
            yield ConstraintViolation(field.name, "missing_column_check", text)
            continue
        for check, problem in _problems(field, monitoring):
            yield ConstraintViolation(field.name, check, problem)
    for one in version.violations:
        if one.kind == "extra_field":
            text = f"Not in the baseline, and in {count(one.rows, 'row')} ({percent(one.ratio)})."
            yield ConstraintViolation(one.field, "extra_column_check", text)


def _is_gone(kind: str, ratio: float) -> bool:
    return kind == "missing_field" and ratio >= 1


def _role(field: FieldVerdict) -> int:
    return _MONITORED.index(field.role) if field.role in _MONITORED else len(_MONITORED)


def _problems(field: FieldVerdict, monitoring: Monitoring) -> Iterable[tuple[Check, str]]:
    now, usual = (
        dict(zip(field.bins, counts.tolist(), strict=True))
        for counts in (field.counts, field.baseline_counts)
    )
    present = field.rows - now[MISSING]
    right_type = (present - now[INVALID]) / present if present else 1.0
    if right_type < monitoring.datatype_check_threshold:
        yield (
            "data_type_check",
            f"{percent(right_type)} of the values are of the type {field.type}, where "
            f"{percent(monitoring.datatype_check_threshold)} must be.",
        )
    completeness = present / field.rows
    if field.baseline_rows:
        expected = 1 - usual[MISSING] / field.baseline_rows
        if completeness < expected - 1e-9:  # shares of counts, but for rounding
            yield (
                "completeness_check",
                f"{percent(completeness)} of the rows have a value, {percent(expected)} in the "
                "baseline.",
            )
    valid = present - now[INVALID]
    if field.type == "category" and valid and ANY not in now and not usual[OTHER]:
        known = (valid - now[OTHER]) / valid
        if known < monitoring.domain_content_threshold:
            yield (
                "categorical_values_check",
                f"{percent(known)} of the values are categories of the baseline, where "
                f"{percent(monitoring.domain_content_threshold)} must be.",
            )
    yield from _drift(field, monitoring)


def _drift(field: FieldVerdict, monitoring: Monitoring) -> Iterable[tuple[Check, str]]:
    comparison = monitoring.distribution_constraints
    if comparison.perform_comparison != ENABLED:
        return
    plain = np.array([bin not in (MISSING, INVALID) for bin in field.bins])
    w, r = field.counts[plain], field.baseline_counts[plain]
    is_category = field.type == "category"
    distance = effects.l_infinity(w, r) if is_category else effects.ks(w, r)
    if comparison.comparison_method.lower().endswith("robust"):
        distance = effects.robust(distance, w.sum(), r.sum())
    threshold = comparison.threshold(is_category)
    if distance > threshold:
        yield (
            "baseline_drift_check",
            f"Distance from the baseline {distance:.4g}, above {threshold:g} "
            f"({comparison.comparison_method}).",
        )
