"""As many requests as fit into a time: nothing grows, nothing is left open, nothing is lost.

`make soak` does it for an hour.
"""

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from tests.proxy.sidecar import PROXY
from tests.proxy.test_service import CREDIT, Sidecar, resident
from tests.support import free_port, get, stop, wait_until

MODEL_SERVER = Path(__file__).with_name("quick_model_server.py")
MODELS = """\
models:
  - name: credit
    task: regression
    learn: {{rows: 200}}
    source: {{type: proxy, path: "/v1/models/credit:predict", format: kserve-v1}}
    fields: {{prediction: prediction, features: [age, country]}}
"""
CONFIG = f"{MODELS}{PROXY}  buffer: 16MiB\n  drain: 0s\n"
CONNECTIONS = 32
OF_A_CONNECTION = 500  # requests, after which it is replaced by another
SPARE = 8 << 20  # bytes by which a process may grow once it is warm: a leak has no bounds


class Load:
    """Clients that ask again as soon as they are answered, and check each answer."""

    def __init__(self, port: int) -> None:
        self.requests = 0
        self._port = port
        self._poll = select.epoll()
        self._clients: dict[
            int, tuple[socket.socket, int]
        ] = {}  # and what the last answer is to be
        self._asked: dict[int, int] = {}

    def run(self, seconds: float) -> None:
        for _ in range(CONNECTIONS):
            self._connect()
        end = time.monotonic() + seconds
        while self._clients:
            is_over = time.monotonic() >= end
            ready = self._poll.poll(30)
            assert ready, "no answer for 30 seconds"
            for place, _ in ready:
                self._take_answer(place, is_over)

    def _connect(self) -> None:
        client = socket.create_connection(("127.0.0.1", self._port))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll.register(client, select.EPOLLIN)
        self._asked[client.fileno()] = 0
        self._ask(client)

    def _ask(self, client: socket.socket) -> None:
        age = self.requests * 7 % 1009
        body = b'{"instances": [{"age": %d, "country": "DE"}]}' % age
        head = f"POST {CREDIT} HTTP/1.1\r\nHost: model\r\nContent-Length: {len(body)}\r\n"
        if self.requests % 5 == 0:  # which is no plain one
            head += "Proxy-Connection: keep-alive\r\n"
        self._clients[client.fileno()] = (client, age)
        self._asked[client.fileno()] += 1
        self.requests += 1
        client.sendall(head.encode() + b"\r\n" + body)

    def _take_answer(self, place: int, is_over: bool) -> None:
        client, age = self._clients[place]
        answer = client.recv(1 << 16)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer
        assert answer.endswith(b'\r\n\r\n{"predictions": [%d]}' % age), answer
        if is_over or self._asked[place] >= OF_A_CONNECTION:
            del self._clients[place], self._asked[place]
            self._poll.unregister(client)
            client.close()
            if not is_over:
                self._connect()
        else:
            self._ask(client)


@pytest.fixture
def model_server() -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen([sys.executable, MODEL_SERVER, str(port)])
    try:
        wait_until(lambda: get(f"http://127.0.0.1:{port}/")[0] == 200, what="the model server")
        yield port
    finally:
        stop(process)


def test_soak(tmp_path: Path, model_server: int, pytestconfig: pytest.Config) -> None:
    seconds = pytestconfig.getoption("soak")
    with TemporaryFile() as output:
        sidecar = Sidecar(tmp_path, model_server, output)
        (tmp_path / "ml-exporter.yml").write_text(
            CONFIG.format(upstream=model_server, port=sidecar.port, health=sidecar.health)
        )
        process = sidecar.start()
        try:
            sidecar.wait()
            soak(sidecar, model_server, seconds)
        finally:
            stop(process, 60)
            output.seek(0)
            print(output.read().decode())


def soak(sidecar: Sidecar, model_server: int, seconds: float) -> None:
    pids = [sidecar.child("proxy"), sidecar.child("telemetry")]
    load = Load(sidecar.port)

    def open_files() -> list[int]:
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in pids]

    load.run(1)
    wait_until(lambda: all_are_counted(sidecar, load.requests), 60, "the first requests")
    files = wait_until(open_files)
    load.run(seconds / 2)
    warm = [resident(pid) for pid in pids]
    load.run(seconds / 2)
    at_the_end = [resident(pid) for pid in pids]
    wait_until(lambda: all_are_counted(sidecar, load.requests), 60, "the other requests")
    assert get(f"http://127.0.0.1:{model_server}/")[1] == str(load.requests)
    wait_until(lambda: max(a - b for a, b in zip(open_files(), files, strict=True)) <= 0)
    print(f"{load.requests} requests, {warm} bytes when warm, {at_the_end} at the end")
    assert max(after - before for before, after in zip(warm, at_the_end, strict=True)) < SPARE


def all_are_counted(sidecar: Sidecar, requests: int) -> bool:
    """Whether so many requests were counted, and each either observed or said not to be."""
    counted = sidecar.samples("ml_requests_total")
    seen = sum(sidecar.samples("ml_predictions_total").values())
    dropped = sidecar.samples("ml_exporter_observations_dropped_total")
    is_over = sum(counted.values()) == requests == seen + sum(dropped.values())
    assert {key for key, value in counted.items() if value} <= {"credit 200 POST"}
    assert not any(value for key, value in dropped.items() if key != "buffer_full")
    return is_over
