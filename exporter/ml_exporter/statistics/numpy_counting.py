"""Counting in NumPy, for where `_counting` isn't compiled: the same to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_LARGEST = 1e7  # of a component, in thousandths


def bin_codes(values: Array, edges: Array, codes: Array, counts: Array, /) -> None:
    """Fill codes with how many ascending edges each value is above, one more than all for NaN.

    How many values have each code is added to counts, of which there are two more than edges.
    """
    codes[:] = 0
    for edge in edges:  # of few edges that takes less time than a search
        codes += values > edge
    codes[np.isnan(values)] = edges.size + 1
    counts += np.bincount(codes, minlength=counts.size)


def floats(
    numbers: Array, integers: bool, valid: Array | bytes, offset: int, values: Array, /
) -> int:
    """Fill values with numbers where bits from an offset on are 1, and NaN elsewhere.

    No bits at all stand for all. How many are finite is returned.
    """
    values[:] = numbers
    if len(valid):
        packed = np.frombuffer(valid, np.uint8)
        bits = np.unpackbits(packed, count=offset + values.size, bitorder="little")
        values[bits[offset:] == 0] = np.nan
    return int(np.count_nonzero(np.isfinite(values)))


def interpolate(
    values: Array, starts: Array, heights: Array, slopes: Array, results: Array, /
) -> None:
    """Fill results with the heights of values on lines that begin at ascending starts.

    What is outside has the height of the nearer end, and NaN stays NaN.
    """
    inside = np.clip(values, starts[0], starts[-1])
    lines = np.searchsorted(starts, inside, side="right").clip(1, starts.size) - 1
    results[:] = slopes[lines] * (inside - starts[lines]) + heights[lines]


def count_codes(codes: Array, counts: Array, /) -> None:
    """Add to counts how many there are of each code."""
    counts += np.bincount(codes, minlength=counts.size)


def leave(codes: Array, table: Array, left: Array, /) -> None:
    """Leave, of some bits, those that a table has for the code of each."""
    left &= table[codes]


def look_up(codes: Array, table: Array, results: Array, counts: Array, /) -> None:
    """Fill results with what a table has for each code, and add to counts how many are of each."""
    results[:] = table[codes]
    counts += np.bincount(results, minlength=counts.size)


def project(codes: tuple[Array, ...], sizes: Array, tables: Array, values: Array, /) -> None:
    """Fill values (width + 1, rows) with components in thousandths, and, at last, their distance.

    `codes` are those of each field, `sizes` how many each has, and `tables` (all codes, width)
    what each adds.
    """
    sums = np.zeros((codes[0].size, tables.shape[1]))
    for of_field, table in zip(codes, np.split(tables, np.cumsum(sizes)[:-1]), strict=True):
        sums += table[of_field]
    whole = np.clip(sums, -_LARGEST, _LARGEST).round()
    distances = np.sqrt(np.square(whole).sum(axis=1))
    values[:-1] = whole.T
    values[-1] = np.minimum(distances, _LARGEST).round()


def count_projected(
    codes: tuple[Array, ...], sizes: Array, tables: Array, thresholds: Array, counts: Array, /
) -> None:
    """Project rows, and add how many are above each of the thresholds (edges, width + 1)."""
    values = np.empty((tables.shape[1] + 1, codes[0].size), dtype=np.int32)
    project(codes, sizes, tables, values)
    for edge, of_edge in enumerate(thresholds):
        counts[edge] += np.count_nonzero(values > of_edge[:, None], axis=1)
