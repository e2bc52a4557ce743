"""Rows against constraints, as `field:violation_ratio` judges them."""

from __future__ import annotations

import math

from ml_exporter.rules.integrity import LEAST_AGAINST_CONSTRAINT
from ml_exporter.samples import Samples
from ml_exporter.thresholds import SEVERITIES
from ml_exporter.verdicts import Limits, State, Violation, rank, worst

_MONITOR = "constraint_violation_ratio"


def violations(samples: Samples) -> list[Violation]:
    """What rows of a version violated, the gravest first; of equal ones, what more of them did."""
    predictions = samples.total("ml_predictions_total")
    found = []
    for labels, rows in samples["ml_constraint_violations_total"]:
        if not rows or not predictions:
            continue
        thresholds, ratio = _thresholds(samples, labels["field"]), rows / predictions
        state: State = "ok"
        if rows >= LEAST_AGAINST_CONSTRAINT:
            state = worst(
                severity for severity in SEVERITIES if ratio > thresholds.get(severity, math.inf)
            )
        found.append(
            Violation(labels["constraint"], labels["field"], rows, ratio, thresholds, state)
        )
    return sorted(found, key=lambda one: (-rank(one.state), -one.rows))


def _thresholds(samples: Samples, field: str) -> Limits:
    """The field's own go before the model's; whatever role was meant, the stricter one."""
    own = [samples.thresholds(_MONITOR, role, field) for role in ("feature", "prediction", "score")]
    return {
        severity: min(limits[severity] for limits in own)
        for severity in SEVERITIES
        if all(severity in limits for limits in own)
    }
