"""Nanoseconds a value of counting numbers into bins, once they are in memory, beside NumPy's ways.

All count the same values, in turns, on one core; the counts must be equal.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ml_exporter.statistics.bins import count_bins, quantile_edges

Floats = NDArray[np.float64]
Count = Callable[[Floats, Floats], NDArray[np.int64]]

ROWS = (4_096, 65_536)  # of a chunk of a wide log, and of a narrow one
COLUMNS = 20
BINS = (10, 20, 50)


def by_search(values: Floats, edges: Floats) -> NDArray[np.int64]:
    """Where each value belongs, by binary search, and how many belong there."""
    places = np.searchsorted(edges[1:], values, side="left") + 1
    places[values < edges[0]] = 0
    return np.bincount(places, minlength=edges.size + 1).astype(np.int64)


def by_sorting(values: Floats, edges: Floats) -> NDArray[np.int64]:
    """Where each edge belongs among the sorted values."""
    ordered = np.sort(values)
    below = np.searchsorted(ordered, edges[0], side="left")
    cumulative = np.searchsorted(ordered, edges[1:], side="right")
    return np.diff([0, below, *cumulative, values.size]).astype(np.int64)


WAYS: dict[str, Count] = {
    "ml-exporter": count_bins,
    "sort, searchsorted": by_sorting,
    "searchsorted, bincount": by_search,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print("\n| ns a value |", " | ".join(f"{r:,} rows, {b} bins" for r in ROWS for b in BINS), "|")
    print("| --- |", " | ".join("---:" for _ in ROWS for _ in BINS), "|")
    figures = {name: [one[name] for one in measured(runs)] for name in WAYS}
    for name, nanoseconds in figures.items():
        print(f"| {name} |", " | ".join(f"{one:.1f}" for one in nanoseconds), "|")


def measured(runs: int) -> list[dict[str, float]]:
    """Of each number of rows and bins, the median nanoseconds a value of each way."""
    generator = np.random.default_rng(2013)
    cases = []
    for rows in ROWS:
        table = generator.lognormal(size=(COLUMNS, rows))
        for bins in BINS:
            edges = [quantile_edges(column, bins) for column in table]
            cases.append(measure(table, edges, runs))
    return cases


def measure(table: Floats, edges: list[Floats], runs: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(runs):
        counted = []
        for name, count in WAYS.items():
            start = time.perf_counter()
            counts = [count(*one) for one in zip(table, edges, strict=True)]
            seconds[name].append(time.perf_counter() - start)
            counted.append(np.concatenate(counts))
        if any(not np.array_equal(counted[0], other) for other in counted):
            sys.exit("the counts differ")
    return {name: statistics.median(some) / table.size * 1e9 for name, some in seconds.items()}


if __name__ == "__main__":
    main()
