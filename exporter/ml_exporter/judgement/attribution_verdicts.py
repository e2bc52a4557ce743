"""Whether predictions rest on the fields that they rested on, as `AttributionDrift` judges it."""

from __future__ import annotations

import math

from ml_exporter.config.thresholds import SEVERITIES
from ml_exporter.judgement.samples import Samples
from ml_exporter.judgement.verdicts import AttributionVerdict, State, worst
from ml_exporter.rules.attributions import LEAST_ATTRIBUTED, LEAST_NDCG
from ml_exporter.statistics.attribution import ndcg


def judged_attribution(samples: Samples) -> AttributionVerdict | None:
    """None where the log or the baseline has no attributions."""
    rows = samples.total("ml_attributed_predictions_total")
    baseline = samples.by("ml_field_baseline_attribution", "field")
    if not rows or not baseline:
        return None
    totals = samples.by("ml_field_attribution_total", "field")
    now = {name: total / rows for name, total in totals.items()}
    value = ndcg(now, baseline)
    state: State = "no data"
    if rows >= LEAST_ATTRIBUTED and not math.isnan(value):
        state = worst(severity for severity in SEVERITIES if value < LEAST_NDCG[severity])
    thresholds = {severity: LEAST_NDCG[severity] for severity in SEVERITIES}
    return AttributionVerdict(rows, value, now, baseline, thresholds, state)
