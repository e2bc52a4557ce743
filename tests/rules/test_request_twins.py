"""What a real Prometheus records of requests equals its twin, of the requests themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ml_exporter.exposition import render
from ml_exporter.families import freeze
from ml_exporter.monitors.requests import Requests
from ml_exporter.request_counts import BUCKETS, COUNTS_SIZE, RequestCounts
from ml_exporter.rules import Timing
from ml_exporter.rules.requests import QUANTILES
from ml_exporter.statistics.regression import quantile
from tests.rules.targets import Prometheus, Targets, prometheus
from tests.support import wait_until

TIMING = Timing.shortened(2)
SCRAPE = 0.5
ZEROS = 8  # scrapes before the first requests
REPLICAS = ("large", "small")

GENERATOR = np.random.default_rng(7)
TOOK = GENERATOR.lognormal(-4, 1.5, 3000)  # seconds
CODES = GENERATOR.choice([200, 200, 200, 404, 500, 503], 3000).tolist()


def exposition(requests: slice) -> str:
    """What the proxy counts of these requests, as a scrape sees it."""
    counts = RequestCounts(memoryview(bytearray(COUNTS_SIZE)))
    place = counts.place("credit")
    for code, took in zip(CODES[requests], TOOK[requests].tolist(), strict=True):
        counts.count(place, b"POST", code, took, took / 2)
    series = Requests("credit", "3")
    series.expect([("POST", code) for code in set(CODES)])
    series.show(counts.requests(place), counts.durations(place))
    return render(freeze(series.families)).decode()


@pytest.fixture(scope="module", params=["prometheus", "prometheus-2.42/prometheus"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    zero = exposition(slice(0, 0))
    answers = {
        name: [*[zero] * ZEROS, exposition(part)]
        for name, part in zip(REPLICAS, (slice(0, 2000), slice(2000, 3000)), strict=True)
    }
    folder: Path = tmp_path_factory.mktemp("requests")
    with (
        Targets(answers).serving() as targets,
        prometheus(request.param, folder, TIMING, SCRAPE, "requests") as server,
    ):
        server.scrape(targets, REPLICAS)
        wait_until(lambda: server.by("model", "model:requests:1h") == {"credit": 3000}, 60)
        wait_until(lambda: server.query("model:upstream_latency_seconds:1h > 0"), 60)
        yield server


def test_the_share_of_requests_that_fail(server: Prometheus) -> None:
    failed = sum(code >= 500 for code in CODES) / len(CODES)
    assert server.by("model", "model:error_ratio:1h") == {"credit": pytest.approx(failed)}


@pytest.mark.parametrize(
    ("series", "took"), [("latency_seconds", TOOK), ("upstream_latency_seconds", TOOK / 2)]
)
def test_how_long_requests_take(
    server: Prometheus, series: str, took: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> None:
    counts = [np.count_nonzero(took <= upper) for upper in (*BUCKETS, np.inf)]
    assert server.by("quantile", f"model:{series}:1h") == {
        str(q): pytest.approx(quantile(q, BUCKETS, counts)) for q in QUANTILES
    }
