"""Under gunicorn and uvicorn several workers have one exposition, and outlive each other."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support import ROOT, free_port, get, serving, wait_until

SERVERS = {
    "gunicorn": ("gunicorn", "--workers=3", "--bind=127.0.0.1:{port}", "workers:wsgi"),
    "gunicorn-preload": (
        *("gunicorn", "--workers=3", "--preload", "--bind=127.0.0.1:{port}", "workers:wsgi"),
    ),
    "uvicorn": ("uvicorn", "--workers=3", "--host=127.0.0.1", "--port={port}", "workers:asgi"),
}

RECYCLING = (*SERVERS["gunicorn"][:2], "--max-requests=40", *SERVERS["gunicorn"][2:])


class App:
    """The application, and its exposition."""

    def __init__(self, port: int, metrics_port: int, state: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.metrics_url = f"http://127.0.0.1:{metrics_port}/metrics"
        self.state = state

    def ask(self, query: str) -> int:
        """Say something to a worker: the one that took it."""
        status, body = get(f"{self.url}/?{query}")
        assert status == 200
        pid: int = json.loads(body)["pid"]
        return pid

    def count(self, start: str) -> float:
        """The sum of the samples that begin so."""
        _, text = get(self.metrics_url)
        lines = [line for line in text.splitlines() if line.startswith(start)]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def counts(self, predictions: int, joined: int) -> None:
        """Wait for these counts, and see that they stay."""

        def now() -> tuple[float, float]:
            of_labels = self.count('ml_labels_total{model="m",version="unversioned",result="joined')
            return self.count("ml_predictions_total"), of_labels

        wait_until(lambda: now() == (predictions, joined), what=f"{predictions}, {joined}")

    @property
    def counting(self) -> int:
        """The process that counts; 0 while that is being found out."""
        try:
            return int((self.state / "lock").read_text() or 0)
        except FileNotFoundError:
            return 0

    def lose(self, worker: int, how: signal.Signals) -> None:
        """End a worker, and wait until another one counts, if it was the one."""
        counting = wait_until(lambda: self.counting, what="a process that counts")
        os.kill(worker, how)
        if worker == counting:
            wait_until(lambda: self.counting not in (0, counting), what="a successor")
        wait_until(lambda: get(self.metrics_url)[0] == 200, what="an exposition")


@pytest.fixture(params=SERVERS.values(), ids=SERVERS.keys())
def app(request: pytest.FixtureRequest) -> Iterator[App]:
    name, *arguments = request.param
    pytest.importorskip(name)
    port, metrics_port = free_port(), free_port()
    with TemporaryDirectory() as folder:
        state = Path(folder, "state")
        env = {
            **os.environ,
            "STATE": str(state),
            "METRICS_PORT": str(metrics_port),
            "PYTHONPATH": os.pathsep.join(
                [
                    str(ROOT / "exporter"),
                    str(Path(__file__).parent),
                    os.environ.get("PYTHONPATH", ""),
                ]
            ),
        }
        command = [sys.executable, "-m", name, *(one.format(port=port) for one in arguments)]
        with serving(command, f"http://127.0.0.1:{port}/", env=env):
            yield App(port, metrics_port, state)


def test_one_exposition_has_what_all_workers_observed(app: App) -> None:
    workers: dict[int, int] = {}  # predictions of each

    def predict() -> bool:
        for _ in range(20):
            worker = app.ask(f"predict={sum(workers.values())}")
            workers[worker] = workers.get(worker, 0) + 1
        return len(workers) > 1 and sum(workers.values()) >= 200

    wait_until(predict, what="a second worker")
    for id in range(100):
        app.ask(f"label={id}")
    app.counts(sum(workers.values()), 100)
    values = 'ml_field_values_total{model="m",version="unversioned",baseline_id='
    wait_until(lambda: app.count(values) > 0, what="a learned baseline")


def test_another_worker_goes_on_where_the_one_that_counted_was_killed(app: App) -> None:
    workers = {app.ask(f"predict={id}") for id in range(120)}
    app.counts(120, 0)
    # Where the application is loaded before it forks, it is the master that counts.
    killed = app.counting if app.counting in workers else workers.pop()
    app.lose(killed, signal.SIGKILL)
    assert app.count("ml_predictions_total") == 120
    for id in range(120, 150):
        wait_until(lambda id=id: get(f"{app.url}/?predict={id}")[0] == 200)
    for id in range(150):
        app.ask(f"label={id}")
    app.counts(150, 150)


def test_workers_that_are_stopped_have_said_all_that_they_observed(app: App) -> None:
    workers = {app.ask(f"predict={id}") for id in range(60)}
    for worker in workers:
        app.lose(worker, signal.SIGTERM)
    app.counts(60, 0)


@pytest.mark.parametrize("app", [RECYCLING], indirect=True, ids=["gunicorn"])
def test_workers_that_come_and_go_lose_nothing_and_count_nothing_twice(app: App) -> None:
    workers = {app.ask(f"predict={id}") for id in range(600)}
    assert len(workers) > 10
    app.counts(600, 0)
    assert app.count("ml_duplicate_predictions_total") == 0
    assert app.count("ml_exporter_observations_dropped_total") == 0
