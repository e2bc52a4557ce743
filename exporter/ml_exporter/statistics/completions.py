"""What answers of a language model tell: why they ended, and whether more are cut off than were."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ml_exporter.statistics.drift import share_z

CUT_OFF = ("length", "content_filter")
"""Reasons for an answer to end before the model was done."""
LEAST_CUT_OFF = 10
"""Answers that were cut off, for their share to be judged."""
CRITICAL_VALUE = 4.5
"""Standard errors that chance hardly ever explains: once in 300,000 independent looks."""


def shares(counts: Mapping[str, float]) -> dict[str, float]:
    """What part of all answers ended for each reason; nothing where there are no answers."""
    total = sum(counts.values())
    return {reason: count / total for reason, count in counts.items()} if total else {}


def cut_off(counts: Mapping[str, float]) -> float:
    """How many answers were cut off, of counts by finish reason."""
    return sum(counts.get(reason, 0) for reason in CUT_OFF)


def per(total: float, count: float) -> float:
    """A mean, such as tokens of a request; NaN of nothing."""
    return total / count if count else math.nan


def cut_off_rise(
    count: float, answers: float, earlier_count: float, earlier_answers: float
) -> float:
    """By how much the share of answers that are cut off has grown, where that is no chance.

    NaN where it is, and where there are too few of them or no earlier answers.
    """
    if count < LEAST_CUT_OFF or not answers or not earlier_answers:
        return math.nan
    if share_z(count, answers, earlier_count, earlier_answers) <= CRITICAL_VALUE:
        return math.nan
    return count / answers - earlier_count / earlier_answers
