"""Every row is counted once by the recorded minutes, on a real Prometheus.

promtool can't tell: it has no scrapes, no staleness and one interval for all groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ml_exporter.rules import Timing
from tests.rules.targets import DOWN, Prometheus, Targets, prometheus
from tests.support import wait_until

MINUTE, SCRAPE = 2.0, 0.5
PER_MINUTE = round(MINUTE / SCRAPE)  # scrapes
TIMING = replace(Timing.shortened(MINUTE), memory=10 * MINUTE)

# What each scrape shows of `ml_predictions_total`, and how many rows there were.
BORN = [0] * PER_MINUTE
SCENARIOS: dict[str, tuple[Sequence[int | None], int]] = {
    "a batch at once": ([0, 0, 0, 0, 0, 10_000], 10_000),
    "a batch right after birth": ([0, 0, 10_000], 10_000),
    "a steady stream": (range(0, 400, 10), 390),
    "seven minutes of outage": ([0, 0, 100, *[DOWN] * 7 * PER_MINUTE, 800], 800),
    "scrapes that fail now and then": ([0, 0, DOWN, 10, DOWN, DOWN, 20, DOWN, 30], 30),
    "a restart": ([*BORN, 100, 1000, 0, 0, 30, 300], 1300),
    "a restart that counts more than before": ([*BORN, *[100] * PER_MINUTE, 0, 0, 500], 600),
    "a restart after an outage": ([*BORN, 1000, *[DOWN] * 6, 0, 0, 70], 1070),
    "a restart every minute": (
        [*BORN, 30, 60, 80, 0, 0, 20, 40, 50, 0, 0, 3, 7, 10, 0, 0, 0, 1],
        141,
    ),
    "a pod that vanishes": ([0, 0, 10, 20, 1000], 1000),
}
VANISHING = "a pod that vanishes"
# Longer than the rules remember a counter: its 900 rows are missing, and known to be.
LONG_OUTAGE = [0, 0, 100, *[DOWN] * 14 * PER_MINUTE, 1000]


def exposition(model: str, count: int | None) -> str | None:
    if count is None:
        return DOWN
    return f'# TYPE ml_predictions_total counter\nml_predictions_total{{model="{model}"}} {count}\n'


def answers() -> Iterator[tuple[str, list[str | None]]]:
    """Each scenario at every phase to the evaluations, of two replicas out of step."""
    for name, (counts, _) in SCENARIOS.items():
        for phase in range(PER_MINUTE):
            for replica in (0, 1):
                late = [0] * (phase + 3 * replica)
                model = f"{name}, phase {phase}"
                yield f"{model}, {replica}", [exposition(model, n) for n in [*late, *counts]]
    yield "long outage", [exposition("long outage", n) for n in LONG_OUTAGE]


@pytest.fixture(
    scope="module",
    params=["prometheus", "prometheus-2.42/prometheus"],
)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    folder: Path = tmp_path_factory.mktemp("exact")
    with (
        Targets(dict(answers())).serving() as targets,
        prometheus(request.param, folder, TIMING, SCRAPE, "models") as server,
    ):
        names = list(targets.scrapes)
        server.scrape(targets, names)
        vanishing = {name for name in names if name.startswith(VANISHING)}
        wait_until(lambda: vanishing <= targets.finished(), 60, "the pods that vanish")
        server.scrape(targets, [name for name in names if name not in vanishing])
        wait_until(lambda: len(targets.finished()) == len(names), 60, "the last scrape")
        end = targets.scrapes["long outage"] + 5 * PER_MINUTE
        wait_until(lambda: targets.scrapes["long outage"] > end, 60, "the windows")
        assert server.missed_evaluations() == 0, "this machine is too slow for rules so fast"
        yield server


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_row_is_in_one_minute(server: Prometheus, scenario: str) -> None:
    minutes = server.by("model", "sum_over_time(ml_predictions_total:1m[1h])")
    rows = 2 * SCENARIOS[scenario][1]
    phases = [f"{scenario}, phase {phase}" for phase in range(PER_MINUTE)]
    assert {name: minutes.get(name) for name in phases} == dict.fromkeys(phases, rows)


def test_a_day_is_the_sum_of_its_minutes(server: Prometheus) -> None:
    days = server.by("model", "model:predictions:24h")
    assert days == server.by("model", "sum_over_time(ml_predictions_total:1m[1h])")


def test_rows_that_are_missing_are_known(server: Prometheus) -> None:
    missing = server.by("model", "model:unseen_rows:24h > 0")
    assert missing == {"long outage": 900}
