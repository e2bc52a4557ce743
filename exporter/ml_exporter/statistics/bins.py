"""Bins of numbers: their edges, how values are counted into them, and how they are written."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml_exporter.statistics import counting

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Codes = NDArray[Any]  # whole numbers from 0 on, in as few bytes as they fit

BELOW, ABOVE = "<below>", "<above>"
MISSING, INVALID = "<missing>", "<invalid>"
OTHER, ANY = "<other>", "<any>"

_NUMBERS_KEPT = 1 << 12  # texts: an edge is the label of many series
_OUTER_DIGITS = 3
_ALL_DIGITS = 17
_MOST_COMPARED = 254  # edges; codes of more take two bytes, and a search is faster
_ROUNDING = 1e-12  # of sums of weights


@lru_cache(_NUMBERS_KEPT)
def format_number(value: float) -> str:
    """A number as Prometheus 3 writes `le`: Go's shortest `g` form, with `.0` where it looks whole.

    Exponents are written below 1e-4 and from 1e6 on (Go's strconv.FormatFloat, precision -1).
    """
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    if value == 0:
        return "0.0"
    sign = "-" if value < 0 else ""
    digits, exponent = _shortest_digits(abs(value))
    if -4 <= exponent < 6:
        text = _positional(digits, exponent)
        return sign + (text if "." in text else text + ".0")
    mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    exponent_text = f"{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    return f"{sign}{mantissa}e{exponent_text}"


def _shortest_digits(value: float) -> tuple[str, int]:
    """Significant digits of a positive number and its decimal exponent: 42.5 -> ("425", 1)."""
    text = repr(value)
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    leading = len(whole.lstrip("0")) or len(digits) - len(fraction)
    return digits.rstrip("0") or "0", leading - 1 + int(exponent or 0)


def _positional(digits: str, exponent: int) -> str:
    if exponent < 0:
        return "0." + "0" * (-exponent - 1) + digits
    if len(digits) <= exponent + 1:
        return digits + "0" * (exponent + 1 - len(digits))
    return digits[: exponent + 1] + "." + digits[exponent + 1 :]


def round_up(value: float, digits: int) -> float:
    """The least number of so many significant digits that isn't below `value`."""
    if value == 0 or digits >= _ALL_DIGITS:
        return float(value)
    rounded = float(f"{value:.{digits - 1}e}")
    if rounded < value:
        step = 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1)
        rounded = float(f"{value + step:.{digits - 1}e}")
    return rounded if rounded >= value and math.isfinite(rounded) else float(value)


def round_down(value: float, digits: int) -> float:
    """The greatest number of so many significant digits that isn't above `value`."""
    return -round_up(-value, digits)


def quantile_edges(values: Floats, bins: int) -> Floats:
    """Edges of at most so many bins of about equal share.

    `values` are finite, in any order, at least one. The first edge is the minimum and the last
    the maximum, rounded outward to three significant digits, so that no single row's value is
    told; the inner ones are rounded up, to the fewest digits, three or more, that keep each below
    the next quantile, so that a value shared by many rows stays on its own side of its edge.

    Returns k + 1 edges in ascending order for k bins: bin i is (edge[i], edge[i + 1]] and the
    first one includes edge[0]. The first two are equal where the least value fills a bin.
    """
    last_of_bin = -(-np.arange(bins + 1) * values.size // bins) - 1
    quantiles = np.sort(values)[np.maximum(last_of_bin, 0)]
    low = round_down(float(quantiles[0]), _OUTER_DIGITS)
    high = round_up(float(quantiles[-1]), _OUTER_DIGITS)
    inner = np.unique(quantiles[1:-1])
    inner = inner[inner < quantiles[-1]]
    following = np.append(inner[1:], quantiles[-1])
    digits = _OUTER_DIGITS
    while np.any((rounded := _round_up_all(inner, digits)) >= following):
        digits += 1
    return np.concatenate(([low], rounded, [high]))


def _round_up_all(values: Floats, digits: int) -> Floats:
    return np.array([round_up(float(value), digits) for value in values])


def weighted_edges(values: Floats, weights: Floats, bins: int) -> Floats:
    """Edges of at most so many bins of about equal weight, as `quantile_edges` has them.

    A value that outweighs a bin has one of its own, if there are enough, and all others share the
    rest: many that are alike cost no resolution. Of the inner edges each is rounded up to the
    fewest digits, three or more, that keep it below the next one.
    """
    distinct, places = np.unique(values, return_inverse=True)
    weight = np.bincount(places, weights=weights)
    heavy = np.zeros(distinct.size, dtype=np.bool_)
    left = bins
    while left > 1:
        outweighing = ~heavy & (weight > weight[~heavy].sum() / left)
        if not outweighing.any():
            break
        heavy |= outweighing
        left = bins - int(np.count_nonzero(heavy))
    up_to = np.cumsum(np.where(heavy, 0.0, weight))

    def inside(places: NDArray[np.intp]) -> NDArray[np.intp]:
        return places[(places >= 0) & (places < distinct.size - 1)]

    alone = np.flatnonzero(heavy)
    last = inside(np.union1d(alone, alone - 1))
    last = last if last.size < bins else inside(alone)
    shares = up_to[-1] * np.arange(1, bins - last.size) / (bins - last.size)
    last = np.union1d(last, inside(np.searchsorted(up_to, shares * (1 - _ROUNDING))))
    inner = distinct[last]
    following = np.append(inner, distinct[-1])[1:]
    rounded = [
        next(
            edge
            for digits in range(_OUTER_DIGITS, _ALL_DIGITS + 1)
            if (edge := round_up(value, digits)) < limit
        )
        for value, limit in zip(inner.tolist(), following.tolist(), strict=True)
    ]
    low, high = float(distinct[0]), float(distinct[-1])
    return np.array([round_down(low, _OUTER_DIGITS), *rounded, round_up(high, _OUTER_DIGITS)])


class Binned(NamedTuple):
    """Values in bins."""

    codes: Codes  # of each value
    counts: Counts  # of each code


def binned(values: Floats, edges: Floats) -> Binned:
    """Values by their place in `bin_labels`; NaN has one of its own after all of them.

    `values` is one-dimensional; edges are finite and ascend, one or more.
    """
    above = np.array(edges, dtype=np.float64)
    above[0] = math.nextafter(above[0], -math.inf)  # what is at the first edge isn't below it
    return _above(values, above)


def count_bins(values: Floats, edges: Floats) -> Counts:
    """Count values into `<below>`, the bins of `edges` in order, and `<above>`.

    NaN is counted nowhere. Returns len(edges) + 1 counts.
    """
    return binned(values, edges).counts[:-1]


def bin_codes(values: Floats, uppers: Floats) -> Codes:
    """The bin of each value: the first whose upper edge it doesn't exceed, else one more.

    `uppers` are finite and ascend. NaN has one more code than all.
    """
    return _above(values, uppers).codes


def _above(values: Floats, edges: Floats) -> Binned:
    """How many edges each value is above; one more than there are for NaN."""
    counts = np.zeros(edges.size + 2, dtype=np.int64)
    if edges.size <= _MOST_COMPARED:
        codes = np.empty(values.size, dtype=np.uint8)
        values = np.ascontiguousarray(values, dtype=np.float64)
        counting.bin_codes(values, np.ascontiguousarray(edges, dtype=np.float64), codes, counts)
        return Binned(codes, counts)
    found = np.searchsorted(edges, values, side="left").astype(np.uint32)
    found[np.isnan(values)] = edges.size + 1
    counts += np.bincount(found, minlength=counts.size)
    return Binned(found, counts)


def looked_up(codes: NDArray[np.int32], table: Codes, values: int) -> Binned:
    """What a table has for each code: one of so many values, which are counted."""
    counts = np.zeros(values, dtype=np.int64)
    if table.dtype != np.uint8:
        found = table.take(codes)
        return Binned(found, counts + np.bincount(found, minlength=values))
    found = np.empty(codes.size, dtype=np.uint8)
    codes = np.ascontiguousarray(codes, dtype=np.int32)
    counting.look_up(codes, table, found, counts)
    return Binned(found, counts)


def bin_labels(edges: Floats) -> list[str]:
    """Names of what `count_bins` counts: `<below>`, each bin's upper edge, `<above>`."""
    return [BELOW, *(format_number(float(edge)) for edge in edges[1:]), ABOVE]
