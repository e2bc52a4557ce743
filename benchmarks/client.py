"""Microseconds on the caller's thread to observe a prediction of 30 features, beside counters.

Each way is timed over bursts that fit the queue, with the queue emptied in between where there is
one, so that what is measured is what a request waits for. The whole of it, counting included, is
the processor time of the process until everything is counted.
"""

from __future__ import annotations

import argparse
import bisect
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter

from ml_exporter import Monitor

FEATURES = 30
EDGES = [place / 10 for place in range(1, 10)]
BURST = 5_000  # observations; half of the queue

Row = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bursts", type=int, default=7)
    bursts = parser.parse_args().bursts
    chance = random.Random(1)
    names = [f"feature{number}" for number in range(FEATURES)]
    rows = [{name: chance.random() for name in names} for _ in range(BURST)]
    monitor = Monitor(
        "benchmark",
        task="binary",
        positive="1",
        score=True,
        learn={"rows": 2000},
        first_scrape_wait=0,
    )
    ways: dict[str, tuple[Callable[[Row], Any], Callable[[], Any]]] = {
        "nothing": (lambda row: None, nothing),
        "labelled counters, looked up": (looked_up(names), nothing),
        "labelled counters, kept": (kept(names), nothing),
        "Monitor.log": (
            lambda row: monitor.log(row, prediction="1", score=0.7),
            lambda: settle(monitor),
        ),
    }
    print(f"{'microseconds a prediction':30} {'caller':>8} {'in all':>8} {'p99 by the clock':>18}")
    for name, (observe, wait) in ways.items():
        tail(observe, rows)  # what is done once only
        wait()
        callers, totals, tails = [], [], []
        for _ in range(bursts):
            of_process, of_thread = time.process_time(), time.thread_time()
            for row in rows:
                observe(row)
            callers.append((time.thread_time() - of_thread) / BURST)
            wait()
            totals.append((time.process_time() - of_process) / BURST)
            tails.append(tail(observe, rows))
            wait()
        caller, total, p99 = (1e6 * statistics.median(each) for each in (callers, totals, tails))
        print(f"{name:30} {caller:8.2f} {total:8.2f} {p99:18.2f}")
    monitor.close()


def nothing() -> None:
    pass


def settle(monitor: Monitor) -> None:
    """Wait until the queue is empty, and what was in it is counted."""
    monitor.flush()
    time.sleep(1.5)


def tail(observe: Callable[[Row], Any], rows: list[Row]) -> float:
    """The 99th percentile of one call, by the clock: other threads have their turn, too."""
    times = []
    for row in rows:
        start = time.perf_counter()
        observe(row)
        times.append(time.perf_counter() - start)
    return statistics.quantiles(times, n=100)[98]


def looked_up(names: list[str]) -> Callable[[Row], None]:
    """What an application does by hand: one counter of all bins."""
    counter = Counter("values_total", "", ["field", "bin"], registry=CollectorRegistry())
    bins = [str(place) for place in range(len(EDGES) + 1)]

    def observe(row: Row) -> None:
        for name in names:
            counter.labels(name, bins[bisect.bisect_left(EDGES, row[name])]).inc()

    return observe


def kept(names: list[str]) -> Callable[[Row], None]:
    """The same by one who keeps every child at hand."""
    counter = Counter("values_total", "", ["field", "bin"], registry=CollectorRegistry())
    bins = [str(place) for place in range(len(EDGES) + 1)]
    children = {name: [counter.labels(name, bin) for bin in bins] for name in names}

    def observe(row: Row) -> None:
        for name in names:
            children[name][bisect.bisect_left(EDGES, row[name])].inc()

    return observe


if __name__ == "__main__":
    main()
