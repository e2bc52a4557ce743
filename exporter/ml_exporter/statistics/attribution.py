"""How much each field had to do with predictions, and whether they are still in the same order."""

from __future__ import annotations

import math
from collections.abc import Mapping

CUTOFF = 20
"""How many places of the order count; as many models have no more fields, it is all of them."""


def ranks(attributions: Mapping[str, float]) -> dict[str, int]:
    """The places of the first `CUTOFF` fields, from 1; of equal ones, in the order given."""
    ordered = sorted(attributions, key=attributions.__getitem__, reverse=True)
    return {name: place for place, name in enumerate(ordered[:CUTOFF], start=1)}


def ndcg(live: Mapping[str, float], baseline: Mapping[str, float]) -> float:
    """Normalised discounted cumulative gain of the live order: 1 if it is the baseline's.

    The gain of a field is its attribution in the baseline, `log2(1 + place)` its discount, so that
    what mattered most counts most. It is what SageMaker Clarify judges feature attribution drift by
    (https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-model-monitor-feature-attribution-drift.html),
    of the first `CUTOFF` places. NaN where the baseline has no attribution but 0, or nothing is
    live.
    """

    def gain(order: Mapping[str, int]) -> float:
        return sum(baseline.get(name, 0.0) / math.log2(1 + place) for name, place in order.items())

    ideal = gain(ranks(baseline))
    return gain(ranks(live)) / ideal if live and ideal > 0 else math.nan
