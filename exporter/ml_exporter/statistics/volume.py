"""How many predictions are usual at an hour, by the same hour of earlier days."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

DAYS = (1, 2, 3, 4, 5, 6, 7, 14)
"""How long ago earlier hours are. Without a week of them nothing is usual: weekends differ."""
FACTOR = 2.0
LEAST_Z = 5.0
"""A count is unusual that is beyond all but one of them by this factor, and by so many standard
errors of a count."""


class Usual(NamedTuple):
    """Of the earlier hours; NaN where there is no week of them, or no second one."""

    median: float
    lower: float
    upper: float


def usual(earlier: Mapping[int, Sequence[float]]) -> Usual:
    """The median, and the second least and second greatest count of earlier hours.

    `earlier` has by days the counts of the same hour and then of those around it: a day's least and
    greatest of them count, so that half an hour's delay is not unusual. The second ones, so that
    one day's outage doesn't make another one usual.
    """
    if 7 not in earlier:
        return Usual(math.nan, math.nan, math.nan)
    if len(earlier) == 1:
        return Usual(earlier[7][0], math.nan, math.nan)
    least = sorted(min(around) for around in earlier.values())
    greatest = sorted(max(around) for around in earlier.values())
    return Usual(median(around[0] for around in earlier.values()), least[1], greatest[-2])


def change(count: float, of: Usual) -> float:
    """The count over what is usual, where it is unusual; NaN where it isn't, and where it is 0.

    That there are none at all is another question, and for each hour of rest no alarm.
    """
    low = count < of.lower / FACTOR and of.lower - count > LEAST_Z * math.sqrt(of.lower)
    high = count > of.upper * FACTOR and count - of.upper > LEAST_Z * math.sqrt(of.upper)
    return count / of.median if count > 0 and of.median > 0 and (low or high) else math.nan
