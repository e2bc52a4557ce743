"""The queue never stands in the way, and whoever forks begins anew."""

from __future__ import annotations

import gc
import os
import resource
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from ml_exporter import Monitor
from ml_exporter.client import wire
from ml_exporter.client.arguments import model_of
from ml_exporter.client.counting import Counting
from ml_exporter.client.hub import ROW, Hub
from ml_exporter.pipeline.pipeline import Pipeline
from tests.support import free_port, get, wait_until

BINARY = {"task": "binary", "positive": "1", "learn": {"rows": 50}}


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as path:  # a short one: a socket's path has no more than 100 bytes
        yield Path(path)


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    made = Monitor("m", task="binary", positive="1", first_scrape_wait=0, queue=100)
    yield made
    made.close()


def sample(monitor: Monitor, name: str, **labels: str) -> float:
    return sum(
        one.value
        for metric in monitor.collect()
        for one in metric.samples
        if one.name == name and labels.items() <= one.labels.items()
    )


def dropped(monitor: Monitor, reason: str) -> float:
    return sample(monitor, "ml_exporter_observations_dropped_total", reason=reason)


def test_what_a_full_queue_has_no_room_for_is_counted() -> None:
    hub = Hub(None, wait=0, limit=10)
    hub.is_running = True  # as far as `put` knows: nobody empties the queue
    for _ in range(13):
        hub.put("m", ROW, ())
    assert len(hub._queue) == 10
    assert hub._dropped == Counter(queue_full=3)


def test_a_model_may_come_at_any_moment(monitor: Monitor, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Hub._watch
    others: list[Monitor] = []

    def come(hub: Hub, counting: Counting) -> None:
        watch(hub, counting)
        if not others:  # just after the look at which models there are
            arguments = {**BINARY, "first_scrape_wait": 0, "queue": 100}
            others.append(Monitor("late", **arguments))
            others[0].log({"x": 1}, prediction="1")

    monkeypatch.setattr(Hub, "_watch", come)
    monitor.log({"x": 1}, prediction="1")
    wait_until(lambda: sample(monitor, "ml_predictions_total") == 2)
    assert dropped(monitor, "unknown_model") == 0
    others[0].close()


def test_nothing_that_is_observed_raises(
    monitor: Monitor, caplog: pytest.LogCaptureFixture
) -> None:
    class Stubborn:
        def copy(self) -> None:
            raise RuntimeError("no copies")

    monitor.log(Stubborn(), prediction="1")
    monitor.log(Stubborn(), prediction="1")
    monitor.log([1, 2], prediction="1")  # whose names nobody knows
    monitor.log_many([{"x": 1}], prediction=["1", "0"])
    monitor.label("a", "1")
    wait_until(lambda: dropped(monitor, "error") == 3 and dropped(monitor, "unreadable") == 2)
    text = "\n".join(record.message for record in caplog.records if record.levelname == "ERROR")
    assert text.count("no copies") == 1
    assert "2 values without names, and Monitor(features=...) has no names" in text
    assert "2 values for 1 rows" in text
    assert "labels that come later need Monitor(labels=" in text


def test_what_is_changed_after_it_was_logged_was_not_that(monitor: Monitor) -> None:
    features: dict[str, Any] = {"x": 1}
    for row in range(60):
        features["x"] = row
        monitor.log(features, prediction="1")
        features["y"] = row
        del features["y"]
    wait_until(lambda: sample(monitor, "ml_predictions_total") == 60)


def test_tables_are_queued_in_pieces(monitor: Monitor) -> None:
    table = {"x": list(range(2500)), "y": ["a"] * 2500}
    monitor.log_many(table, prediction=["1"] * 2500, timestamp=time.time())
    wait_until(lambda: sample(monitor, "ml_predictions_total") == 2500)
    hub = Hub(None, wait=0, limit=1)
    hub.is_running = True
    hub.put("m", ROW, (), 1000)
    hub.put("m", ROW, (), 500)
    assert hub._dropped == Counter(queue_full=500)


def test_many_threads_lose_nothing() -> None:
    monitor = Monitor("threads", task="binary", positive="1", first_scrape_wait=0, queue=100)
    monitor.close()
    monitor = Monitor("threads", task="binary", positive="1", first_scrape_wait=0)

    def work() -> None:
        for row in range(1000):
            monitor.log({"x": row}, prediction="1")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: sample(monitor, "ml_predictions_total") == 8000)
    assert dropped(monitor, "queue_full") == 0
    monitor.close()


def test_rows_wait_for_two_scrapes_but_not_for_ever() -> None:
    monitor = Monitor("m", task="binary", positive="1", first_scrape_wait=600)
    monitor.log({"x": 1}, prediction="1")
    assert monitor.flush()
    port = monitor.start_http_server(0, "127.0.0.1")
    url = f"http://127.0.0.1:{port}/metrics"
    time.sleep(1.5)
    seen = 'ml_predictions_total{model="m",version="unversioned"} 0'
    assert seen in get(url)[1]
    time.sleep(1.5)
    assert seen in get(url)[1]
    wait_until(lambda: sample(monitor, "ml_predictions_total") == 1)
    monitor.close()


def test_the_port_answers_what_a_scraper_asks(monitor: Monitor) -> None:
    port = monitor.start_http_server(0, "127.0.0.1")
    url = f"http://127.0.0.1:{port}/metrics"
    wait_until(lambda: get(url)[0] == 200)
    assert get(f"http://127.0.0.1:{port}/")[0] == 404
    status, text = get(url, {"Accept": "application/openmetrics-text; version=1.0.0"})
    assert status == 200
    assert text.endswith("# EOF\n")
    other = Monitor("other", task="binary", positive="1", first_scrape_wait=0, queue=100)
    assert other.start_http_server(0, "127.0.0.1") == port
    wait_until(lambda: 'model="other"' in get(url)[1], what="the other model")
    with pytest.raises(ValueError, match=r"/metrics is answered on port 0 already"):
        other.start_http_server(1, "127.0.0.1")
    other.close()
    wait_until(lambda: 'model="other"' not in get(url)[1], what="one model less")


def test_a_port_that_is_taken_is_said_at_once(monitor: Monitor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=r"where several workers .* give Monitor\(state=...\)"):
            monitor.start_http_server(port, "127.0.0.1")


def test_the_state_outlives_the_process(folder: Path) -> None:
    for expected in (30, 60):
        monitor = Monitor("m", **BINARY, state=folder, first_scrape_wait=0)
        for row in range(30):
            monitor.log({"x": row}, prediction="1")
        wait_until(lambda: sample(monitor, "ml_predictions_total") == expected)  # noqa: B023
        monitor.close()


def test_a_forked_child_sends_what_it_observes_to_its_parent(folder: Path) -> None:
    monitor = Monitor("m", **BINARY, state=folder, first_scrape_wait=0)
    monitor.log({"x": 1}, prediction="1")
    wait_until(lambda: sample(monitor, "ml_predictions_total") == 1)
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            for row in range(40):
                monitor.log({"x": row}, prediction="1")
            monitor.hand_over()
            gc.collect()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    monitor.log({"x": 2}, prediction="1")
    wait_until(lambda: sample(monitor, "ml_predictions_total") == 42)
    monitor.close()


def test_another_process_exposes_what_the_one_that_counts_has(folder: Path) -> None:
    first = Hub(folder, wait=0, limit=100)
    first.add(model_of("m", BINARY))
    wait_until((folder / "socket").exists)
    second = Hub(folder, wait=0, limit=100)
    second.add(model_of("m", BINARY))
    second.put("m", ROW, ({"x": 1}, "1", None, None, None, None, time.time()))
    counted = b'ml_predictions_total{model="m",version="unversioned"} 1'
    wait_until(lambda: counted in second.shown("text")[0])
    assert counted in first.shown("text")[0]
    first.close()
    wait_until(lambda: counted in second.shown("text")[0], what="the second one counts on")
    second.close()


def test_what_is_on_its_way_when_the_process_that_counts_ends_is_counted(folder: Path) -> None:
    first = Hub(folder, wait=0, limit=100_000)
    first.add(model_of("m", BINARY))
    wait_until((folder / "socket").exists)
    second = Hub(folder, wait=0, limit=100_000)
    second.add(model_of("m", BINARY))
    for row in range(3000):
        second.put("m", ROW, ({"x": row}, "1", None, None, None, None, time.time()))
        if row == 1000:
            closing = threading.Thread(target=first.close)
            closing.start()
        if row % 10 == 0:
            time.sleep(0.001)
    counted = b'ml_predictions_total{model="m",version="unversioned"} 3000'
    wait_until(lambda: counted in second.shown("text")[0])
    closing.join()
    second.close()


def test_what_can_not_be_counted_is_let_go(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = Monitor("m", **BINARY, state=folder, first_scrape_wait=0)
    for row in range(50):
        monitor.log({"x": row}, prediction="1")
    wait_until(lambda: sample(monitor, "ml_predictions_total") == 50)

    def fail(self: Pipeline, *, births_wait: bool) -> str:
        monkeypatch.undo()
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(Pipeline, "step", fail)
    wait_until(lambda: "a bug of ours" in caplog.text)
    monitor.log({"x": 1}, prediction="1")
    wait_until(lambda: sample(monitor, "ml_predictions_total") == 51)
    monitor.close()


def test_a_row_of_any_size_is_in_nobodys_way(folder: Path) -> None:
    monitor = Monitor("m", task="binary", positive="1", first_scrape_wait=0)
    monitor.log({"x": "a" * (2 << 20)}, prediction="1")
    for _ in range(20):
        monitor.log({"x": "a" * (1 << 19)}, prediction="1")
    wait_until(lambda: sample(monitor, "ml_predictions_total") == 20)
    assert sample(monitor, "ml_rows_rejected_total", reason="too_large") == 1
    monitor.close()


def test_nonsense_on_the_socket_harms_nobody(folder: Path) -> None:
    hub = Hub(folder, wait=0, limit=100)
    hub.add(model_of("m", BINARY))
    path = wire.socket_path(folder)
    wait_until(path.exists)
    for nonsense in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x01\xff\xff\xff\xff",
        b"\x01\0\0\0\x02{}",
        b"\x02",
    ):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(nonsense)
    link = wire.Link(path)
    unknown = wire.Lines("other", "predictions", 3, b"{}\n{}\n{}\n")
    link.send(wire.LINES, wire.packed(unknown))
    expected = b'observations_dropped_total{reason="unknown_model"} 3'
    wait_until(lambda: expected in link.ask(wire.SCRAPE, b"text"))
    link.close()
    hub.close()


def test_a_process_may_have_thousands_of_open_files(folder: Path) -> None:
    hub = Hub(folder, wait=0, limit=100)
    hub.add(model_of("m", BINARY))
    wait_until(wire.socket_path(folder).exists)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    with ExitStack() as files:
        files.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        for _ in range(1024):
            files.enter_context(Path(os.devnull).open())
        link = wire.Link(wire.socket_path(folder))
        files.callback(link.close)
        assert not link.is_broken
        hub.close()
        wait_until(lambda: link.is_broken)


def test_a_folder_that_cannot_be_used_is_said_in_the_log(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "state").write_text("a file")
    hub = Hub(folder / "state", wait=0, limit=100)
    hub.add(model_of("m", BINARY))
    wait_until(lambda: "is a file, and must be a folder" in caplog.text, what="an error")
    hub.close()


def test_with_a_state_the_port_may_be_taken_for_a_while(folder: Path) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        monitor = Monitor("m", **BINARY, state=folder, first_scrape_wait=0)
        assert monitor.start_http_server(port, "127.0.0.1") == port
        time.sleep(0.5)
    wait_until(lambda: get(f"http://127.0.0.1:{port}/metrics")[0] == 200)
    monitor.close()
