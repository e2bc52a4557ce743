"""How often a model that does not change is said to be degraded, in simulated weeks.

Each week's baseline is measured anew on 2,000 rows. The window of 24 hours moves on every ten
minutes, as the rules' does, and an alarm is what `model:shortfall` would say of accuracy with the
default thresholds and `false_alarms: 0.01`.

    python benchmarks/false_alarms.py
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from ml_exporter.rules.degradation import LEAST_LABELLED
from ml_exporter.statistics.significance import critical_value

Floats = NDArray[np.float64]

BASELINE_ROWS = 2000
STEPS = 144  # of ten minutes, in a day
MONITORS = 3  # accuracy, F1, ROC AUC: those that have default thresholds
DROP = 0.05  # below the baseline's accuracy is a warning


def z_of_shares(successes: Floats, trials: Floats, reference: Floats) -> Floats:
    """`significance.proportion_z` of arrays."""
    expected = trials * reference
    distance = np.maximum(np.abs(successes - expected) - 0.5, 0)
    above = successes > expected
    hits = np.where(above, expected + distance, expected - distance)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = [
            np.where(count > 0, count * np.log(count / usual), 0.0)
            for count, usual in ((hits, expected), (trials - hits, trials - expected))
        ]
    return np.where(above, 1, -1) * np.sqrt(np.maximum(2 * (ratios[0] + ratios[1]), 0))


def weeks_with_an_alarm(labels_a_day: int, accuracy: float, weeks: int) -> tuple[float, float]:
    """Shares of the weeks in which a drop was significant, and in which it was alerted on."""
    random = np.random.default_rng(labels_a_day)
    measured = random.binomial(BASELINE_ROWS, accuracy, weeks)[:, None] / BASELINE_ROWS
    reference = (measured * BASELINE_ROWS + 1) / (BASELINE_ROWS + 2)
    labelled = random.poisson(labels_a_day / STEPS, (weeks, 8 * STEPS))
    correct = random.binomial(labelled, accuracy)
    rows, hits = (
        (sums := np.cumsum(counts, axis=1))[:, STEPS:] - sums[:, :-STEPS]
        for counts in (labelled, correct)
    )
    z = z_of_shares(hits, rows, reference) / np.sqrt(1 + rows / BASELINE_ROWS)
    critical = critical_value(MONITORS, false_alarms=0.01)
    significant = (z < -critical) & (rows >= LEAST_LABELLED)
    material = hits / np.maximum(rows, 1) < measured - DROP
    return significant.any(axis=1).mean(), (significant & material).any(axis=1).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weeks", type=int, default=2000)
    weeks = parser.parse_args().weeks
    print(
        f"{weeks} weeks each without a change; % of weeks with a significant drop, and an alert\n"
    )
    print("labels a day   accuracy   significant    alert")
    for labels_a_day in (200, 1000, 20_000):
        for accuracy in (0.8, 0.95, 0.99):
            shares = weeks_with_an_alarm(labels_a_day, accuracy, weeks)
            significant, alerts = (f"{share:.2%}" for share in shares)
            print(f"{labels_a_day:12}   {accuracy:8}   {significant:>11}  {alerts:>7}")


if __name__ == "__main__":
    main()
