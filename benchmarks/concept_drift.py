"""How soon a change of the error rate is found, and how often falsely, beside detectors by the row.

`python benchmarks/concept_drift.py [--river=PYTHON] [--runs=N]`: streams of right and wrong
predictions, judged by the rules' windows of counts (their twin, every minute) and, row by row,
by ADWIN, Page-Hinkley, DDM and KSWIN with the defaults of river, in an interpreter that has it
(`python3.11 -m venv .river && .river/bin/pip install 'river>=0.22'`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml_exporter.statistics.concept_drift import CRITICAL_VALUE, LEAST_ROWS, MATERIAL_GROWTH

Floats = NDArray[np.float64]

BASELINE_ROWS = 10_000
BEFORE = AFTER = 20_000  # rows of a stream before its change, and after it
RIVER_RUNS = 25  # at most: by the row, all would take an hour
WITHIN = 10_000  # rows after which a change that isn't found counts as missed
USUAL = 0.1  # error rate before the change
MINUTES = (5, 10, 30, 60, 120, 240, 480, 960, 1920, 3840, 10_080)  # `concept_drift.SPANS`
WEEK = MINUTES[-1]
STEP = 1  # minutes between two evaluations
KEEP_FIRING = 30  # minutes for which an alert outlives its reason: what recurs is no new one


def _sea(random: np.random.Generator, rows: int) -> Floats:
    """SEA: the sum of two of three numbers against a threshold, of which 10 % are mislabelled.

    W. N. Street & Y. Kim, A streaming ensemble algorithm (SEA) for large-scale classification
    (2001). A model that knows the first threshold, 8, errs on what lies between it and 9.5.
    """
    sums = random.uniform(0, 10, (rows, 2)).sum(axis=1)
    return np.where((sums > 8) & (sums <= 9.5), 1 - USUAL, USUAL)


CHANGES: Mapping[str, Callable[[np.random.Generator, int], Floats]] = {
    "none": lambda _, rows: np.full(rows, USUAL),
    "10 to 15 %": lambda _, rows: np.full(rows, 0.15),
    "10 to 12 %": lambda _, rows: np.full(rows, 0.12),
    "10 to 15 %, slowly": lambda _, rows: USUAL + 0.05 * np.minimum(1, np.arange(rows) / WITHIN),
    "SEA, 8 to 9.5": _sea,
}
"""The chance of an error of each row after the change."""


def streams(change: str, runs: int) -> NDArray[np.int8]:
    """Errors, an array of shape (runs, rows)."""
    random = np.random.default_rng(list(CHANGES).index(change))
    after = np.array([CHANGES[change](random, AFTER) for _ in range(runs)])
    shares = np.hstack([np.full((runs, BEFORE), USUAL), after])
    return (random.random(shares.shape) < shares).astype(np.int8)


def z_of_shares(errors: Floats, rows: Floats, before: Floats, rows_before: Floats) -> Floats:
    """`drift.share_z` of arrays."""
    pooled = (errors + before) / (rows + rows_before)
    parts = (
        (errors, pooled * rows),
        (rows - errors, (1 - pooled) * rows),
        (before, pooled * rows_before),
        (rows_before - before, (1 - pooled) * rows_before),
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = [np.where(n > 0, n * np.log(n / usual), 0.0) for n, usual in parts]
    growth = np.sign(errors * rows_before - before * rows)
    return growth * np.sqrt(np.maximum(2 * sum(ratios), 0))


def of_windows(errors: NDArray[np.int8], rows_an_hour: int, seed: int) -> list[list[int]]:
    """After how many rows of each stream the rules find that errors have grown, anew."""
    random = np.random.default_rng(seed)
    a_minute = rows_an_hour / 60
    history = 2 * WEEK  # minutes: at least a week before the stream that spans are compared with
    found = []
    for stream in errors:
        length = int(len(stream) / a_minute)
        rows = random.poisson(a_minute, history + length).astype(float)
        ends = np.minimum(np.cumsum(rows[history:]).astype(int), len(stream))
        counted = np.diff(np.concatenate([[0], np.cumsum(stream, dtype=int)])[ends], prepend=0)
        wrong = np.concatenate([random.binomial(rows[:history].astype(int), USUAL), counted])
        rows[history:] = np.diff(ends, prepend=0)
        sums = {
            name: np.concatenate([[0.0], np.cumsum(of)])
            for name, of in (("errors", wrong), ("rows", rows))
        }
        at = np.arange(history + STEP, history + length + 1, STEP)
        known = float(random.binomial(BASELINE_ROWS, USUAL))
        greatest = np.zeros(at.size)
        of_baseline = np.full(at.size, known), np.full(at.size, float(BASELINE_ROWS))
        for minutes in MINUTES:
            start = at - minutes
            a, n = (sums[of][at] - sums[of][start] for of in sums)
            of_week = [sums[of][start] - sums[of][np.maximum(start - WEEK, 0)] for of in sums]
            for before, rows_before in (of_week, of_baseline):
                z = z_of_shares(a, n, before, rows_before)
                grown = a * rows_before > MATERIAL_GROWTH * before * n
                greatest = np.maximum(greatest, np.where(grown & (n >= LEAST_ROWS), z, 0))
        alarms = greatest > CRITICAL_VALUE
        earlier = np.concatenate([[0], np.cumsum(alarms)])[:-1]
        recent = earlier - np.concatenate([np.zeros(KEEP_FIRING // STEP), earlier])[: at.size]
        found.append(ends[at - history - 1][alarms & (recent == 0)].tolist())
    return found


def of_river(python: str) -> dict[str, dict[str, list[list[int]]]]:
    """The same of each detector of river, by the change."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for change in CHANGES:
            np.save(folder / f"{change}.npy", RUNS[change][:RIVER_RUNS])
        script = Path(__file__).with_name("concept_drift_river.py")
        subprocess.run([python, script, folder], check=True)
        return {change: json.loads((folder / f"{change}.json").read_text()) for change in CHANGES}


RUNS: dict[str, NDArray[np.int8]] = {}


def report(name: str, found: Mapping[str, list[list[int]]]) -> str:
    """False alarms in 10,000 rows, and of each change the median delay and the share missed."""
    false = [sum(at < BEFORE for at in of) for change in found for of in found[change]]
    false += [sum(at >= BEFORE for at in of) for of in found["none"]]
    rows = BEFORE * sum(map(len, found.values())) + AFTER * len(found["none"])
    cells = [f"{sum(false) / rows * 1e4:13.3f}"]
    for change, runs in found.items():
        if change == "none":
            continue
        delays = [min((at - BEFORE for at in of if at >= BEFORE), default=AFTER) for of in runs]
        missed = np.mean([delay > WITHIN for delay in delays])
        cells.append(f"{np.median(delays):9,.0f} ({missed:4.0%})")
    return f"{name:34}" + "".join(f"{cell:>20}" for cell in cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--river", help="an interpreter that has river")
    parser.add_argument("--runs", type=int, default=100)
    options = parser.parse_args()
    RUNS.update({change: streams(change, options.runs) for change in CHANGES})
    changes = [change for change in CHANGES if change != "none"]
    print(
        f"{options.runs} runs of each change. False alarms in 10,000 rows; median rows until a"
        f" change is found (missed within {WITHIN:,})\n"
    )
    print(f"{'':34}" + "".join(f"{title:>20}" for title in ("false alarms", *changes)))
    for rows_an_hour in (100, 1000, 10_000):
        found = {
            change: of_windows(errors, rows_an_hour, seed)
            for seed, (change, errors) in enumerate(RUNS.items())
        }
        print(report(f"windows, {rows_an_hour:,} rows an hour", found), flush=True)
    if options.river is None:
        print("\nriver (ADWIN, Page-Hinkley, DDM, KSWIN): not asked for, with --river=PYTHON")
        return
    by_change = of_river(options.river)
    for detector in by_change["none"]:
        found = {change: of_change[detector] for change, of_change in by_change.items()}
        print(report(detector, found))


if __name__ == "__main__":
    main()
