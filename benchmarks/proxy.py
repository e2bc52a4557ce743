"""Requests per second and latency of a model server alone, and behind nginx and this proxy.

A trivial model server (nginx, with a fixed answer) and wrk share one core, what is in front of it
has another, in turns; telemetry has a third. Where there is none, telemetry is stopped during each
run, and counts after it what the buffer then holds. Needs nginx and wrk; runs on Linux.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from ml_exporter.demo.servers import free_port

TICKS = os.sysconf("SC_CLK_TCK")
SERVERS, CLIENTS = "0", "1"  # cores
HAS_ROOM = (os.cpu_count() or 1) > 2  # for telemetry, beside the others
TELEMETRY = "2" if HAS_ROOM else CLIENTS
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
    process: int = 0  # that forwards; 0: none does
    telemetry: int = 0
    metrics: int = 0  # port of the exporter's, if it is one and observes
    began: float = 0.0  # seconds of CPU that telemetry took to start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 32, 256])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--header", help="NAME: VALUE, in the requests of the saturated load")
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
        if options.header:
            name, _, value = options.header.partition(": ")
            script.write_text(f'{script.read_text()}wrk.headers["{name}"] = "{value}"\n')
        fronts = list(start(stack, folder))
        for connections in options.connections:
            points: dict[str, list[Point]] = {front.name: [] for front in fronts}
            for _ in range(options.runs):
                for front in fronts:
                    points[front.name].append(measure(front, script, connections, options.seconds))
            print(f"\n{connections} connection{'s' if connections > 1 else ''}, saturated\n")
            print_table(points)
            rate = statistics.median(point.rate for point in points[fronts[-1].name]) / 2
            for front in fronts:
                points[front.name].clear()
            for _ in range(options.runs):
                for front in fronts:
                    points[front.name].append(pace(front, rate, connections, options.seconds))
            print("\nThe same at half of the load that the observing proxy takes\n")
            print_table(points)
        print_observed(fronts[-1])
        print_sidecar(fronts[-1])


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
    yield Front("direct", server)
    port = free_port(0)
    process = stack.enter_context(nginx(folder, port, server, FORWARDS, SERVERS))
    (worker,) = children(process.pid)
    yield Front("nginx", port, worker)
    for name, source in (("proxy, not observing", IDLE), ("proxy, observing", OBSERVING)):
        port = free_port(0)
        metrics = free_port(0)
        made = exporter(folder / name.replace(", ", "-"), port, metrics, server, source)
        processes = stack.enter_context(made)
        is_observed = source == OBSERVING
        yield Front(name, port, *processes, metrics if is_observed else 0, cpu(processes[1]))


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
) -> Iterator[tuple[int, int]]:
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
        wait_for(metrics)
        proxy, telemetry = (child(process.pid, role) for role in ("proxy", "telemetry"))
        os.sched_setaffinity(proxy, {int(SERVERS)})
        os.sched_setaffinity(telemetry, {int(TELEMETRY)})
        yield proxy, telemetry


@contextmanager
def running(command: list[str | Path]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def measure(front: Front, script: Path, connections: int, seconds: int) -> Point:
    """One run at the highest rate there is."""
    output, spent = run(
        front,
        [
            *("taskset", "-c", CLIENTS, str(find("wrk")), "-t1", f"-c{connections}"),
            *(f"-d{seconds}s", "--latency", "-s", script, f"http://127.0.0.1:{front.port}"),
        ],
    )
    if "Non-2xx" in output or "Socket errors" in output:
        sys.exit(f"{front.name}: requests failed:\n{output}")
    match = re.search(r"(\d+) requests in", output)
    requests = int(match[1]) if match else 0
    rate = re.search(r"Requests/sec: +([\d.]+)", output)
    return Point(
        float(rate[1]) if rate else 0.0,
        percentile(output, 50),
        percentile(output, 99),
        spent / requests * 1e6,
    )


def pace(front: Front, rate: float, connections: int, seconds: int) -> Point:
    """One run at a given rate."""
    output, spent = run(front, pacing(front, rate, connections, seconds))
    said = json.loads(output)
    return Point(rate, said["p50"] * 1e3, said["p99"] * 1e3, spent / (rate * seconds) * 1e6)


def pacing(front: Front, rate: float, connections: int, seconds: int) -> list[str | Path]:
    return [
        *("taskset", "-c", CLIENTS, sys.executable, Path(__file__).with_name("paced.py")),
        *(str(front.port), f"--rate={rate}", f"--connections={connections}"),
        f"--seconds={seconds}",
    ]


def run(front: Front, command: list[str | Path]) -> tuple[str, float]:
    """What a client prints, and the seconds of CPU that it took in front."""
    with counting_later(front):
        before = cpu(front.process)
        done = subprocess.run(command, input=request(), capture_output=True, check=True)
        return done.stdout.decode(), cpu(front.process) - before


@contextmanager
def counting_later(front: Front) -> Iterator[None]:
    """Have telemetry count after a run what it would on a core of its own count meanwhile."""
    if HAS_ROOM or not front.metrics:
        yield
        return
    os.kill(front.telemetry, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(front.telemetry, signal.SIGCONT)
    time.sleep(1.5)  # until it has published anew
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        requests, seen, missed = observed(front)
        if seen + missed >= requests:
            return
        time.sleep(0.2)


def request() -> bytes:
    return (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body())}\r\n\r\n{body()}"
    ).encode()


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
    """Say how many of the requests were counted as predictions, and what the exporter took."""
    time.sleep(5)  # for what is still in the buffer
    requests, seen, missed = observed(front)
    print(f"\nOf {requests:,.0f} requests {seen:,.0f} were counted and {missed:,.0f} dropped.")
    spent = (cpu(front.telemetry) - front.began) / requests * 1e6
    print(f"Telemetry took {spent:.1f} µs of CPU for a request.")


def print_sidecar(front: Front, seconds: int = 10) -> None:
    """Say what the exporter takes at a thousand requests a second."""
    processes = {
        "proxy": front.process,
        "telemetry": front.telemetry,
        "what starts both": parent(front.process),
    }
    before = {name: cpu(pid) for name, pid in processes.items()}
    subprocess.run(
        pacing(front, 1000, 32, seconds), input=request(), capture_output=True, check=True
    )
    print("\nAt 1,000 requests a second\n\n|  | millicores | MiB |\n| --- | --- | --- |")
    for name, pid in processes.items():
        used = (cpu(pid) - before[name]) / seconds * 1e3
        held = memory(pid, "RssAnon") + memory(pid, "RssFile")
        print(f"| {name} | {used:.0f} | {held:.0f} |")
    print(f"| of the buffer | | {memory(front.process, 'RssShmem'):.0f} |")


def observed(front: Front) -> tuple[float, float, float]:
    """Requests with an answer, those that were counted as predictions, and those dropped."""
    with urllib.request.urlopen(f"http://127.0.0.1:{front.metrics}/metrics") as response:
        text = response.read().decode()
    sums: dict[str, float] = {}
    for name, labels, value in re.findall(r"^(\w+_total)\{(.*)\} (\S+)$", text, re.MULTILINE):
        if name != "ml_requests_total" or 'code="200"' in labels:
            sums[name] = sums.get(name, 0) + float(value)
    names = ("ml_requests_total", "ml_predictions_total", "ml_exporter_observations_dropped_total")
    requests, seen, missed = (sums.get(name, 0.0) for name in names)
    return requests, seen, missed


def memory(pid: int, which: str) -> float:
    """MiB."""
    match = re.search(rf"^{which}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(match[1]) / 1024 if match else 0.0


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def child(pid: int, role: str) -> int:
    (found,) = (
        one
        for one in children(pid)
        if f"--role={role}".encode() in Path(f"/proc/{one}/cmdline").read_bytes()
    )
    return found


def cpu(pid: int) -> float:
    """Seconds so far; 0 where there is no process."""
    if not pid:
        return 0.0
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
