"""The exporter in front of a model server, as processes: counted, killed, reloaded, drained."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.proxy.sidecar import PROXY, Sidecar
from tests.support import free_port, get, wait_until

CREDIT = "/v1/models/credit:predict"
STATE = "state: {path: state}\n"


def credit(client: http.client.HTTPConnection, rows: int = 1, age: int = 41) -> tuple[int, bytes]:
    instances = [{"age": age + row % 9, "country": "DE"} for row in range(rows)]
    client.request("POST", CREDIT, json.dumps({"instances": instances}))
    response = client.getresponse()
    return response.status, response.read()


def risk(client: http.client.HTTPConnection, *ages: float) -> bytes:
    tensor = {
        **{"name": "age", "datatype": "FP32", "shape": [len(ages)]},
        "parameters": {"binary_data_size": 4 * len(ages)},
    }
    head = json.dumps({"inputs": [tensor]}).encode()
    fields = {"Inference-Header-Content-Length": str(len(head))}
    body = head + struct.pack(f"<{len(ages)}f", *ages)
    client.request("POST", "/v2/models/risk/infer", body, fields)
    return client.getresponse().read()


def test_predictions_are_counted_exactly(sidecar: Sidecar) -> None:
    sidecar.write()
    sidecar.start()
    sidecar.wait()
    client = sidecar.client()
    for _ in range(30):
        assert credit(client, rows=3) == (200, b'{"predictions": [1, 1, 1]}')
    for number in range(60):
        assert struct.unpack("<f", risk(client, number)[-4:])[0] == pytest.approx(number / 100)
    client.request("POST", "/unknown", "{}")
    assert client.getresponse().read() == b"no such model"
    client.request("GET", "/v2/health/ready")
    assert client.getresponse().read() == b"{}"
    client.request("POST", CREDIT, b"{", {"Content-Length": "1"})
    wait_until(lambda: sidecar.samples("ml_predictions_total") == {"credit": 90, "risk": 60})
    assert sidecar.samples("ml_requests_total")["credit 200 POST"] == 30
    assert sidecar.samples("ml_requests_total")["risk 200 POST"] == 60
    assert sidecar.samples("ml_request_duration_seconds_count")["risk"] == 60
    assert sidecar.samples("ml_upstream_duration_seconds_count")["risk"] == 60
    fields = sidecar.samples("ml_field_values_total")
    assert sum(n for key, n in fields.items() if "feature age" in key) == 40 + 10
    assert set(sidecar.samples("ml_exporter_observations_dropped_total").values()) == {0}


PRICES = """\
models:
  - name: price
    task: regression
    learn: {{rows: 50}}
    source: {{type: proxy, path: "/v1/models/price:predict", probe_rate: 500}}
    fields: {{prediction: prediction, features: [floor, age, area]}}
state: {{path: state}}
"""
PROBED = f"{PRICES}{PROXY}"


def test_a_model_that_is_probed_is_attributed(sidecar: Sidecar) -> None:
    """The baseline's order and today's are those of the weights; no probe is taken for traffic."""
    ports = {"upstream": sidecar.upstream, "port": sidecar.port, "health": sidecar.health}
    (sidecar.folder / "ml-exporter.yml").write_text(PROBED.format(**ports))
    sidecar.start()
    sidecar.wait()
    client = sidecar.client()
    sent = 0

    def has_both() -> bool:
        nonlocal sent
        for _ in range(20):
            sent += 1
            row = {"area": sent % 7, "age": sent % 5, "floor": sent % 3}
            client.request("POST", "/v1/models/price:predict", json.dumps({"instances": [row]}))
            assert client.getresponse().read()
            time.sleep(0.01)
        return sidecar.samples("ml_attributed_predictions_total").get("price", 0) >= 20

    wait_until(has_both, 120, "attributions")
    assert sidecar.samples("ml_baseline_attributed_rows") == {"price": 200}
    for name in ("ml_field_baseline_attribution", "ml_field_attribution_total"):
        by_field = sidecar.samples(name)
        assert sorted(by_field, key=by_field.__getitem__) == [
            *("price floor", "price age", "price area")
        ]
    wait_until(lambda: sidecar.samples("ml_requests_total")["price 200 POST"] == sent)
    probes = sidecar.samples("ml_exporter_probes_total")
    assert int(get(f"http://127.0.0.1:{sidecar.upstream}/probes")[1]) >= probes["answered"] > 600


def test_telemetry_that_is_killed_fails_no_request_and_loses_none(sidecar: Sidecar) -> None:
    sidecar.write(STATE)
    sidecar.start()
    sidecar.wait()
    answers: list[tuple[int, bytes]] = []
    done = threading.Event()

    def ask() -> None:
        client = sidecar.client()
        while not done.is_set():
            answers.append(credit(client))

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    for _ in range(2):
        time.sleep(1)
        os.kill(sidecar.child("telemetry"), signal.SIGKILL)
        wait_until(lambda: not sidecar.is_listening(sidecar.web))
        sidecar.wait_for_telemetry()
        assert sidecar.ready()[0] == 200
    done.set()
    for client in clients:
        client.join()
    assert set(answers) == {(200, b'{"predictions": [1]}')}
    total = len(answers)
    wait_until(lambda: sidecar.samples("ml_predictions_total")["credit"] == total)
    wait_until(lambda: sidecar.samples("ml_requests_total")["credit 200 POST"] == total)
    assert set(sidecar.samples("ml_exporter_observations_dropped_total").values()) == {0}


def test_telemetry_that_is_stuck_holds_up_no_request(sidecar: Sidecar) -> None:
    sidecar.write("  body_limit: 64KiB\n  buffer: 1MiB\n")
    sidecar.start()
    sidecar.wait()
    telemetry = sidecar.child("telemetry")
    os.kill(telemetry, signal.SIGSTOP)
    client = sidecar.client()
    total = 3000
    started = time.monotonic()
    assert {credit(client, rows=10)[0] for _ in range(total)} == {200}
    assert time.monotonic() - started < 30
    os.kill(telemetry, signal.SIGCONT)
    name = "ml_exporter_observations_dropped_total"
    wait_until(lambda: sidecar.samples("ml_requests_total")["credit 200 POST"] == total)
    dropped = sidecar.samples(name)["buffer_full"]
    assert 0 < dropped < total
    wait_until(lambda: sidecar.samples("ml_predictions_total")["credit"] == 10 * (total - dropped))


def test_a_proxy_that_is_killed_is_started_again(sidecar: Sidecar) -> None:
    sidecar.write()
    sidecar.start()
    sidecar.wait()
    assert credit(sidecar.client())[0] == 200
    wait_until(lambda: sidecar.samples("ml_requests_total")["credit 200 POST"] == 1)
    os.kill(sidecar.child("proxy"), signal.SIGKILL)
    wait_until(lambda: not sidecar.is_listening(sidecar.port))
    wait_until(lambda: sidecar.is_listening(sidecar.port))
    assert credit(sidecar.client())[0] == 200
    wait_until(lambda: sidecar.samples("ml_requests_total")["credit 200 POST"] == 2)
    wait_until(lambda: sidecar.samples("ml_predictions_total")["credit"] == 2)


def test_models_that_nobody_configured_are_found(sidecar: Sidecar) -> None:
    sidecar.start(
        f"--proxy.upstream=http://127.0.0.1:{sidecar.upstream}",
        f"--proxy.listen-address=127.0.0.1:{sidecar.port}",
    )
    sidecar.wait()
    client = sidecar.client()
    for number in range(60):
        assert credit(client, rows=3, age=20 + number % 20)[0] == 200
        risk(client, number, number + 0.5)
    wait_until(lambda: sidecar.samples("ml_predictions_total") == {"credit": 180, "risk": 120})
    tasks = sidecar.samples("ml_model_info")
    assert set(tasks) == {"credit multiclass ", "risk regression "}
    client.request("POST", "/v1/models/none:predict", "{}")
    assert client.getresponse().read() == b"no such model"
    assert sidecar.samples("ml_requests_total")["credit 200 POST"] == 60


def test_who_is_in_front_of_nobody_says_so_at_once(sidecar: Sidecar) -> None:
    sidecar.upstream = free_port()
    sidecar.write()
    sidecar.start()
    sidecar.wait()
    started = time.monotonic()
    assert credit(sidecar.client()) == (502, b"the model server can't be reached\n")
    assert time.monotonic() - started < 2
    assert sidecar.ready() == (503, "the model server takes no connection\n")
    wait_until(lambda: sidecar.samples("ml_requests_total")["credit 502 POST"] == 1)
    assert sidecar.samples("ml_predictions_total")["credit"] == 0


def test_draining(sidecar: Sidecar) -> None:
    sidecar.write()
    process = sidecar.start()
    sidecar.wait()
    assert sidecar.ready() == (200, "ready\n")
    slow, late = sidecar.client(), sidecar.client()
    slow.request("POST", "/slow", "3")
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: sidecar.ready() == (503, "stopping\n"), 5)
    assert credit(late)[0] == 200  # until nobody sends any more, all are served
    wait_until(lambda: not sidecar.is_listening(sidecar.port), 5)
    assert slow.getresponse().read() == b"slow"
    assert process.wait(30) == 0


def test_reloading(sidecar: Sidecar) -> None:
    sidecar.write()
    process = sidecar.start()
    sidecar.wait()
    client = sidecar.client()
    credit(client)
    path = sidecar.folder / "ml-exporter.yml"
    text = path.read_text()
    path.write_text("models: what?")
    process.send_signal(signal.SIGHUP)
    name = "ml_exporter_config_last_reload_successful"
    wait_until(lambda: sidecar.samples(name) == {"": 0})
    assert credit(client)[0] == 200
    path.write_text(text.replace('"/v1/models/credit:predict"', "/v1/models/other:predict"))
    url = f"http://127.0.0.1:{sidecar.web}/-/reload"
    subprocess.run(["curl", "-sf", "-X", "POST", url], check=True)
    time.sleep(2)
    assert credit(client)[0] == 200
    time.sleep(2)
    assert sidecar.samples("ml_requests_total")["credit 200 POST"] == 2


def test_planes_that_run_apart(sidecar: Sidecar) -> None:
    sidecar.write("  capture: shared/capture\n")
    telemetry = sidecar.start("--role=telemetry")
    sidecar.wait_for_telemetry()  # though there is no proxy yet
    proxy = sidecar.start("--role=proxy")
    sidecar.wait()
    assert credit(sidecar.client())[0] == 200
    wait_until(lambda: sidecar.samples("ml_predictions_total")["credit"] == 1)
    telemetry.kill()
    telemetry.wait()
    assert credit(sidecar.client())[0] == 200
    sidecar.start("--role=telemetry")
    sidecar.wait_for_telemetry()
    wait_until(lambda: sidecar.samples("ml_predictions_total")["credit"] == 1)  # what came since
    wait_until(lambda: sidecar.samples("ml_requests_total")["credit 200 POST"] == 2)
    proxy.terminate()
    assert proxy.wait(30) == 0


def test_large_bodies_are_not_held(sidecar: Sidecar) -> None:
    sidecar.write()
    sidecar.start()
    sidecar.wait()
    size = 256 << 20
    fields = {"Content-Length": str(size)}
    client = sidecar.client()
    client.request("POST", "/count", (bytes(1 << 16) for _ in range(size >> 16)), fields)
    assert client.getresponse().read() == str(size).encode()
    client.request("GET", f"/zeros/{size}")
    response = client.getresponse()
    time.sleep(1)  # nobody reads: the model server has to wait
    held = resident(sidecar.child("proxy"))
    assert sum(len(piece) for piece in iter(lambda: response.read(1 << 20), b"")) == size
    assert held < 64 << 20
    assert resident(sidecar.child("proxy")) < 64 << 20


def resident(pid: int) -> int:
    """Bytes of memory that a process has for itself."""
    (kilobytes,) = (
        line.split()[1]
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("RssAnon")
    )
    return int(kilobytes) << 10


def test_events_come_when_they_are_sent(sidecar: Sidecar) -> None:
    sidecar.write()
    sidecar.start()
    sidecar.wait()
    client = sidecar.client()
    started = time.monotonic()
    client.request("GET", "/events")
    response = client.getresponse()
    assert response.readline() == b"data: 0\n"
    assert time.monotonic() - started < 0.9
    assert response.read() == b"\ndata: 1\n\n"


def test_connections_end_with_their_clients(sidecar: Sidecar) -> None:
    sidecar.write()
    sidecar.start()
    sidecar.wait()
    proxy = sidecar.child("proxy")

    def descriptors() -> int:
        return len(os.listdir(f"/proc/{proxy}/fd"))

    before = descriptors()
    request = b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1"
    for sent in (b"", request[:30], request[:-1], request):
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", sidecar.port)) as client:
                client.sendall(sent)
    wait_until(lambda: descriptors() <= before, what="connections left open")


@pytest.mark.parametrize(
    ("flags", "text", "error"),
    [
        (["--role=proxy"], "", "proxy.capture: is missing"),
        ([], "  capture: [", "ml-exporter.yml:"),
    ],
)
def test_what_can_t_run(sidecar: Sidecar, flags: list[str], text: str, error: str) -> None:
    sidecar.write(text)
    process = sidecar.start(*flags)
    assert process.wait(60) == 1
    sidecar.output.seek(0)
    assert error in sidecar.output.read().decode()


def test_an_address_that_is_taken(sidecar: Sidecar) -> None:
    sidecar.port = sidecar.upstream
    sidecar.write()
    assert sidecar.start().wait(60) == 1
    sidecar.output.seek(0)
    assert f"can't listen on 127.0.0.1:{sidecar.port}: address" in sidecar.output.read().decode()
