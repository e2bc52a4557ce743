"""Segments against their baselines, as `segment:shortfall` judges them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ml_exporter.judgement.performance_verdicts import baseline_figures, critical_value
from ml_exporter.judgement.samples import Samples
from ml_exporter.judgement.verdicts import Limits, SegmentVerdict, State, rank, worst
from ml_exporter.rules.segments import LEAST_LABELLED
from ml_exporter.statistics import segments

Key = tuple[str, str]  # what is segmented by, and the segment


@dataclass
class _Rows:
    """The labelled rows of a segment."""

    labelled: float = 0.0
    correct: float = 0.0
    absolute: float = 0.0
    squared: float = 0.0


def judged_segments(samples: Samples, task: str) -> list[SegmentVerdict]:
    """The segments that have rows, the worst first; of equal ones, the one with more rows."""
    metric: Literal["accuracy", "mean_absolute_error"] = (
        "mean_absolute_error" if task == "regression" else "accuracy"
    )
    predictions = _by_segment(samples, "ml_segment_predictions_total")
    labelled = _labelled(samples)
    usual_shares = _by_segment(samples, "ml_segment_baseline_ratio")
    references = _by_segment(samples, "ml_segment_baseline_performance")
    reference_rows = _by_segment(samples, "ml_segment_baseline_labelled_rows")
    of_model = baseline_figures(samples).get(metric, math.nan)
    thresholds = samples.thresholds("performance_gap")
    judged = sum(rows.labelled >= LEAST_LABELLED for rows in labelled.values())
    critical = _critical_value(samples, judged)
    totals: dict[str, float] = defaultdict(float)
    for (field, _), rows in predictions.items():
        totals[field] += rows

    found = []
    for key, rows in predictions.items():
        of = labelled.get(key, _Rows())
        if not (rows or of.labelled):
            continue
        reference = references.get(key, of_model)
        value, drop, z = _against(metric, of, reference, reference_rows.get(key, math.inf))
        found.append(
            SegmentVerdict(
                field=key[0],
                name=key[1],
                state=_state(of.labelled, drop, z, thresholds, critical),
                rows=rows,
                share=rows / totals[key[0]] if totals[key[0]] else math.nan,
                baseline_share=usual_shares.get(key, math.nan),
                labelled=of.labelled,
                metric=metric,
                value=value,
                reference=reference,
                drop=drop,
                drop_share=math.nan,
                z=z,
                thresholds=thresholds,
            )
        )
    return sorted(_with_drop_shares(found), key=_attention)


def _by_segment(samples: Samples, name: str) -> dict[Key, float]:
    return {(of["segment_field"], of["segment"]): value for of, value in samples[name]}


def _labelled(samples: Samples) -> dict[Key, _Rows]:
    found: dict[Key, _Rows] = defaultdict(_Rows)
    for of, rows in samples["ml_segment_outcomes_total"]:
        one = found[of["segment_field"], of["segment"]]
        one.labelled += rows
        one.correct += rows if of["correct"] == "true" else 0.0
    for attribute, name in (
        ("labelled", "ml_segment_labelled_predictions_total"),
        ("absolute", "ml_segment_absolute_error_total"),
        ("squared", "ml_segment_squared_error_total"),
    ):
        for key, value in _by_segment(samples, name).items():
            setattr(found[key], attribute, value)
    return found


def _critical_value(samples: Samples, judged: int) -> float:
    """Bonferroni's bound over so many segments: a tail of z is an n-th of that of the model's."""
    return math.sqrt(critical_value(samples) ** 2 + 2 * math.log(max(judged, 1)))


def _against(
    metric: str, of: _Rows, reference: float, reference_rows: float
) -> tuple[float, float, float]:
    """The figure, by how much it is worse than its reference, and by how many standard errors."""
    if not of.labelled:
        return math.nan, math.nan, math.nan
    if metric == "accuracy":
        value = of.correct / of.labelled
        z = segments.accuracy_drop_z(of.correct, of.labelled, reference, reference_rows)
        return value, reference - value, z
    value = of.absolute / of.labelled
    sums = of.absolute, of.squared, of.labelled
    drop = value / reference - 1 if reference > 0 else math.nan
    return value, drop, segments.error_drop_z(*sums, reference, reference_rows)


def _state(
    labelled: float, drop: float, z: float, thresholds: Limits, critical: float
) -> State | None:
    if labelled < LEAST_LABELLED or math.isnan(drop):
        return None
    crossed = (severity for severity, limit in thresholds.items() if drop > limit)
    return worst(crossed) if z > critical else "ok"


def _with_drop_shares(found: list[SegmentVerdict]) -> list[SegmentVerdict]:
    by_field: Mapping[str, list[SegmentVerdict]] = defaultdict(list)
    for one in found:
        by_field[one.field].append(one)
    result = []
    for some in by_field.values():
        sign = 1 if some[0].metric == "mean_absolute_error" else -1
        excess = [sign * (one.value - one.reference) * one.labelled for one in some]
        shares = segments.drop_shares([0.0 if math.isnan(one) else one for one in excess])
        for one, share in zip(some, shares.tolist(), strict=True):
            result.append(replace(one, drop_share=share))
    return result


def _attention(segment: SegmentVerdict) -> tuple[float, ...]:
    state = rank(segment.state) if segment.state is not None else 0
    drop = segment.drop * segment.labelled
    return -state, -drop if not math.isnan(drop) else 0.0, -segment.rows
