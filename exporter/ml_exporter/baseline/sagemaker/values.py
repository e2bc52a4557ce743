"""Columns of a statistics.json as weighted values, or as bins.

The sketches are those of awslabs/deequ: QuantileNonSample.scala keeps values in levels, where one
of level i stands for 2^i rows, and KLLSketch.scala cuts a column into equal buckets, each without
its upper bound, but for the last.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml_exporter.baseline.baseline import BaselineError
from ml_exporter.baseline.sagemaker.files import Bucket, whole_count
from ml_exporter.columns import category_name
from ml_exporter.statistics.bins import Counts, Floats, round_down, round_up

_OUTER_DIGITS = 3  # of the outermost edges, so that no single row's value is told
_SAMPLE = 1 << 17  # values that quantiles are taken from
_MOST_LEVELS = 50  # of a sketch: one value of the last stands for 2^49 rows


@dataclass(frozen=True)
class Weighted:
    """Finite values in ascending order, and how many rows each stands for."""

    values: Floats
    weights: Counts

    @property
    def rows(self) -> int:
        return int(self.weights.sum())

    def sample(self) -> Floats:
        """The value of every row, or of so many of them, evenly spaced."""
        ends = np.cumsum(self.weights)
        ranks = np.linspace(1, self.rows, min(self.rows, _SAMPLE)).round().astype(np.int64)
        picked: Floats = self.values[np.searchsorted(ends, ranks)]
        return picked

    def count(self, edges: Floats) -> Counts:
        """Rows by bin, where no value lies outside."""
        ends = np.concatenate(([0], np.cumsum(self.weights)))
        inner = ends[np.searchsorted(self.values, edges[1:-1], side="right")]
        counts: Counts = np.diff(np.append(inner, ends[-1]), prepend=0)
        return counts

    def names(self) -> Counter[str]:
        names: Counter[str] = Counter()
        for value, weight in zip(self.values.tolist(), self.weights.tolist(), strict=True):
            names[category_name(value)] += weight
        return names


def of_sketch(levels: Sequence[Sequence[float]], rows: int) -> tuple[Weighted, int] | None:
    """The values of a sketch, as so many rows, and how many of those are infinite or NaN."""
    if len(levels) > _MOST_LEVELS:
        raise BaselineError(f"distribution.kll.sketch.data: more than {_MOST_LEVELS} levels")
    values = np.array([value for level in levels for value in level], dtype=np.float64)
    weights = np.repeat(2.0 ** np.arange(len(levels)), [len(level) for level in levels])
    if not values.size:
        return None
    order = np.argsort(values, kind="stable")
    # Merging sketches may lose a few rows: all are scaled to those that there were.
    ends = np.rint(np.cumsum(weights[order]) * (rows / weights.sum())).astype(np.int64)
    scaled = np.diff(ends, prepend=0)
    finite = np.isfinite(values[order])
    found = Weighted(values[order][finite], scaled[finite])
    return (found, rows - found.rows) if found.rows else None


def of_buckets(buckets: Sequence[Bucket], integral: bool) -> Weighted | None:
    """Whole numbers, where each bucket that has rows has room for but one of them."""
    if not integral:
        return None
    rows: dict[int, int] = {}
    for number, bucket in enumerate(buckets):
        if not whole_count(bucket.count):
            continue
        last = number == len(buckets) - 1
        low = math.ceil(bucket.lower_bound)
        high = math.floor(bucket.upper_bound) if last else math.ceil(bucket.upper_bound) - 1
        if low != high:
            return None
        rows[low] = whole_count(bucket.count)
    values = np.array([*rows], dtype=np.float64)
    return Weighted(values, np.array([*rows.values()], dtype=np.int64)) if rows else None


def bins_of_buckets(
    buckets: Sequence[Bucket], integral: bool, highest: float
) -> tuple[Floats, Counts]:
    """Edges and counts. Bins have their upper edge, and buckets don't: it is the number below."""
    if not buckets:
        raise BaselineError("distribution.kll: has neither a sketch nor buckets")
    low = buckets[0].lower_bound
    edges: list[float] = [round_down(low, _OUTER_DIGITS)]
    counts: list[int] = []
    for number, bucket in enumerate(buckets):
        upper = bucket.upper_bound
        if not -math.inf < low <= bucket.lower_bound <= upper < math.inf:
            raise BaselineError(f"distribution.kll.buckets[{number}]: bounds must ascend")
        low = bucket.lower_bound
        if number < len(buckets) - 1:
            upper = math.ceil(upper) - 1.0 if integral else math.nextafter(upper, -math.inf)
        edge = max(upper, low, edges[-1])
        if counts and edge == edges[-1]:
            counts[-1] += whole_count(bucket.count)
        else:
            edges.append(edge)
            counts.append(whole_count(bucket.count))
    edges[-1] = round_up(max(edges[-1], highest), _OUTER_DIGITS)
    return np.array(edges), np.array(counts, dtype=np.int64)
