"""Requests per second and latency of a model server alone, and behind nginx and this proxy.

A trivial model server (nginx, with a fixed answer) and wrk share one core, what is in front of it
has another, in turns; telemetry has a third where there is one. Needs nginx and wrk; runs on Linux.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from ml_exporter.demo.servers import free_port

TICKS = os.sysconf("SC_CLK_TCK")
SERVERS, CLIENTS = "0", "1"  # cores
TELEMETRY = "2" if (os.cpu_count() or 1) > 2 else CLIENTS
PATH = "/v1/models/credit:predict"

SERVER = """\
daemon off; worker_processes 1; pid {folder}/{port}.pid; error_log {folder}/{port}.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream model {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ {does} }}
  }}
}}
"""
ANSWERS = "default_type application/json; return 200 '{\"predictions\": [0.25]}';"
FORWARDS = (
    "proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ''; "
    "proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto http;"
)
CONFIG = """\
models:
  - name: credit
    task: regression
    learn: {{rows: 2000}}
    source: {source}
    fields: {{prediction: prediction}}
proxy:
  upstream: http://127.0.0.1:{upstream}
  listen_address: 127.0.0.1:{port}
  health_address: 127.0.0.1:{health}
  buffer: 256MiB
  drain: 0s
"""
OBSERVING = '{type: proxy, path: "/v1/models/credit:predict", format: kserve-v1}'
IDLE = "{type: events}"
SCRIPT = """\
wrk.method = "POST"
wrk.path = "{path}"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{body}'
"""


class Point(NamedTuple):
    """One run of wrk."""

    rate: float  # requests a second
    p50: float  # milliseconds
    p99: float
    cpu: float  # microseconds a request, of what is in front; 0 where nothing is


class Front(NamedTuple):
    """What clients ask."""

    name: str
    port: int
    cpu: Callable[[], float]  # seconds so far, of the process that forwards
    metrics: int = 0  # port of the exporter's, if it is one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 32, 256])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    options = parser.parse_args()
    if missing := [name for name in ("nginx", "wrk", "taskset") if not find(name)]:
        print(f"no {' and no '.join(missing)}: on Debian, apt-get install nginx wrk util-linux")
        return
    if (os.cpu_count() or 1) < 2:
        print("one core is too few: what forwards and what asks must not share one")
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="proxy-benchmark-")))
        script = folder / "post.lua"
        script.write_text(SCRIPT.format(path=PATH, body=body()))
        fronts = list(start(stack, folder))
        for connections in options.connections:
            points: dict[str, list[Point]] = {front.name: [] for front in fronts}
            for _ in range(options.runs):
                for front in fronts:
                    points[front.name].append(measure(front, script, connections, options.seconds))
            print(f"\n{connections} connection{'s' if connections > 1 else ''}\n")
            print_table(points)
        print_observed(fronts[-1])


def find(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def body() -> str:
    """600 bytes."""
    row = ", ".join(f'"feature_{n:02}": {n * 1.2345:.3f}' for n in range(24))
    text = f'{{"instances": [{{{row}}}]}}'
    return text + " " * (600 - len(text))


def start(stack: ExitStack, folder: Path) -> Iterator[Front]:
    server = free_port(0)
    stack.enter_context(nginx(folder, server, 1, ANSWERS, CLIENTS))
    yield Front("direct", server, lambda: 0.0)
    port = free_port(0)
    process = stack.enter_context(nginx(folder, port, server, FORWARDS, SERVERS))
    (worker,) = children(process.pid)
    yield Front("nginx", port, lambda: cpu(worker))
    for name, source in (("proxy, not observing", IDLE), ("proxy, observing", OBSERVING)):
        port = free_port(0)
        metrics = free_port(0)
        made = exporter(folder / name.replace(", ", "-"), port, metrics, server, source)
        yield Front(name, port, stack.enter_context(made), metrics)


@contextmanager
def nginx(
    folder: Path, port: int, upstream: int, does: str, core: str
) -> Iterator[subprocess.Popen[bytes]]:
    path = folder / f"{port}.conf"
    path.write_text(SERVER.format(folder=folder, port=port, upstream=upstream, does=does))
    with running(["taskset", "-c", core, str(find("nginx")), "-c", path, "-p", folder]) as process:
        wait_for(port)
        yield process


@contextmanager
def exporter(
    folder: Path, port: int, metrics: int, upstream: int, source: str
) -> Iterator[Callable[[], float]]:
    folder.mkdir()
    config = folder / "ml-exporter.yml"
    config.write_text(
        CONFIG.format(source=source, upstream=upstream, port=port, health=free_port(0))
    )
    command = [
        *(sys.executable, "-m", "ml_exporter", "run", f"--config.file={config}"),
        *(f"--web.listen-address=127.0.0.1:{metrics}", "--web.first-scrape-wait=0s"),
        "--log.level=warn",
    ]
    with running(command) as process:
        wait_for(port)
        roles = {role: child(process.pid, role) for role in ("proxy", "telemetry")}
        for role, core in (("proxy", SERVERS), ("telemetry", TELEMETRY)):
            os.sched_setaffinity(roles[role], {int(core)})
        yield lambda: cpu(roles["proxy"])


@contextmanager
def running(command: list[str | Path]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def measure(front: Front, script: Path, connections: int, seconds: int) -> Point:
    before = front.cpu()
    output = subprocess.run(
        [
            *("taskset", "-c", CLIENTS, str(find("wrk")), "-t1", f"-c{connections}"),
            *(f"-d{seconds}s", "--latency", "-s", script, f"http://127.0.0.1:{front.port}"),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        sys.exit(f"{front.name}: requests failed:\n{output}")
    match = re.search(r"(\d+) requests in", output)
    requests = int(match[1]) if match else 0
    rate = re.search(r"Requests/sec: +([\d.]+)", output)
    return Point(
        float(rate[1]) if rate else 0.0,
        percentile(output, 50),
        percentile(output, 99),
        (front.cpu() - before) / requests * 1e6,
    )


def percentile(output: str, which: int) -> float:
    """Milliseconds, of wrk's table."""
    match = re.search(rf"^ +{which}% +([\d.]+)(us|ms|s) *$", output, re.MULTILINE)
    if match is None:
        sys.exit(f"wrk prints no {which}th percentile:\n{output}")
    return float(match[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[match[2]]


def print_table(points: dict[str, list[Point]]) -> None:
    print("|  | requests/s | of nginx | p50 ms | p99 ms | p99 of nginx | CPU µs/request |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, of_front in points.items():
        rate, p50, p99, spent = map(statistics.median, zip(*of_front, strict=True))
        pairs = list(zip(of_front, points["nginx"], strict=True))
        rates = statistics.median(one.rate / other.rate for one, other in pairs)
        tails = statistics.median(one.p99 / other.p99 for one, other in pairs)
        print(
            f"| {name} | {rate:,.0f} | {rates:.2f} | {p50:.2f} | {p99:.2f} | {tails:.2f} "
            f"| {spent:.1f} |"
        )


def print_observed(front: Front) -> None:
    """Say how many of the requests were counted as predictions, and how many were not."""
    time.sleep(5)  # for what is still in the buffer
    with urllib.request.urlopen(f"http://127.0.0.1:{front.metrics}/metrics") as response:
        text = response.read().decode()
    sums: dict[str, float] = {}
    for name, value in re.findall(r"^(\w+_total)\{.*\} (\S+)$", text, re.MULTILINE):
        sums[name] = sums.get(name, 0) + float(value)
    requests, seen = sums["ml_requests_total"], sums["ml_predictions_total"]
    missed = sums["ml_exporter_observations_dropped_total"]
    print(f"\nOf {requests:,.0f} requests {seen:,.0f} were counted and {missed:,.0f} dropped.")


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def child(pid: int, role: str) -> int:
    (found,) = (
        one
        for one in children(pid)
        if f"--role={role}".encode() in Path(f"/proc/{one}/cmdline").read_bytes()
    )
    return found


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def wait_for(port: int) -> None:
    for _ in range(600):
        with suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            connection.request("GET", "/")
            connection.getresponse().read()
            connection.close()
            return
        time.sleep(0.1)
    sys.exit(f"nobody listens on port {port}")


if __name__ == "__main__":
    main()
