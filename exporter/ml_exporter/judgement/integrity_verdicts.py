"""Rows against schema and constraints, as `field:schema_violation` and its like judge them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ml_exporter.config.thresholds import SEVERITIES
from ml_exporter.judgement.samples import Samples
from ml_exporter.judgement.verdicts import Limits, State, Violation, rank, worst
from ml_exporter.rules.integrity import LEAST_AGAINST_CONSTRAINT, LEAST_REJECTED, REJECTED
from ml_exporter.statistics import schema
from ml_exporter.statistics.bins import INVALID, MISSING

_USUAL = {"missing_field": MISSING, "wrong_type": INVALID}  # what the baseline has of it
_LIMITS: Limits = {severity: schema.LIMITS[severity] for severity in SEVERITIES}
_ROW_LIMITS: Limits = {severity: REJECTED[severity] for severity in SEVERITIES}


def violations(samples: Samples) -> list[Violation]:
    """What rows of a version violated, the gravest first.

    Whether an unknown field is new, one window doesn't tell: none is unwell.
    """
    predictions = samples.total("ml_predictions_total")
    if not predictions:
        return []
    found = [*_of_schema(samples, predictions), *_of_constraints(samples, predictions)]
    return sorted(found, key=lambda one: (-rank(one.state), -one.rows, one.field))


def _of_schema(samples: Samples, predictions: float) -> Iterable[Violation]:
    usual = _usual_shares(samples)
    for labels, rows in samples["ml_schema_violations_total"]:
        kind, field = labels["violation"], labels["field"]
        if not rows:
            continue
        state: State = "ok"
        if (kind, field) in usual:
            share = usual[kind, field]
            state = worst(
                severity
                for severity, limit in _LIMITS.items()
                if schema.is_violation(rows, predictions, share, limit)
            )
        yield Violation(kind, field, rows, rows / predictions, _LIMITS, state)


def _usual_shares(samples: Samples) -> Mapping[tuple[str, str], float]:
    """Shares of the baseline's values that were missing or invalid, by violation and field."""
    shares: dict[tuple[str, str], float] = {}
    for labels, ratio in samples["ml_field_baseline_ratio"]:
        for kind, bin in _USUAL.items():
            if labels["bin"] == bin and labels["role"] in ("feature", "prediction", "score"):
                key = kind, labels["field"]
                shares[key] = max(ratio, shares.get(key, 0.0))
    return shares


def _of_constraints(samples: Samples, predictions: float) -> Iterable[Violation]:
    for labels, rows in samples["ml_constraint_violations_total"]:
        if not rows:
            continue
        field, ratio = labels["field"], rows / predictions
        limits = _thresholds(samples, field)
        enough = rows >= LEAST_AGAINST_CONSTRAINT
        state = above(ratio, limits) if enough else "ok"
        yield Violation(labels["constraint"], field, rows, ratio, limits, state)


def _thresholds(samples: Samples, field: str) -> Limits:
    """The field's own go before the model's; whatever role was meant, the stricter one."""
    own = [
        samples.thresholds("constraint_violation_ratio", role, field)
        for role in ("feature", "prediction", "score")
    ]
    return {
        severity: min(limits[severity] for limits in own)
        for severity in SEVERITIES
        if all(severity in limits for limits in own)
    }


def rows_state(rows: float, every: float) -> State:
    """Of rows that should not be as they are, among all."""
    return above(rows / every, _ROW_LIMITS) if rows >= LEAST_REJECTED else "ok"


def above(value: float, thresholds: Limits) -> State:
    return worst(severity for severity, limit in thresholds.items() if value > limit)
