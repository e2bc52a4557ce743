"""A prober and a real model server."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from ml_exporter.batch import PREDICTION, SCORE, Field
from ml_exporter.capture import write_frame
from ml_exporter.config.config import ProxySource
from ml_exporter.config.proxy_settings import Endpoint, UpstreamTls
from ml_exporter.formats.rows import Layout
from ml_exporter.prober import prober as probing
from ml_exporter.prober.probe_pace import Traffic
from ml_exporter.prober.prober import Prober, Server
from tests.proxy.certificates import make_certificate
from tests.support import wait_until

WEIGHTS = {"a": 1.0, "b": -4.0, "c": 0.25, "d": 0.0}
FEATURES = {Field("feature", name): name for name in WEIGHTS}
REGRESSION = Layout({PREDICTION: "prediction", **FEATURES})


class Model(ThreadingHTTPServer):
    """Linear in its features; it may fail, answer differently each time, or be slow."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.heads: list[http.client.HTTPMessage] = []
        self.times: list[float] = []
        self.status, self.noise, self.delay = 200, 0.0, 0.0
        self.port = self.server_address[1]
        self.is_tls = False
        self.ca_file: Path | None = None

    def serve_over_tls(self, folder: Path) -> None:
        make_certificate(folder)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.is_tls = True

    @staticmethod
    def answer(body: bytes) -> bytes:
        rows = json.loads(body)["instances"]
        values = [sum(WEIGHTS[name] * row[name] for name in WEIGHTS) for row in rows]
        scores = [1 / (1 + np.exp(-value)) for value in values]
        answers = [{"prediction": v, "score": s} for v, s in zip(values, scores, strict=True)]
        return json.dumps({"predictions": answers}).encode()


class _Handler(BaseHTTPRequestHandler):
    server: Model

    def do_POST(self) -> None:
        model = self.server
        model.heads.append(self.headers)
        model.times.append(time.monotonic())
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(model.delay)
        answer = json.loads(model.answer(body))
        for one in answer["predictions"]:
            one["prediction"] += model.noise * len(model.heads)
        content = json.dumps(answer).encode()
        self.send_response(model.status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture
def model() -> Iterator[Model]:
    with Model() as server:
        threading.Thread(target=server.serve_forever).start()
        yield server
        server.shutdown()


class Probing:
    """A prober that is offered requests as long as one looks at it."""

    def __init__(
        self, model: Model, layout: Layout, *, regression: bool, rate: float = 1000.0
    ) -> None:
        server = Server(Endpoint("127.0.0.1", model.port, model.is_tls), UpstreamTls(model.ca_file))
        self.prober = Prober(server, layout, ProxySource(probe_rate=rate), regression=regression)
        self._random = np.random.default_rng(1)
        self._requests = self._errors = 0
        self.results: Counter[str] = Counter()
        self.sums: Counter[str] = Counter()
        self.rounds = 0
        self.errors_each = 0  # of the requests that are offered

    def look(self) -> Probing:
        self._requests += 1
        self._errors += self.errors_each
        self.prober.see(Traffic(self._requests, self._errors, self._requests * 0.01))
        row = {
            name: float(value)
            for name, value in zip(WEIGHTS, self._random.normal(size=4), strict=True)
        }
        body = json.dumps({"instances": [row]}).encode()
        head = (
            b"POST /v1/models/m:predict?x=1 HTTP/1.1\r\nHost: model.example\r\n"
            b"Authorization: Bearer s3cret\r\nX-Request-Id: 7\r\nIdempotency-Key: 7\r\n"
            b"Content-Length: 3\r\n\r\n"
        )
        answer = Model.answer(body)
        ok = b"HTTP/1.1 200 OK\r\n\r\n"
        self.prober.offer(write_frame(0, 200, time.time(), 0.01, 0.01, 0.0, head, body, ok, answer))
        probed = self.prober.take()
        self.results.update(probed.results)
        for batch in probed.rows:
            self.rounds += batch.rows
            for key, column in batch.fields.items():
                self.sums[key.name] += column.numbers.values.sum()
        return self


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_exporter.prober.probe_pace._LOOK_EVERY", 0.1)
    monkeypatch.setattr(probing, "_OFFERED_EVERY", 0.0)
    monkeypatch.setattr(probing, "_REST", 0.01)


def probing_of(
    model: Model, layout: Layout = REGRESSION, *, regression: bool = True, rate: float = 1000.0
) -> Probing:
    made = Probing(model, layout, regression=regression, rate=rate)
    made.prober.start()
    return made


def test_the_order_of_a_linear_model_comes_out(model: Model) -> None:
    one = probing_of(model)
    wait_until(lambda: one.look().rounds >= 60, what="rounds")
    one.prober.stop()
    means = {name: one.sums[name] / one.rounds for name in WEIGHTS}
    assert sorted(means, key=lambda name: -means[name]) == ["b", "a", "c", "d"]
    # The difference of two standard normal values is 2 / sqrt(pi) in the mean.
    for name, weight in WEIGHTS.items():
        assert means[name] == pytest.approx(abs(weight) * 2 / np.sqrt(np.pi), rel=0.35)
    assert one.results["failed"] == one.results["unusable"] == 0


def test_scores_say_more_than_classes(model: Model) -> None:
    layout = Layout({PREDICTION: "prediction", SCORE: "score", **FEATURES})
    one = probing_of(model, layout, regression=False)
    wait_until(lambda: one.look().rounds >= 30, what="rounds")
    one.prober.stop()
    means = {name: one.sums[name] / one.rounds for name in WEIGHTS}
    assert 1 > means["b"] > means["a"] > means["c"] > means["d"] == 0


def test_a_probe_says_that_it_is_one_and_names_no_request(model: Model) -> None:
    one = probing_of(model)
    wait_until(lambda: one.look().rounds >= 1, what="a round")
    one.prober.stop()
    for head in model.heads:
        assert head["X-ML-Exporter-Probe"] == "1"
        assert head["Authorization"] == "Bearer s3cret"
        assert head["Host"] == "model.example"
        assert "X-Request-Id" not in head
        assert "Idempotency-Key" not in head


def test_probes_have_their_rate(model: Model) -> None:
    one = probing_of(model, rate=20)
    wait_until(lambda: one.look().rounds >= 4, what="rounds")
    one.prober.stop()
    apart = np.diff(model.times)
    assert len(apart) > 10
    assert apart.mean() > 0.04


@pytest.mark.parametrize(("status", "delay"), [(503, 0.0), (429, 0.0), (200, 1.2)])
def test_a_model_in_trouble_is_asked_once_and_left_alone(
    model: Model, status: int, delay: float
) -> None:
    model.status, model.delay = status, delay
    one = probing_of(model)
    wait_until(lambda: one.look().results["failed"], what="a failure")
    for _ in range(50):
        one.look()
        time.sleep(0.01)
    one.prober.stop()
    assert len(model.heads) == 1
    assert one.rounds == 0


def test_a_model_over_tls_is_asked_if_it_is_trusted(model: Model, tmp_path: Path) -> None:
    model.serve_over_tls(tmp_path)
    stranger = probing_of(model)
    wait_until(lambda: stranger.look().results["failed"], what="a failure")
    stranger.prober.stop()
    assert not model.heads
    model.ca_file = tmp_path / "cert.pem"
    one = probing_of(model)
    wait_until(lambda: one.look().rounds >= 1, what="a round")
    one.prober.stop()


def test_a_model_that_cant_be_reached_is_left_alone(model: Model) -> None:
    model.server_close()
    one = probing_of(model)
    wait_until(lambda: one.look().results["failed"] == 1, what="a failure")
    one.prober.stop()


def test_a_model_that_answers_differently_each_time_isnt_attributed(model: Model) -> None:
    model.noise = 1.0
    one = probing_of(model)
    wait_until(lambda: one.look().results["unusable"] >= 3, what="rounds")
    one.prober.stop()
    assert one.rounds == 0
    assert len(model.heads) <= one.results["unusable"] + 1  # one request a round


def test_nothing_is_asked_while_real_requests_fail(model: Model) -> None:
    one = probing_of(model)
    wait_until(lambda: one.look().rounds >= 1, what="a round")
    one.errors_each = 1
    before = 0

    def is_quiet() -> bool:
        nonlocal before
        asked, before = before, len(model.heads)
        for _ in range(20):
            one.look()
            time.sleep(0.01)
        return asked == before

    wait_until(is_quiet, what="quiet")
    one.prober.stop()
