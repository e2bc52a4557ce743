"""Models that share a path: what a request says its model is called."""

import http.client
import json

import pytest

from ml_exporter.capture import Capture, read_frame
from ml_exporter.config.proxy_settings import ModelName
from ml_exporter.proxy.bodies import Copy
from ml_exporter.proxy.heads import request_head
from ml_exporter.proxy.names import Names
from ml_exporter.proxy.observation import Observer
from ml_exporter.proxy.routes import Routes
from tests.proxy.sidecar import PROXY, Sidecar
from tests.support import wait_until

BOTH = ModelName(header="X-Model", field="parameters.model")


def head(fields: bytes = b"") -> bytes:
    return b"POST /predict HTTP/1.1\r\nHost: m\r\n" + fields + b"\r\n"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        (b"", None),
        (b"X-Model: credit\r\n", "credit"),
        (b"x-MODEL:credit \r\n", "credit"),
        (b"X-Model: a\r\nX-Model: b\r\n", "a"),
        (b"X-Model: \xc3\xa4\r\n", "ä"),
        (b"X-Model:  \r\n", None),
        (b"X-Models: credit\r\n", None),
        (b"X-Model: %b\r\n" % (b"m" * 201), None),
    ],
)
def test_a_header_says_it(fields: bytes, name: str | None) -> None:
    assert Names(BOTH).in_head(head(fields)) == name
    assert Names(ModelName(field="x")).in_head(head(fields)) is None


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"parameters": {"model": "credit"}}', "credit"),
        (b'{"rows": [[1, {"parameters": 2}]], "parameters": {"x": 1, "model": "m"}}', "m"),
        (b'{"parameters": {"model": 5}}', None),
        (b'{"parameters": {"model": null}}', None),
        (b'{"parameters": {"model": ""}}', None),
        (b'{"parameters": "credit"}', None),
        (b'{"model": "credit"}', None),
        (b'{"parameters": {"model": "%b"}}' % (b"m" * 201), None),
        (b'{"parameters": {"model": "credit"}', None),
        (b'{"parameters": {"model": "\xff"}}', None),
        (b'{"parameters": ' + b"[" * 100_000, None),
        (b"[1, 2]", None),
        (b"", None),
        (None, None),
    ],
)
def test_a_body_says_it(body: bytes | None, name: str | None) -> None:
    assert Names(BOTH).in_body(body) == name
    assert Names(ModelName(header="x")).in_body(body) is None


@pytest.mark.parametrize(
    ("fields", "body", "model"),
    [
        (b"", b"{}", "a"),  # the first one whose path it is
        (b"", b'{"parameters": {"model": "b"}}', "b"),
        (b"X-Model: a\r\n", b'{"parameters": {"model": "b"}}', "a"),
        (b"X-Model: b\r\n", b"{}", "b"),
        (b"", b'{"parameters": {"model": "c"}}', None),
        (b"X-Model: c\r\n", b"{}", None),
    ],
)
@pytest.mark.parametrize("in_pieces", [False, True])
@pytest.mark.parametrize("share", [1.0, 0.0])
def test_counts_and_frames_are_of_the_model_that_is_named(
    fields: bytes, body: bytes, model: str | None, in_pieces: bool, share: float, capture: Capture
) -> None:
    routes = Routes([("a", "/predict"), ("b", "/predict")], capture.counts)
    observer = Observer(capture, routes, body_limit=100, share=share, names=Names(BOTH))
    sent = head(fields)
    exchange = observer.begin(request_head(sent), sent)
    exchange.request_body = body
    if in_pieces and (copy := observer.copy(exchange)) is not None:
        exchange.request_body = copy
        copy.add(body)
    observer.end(exchange, 200)
    counted = {
        name: capture.counts.requests(place) for place, name in enumerate(capture.counts.names())
    }
    assert {name for name, requests in counted.items() if requests} == {model} - {None}
    frames = [read_frame(frame) for frame in capture.take(0, 1 << 20)[0]]
    places = [capture.counts.names()[frame.model] for frame in frames]
    assert places == ([model] if model and share else [])


def test_a_body_that_is_too_large_to_read_is_of_its_path(capture: Capture) -> None:
    routes = Routes([("a", "/predict"), ("b", "/predict")], capture.counts)
    observer = Observer(capture, routes, body_limit=10, names=Names(BOTH))
    exchange = observer.begin(request_head(head()), head())
    copy = exchange.request_body = Copy(10)
    copy.add(b'{"parameters": {"model": "b"}}')
    observer.end(exchange, 200)
    assert capture.counts.requests(0) == {("POST", 200): 1}


MODELS = """\
models:
  - name: llama
    task: multiclass
    version: {{field: model_version}}
    learn: {{rows: 50}}
    source: {{type: proxy, path: /v1/chat/completions, version_header: X-Revision}}
    fields: {{prediction: finish_reason}}
  - name: mistral
    task: multiclass
    source: {{type: proxy, path: /v1/chat/completions}}
    fields: {{prediction: finish_reason}}
"""
CONFIG = f"{MODELS}{PROXY}  drain: 0s\n  model: {{{{header: X-Model, field: model}}}}\n"


def ask(client: http.client.HTTPConnection, model: str, **fields: str) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    client.request("POST", "/v1/chat/completions", json.dumps(body), named)
    assert client.getresponse().read()


def test_models_behind_one_path(sidecar: Sidecar) -> None:
    sidecar.write(config=CONFIG)
    sidecar.start()
    sidecar.wait()
    client = sidecar.client()
    for _ in range(3):
        ask(client, "llama", X_Revision="7")
    ask(client, "mistral")
    ask(client, "gpt", X_Model="mistral")
    ask(client, "gpt")
    wait_until(
        lambda: sidecar.samples("ml_predictions_total") == {"llama": 3, "mistral": 2},
        what="predictions",
    )
    requests = sidecar.samples("ml_requests_total")
    assert (requests["llama 200 POST"], requests["mistral 200 POST"]) == (3, 2)
    assert 'ml_predictions_total{model="llama",version="7"} 3\n' in sidecar.metrics()
