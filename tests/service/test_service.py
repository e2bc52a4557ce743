"""The exporter as a process: served, reloaded, stopped, killed and started again."""

from __future__ import annotations

import gzip
import json
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus_text

from tests.support import find_tool, free_port, get, wait_until

CONFIG = """\
models:
  - name: m
    task: binary
    positive: a
    learn: {rows: 50}
    source: {type: file, path: log.jsonl}
    fields: {id: id, prediction: p, timestamp: t, features: [x, country]}
    labels:
      source: {type: file, path: labels.jsonl}
      fields: {id: id, label: y}
"""
STATE = "state: {path: state}\n"
PREDICTIONS = "ml_predictions_total m unversioned"
RELOADED = "ml_exporter_config_last_reload_successful"
OPENMETRICS = "application/openmetrics-text;version=1.0.0"


class Exporter:
    """`ml-exporter run` in a folder, with a log and its labels."""

    def __init__(self, folder: Path, output: Any) -> None:
        self.folder = folder
        self.output = output
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.rows = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *flags: str, wait: str = "0s") -> None:
        command = [
            *(sys.executable, "-m", "ml_exporter", "run"),
            f"--web.listen-address=127.0.0.1:{self.port}",
            f"--web.first-scrape-wait={wait}",
            *flags,
        ]
        self.process = subprocess.Popen(
            command, cwd=self.folder, stdout=self.output, stderr=self.output
        )
        if "--web.config.file=web.yml" not in flags:
            wait_until(lambda: get(f"{self.url}/-/ready")[0] == 200, what=self.said)

    def write(self, text: str) -> None:
        (self.folder / "ml-exporter.yml").write_text(text)

    def append(self, count: int, **values: Any) -> None:
        """Predictions, every other with a label."""
        with (
            (self.folder / "log.jsonl").open("a") as log,
            (self.folder / "labels.jsonl").open("a") as labels,
        ):
            for id in range(self.rows, self.rows + count):
                row = {"id": id, "p": "ab"[id % 2], "x": id % 7, "country": "DE"} | values
                log.write(json.dumps(row) + "\n")
                if id % 2:
                    labels.write(json.dumps({"id": id, "y": "a"}) + "\n")
        self.rows += count

    def scrape(self) -> dict[str, float]:
        status, text = get(f"{self.url}/metrics")
        assert status == 200, text
        return {
            " ".join([sample.name, *sample.labels.values()]): sample.value
            for family in prometheus_text(text)
            for sample in family.samples
        }

    def has_counted(self, rows: int) -> dict[str, float]:
        """A scrape that shows so many predictions, and a label for every other."""

        def shown() -> dict[str, float] | None:
            samples = self.scrape()
            joined = samples["ml_labels_total m unversioned joined"]
            done = samples[PREDICTIONS] >= rows and joined >= rows // 2
            return samples if done else None

        return wait_until(shown, what=self.said)

    def reload(self, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
        request = urllib.request.Request(
            f"{self.url}/-/reload", method="POST", headers=dict(headers or {})
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def end(self, by: signal.Signals) -> int:
        assert self.process
        self.process.send_signal(by)
        return self.process.wait(10)

    @property
    def said(self) -> str:
        self.output.seek(0)
        return self.output.read().decode()


@pytest.fixture
def exporter(tmp_path: Path) -> Iterator[Exporter]:
    with ExitStack() as ends:
        exporter = Exporter(tmp_path, ends.enter_context(TemporaryFile()))
        exporter.write(CONFIG + STATE)
        exporter.append(0)
        yield exporter
        if exporter.process and exporter.process.poll() is None:
            exporter.process.kill()
            exporter.process.wait()


def test_a_whole_life(exporter: Exporter) -> None:
    exporter.append(100)
    exporter.start("--log.format=json")
    before = exporter.has_counted(100)

    # What it answers, in every form.
    assert get(f"{exporter.url}/-/healthy")[0] == 200
    text = get(f"{exporter.url}/metrics")[1]
    as_openmetrics = get(f"{exporter.url}/metrics", {"Accept": OPENMETRICS})[1]
    assert counters(openmetrics(as_openmetrics)) == counters(prometheus_text(text))
    request = urllib.request.Request(f"{exporter.url}/metrics", headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert counters(prometheus_text(gzip.decompress(response.read()).decode())) == counters(
            prometheus_text(text)
        )
    linted = subprocess.run(
        [find_tool("promtool"), "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, "", "")

    # A good reload goes on with the counters, by either way.
    exporter.write(CONFIG.replace("features: [x, country]", "features: [x]") + STATE)
    assert exporter.reload() == (200, "reloaded\n")
    exporter.append(10)
    assert exporter.has_counted(110)[RELOADED] == 1

    # A bad one keeps the old.
    exporter.write(CONFIG.replace("positive", "positiv") + STATE)
    status, answer = exporter.reload()
    assert status == 500
    misspelt = "ml-exporter.yml:4: models[0].positiv: unknown key; did you mean 'positive'?"
    assert misspelt in answer.splitlines()
    assert exporter.scrape()[RELOADED] == 0
    exporter.append(10)
    assert exporter.has_counted(120)[RELOADED] == 0
    exporter.write(CONFIG + "state: {path: elsewhere}\n")
    assert exporter.reload() == (
        500,
        "ml-exporter.yml: state: can't change while running; restart the exporter\n",
    )
    exporter.write(CONFIG + STATE)
    assert exporter.process
    exporter.process.send_signal(signal.SIGHUP)
    wait_until(lambda: exporter.scrape()[RELOADED] == 1)

    # Somebody behind a proxy may look and not post.
    forwarded = {"X-Forwarded-For": "203.0.113.7"}
    assert exporter.reload(forwarded) == (403, "forbidden\n")
    assert get(f"{exporter.url}/metrics", forwarded)[0] == 200

    # It ends when it is told to.
    assert exporter.end(signal.SIGTERM) == 0
    lines = [json.loads(line) for line in exporter.said.splitlines()]
    assert {"time", "level", "msg"} <= set.intersection(*map(set, lines))
    assert [lines[0]["msg"], lines[-1]["msg"]] == ["listening", "stopped"]
    assert "Traceback" not in exporter.said
    assert before[PREDICTIONS] == 100


def counters(families: Any) -> dict[tuple[Any, ...], float]:
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith(("ml_predictions", "ml_field", "ml_labels", "ml_outcomes"))
    }


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_with_state_a_restart_loses_and_doubles_nothing(
    exporter: Exporter, end: signal.Signals
) -> None:
    exporter.append(60)
    shown: dict[str, float] = {}
    for rows in (60, 5000, 5010):
        exporter.start()
        samples = exporter.scrape()
        for name, value in shown.items():
            assert samples[name] >= value, name  # nothing that a scrape showed ever falls
        shown = exporter.has_counted(rows) if rows != 5000 else exporter.scrape()
        shown = {name: v for name, v in shown.items() if name.startswith(("ml_pred", "ml_field_v"))}
        exporter.append({60: 4940, 5000: 10, 5010: 0}[rows])
        exporter.end(end)
    exporter.start()
    samples = exporter.has_counted(5010)
    assert samples[PREDICTIONS] == 5010
    assert samples["ml_labels_total m unversioned joined"] == 2505
    assert samples["ml_outcomes_total m unversioned a b false"] == 2505
    assert samples["ml_exporter_pending_predictions"] == 2505
    of_x = [v for n, v in samples.items() if n.startswith("ml_field_values_total") and " x " in n]
    assert sum(of_x) == 5010 - 50


@pytest.mark.parametrize(("start", "counted"), [("", 5), (", from: start", 65), (", from: end", 5)])
def test_without_state_it_begins_at_the_end_unless_it_is_told_to(
    exporter: Exporter, start: str, counted: int
) -> None:
    exporter.write(CONFIG.replace("l}", f"l{start}}}"))
    exporter.append(60)
    exporter.start()
    exporter.append(5)
    wait_until(lambda: exporter.scrape()[PREDICTIONS] == counted)
    said = [line for line in exporter.said.splitlines() if "already are not counted" in line]
    assert ["log=labels" in line for line in said] == ([] if start else [False, True])
    exporter.append(1)
    wait_until(lambda: exporter.scrape()[PREDICTIONS] == counted + 1)


def test_rows_wait_for_two_scrapes(exporter: Exporter) -> None:
    exporter.append(100)
    exporter.start(wait="1h")
    for _ in range(2):
        samples = exporter.scrape()
        assert samples[PREDICTIONS] == 0
        assert samples["ml_outcomes_total m unversioned a a true"] == 0
    exporter.has_counted(100)


class TestWhatKeepsItFromStarting:
    def failure(self, exporter: Exporter, *flags: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "ml_exporter", "run", *flags],
            cwd=exporter.folder,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.stdout == ""
        return done.returncode, done.stderr

    def test_may_be_the_port_or_the_state(self, exporter: Exporter) -> None:
        exporter.start()
        assert exporter.process
        address = f"127.0.0.1:{exporter.port}"
        assert self.failure(exporter, f"--web.listen-address={address}") == (
            1,
            f"{exporter.folder}/state: in use by process {exporter.process.pid}\n",
        )
        exporter.write(CONFIG)
        flags = ("--log.level=warn", f"--web.listen-address={address}")
        assert self.failure(exporter, *flags) == (
            1,
            f"can't listen on {address}: address already in use\n",
        )


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    subprocess.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        " -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem",
        shell=True,
        check=True,
        capture_output=True,
        cwd=tmp_path,
    )
    return tmp_path / "cert.pem"


def test_tls_and_users(exporter: Exporter, certificate: Path) -> None:
    web = """\
tls_server_config: {cert_file: cert.pem, key_file: key.pem}
basic_auth_users:
  ops: $2b$04$km6tdJRzYTMYUqR5NZDRH.6W9fqyi4VvbkjUdAJbhmhlR0NrOVF1m
"""
    (exporter.folder / "web.yml").write_text(web)
    exporter.start("--web.config.file=web.yml")
    context = ssl.create_default_context(cafile=str(certificate))
    url = f"https://127.0.0.1:{exporter.port}"

    def ask(path: str, authorization: str = "", method: str = "GET") -> int:
        headers = {"Authorization": authorization} if authorization else {}
        request = urllib.request.Request(url + path, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, context=context, timeout=10) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    wait_until(lambda: ask("/-/ready") == 200, what=exporter.said)
    assert ask("/metrics") == 401
    assert ask("/metrics", "Basic b3BzOnNlY3JldA==") == 200  # ops:secret
    assert ask("/metrics", "Basic b3BzOndyb25n") == 401
    assert get(f"http://127.0.0.1:{exporter.port}/metrics")[0] in (0, 400)

    # TLS isn't silently left out.
    (exporter.folder / "web.yml").write_text(web.partition("\n")[2])
    assert ask("/-/reload", method="POST") == 500
    (exporter.folder / "web.yml").write_text(web.replace("ops:", "others:"))
    assert ask("/-/reload", method="POST") == 200
    assert ask("/metrics", "Basic b3BzOnNlY3JldA==") == 401
    assert exporter.end(signal.SIGTERM) == 0
    assert "Traceback" not in exporter.said


def test_it_ends_quickly_while_somebody_is_connected(exporter: Exporter) -> None:
    exporter.start()
    with socket.create_connection(("127.0.0.1", exporter.port)) as idle:
        idle.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(1000).startswith(b"HTTP/1.1 200")
        assert exporter.end(signal.SIGINT) == 0
