"""Verdicts as plain values, for JSON: what is undefined is None, times are seconds since 1970."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ml_exporter.judgement import field_explanation
from ml_exporter.judgement.alarms import Alarm
from ml_exporter.judgement.trends import Onset
from ml_exporter.judgement.verdicts import (
    AttributionVerdict,
    ChampionVerdict,
    ConstantVerdict,
    EstimateVerdict,
    FieldVerdict,
    Figure,
    SegmentVerdict,
    VersionVerdict,
    Violation,
)
from ml_exporter.statistics.drift import STATISTICS

Document = dict[str, Any]


def of_version(
    of: VersionVerdict,
    *,
    summary: str,
    advice: Sequence[str],
    since: Onset | None,
    field_since: Callable[[FieldVerdict], Onset | None],
    violation_since: Callable[[Violation], Onset | None] = lambda violation: None,
) -> Document:
    return {
        "version": of.version,
        "state": of.state,
        "summary": summary,
        "since": of_onset(since),
        "advice": list(advice),
        "task": of.task,
        "positive": of.positive or None,
        "baseline": {"id": of.baseline_id or None, "state": of.baseline_state},
        "predictions": of.predictions,
        "last_prediction": of.last_prediction,
        "labelled_predictions": of.labelled,
        "performance": {figure.metric: of_figure(figure) for figure in of.figures},
        "fields": [of_field(field, field_since(field)) for field in of.fields],
        "components": [of_component(one, field_since(one)) for one in of.components],
        "segments": [of_segment(segment) for segment in of.segments],
        "violations": [of_violation(one, violation_since(one)) for one in of.violations],
        "estimate": None if of.estimate is None else of_estimate(of.estimate),
        "attribution": None if of.attribution is None else of_attribution(of.attribution),
        "against_champion": (
            None if of.against_champion is None else of_champion(of.against_champion)
        ),
        "against_constant": (
            None if of.against_constant is None else of_constant(of.against_constant)
        ),
    }


def of_figure(figure: Figure) -> Document:
    return {
        "value": defined(figure.value),
        "interval": None if math.isnan(figure.interval[0]) else list(figure.interval),
        "baseline": figure.baseline,
        "thresholds": dict(figure.thresholds),
        "state": figure.state,
    }


def of_field(of: FieldVerdict, since: Onset | None) -> Document:
    bins = zip(of.bins, of.counts.tolist(), of.baseline_counts.tolist(), strict=True)
    return {
        "role": of.role,
        "field": of.name,
        "type": of.type,
        "state": of.state,
        "drift": of.drift,
        "explanation": field_explanation.explain(of),
        "since": of_onset(since),
        "rows": of.rows,
        "baseline_rows": of.baseline_rows,
        "importance": (
            None
            if of.importance is None
            else {
                "share": of.importance.share,
                "of": of.importance.of,
                "place": of.importance.place,
                "features": of.importance.features,
            }
        ),
        "psi": defined(of.psi),
        "location_shift": defined(of.location_shift),
        "effects": {name: defined(size) for name, size in of.effects.items()},
        "significance": defined(of.significance),
        "thresholds": {name: dict(limits) for name, limits in of.thresholds.items()},
        "tests": {
            STATISTICS[test]: {
                "statistic": value,
                "critical_value": defined(of.critical_values.get(test, math.nan)),
            }
            for test, value in of.statistics.items()
            if not math.isnan(value)
        },
        "shares": {
            share.kind: {
                "ratio": share.ratio,
                "baseline_ratio": share.baseline_ratio,
                "thresholds": dict(share.thresholds),
                "state": share.state,
            }
            for share in of.shares
        },
        "bins": [{"bin": bin, "rows": now, "baseline_rows": usual} for bin, now, usual in bins],
    }


def of_component(of: FieldVerdict, since: Onset | None) -> Document:
    loadings = [
        {"field": one.field, "category": one.category, "value": one.value} for one in of.loadings
    ]
    return of_field(of, since) | {"variance": defined(of.variance), "loadings": loadings}


def of_segment(of: SegmentVerdict) -> Document:
    return {
        "segment_field": of.field,
        "segment": of.name,
        "state": of.state,
        "rows": of.rows,
        "share": defined(of.share),
        "baseline_share": defined(of.baseline_share),
        "labelled_predictions": of.labelled,
        "metric": of.metric,
        "value": defined(of.value),
        "baseline": defined(of.reference),
        "drop": defined(of.drop),
        "drop_share": defined(of.drop_share),
        "z": defined(of.z),
        "thresholds": dict(of.thresholds),
    }


def of_violation(of: Violation, since: Onset | None) -> Document:
    return {
        "field": of.field,
        "violation": of.kind,
        "since": of_onset(since),
        "rows": of.rows,
        "ratio": of.ratio,
        "thresholds": dict(of.thresholds),
        "state": of.state,
    }


def of_estimate(of: EstimateVerdict) -> Document:
    return {
        "estimator": of.estimator,
        "predictions": of.rows,
        "performance": {figure.metric: of_figure(figure) for figure in of.figures},
        "errors": dict(of.errors),
        "calibration_drift": defined(of.calibration_drift),
        "concept_drift": of.concept,
    }


def of_attribution(of: AttributionVerdict) -> Document:
    return {
        "predictions": of.rows,
        "ndcg": defined(of.ndcg),
        "thresholds": dict(of.thresholds),
        "state": of.state,
        "fields": {
            name: {"attribution": value, "baseline": of.baseline.get(name)}
            for name, value in of.now.items()
        },
    }


def of_champion(of: ChampionVerdict) -> Document:
    return {
        "champion": of.champion,
        "gap": defined(of.gap),
        "z": defined(of.z),
        "thresholds": dict(of.thresholds),
        "state": of.state,
    }


def of_constant(of: ConstantVerdict) -> Document:
    return {
        "metric": of.metric,
        "value": of.value,
        "constant": of.constant,
        "state": of.state,
    }


def of_alarm(alarm: Alarm) -> Document:
    return {
        "alert": alarm.alert,
        "severity": alarm.severity,
        "model": alarm.model,
        "version": alarm.version,
        "summary": alarm.summary,
        "findings": list(alarm.findings),
    }


def of_onset(onset: Onset | None) -> Document | None:
    return None if onset is None else {"time": onset.time, "seen": onset.seen}


def defined(value: float) -> float | None:
    return value if math.isfinite(value) else None
