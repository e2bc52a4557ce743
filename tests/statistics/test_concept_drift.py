"""What kind of change it is, and whether more errors are chance."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ml_exporter.statistics import concept_drift
from ml_exporter.statistics.calibration import bin_statistic, critical_values
from ml_exporter.statistics.concept_drift import Kind

NAN = math.nan
ROWS, BASELINE = 4_000, 20_000
SHARES = {"true": [0.05, 0.15, 0.3, 0.5], "false": [0.5, 0.3, 0.15, 0.05]}  # scores by outcome
CRITICAL = critical_values(4, tests=3, false_alarms=0.01)


@pytest.mark.parametrize(
    ("calibration", "conditional", "mix", "errors", "drifted", "kinds"),
    [
        (0.5, 0.5, 0.5, 0.5, 0, set()),
        (0.5, 2.0, 2.0, 2.0, 3, {"inputs"}),
        (2.0, 2.0, 0.5, 2.0, 0, {"relation"}),
        (2.0, 2.0, 2.0, 2.0, 3, {"inputs", "relation"}),
        (2.0, 0.5, 2.0, 2.0, 3, {"classes"}),
        # Without scores errors tell, on inputs that are as they were.
        (NAN, NAN, NAN, 2.0, 0, {"relation"}),
        (NAN, NAN, NAN, 2.0, 3, {"inputs"}),
        (NAN, NAN, NAN, NAN, 0, set()),
    ],
)
def test_kinds(
    calibration: float,
    conditional: float,
    mix: float,
    errors: float,
    drifted: int,
    kinds: set[Kind],
) -> None:
    assert kinds == concept_drift.kinds(
        calibration=calibration,
        conditional=conditional,
        mix=mix,
        errors=errors,
        drifted_features=drifted,
    )


def sample(random: np.random.Generator, rows: int, positive: float) -> list[np.ndarray]:
    """Counts by score of rows of the class, and of the others."""
    hits = random.binomial(rows, positive)
    return [
        random.multinomial(count, SHARES[actual])
        for actual, count in (("true", hits), ("false", rows - hits))
    ]


def judged(window: list[np.ndarray], baseline: list[np.ndarray]) -> frozenset[Kind]:
    totals = [float(counts.sum()) for counts in (*window, *baseline)]
    return concept_drift.kinds(
        calibration=bin_statistic(*window, *baseline) / CRITICAL["bins"],
        conditional=concept_drift.conditional_significance(window, baseline, CRITICAL["bins"]),
        mix=concept_drift.mix_significance(
            totals[0],
            totals[0] + totals[1],
            totals[2],
            totals[2] + totals[3],
            CRITICAL["overall"],
        ),
        errors=NAN,
        drifted_features=0,
    )


def test_a_moved_mix_of_classes_is_told_from_a_changed_relation() -> None:
    random = np.random.default_rng(1)
    found: dict[str, list[frozenset[Kind]]] = {"nothing": [], "mix": [], "relation": []}
    for _ in range(200):
        baseline = sample(random, BASELINE, 0.2)
        found["nothing"].append(judged(sample(random, ROWS, 0.2), baseline))
        found["mix"].append(judged(sample(random, ROWS, 0.4), baseline))
        hits, misses = sample(random, ROWS, 0.2)
        swapped = hits // 3  # a third of each score is the other class now
        window = [hits - swapped + misses // 10, misses + swapped - misses // 10]
        found["relation"].append(judged(window, baseline))
    assert np.mean([kinds == set() for kinds in found["nothing"]]) == 1
    assert np.mean([kinds == {"classes"} for kinds in found["mix"]]) == 1
    assert np.mean([kinds == {"relation"} for kinds in found["relation"]]) == 1


def test_errors_that_have_grown() -> None:
    found = concept_drift.error_significance(
        [150, 101, 10, 150, 106_000],
        [1000, 1000, 29, 1000, 1_000_000],
        [1000, 1000, 10, 0, 100_000],
        [10_000, 10_000, 1000, 0, 1_000_000],
    )
    assert found[0] > 1
    # A growth of 1 %, too few rows, no reference, and a growth of 6 % that is no chance.
    assert np.isnan(found[1:]).all()
