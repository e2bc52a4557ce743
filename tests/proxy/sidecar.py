"""The exporter in front of a model server, as processes."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families as parse

from tests.support import free_port, get, wait_until

MODEL_SERVER = Path(__file__).with_name("model_server.py")
PROXY = """\
proxy:
  upstream: http://127.0.0.1:{upstream}
  listen_address: 127.0.0.1:{port}
  health_address: 127.0.0.1:{health}
"""
MODELS = """\
models:
  - name: credit
    task: binary
    positive: 1
    learn: {{rows: 50}}
    source: {{type: proxy, path: "/v1/models/credit:predict"}}
    fields: {{prediction: prediction, features: [age, country]}}
  - name: risk
    task: regression
    version: {{field: model_version}}
    learn: {{rows: 50}}
    source: {{type: proxy, path: /v2/models/risk/infer, format: open-inference}}
    fields: {{prediction: prediction, features: [age]}}
"""
CONFIG = f"{MODELS}{PROXY}  drain: 1s\n"


class Sidecar:
    """The exporter's processes in a folder."""

    def __init__(self, folder: Path, upstream: int, output: Any) -> None:
        self.folder = folder
        self.upstream, self.output = upstream, output
        self.port, self.health, self.web = free_port(), free_port(), free_port()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.clients: list[http.client.HTTPConnection] = []

    def write(self, more: str = "", config: str = CONFIG) -> None:
        (self.folder / "ml-exporter.yml").write_text(
            config.format(upstream=self.upstream, port=self.port, health=self.health) + more
        )

    def start(self, *flags: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "ml_exporter", "run", "--web.first-scrape-wait=0s"),
                f"--web.listen-address=127.0.0.1:{self.web}",
                *flags,
            ],
            cwd=self.folder,
            stdout=self.output,
            stderr=self.output,
        )
        self.processes.append(process)
        return process

    def wait(self) -> None:
        wait_until(lambda: self.is_listening(self.port), what="the proxy")
        self.wait_for_telemetry()

    def wait_for_telemetry(self) -> None:
        wait_until(lambda: get(f"http://127.0.0.1:{self.web}/-/ready")[0] == 200, 60, "telemetry")

    def is_listening(self, port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def ready(self) -> tuple[int, str]:
        return get(f"http://127.0.0.1:{self.health}/-/ready")

    def child(self, role: str) -> int:
        """The process of a role."""
        (pid,) = (
            int(pid.name)
            for pid in Path("/proc").glob("[0-9]*")
            if f"--role={role}".encode() in _read(pid / "cmdline")
            and f"127.0.0.1:{self.web}".encode() in _read(pid / "cmdline")
        )
        return pid

    def samples(self, name: str) -> dict[str, float]:
        """Values of a series by its labels other than the version."""
        return {
            " ".join(value for key, value in one.labels.items() if key != "version"): one.value
            for family in parse(self.metrics())
            for one in family.samples
            if one.name == name
        }

    def metrics(self) -> str:
        status, text = get(f"http://127.0.0.1:{self.web}/metrics")
        assert status == 200
        return text

    def client(self) -> http.client.HTTPConnection:
        made = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        self.clients.append(made)
        return made


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
