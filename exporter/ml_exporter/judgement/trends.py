"""When counts began to differ, and how figures went: the verdicts' past, from counters over time.

`values` are of a counter family over time, shape (times, series), as counted; `times` are seconds
since 1970 in ascending order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ml_exporter.families import Values
from ml_exporter.statistics.bins import Floats

_FALSE_ONSETS = 1e-4  # the chance to see one where nothing changed


@dataclass(frozen=True)
class Onset:
    """When a change began; `seen` is False where it had begun before all that is remembered."""

    time: float
    seen: bool


@dataclass(frozen=True)
class Line:
    """A figure at evenly spaced times, each over the stretch before; NaN where it isn't known."""

    times: Floats
    values: Floats


def increases(values: Values) -> Values:
    """What was counted between each two times, shape (times - 1, series); a fall counts from 0."""
    steps = np.diff(values, axis=0)
    return np.where(steps < 0, values[1:], steps)


def onset(
    times: Floats, values: Values, is_worse: Callable[[Floats, Floats], bool]
) -> Onset | None:
    """Since when one distribution has been another one: the most likely point of change.

    Of all cuts of the time in two it is the one with the greatest likelihood-ratio statistic of
    the counts before and after. `is_worse(before, after)` says of both counts, (series,), whether
    it was for the worse; if not, None. Without a significant change there was none in this time.

    D. V. Hinkley, Inference about the change-point from cumulative sum tests (1971).
    """
    if times.size < 3:
        return Onset(float(times[0]), seen=False) if times.size else None
    counted = np.cumsum(increases(values), axis=0)
    before, total = counted[:-1], counted[-1]
    after = total - before
    g = _g_statistics(before, after)
    cut = int(np.argmax(g))
    cells = np.count_nonzero(total)
    # Bonferroni's bound over the cuts.
    if cells < 2 or g[cut] < special.chdtri(cells - 1, _FALSE_ONSETS / g.size):
        return Onset(float(times[0]), seen=False)
    if not is_worse(before[cut], after[cut]):
        return None
    return Onset(float(times[cut + 1]), seen=True)


def _g_statistics(before: Values, after: Values) -> Floats:
    """`drift.g_statistic` of each row of two arrays (cuts, series); 0 where a side has no rows."""
    n, m = before.sum(axis=1, keepdims=True), after.sum(axis=1, keepdims=True)
    pooled = (before + after) / np.maximum(n + m, 1)
    terms = special.rel_entr(before, pooled * n) + special.rel_entr(after, pooled * m)
    g: Floats = 2 * terms.sum(axis=1)
    return np.where((n > 0).ravel() & (m > 0).ravel(), g, 0.0)


def line(
    times: Floats,
    values: Values,
    figure: Callable[[Floats, float], float],
    *,
    seconds: float,
    stretch: float,
    points: int = 60,
) -> Line:
    """A figure over the last so many seconds, as a function of counts, (series,), and seconds.

    At each point it is of what was counted in the stretch of so many seconds before, or in as
    much of that as there is.
    """
    ends = np.linspace(times[-1] - seconds, times[-1], points + 1)[1:]
    zero = np.zeros((1, values.shape[1]))
    counted = np.concatenate((zero, np.cumsum(increases(values), axis=0)))
    upto = _at(times, ends)
    since = _at(times, ends - stretch)
    of_points = [
        figure(counted[end] - counted[start], float(times[end] - times[start]))
        if end > start
        else np.nan
        for start, end in zip(since, upto, strict=True)
    ]
    return Line(ends, np.array(of_points))


def _at(times: Floats, moments: Floats) -> NDArray[np.intp]:
    """The latest time that isn't after each moment; the first where all are."""
    return np.maximum(np.searchsorted(times, moments + 1e-6, side="right") - 1, 0)
