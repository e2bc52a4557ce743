"""Two windows of a field, as a real Prometheus compares them, equal what their twins say."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from ml_exporter.rules import Timing
from ml_exporter.statistics import drift
from tests.rules.targets import Prometheus, Targets, prometheus
from tests.support import wait_until

# A week of four seconds.
TIMING = Timing.shortened(0.25, **{"1h": 1.0, "24h": 2.0, "7d": 4.0})
SCRAPE = 0.25
BINS = ("a", "b", "c", "<missing>")
CRITICAL = 20.0
FIELD = 'model="m",role="feature",field="f",baseline_id="b"'


def exposition(draw: random.Random) -> str:
    """What is recorded of two versions: the second one isn't the champion."""
    lines = ['model:champion:7d{model="m",version="1"} 1']
    for version in ("1", "2"):
        of = f'{FIELD},version="{version}"'
        for window, least in (("24h", 0), ("7d", 500)):
            counts = [draw.randrange(50), least + draw.randrange(400), draw.randrange(3), 0]
            for bin, count in zip(BINS, counts, strict=True):
                lines.append(f'ml_field_values_total:{window}{{{of},bin="{bin}"}} {count}')
            lines.append(f"field:rows:{window}{{{of}}} {sum(counts)}")
        critical = f'field:critical_value{{{of},test="distribution",window="24h"}} {CRITICAL}'
        lines += [f"field:baseline_bins{{{of}}} {len(BINS)}", critical]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("comparisons")
    draw = random.Random(1)
    # Each is seen for a second, and what is recorded at one instant is of one of them.
    answers = [text for _ in range(12) for text in [exposition(draw)] * 4]
    with (
        Targets({"a": answers}).serving() as targets,
        prometheus("prometheus", folder, TIMING, SCRAPE, "comparisons") as server,
    ):
        server.scrape(targets, ["a"])
        wait_until(targets.finished, 120, "all answers")
        yield server


def at(server: Prometheus, series: str, time: float) -> list[float]:
    """The values by bin that a rule saw at that time."""
    found = server.by("bin", f"{series} @ {time}")
    return [found[bin] for bin in BINS]


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(
    ("comparison", "reference", "ago"),
    [
        ("drift", "ml_field_values_total:24h", TIMING.lengths["7d"]),
        ("rolling", "ml_field_values_total:7d", TIMING.lengths["24h"]),
    ],
)
def test_its_own_past(
    recorded: Prometheus, version: str, comparison: str, reference: str, ago: float
) -> None:
    of = f'{{version="{version}"}}'
    compared = set()
    for back in range(1, 6):
        ((_, time),) = recorded.query(
            f"timestamp(field:{comparison}_g_statistic:24h{of} offset {back}s)"
        )
        now = at(recorded, f"ml_field_values_total:24h{of}", time)
        before = at(recorded, f"{reference}{of}", time - ago)
        statistic = drift.g_statistic(now, before)
        for name, twin in (
            ("psi", drift.psi(now, before)),
            ("g_statistic", statistic),
            ("significance", statistic / CRITICAL),
        ):
            ((_, value),) = recorded.query(f"field:{comparison}_{name}:24h{of} @ {time}")
            assert value == pytest.approx(twin, rel=1e-9, abs=1e-12)
        compared.add(statistic)
    assert len(compared) > 1


def test_the_champion(recorded: Prometheus) -> None:
    ((labels, time),) = recorded.query("timestamp(field:version_g_statistic:24h)")
    assert labels["version"] == "2"
    now, champion = (
        at(recorded, f'ml_field_values_total:24h{{version="{version}"}}', time)
        for version in ("2", "1")
    )
    statistic = drift.g_statistic(now, champion)
    for name, twin in (
        ("psi", drift.psi(now, champion)),
        ("g_statistic", statistic),
        ("significance", statistic / CRITICAL),
    ):
        ((_, value),) = recorded.query(f"field:version_{name}:24h @ {time}")
        assert value == pytest.approx(twin, rel=1e-9, abs=1e-12)
