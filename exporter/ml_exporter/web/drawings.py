"""Coordinates of the status page's small pictures; the template makes SVG of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml_exporter.judgement.trends import Line
from ml_exporter.judgement.verdicts import FieldVerdict, Limits
from ml_exporter.judgement.wording import percent
from ml_exporter.statistics.bins import ABOVE, BELOW, INVALID, MISSING, OTHER

_SPECIAL = (BELOW, ABOVE, MISSING, INVALID, OTHER)
_BAR_WIDTH, _BAR_GAP = 9, 2
_BARS_HEIGHT = 34
_MOST_CATEGORIES = 12

_PLOT_HEIGHT = 110
_PLOT_WIDTH = 360  # of numbers
_ROW_HEIGHT, _ROW_BAR = 24, 8  # of categories
_ROW_NAME, _ROW_WIDTH, _ROW_SHARE = 130, 150, 80
_MOST_LABELS = 6  # under an axis
_LONGEST_LABEL = 18  # characters
_LINE, _NAME_WIDTH = 13, 46  # of text under an axis

_LINE_WIDTH, _LINE_HEIGHT = 200, 40


@dataclass(frozen=True)
class Bars:
    """Paths: the shares of now as bars, those of the baseline as ticks across them."""

    width: float
    height: float
    plain: str
    special: str  # of values out of range, missing and so on
    baseline: str


class Bar(NamedTuple):
    kind: str  # "before", "now" or "special"
    x: float
    y: float
    width: float
    height: float


class Label(NamedTuple):
    x: float
    y: float
    anchor: str
    text: str


@dataclass(frozen=True)
class Distribution:
    """A field's shares by bin, before and now side by side, with what the bins are."""

    width: float
    height: float
    bars: tuple[Bar, ...]
    labels: tuple[Label, ...]
    axis: float | None  # y of the line that the bars stand on


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


def distribution(field: FieldVerdict) -> Distribution:
    """Numbers as columns over an axis of their edges, categories as rows with their names."""
    now, usual = (
        counts / max(float(counts.sum()), 1) for counts in (field.counts, field.baseline_counts)
    )
    shown = _shown(field, np.maximum(now, usual))
    top = max(float(np.max(np.maximum(now, usual)[shown], initial=0)), 1e-9)
    draw = _columns if field.type == "number" else _rows
    return draw(field, shown, usual / top, now / top)


def _columns(
    field: FieldVerdict, shown: list[int], usual: NDArray[np.float64], now: NDArray[np.float64]
) -> Distribution:
    step = _PLOT_WIDTH / max(len(shown), 1)
    width = step * 0.4
    bars = []
    for place, index in enumerate(shown):
        kind = "special" if field.bins[index] in _SPECIAL else "now"
        for which, share, x in (
            ("before", usual[index], (place + 0.08) * step),
            (kind, now[index], (place + 0.08) * step + width),
        ):
            height = float(share) * _PLOT_HEIGHT
            bars.append(Bar(which, *_rounded(x, _PLOT_HEIGHT - height, width, height)))
    y = _PLOT_HEIGHT + 14
    plain = [index for index in shown if field.bins[index] not in _SPECIAL]
    every = max(1, -(-len(plain) // _MOST_LABELS))
    labels = []
    lower = 0  # what the name of the last special bin stands below the others
    for place, index in enumerate(shown):
        bin = field.bins[index]
        if bin in _SPECIAL:
            middle = round((place + 0.5) * step, 1)
            beside = place > 0 and field.bins[shown[place - 1]] in _SPECIAL
            # Names of neighbours would run into each other.
            lower = _LINE if beside and not lower and step < _NAME_WIDTH else 0
            labels.append(Label(middle, y + _LINE + lower, "middle", bin.strip("<>")))
        elif (len(plain) - 1 - plain.index(index)) % every == 0:
            labels.append(Label(round((place + 1) * step, 1), y, "middle", bin.removesuffix(".0")))
    height = max([y + _LINE, *(label.y for label in labels)]) + 5
    return Distribution(_PLOT_WIDTH, height, tuple(bars), tuple(labels), _PLOT_HEIGHT)


def _rows(
    field: FieldVerdict, shown: list[int], usual: NDArray[np.float64], now: NDArray[np.float64]
) -> Distribution:
    bars, labels = [], []
    total, usual_total = (
        max(float(field.counts.sum()), 1),
        max(float(field.baseline_counts.sum()), 1),
    )
    for place, index in enumerate(shown):
        y = place * _ROW_HEIGHT + 3
        bin = field.bins[index]
        kind = "special" if bin in _SPECIAL else "now"
        bars.append(
            Bar("before", *_rounded(_ROW_NAME, y, float(usual[index]) * _ROW_WIDTH, _ROW_BAR))
        )
        bars.append(
            Bar(kind, *_rounded(_ROW_NAME, y + _ROW_BAR, float(now[index]) * _ROW_WIDTH, _ROW_BAR))
        )
        name = bin.strip("<>") if bin in _SPECIAL else bin
        short = name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 1]}…"
        labels.append(Label(_ROW_NAME - 8, y + 12, "end", short))
        shares = field.baseline_counts[index] / usual_total, field.counts[index] / total
        change = " → ".join(percent(float(share)) for share in shares)
        width = max(float(usual[index]), float(now[index])) * _ROW_WIDTH
        labels.append(Label(round(_ROW_NAME + width + 6, 1), y + 12, "start", change))
    size = _ROW_NAME + _ROW_WIDTH + _ROW_SHARE
    return Distribution(size, len(shown) * _ROW_HEIGHT + 2, tuple(bars), tuple(labels), None)


def _rounded(*numbers: float) -> tuple[float, ...]:
    return tuple(round(number, 1) for number in numbers)


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
