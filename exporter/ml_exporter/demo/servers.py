"""Prometheus and Alertmanager beside the demo, where they are installed."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from ml_exporter.rules import Links, Timing, write_alertmanager, write_rules

_REPOSITORY = Path(__file__).parents[3]
_SCRAPE_EVERY = 1  # seconds
_LARGEST_NOTIFICATION = 1 << 20  # bytes


def find(name: str) -> str | None:
    """A program of the repository's tools folder or of the PATH."""
    own = _REPOSITORY / ".tools" / "bin" / name
    return str(own) if own.is_file() else shutil.which(name)


def free_port(wanted: int) -> int:
    """The port if it is free, else another one."""
    for port in (wanted, 0):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(listener.getsockname()[1])
    raise OSError("no port is free")


@dataclass
class Servers:
    """What was started, with its address, until `stop`."""

    addresses: dict[str, str]
    processes: list[subprocess.Popen[bytes]]
    receiver: Receiver | None = None

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self.receiver is not None:
            self.receiver.stop()


def start(
    folder: Path, exporter: str, timing: Timing, on_alert: Callable[[dict[str, object]], None]
) -> Servers:
    """Start what is installed: Prometheus with this project's rules, and Alertmanager behind it.

    `exporter` is the host and port to scrape; `on_alert` is told of each alert.
    """
    prometheus, alertmanager = find("prometheus"), find("alertmanager")
    servers = Servers({}, [])
    if prometheus is None:
        return servers
    alerting = None
    if alertmanager is not None:
        servers.receiver = Receiver(on_alert)
        port = free_port(9093)
        alerting = f"127.0.0.1:{port}"
        configuration = write_alertmanager(
            folder / "alertmanager", servers.receiver.url, timing=timing
        )
        _run(
            servers,
            folder / "alertmanager.log",
            alertmanager,
            f"--config.file={configuration}",
            f"--storage.path={folder / 'alertmanager' / 'data'}",
            f"--web.listen-address={alerting}",
            "--cluster.listen-address=",
        )
        servers.addresses["Alertmanager"] = f"http://{alerting}"
    port = free_port(9090)
    write_rules(folder / "rules", timing, Links())
    configuration = folder / "prometheus.yml"
    configuration.write_text(yaml.safe_dump(_configuration(exporter, alerting), sort_keys=False))
    _run(
        servers,
        folder / "prometheus.log",
        prometheus,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    )
    servers.addresses["Prometheus"] = f"http://127.0.0.1:{port}"
    return servers


def _configuration(exporter: str, alertmanager: str | None) -> dict[str, object]:
    every = f"{_SCRAPE_EVERY}s"
    configuration: dict[str, object] = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": ["rules/*.yml"],
        "scrape_configs": [
            {
                "job_name": "ml-exporter",
                "honor_labels": True,
                "static_configs": [{"targets": [exporter]}],
            }
        ],
    }
    if alertmanager is not None:
        targets = [{"static_configs": [{"targets": [alertmanager]}]}]
        # A day is sixty scrapes: one that is late, on a busy machine, is more than it allows.
        left_out = {
            "source_labels": ["alertname"],
            "regex": "FiguresIncomplete",
            "action": "drop",
        }
        configuration["alerting"] = {
            "alertmanagers": targets,
            "alert_relabel_configs": [left_out],
        }
    return configuration


def _run(servers: Servers, log: Path, *command: str) -> None:
    with log.open("wb") as output:
        # In a session of its own, so that Ctrl-C reaches the demo alone, which stops it in turn.
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    servers.processes.append(process)


class Receiver:
    """A webhook that tells of each alert once as it begins to fire, and once as it ends.

    A notification is of a group: it has all alerts of it again whenever one of them changes.
    """

    def __init__(self, on_alert: Callable[[dict[str, object]], None]) -> None:
        told: dict[str, tuple[str, str]] = {}

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = min(int(self.headers.get("Content-Length", 0)), _LARGEST_NOTIFICATION)
                notification = json.loads(self.rfile.read(length))
                self.send_response(200)
                self.end_headers()
                for alert in notification["alerts"]:
                    now = (alert["status"], alert["startsAt"])
                    if told.get(alert["fingerprint"]) != now:
                        told[alert["fingerprint"]] = now
                        on_alert(alert)

            def log_message(self, format: str, *arguments: object) -> None:
                """The terminal is for the alerts."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
