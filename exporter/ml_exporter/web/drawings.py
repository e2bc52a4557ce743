"""Coordinates of the status page's small pictures; the template makes SVG of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml_exporter.statistics.bins import ABOVE, BELOW, INVALID, MISSING, OTHER
from ml_exporter.trends import Line
from ml_exporter.verdicts import FieldVerdict, Limits

_SPECIAL = (BELOW, ABOVE, MISSING, INVALID, OTHER)
_BAR_WIDTH, _BAR_GAP = 9, 2
_BARS_HEIGHT = 34
_MOST_CATEGORIES = 12

_LINE_WIDTH, _LINE_HEIGHT = 200, 40


@dataclass(frozen=True)
class Bars:
    """Paths: the shares of now as bars, those of the baseline as ticks across them."""

    width: float
    height: float
    plain: str
    special: str  # of values out of range, missing and so on
    baseline: str


@dataclass(frozen=True)
class Curve:
    """A line in pieces, for it may have gaps, and horizontal ones where its thresholds are."""

    width: float
    height: float
    pieces: tuple[str, ...]  # points, as a polyline has them
    end: tuple[float, float] | None
    thresholds: tuple[tuple[str, float], ...]  # severity and y
    low: float
    high: float


def bars(field: FieldVerdict) -> Bars:
    """A field's shares by bin, now and in the baseline."""
    rows = max(field.rows, 1), max(field.baseline_rows, 1)
    now, usual = field.counts / rows[0], field.baseline_counts / rows[1]
    shown = _shown(field, np.maximum(now, usual))
    top = max(float(np.max(np.maximum(now, usual)[shown], initial=0)), 1e-9)
    scale = (_BARS_HEIGHT - 2) / top

    def draw(indices: Iterable[int], path: Callable[[float, int], str]) -> str:
        step = _BAR_WIDTH + _BAR_GAP
        return "".join(path(shown.index(index) * step, index) for index in indices)

    def bar(x: float, index: int) -> str:
        height = round(float(now[index]) * scale, 1)
        return f"M{x} {_BARS_HEIGHT}v-{height}h{_BAR_WIDTH}v{height}z"

    def tick(x: float, index: int) -> str:
        return f"M{x} {round(_BARS_HEIGHT - float(usual[index]) * scale, 1)}h{_BAR_WIDTH}"

    special = [index for index in shown if field.bins[index] in _SPECIAL]
    return Bars(
        width=max(len(shown) * (_BAR_WIDTH + _BAR_GAP) - _BAR_GAP, 1),
        height=_BARS_HEIGHT,
        plain=draw((index for index in shown if index not in special), bar),
        special=draw(special, bar),
        baseline=draw(shown, tick),
    )


def _shown(field: FieldVerdict, shares: NDArray[np.float64]) -> list[int]:
    """All bins of a number, the greatest of a category, and of the special ones those in use."""
    plain = [index for index, bin in enumerate(field.bins) if bin not in _SPECIAL]
    if field.type == "category":
        plain = sorted(plain, key=lambda index: -shares[index])[:_MOST_CATEGORIES]
    used = [i for i, bin in enumerate(field.bins) if bin in _SPECIAL and shares[i] > 0]
    below = [index for index in used if field.bins[index] == BELOW]
    return [*below, *plain, *(index for index in used if index not in below)]


def curve(line: Line, thresholds: Limits | None = None, floor: float | None = None) -> Curve:
    """A line in a box that holds its thresholds, too, and `floor`."""
    limits = dict(thresholds or {})
    known = line.values[~np.isnan(line.values)]
    values = [*known.tolist(), *(limits.values() if known.size else ())]
    values += [] if floor is None else [floor]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = (high - low) * 0.08 or 0.5 * abs(high) or 0.5
    bottom = low if low == floor else low - margin

    def y(value: float) -> float:
        return round(_LINE_HEIGHT * (1 - (value - bottom) / (high + margin - bottom)), 1)

    xs = np.linspace(2, _LINE_WIDTH - 4, line.values.size).round(1).tolist()
    points = [
        None if np.isnan(value) else (x, y(value))
        for x, value in zip(xs, line.values.tolist(), strict=True)
    ]
    return Curve(
        width=_LINE_WIDTH,
        height=_LINE_HEIGHT,
        pieces=tuple(_pieces(points)),
        end=points[-1],
        thresholds=tuple((severity, y(value)) for severity, value in limits.items()),
        low=float(known.min(initial=np.inf)),
        high=float(known.max(initial=-np.inf)),
    )


def _pieces(points: Sequence[tuple[float, float] | None]) -> list[str]:
    pieces: list[list[str]] = [[]]
    for point in points:
        if point is None:
            pieces.append([])
        else:
            pieces[-1].append(f"{point[0]},{point[1]}")
    return [" ".join(piece) for piece in pieces if piece]
