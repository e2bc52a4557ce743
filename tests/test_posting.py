"""Rows posted to the exporter as a process: none is lost, and none is counted twice."""

from __future__ import annotations

import http.client
import json
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pytest

from tests.service.test_service import Exporter
from tests.support import wait_until

CONFIG = """\
models:
  - name: m
    task: binary
    positive: a
    learn: {rows: 50}
    source: {type: events, buffer: 64KiB}
    fields: {id: id, prediction: p, features: [x]}
    labels:
      source: {type: events}
      fields: {id: id, label: y}
"""
EVENTS = """\
models:
  - name: m
    task: binary
    positive: "1"
    learn: {rows: 50}
    source: {type: events, format: cloudevents}
    fields: {prediction: prediction, features: [age]}
"""
STATE = "state: {path: state}\n"
PREDICTIONS = "ml_predictions_total m unversioned"
JOINED = "ml_labels_total m unversioned joined"
REJECTED = "ml_rows_rejected_total m unversioned "


@pytest.fixture
def exporter(tmp_path: Path) -> Iterator[Exporter]:
    with ExitStack() as ends:
        exporter = Exporter(tmp_path, ends.enter_context(TemporaryFile()))
        exporter.write(CONFIG + STATE)
        yield exporter
        if exporter.process and exporter.process.poll() is None:
            exporter.process.kill()
            exporter.process.wait()


class Client:
    """A connection that is kept open."""

    def __init__(self, exporter: Exporter) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", exporter.port, timeout=10)

    def post(
        self,
        path: str,
        body: Any,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> tuple[int, dict[str, Any], Mapping[str, str]]:
        """Status, answer and headers."""
        data = body if isinstance(body, bytes | Iterator) else json.dumps(body).encode()
        all_headers = {"Content-Type": content_type} | dict(headers or {})
        self._connection.request("POST", f"/api/v1/{path}", data, all_headers, **options)
        response = self._connection.getresponse()
        return response.status, json.loads(response.read()), response.headers

    def announce(self, path: str, length: int) -> tuple[int, dict[str, Any]]:
        """Status and answer to a body of which only the length was sent."""
        self._connection.putrequest("POST", f"/api/v1/{path}")
        self._connection.putheader("Content-Type", "application/json")
        self._connection.putheader("Content-Length", str(length))
        self._connection.endheaders()
        response = self._connection.getresponse()
        return response.status, json.loads(response.read())

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()


def post_and_leave(port: int, head_and_body: bytes) -> tuple[int, dict[str, Any]]:
    """Status and answer to what is said of predictions before nothing more comes."""
    with socket.create_connection(("127.0.0.1", port), 10) as sender:
        sender.sendall(
            b"POST /api/v1/predictions HTTP/1.1\r\nHost: x\r\n"
            b"Content-Type: application/x-ndjson\r\n" + head_and_body
        )
        sender.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(sender)
        response.begin()
        return response.status, json.loads(response.read())


def rows(ids: range) -> list[dict[str, Any]]:
    return [{"id": id, "p": "ab"[id % 2], "x": id % 7} for id in ids]


def labels(ids: range) -> list[dict[str, Any]]:
    return [{"id": id, "y": "a"} for id in ids]


def counted(exporter: Exporter, name: str, value: float) -> dict[str, float]:
    def shown() -> dict[str, float] | None:
        samples = exporter.scrape()
        return samples if samples.get(name, 0) >= value else None

    return wait_until(shown, what=name)


def test_predictions_and_labels(exporter: Exporter) -> None:
    exporter.start()
    with Client(exporter) as client:
        assert client.post("predictions", rows(range(100)))[:2] == (
            200,
            {"accepted": 100, "rejected": [], "rejected_total": 0},
        )
        lines = b"".join(json.dumps(row).encode() + b"\n" for row in [*labels(range(80)), 5, {}])
        status, answer, _ = client.post("labels", lines, "application/x-ndjson")
        assert (status, answer["accepted"], answer["rejected_total"]) == (200, 80, 2)

        # A body may come in pieces, of which nobody said how long they are.
        pieces = iter([b"[", json.dumps(rows(range(100, 101))[0]).encode(), b"]"])
        assert client.post("predictions", pieces, encode_chunked=True)[0] == 200
        assert client.announce("predictions", (8 << 20) + 1) == (
            413,
            {"error": "the body is larger than 8 MiB"},
        )
    with Client(exporter) as client:
        pieces = (json.dumps(row).encode().ljust(1 << 16) + b"\n" for row in rows(range(200, 400)))
        posted = client.post("predictions", pieces, "application/x-ndjson", encode_chunked=True)
        assert posted[:2] == (413, {"error": "the body is larger than 8 MiB"})
    with Client(exporter) as client:  # in one piece
        posted = client.post("predictions", iter([b" " * (17 << 20)]), encode_chunked=True)
        assert posted[:2] == (413, {"error": "the body is larger than 8 MiB"})

    # Whose sender goes away before its end, that is not taken: it will be sent again.
    whole = json.dumps(rows(range(200, 201))[0]).encode() + b"\n"
    for head, error in (
        (b"Content-Length: 1000\r\n\r\n", "is shorter than Content-Length says"),
        (b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % 1000, "ends in the middle of a piece"),
        (
            b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (len(whole) - 2),
            "ends in the middle of a piece",
        ),
    ):
        status, answer = post_and_leave(exporter.port, head + whole)
        assert (status, answer) == (400, {"error": f"the body {error}"})
    with Client(exporter) as client:
        assert client.post("predictions", [{"x": 1}])[0] == 400
        assert client.post("events?model=m", {})[:2] == (
            404,
            {
                "error": "no model 'm' takes events; these do: none; 'm' takes what is posted to"
                " /api/v1/predictions or /api/v1/labels"
            },
        )

    counted(exporter, REJECTED + "no_id", 1)
    samples = counted(exporter, JOINED, 80)
    assert samples[PREDICTIONS] == 101
    assert samples["ml_outcomes_total m unversioned a b false"] == 40
    rejected = {name: v for name, v in samples.items() if name.startswith(REJECTED) and v}
    assert rejected == {
        REJECTED + "malformed": 1,  # a label
        REJECTED + "no_fields": 1,  # another
        REJECTED + "no_id": 1,
    }


def test_a_killed_exporter_has_what_it_accepted(exporter: Exporter) -> None:
    """Killed as soon as it has answered, and once while it is being asked."""
    sent = accepted = 0
    for kill_while_asked in (False, True, False):
        exporter.start()
        answers: list[int] = []

        def post(first: int, answers: list[int] = answers) -> None:
            with Client(exporter) as client, suppress(OSError, http.client.HTTPException):
                for start in range(first, first + 200, 20):
                    if client.post("predictions", rows(range(start, start + 20)))[0] == 200:
                        answers.append(20)

        threads = [
            threading.Thread(target=post, args=(first,)) for first in range(sent, sent + 800, 200)
        ]
        for thread in threads:
            thread.start()
        if kill_while_asked:
            time.sleep(random.uniform(0.005, 0.03))
            exporter.end(signal.SIGKILL)
        for thread in threads:
            thread.join()
        if not kill_while_asked:
            assert sum(answers) == 800
            exporter.end(signal.SIGKILL)
        sent += 800
        accepted += sum(answers)
        if kill_while_asked:
            # Of those who got no answer some may be there: that is for them to find out.
            exporter.start()
            counted(exporter, PREDICTIONS, accepted)
            time.sleep(1.5)  # a commit, in which there would be more
            samples = exporter.scrape()
            assert accepted <= samples[PREDICTIONS] <= sent
            accepted = int(samples[PREDICTIONS])
            exporter.end(signal.SIGKILL)
    exporter.start()
    samples = counted(exporter, PREDICTIONS, accepted)
    assert samples[PREDICTIONS] == accepted
    of_x = [v for name, v in samples.items() if name.startswith("ml_field_values_total")]
    assert sum(of_x) == 2 * (accepted - 50)  # the feature and the prediction
    wait_until(lambda: not list(exporter.folder.glob("state/events/m/*/*")))


def test_who_sends_too_much_is_told_to_wait(exporter: Exporter) -> None:
    """Rows wait for the first scrapes, and there is room for 64 KiB of them."""
    exporter.start(wait="1h")
    accepted = 0
    with Client(exporter) as client:
        while True:
            status, answer, headers = client.post(
                "predictions", rows(range(accepted, accepted + 99))
            )
            if status != 200:
                break
            accepted += 99
        assert (status, headers["Retry-After"]) == (429, "1")
        assert answer == {
            "error": "65536 bytes wait to be counted, and no more may; send this again later"
        }
        assert 1000 < accepted < 5000
        samples = exporter.scrape()
        assert samples[PREDICTIONS] == 0
        assert samples["ml_source_lag_bytes m unversioned"] <= 65536
        exporter.scrape()
        counted(exporter, PREDICTIONS, accepted)

        def is_taken() -> bool:
            return client.post("predictions", rows(range(accepted, accepted + 99)))[0] == 200

        wait_until(is_taken)
    assert counted(exporter, PREDICTIONS, accepted + 99)[PREDICTIONS] == accepted + 99


@pytest.mark.parametrize("first", ["request", "response"])
def test_halves_of_a_pair_outlive_a_killed_exporter(exporter: Exporter, first: str) -> None:
    exporter.write(EVENTS + STATE)
    bodies = {
        "request": {"instances": [{"age": 31}, {"age": 40}]},
        "response": {"predictions": [0, 1]},
    }

    def post(side: str) -> None:
        headers = {
            "Ce-Specversion": "1.0",
            "Ce-Id": "4a9c",
            "Ce-Source": "/",
            "Ce-Type": f"org.kubeflow.serving.inference.{side}",
        }
        with Client(exporter) as client:
            assert client.post("events", bodies[side], headers=headers)[0] == 200

    second = "response" if first == "request" else "request"
    exporter.start()
    post(first)
    wait_until(lambda: exporter.scrape()["ml_source_lag_bytes m unversioned"] == 0)
    exporter.end(signal.SIGKILL)
    exporter.start()
    assert exporter.scrape()[PREDICTIONS] == 0
    post(second)
    post(second)  # again, as one who got no answer would
    exporter.end(signal.SIGKILL)
    exporter.start()
    samples = counted(exporter, REJECTED + "no_id", 1)
    assert samples[PREDICTIONS] == 2


def test_a_reload_opens_and_closes(exporter: Exporter) -> None:
    exporter.start()
    with Client(exporter) as client:
        assert client.post("predictions", rows(range(10)))[0] == 200
        exporter.write(EVENTS + STATE)
        assert exporter.reload()[0] == 200
        assert client.post("predictions", rows(range(10)))[0] == 404
        event = {"specversion": "1.0", "type": "t", "id": "1", "data": {"prediction": 1}}
        assert client.post("events", event, "application/cloudevents+json")[0] == 200
        exporter.write(CONFIG + STATE)
        assert exporter.reload()[0] == 200
        assert client.post("predictions", rows(range(10, 20)))[0] == 200


def test_without_state_it_counts_what_is_posted_to_it(exporter: Exporter) -> None:
    exporter.write(CONFIG)
    exporter.start()
    with Client(exporter) as client:
        assert client.post("predictions", rows(range(70)))[0] == 200
    counted(exporter, PREDICTIONS, 70)
    assert exporter.end(signal.SIGTERM) == 0
    assert {path.name for path in exporter.folder.iterdir()} == {"ml-exporter.yml"}
