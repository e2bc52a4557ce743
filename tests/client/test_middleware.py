"""Requests that predict are observed as they pass, and pass unchanged."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import pytest
from flask import Flask, request

from ml_exporter.client import Monitor, MonitorMiddleware, MonitorWsgiMiddleware
from tests.support import wait_until

HEADERS = [("Content-Type", "application/json"), ("X-Request-Id", "from-the-response")]


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    made = Monitor(
        "m",
        task="binary",
        positive="1",
        score=True,
        features=["age", "country"],
        labels={"wait": "1h"},
        first_scrape_wait=0,
    )
    yield made
    made.close()


def sample(monitor: Monitor, name: str, **labels: str) -> float:
    return sum(
        one.value
        for metric in monitor.collect()
        for one in metric.samples
        if one.name == name and labels.items() <= one.labels.items()
    )


def predictions(monitor: Monitor) -> float:
    return sample(monitor, "ml_predictions_total")


DUPLICATES = "ml_duplicate_predictions_total"


def dropped(monitor: Monitor, reason: str) -> float:
    return sample(monitor, "ml_exporter_observations_dropped_total", reason=reason)


class WsgiServer:
    """Answers with what it is told to, in pieces, once it has read the request."""

    def __init__(self, answer: bytes, status: str = "200 OK") -> None:
        self.answer = answer
        self.status = status
        self.closed = 0
        self.read = b""

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        stream = environ["wsgi.input"]
        self.read = stream.read(3) + stream.readline() + b"".join(stream) + stream.read()
        write = start_response(self.status, HEADERS)
        write(self.answer[:2])
        return self

    def __iter__(self) -> Iterator[bytes]:
        yield self.answer[2:5]
        yield self.answer[5:]

    def close(self) -> None:
        self.closed += 1


def ask_wsgi(app: Any, body: bytes, path: str = "/predict", method: str = "POST") -> bytes:
    sent: list[bytes] = []

    def start_response(status: str, headers: object) -> Callable[[bytes], None]:
        assert headers == HEADERS
        return sent.append

    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "CONTENT_TYPE": "application/json",
        "wsgi.input": io.BytesIO(body),
    }
    response = app(environ, start_response)
    sent.extend(response)
    response.close()
    return b"".join(sent)


def asgi(answer: bytes, status: int = 200) -> Any:
    async def app(
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                pass
            return
        while (await receive()).get("more_body"):
            pass
        headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer[:4], "more_body": True})
        await send({"type": "http.response.body", "body": answer[4:]})

    return app


def ask_asgi(app: Any, body: bytes, path: str = "/predict", encoding: str = "") -> bytes:
    pieces = [
        {"type": "http.request", "body": body[:4], "more_body": True},
        {"type": "http.request", "body": body[4:]},
    ]
    sent: list[bytes] = []

    async def receive() -> dict[str, Any]:
        return pieces.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message.get("body", b""))

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": [
            (b"Content-Type", b"application/json"),
            (b"content-encoding", encoding.encode()),
        ],
    }
    asyncio.run(app(scope, receive, send))
    return b"".join(sent)


REQUEST = json.dumps({"age": 31, "country": "DE"}).encode()
ANSWER = json.dumps({"prediction": "1", "score": 0.8, "id": "a1"}).encode()


def test_a_wsgi_application(monitor: Monitor) -> None:
    server = WsgiServer(ANSWER)
    app = MonitorWsgiMiddleware(server, monitor)
    assert ask_wsgi(app, REQUEST) == ANSWER
    assert server.read == REQUEST
    assert server.closed == 1
    monitor.flush()
    monitor.label("a1", "1")
    wait_until(lambda: sample(monitor, "ml_labels_total", result="joined") == 1)
    assert predictions(monitor) == 1


def test_a_flask_application(monitor: Monitor) -> None:
    flask = Flask("service")

    @flask.post("/predict")
    def predict() -> dict[str, Any]:
        return {"prediction": "1", "score": request.get_json()["age"] / 100, "id": "a1"}

    flask.wsgi_app = MonitorWsgiMiddleware(flask.wsgi_app, monitor)  # type: ignore[method-assign]
    answer = flask.test_client().post("/predict", json={"age": 31, "country": "DE"})
    assert answer.json == {"prediction": "1", "score": 0.31, "id": "a1"}
    wait_until(lambda: predictions(monitor) == 1)


def test_an_asgi_application(monitor: Monitor) -> None:
    app = MonitorMiddleware(asgi(ANSWER), monitor)
    assert ask_asgi(app, REQUEST) == ANSWER
    assert ask_asgi(app, gzip.compress(REQUEST), encoding="gzip") == ANSWER
    monitor.flush()
    monitor.label("a1", "1")
    wait_until(lambda: sample(monitor, "ml_labels_total", result="joined") == 1)
    wait_until(lambda: sample(monitor, DUPLICATES) == 1)


def test_an_id_may_be_that_of_the_request(monitor: Monitor) -> None:
    app = MonitorMiddleware(asgi(b'{"prediction": 1, "score": 0.8}'), monitor)
    ask_asgi(app, REQUEST)
    monitor.flush()
    monitor.label("from-the-response", "1")
    wait_until(lambda: sample(monitor, "ml_labels_total", result="joined") == 1)


def test_protocols_of_model_servers(monitor: Monitor) -> None:
    answer = json.dumps({"predictions": [[0.2, 0.8], [0.9, 0.1]]}).encode()
    app = MonitorMiddleware(
        asgi(answer),
        monitor,
        path="/v1/models/*",
        format="kserve-v1",
        fields={"prediction": "prediction", "score": {"path": "prediction", "classes": ["0", "1"]}},
    )
    request = json.dumps({"instances": [{"age": 1, "country": "DE"}, {"age": 2, "country": "FR"}]})
    assert ask_asgi(app, request.encode(), "/v1/models/credit:predict") == answer
    wait_until(lambda: predictions(monitor) == 2)


def test_attributions_and_ranked_items_of_a_response() -> None:
    monitor = Monitor(
        **{"name": "films", "task": "multiclass", "features": ["age"], "labels": {"wait": "1h"}},
        **{"attributions": ["age"], "ranked": 2, "first_scrape_wait": 0},
    )
    answer = {"prediction": "a", "ranked": ["a", "b"], "attributions": {"age": -1.5}, "id": "1"}
    server = WsgiServer(json.dumps(answer).encode())
    ask_wsgi(MonitorWsgiMiddleware(server, monitor), b'{"age": 41}')
    monitor.label("1", "b")
    wait_until(lambda: sample(monitor, "ml_top_k_hits_total", k="2") == 1)
    assert sample(monitor, "ml_field_attribution_total", field="age") == 1.5
    monitor.close()


def test_what_is_no_prediction_passes_unobserved(monitor: Monitor) -> None:
    app = MonitorWsgiMiddleware(WsgiServer(ANSWER), monitor)
    assert ask_wsgi(app, REQUEST, "/health") == ANSWER
    assert ask_wsgi(app, REQUEST, method="GET") == ANSWER
    failing = MonitorWsgiMiddleware(WsgiServer(ANSWER, "500 No"), monitor)
    assert ask_wsgi(failing, REQUEST) == ANSWER
    assert ask_asgi(MonitorMiddleware(asgi(ANSWER, 422), monitor), REQUEST) == ANSWER
    assert ask_wsgi(app, REQUEST) == ANSWER
    wait_until(lambda: predictions(monitor) == 1)


def test_what_is_too_large_or_unreadable_is_counted(monitor: Monitor) -> None:
    small = MonitorWsgiMiddleware(WsgiServer(ANSWER), monitor, body_limit=40)
    assert ask_wsgi(small, REQUEST) == ANSWER
    assert ask_wsgi(MonitorWsgiMiddleware(WsgiServer(b"no JSON at all"), monitor), REQUEST)
    wait_until(lambda: dropped(monitor, "too_large") == 1 and dropped(monitor, "unreadable") == 1)
    assert predictions(monitor) == 0


def test_the_end_of_the_application_is_the_last_count(monitor: Monitor) -> None:
    app = MonitorMiddleware(asgi(ANSWER), monitor)
    ask_asgi(app, REQUEST)
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        pass

    asyncio.run(app({"type": "lifespan"}, receive, send))
    assert not monitor._hub._queue
    ask_asgi(app, REQUEST)  # an application that is tested may begin again
    wait_until(lambda: predictions(monitor) == 2 and sample(monitor, DUPLICATES) == 1)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"path": "predict"}, "MonitorMiddleware: path: must begin with '/', unlike 'predict'"),
        ({"format": "kserve"}, "MonitorMiddleware: source.format: unknown value 'kserve'; did you"),
        (
            {"fields": {"predicton": "response.x"}},
            "MonitorMiddleware: fields.predicton: unknown key; did you mean 'prediction'?",
        ),
    ],
)
def test_errors_name_the_argument(monitor: Monitor, arguments: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match="MonitorMiddleware") as raised:
        MonitorMiddleware(asgi(ANSWER), monitor, **arguments)
    assert str(raised.value).startswith(error)
