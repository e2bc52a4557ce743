"""Error rates that a real Prometheus compares equal what their twin says of the same counts."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping

import pytest

from ml_exporter.rules import Timing
from ml_exporter.statistics.concept_drift import error_significance
from tests.rules.targets import Prometheus, Targets, prometheus
from tests.support import wait_until

TIMING = Timing.shortened(0.25, **{"1h": 1.0, "24h": 2.0, "7d": 6.0})
SCRAPE = 0.25
SCRAPES = 60

Counts = Mapping[tuple[str, str], float]  # by span and reference


def expositions() -> Iterator[str]:
    """What is recorded, of all replicas, of a model whose error rate grows in the middle."""
    draw = random.Random(1)
    for scrape in range(SCRAPES):
        lines = [
            'ml_baseline_performance{model="m",metric="accuracy"} 0.9',
            'ml_baseline_labelled_rows{model="m"} 5000',
        ]
        for piece, rows in (("1m", 60), ("hour", 80)):
            share = 0.1 if scrape < SCRAPES * 0.7 else 0.5
            wrong = sum(draw.random() < share for _ in range(rows))
            for correct, count in (("true", rows - wrong), ("false", wrong)):
                of = f'instance="",model="m",actual="a",predicted="{correct}",correct="{correct}"'
                lines.append(f"ml_outcomes_total:{piece}{{{of}}} {count}")
        yield "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("errors")
    with (
        Targets({"a": list(expositions())}).serving() as targets,
        prometheus("prometheus", folder, TIMING, SCRAPE, "concept-drift") as server,
    ):
        server.scrape(targets, ["a"])
        wait_until(targets.finished, 120, "all of the history")
        yield server


def counts(server: Prometheus, series: str, time: float) -> Counts:
    found = server.query(f"{series} @ {time}")
    return {(of["span"], of["against"]): value for of, value in found}


def test_significance(recorded: Prometheus) -> None:
    compared = 0
    for back in range(6):
        ((_, time),) = recorded.query(f"timestamp(model:error_drift offset {back}s)")
        names = ("compared_errors", "compared_rows", "error_reference_errors")
        errors, rows, before = (counts(recorded, f"model:{name}", time) for name in names)
        rows_before = counts(recorded, "model:error_reference_rows", time)
        assert errors.keys() == rows_before.keys()
        twins = {
            key: float(error_significance(errors[key], rows[key], before[key], rows_before[key])[0])
            for key in errors
        }
        defined = {key: value for key, value in twins.items() if not math.isnan(value)}
        assert counts(recorded, "model:error_significance", time) == pytest.approx(defined)
        ((_, greatest),) = recorded.query(f"model:error_drift @ {time}")
        assert greatest == pytest.approx(max(defined.values(), default=0))
        assert {against for _, against in twins} == {"week", "baseline"}
        compared += len(defined)
    assert compared
