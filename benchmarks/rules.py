"""What the rules cost: the evaluation time of each group, on a Prometheus with a week behind it.

    python benchmarks/rules.py [--fields 1000] [--top 10]

One model with so many numbers, ten bins each, and its label and score, scraped every 15 seconds.
What the windows are sums of is imported for as long as each reaches back, at the step at which it
is recorded, so that they cost what they cost after a week. The table is Prometheus's own account
of the last evaluation, after each group has had a few.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import numpy as np

from ml_exporter.baseline import Request
from ml_exporter.batch import LABEL, PREDICTION, SCORE, Batch, Column, Field, FieldType
from ml_exporter.config import Fields, FileSource, Limits, Model
from ml_exporter.demo.servers import find, free_port
from ml_exporter.exposition import TEXT, render
from ml_exporter.families import freeze
from ml_exporter.profiling import build
from ml_exporter.rules import write_rules
from ml_exporter.rules.counts import FIELD_COUNTERS
from ml_exporter.rules.timing import DEFAULT_TIMING
from ml_exporter.versions import Budget, Version, labelled

_SCRAPE = 15.0  # seconds
_BLOCK = 7200.0  # seconds of a block of Prometheus's storage, all of which promtool reads at once
_MINUTES = 5  # until the last evaluation is read: two of the slowest group


def rows_of(number: int, fields: int, seed: int) -> Batch:
    """Rows of a binary classifier whose first feature is its score."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(fields, number))
    score = 1 / (1 + np.exp(-values[0]))
    columns: dict[Field, list[object]] = {
        **{Field("feature", f"n{i}"): column.tolist() for i, column in enumerate(values)},
        PREDICTION: np.where(score > 0.5, "1", "0").tolist(),
        SCORE: score.tolist(),
        LABEL: np.where(random.random(number) < score, "1", "0").tolist(),
    }
    return Batch(number, {key: Column(one) for key, one in columns.items()})


class Exporter:
    """Serves the series of a model that gets some rows before each scrape."""

    def __init__(self, fields: int) -> None:
        model = Model(
            name="model",
            task="binary",
            source=FileSource("model.jsonl", "jsonl"),
            fields=Fields(prediction="p", label="y", scores={"1": "s"}),
            positive="1",
        )
        limits = Limits(series=10_000_000)
        self.version = Version(model, "1", None, limits, Budget(limits.series))
        types: dict[Field, FieldType] = {PREDICTION: "category", LABEL: "category"}
        request = Request("model", "1", types, {}, 10, 50, positive="1")
        self.baseline = build(lambda: [rows_of(1000, fields, 1)], request)
        self.version.judge_by(self.baseline, "file")
        batch = self.version.annotated(rows_of(200, fields, 2))
        outcomes = labelled(batch)

        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                exporter.version.update(batch)
                exporter.version.update_labelled(outcomes)
                body = exporter.exposition()
                self.send_response(200)
                self.send_header("Content-Type", TEXT)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def exposition(self) -> bytes:
        return render(freeze(self.version.families))


def history(exporter: Exporter, begin: float, end: float) -> Iterator[bytes]:
    """OpenMetrics of what is looked back at for each bin, of a part of the time until `end`."""
    (counter,) = FIELD_COUNTERS
    lengths = DEFAULT_TIMING.lengths
    recorded = 'job="ml-exporter",'
    for name, target, every, length in (
        (counter.name, f'{recorded}instance="{exporter.address}",', _SCRAPE, DEFAULT_TIMING.memory),
        (f"{counter.name}:1m", recorded, lengths["1m"], lengths["24h"]),
        (f"{counter.windows}:hour", recorded, lengths["1h"], lengths["7d"]),
    ):
        yield f"# TYPE {name} unknown\n".encode()
        times = np.arange(end - length, end, every)
        stamps = [f" 7 {at:.0f}\n" for at in times[(begin <= times) & (times < begin + _BLOCK)]]
        for field in exporter.baseline.fields:
            for bin in field.bins:
                series = (
                    f'{name}{{{target}baseline_id="{exporter.baseline.id}",bin="{bin}",'
                    f'field="{field.name}",model="model",role="{field.role}",version="1"}}'
                )
                yield "".join(series + stamp for stamp in stamps).encode()
    yield b"# EOF\n"


def import_history(exporter: Exporter, folder: Path) -> None:
    """Fill a Prometheus's storage with a week, up to half a minute ago."""
    end = time.time() - 30
    for begin in np.arange((end - 7 * 86_400) // _BLOCK * _BLOCK, end, _BLOCK):
        text = folder / "history.txt"
        with text.open("wb") as file:
            file.writelines(history(exporter, begin, end))
        command = ["tsdb", "create-blocks-from", "openmetrics", text, folder / "data"]
        subprocess.run([_program("promtool"), *command], check=True, stdout=subprocess.DEVNULL)
        text.unlink()


@contextmanager
def prometheus(exporter: Exporter, folder: Path) -> Iterator[str]:
    """A Prometheus with all rules that scrapes the exporter; its URL."""
    rules = [str(path) for path in write_rules(folder / "rules")]
    every = f"{_SCRAPE:.0f}s"
    job = {"job_name": "ml-exporter", "honor_labels": True}
    config = {
        "global": {"scrape_interval": every, "scrape_timeout": every},
        "rule_files": rules,
        "scrape_configs": [job | {"static_configs": [{"targets": [exporter.address]}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))
    address = f"127.0.0.1:{free_port(9090)}"
    command = [
        _program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=error",
    ]
    with subprocess.Popen(command) as server:
        try:
            yield f"http://{address}"
        finally:
            server.terminate()


def groups(url: str) -> list[dict[str, Any]]:
    """The groups of rules with what their last evaluation took; none before it answers."""
    try:
        with urllib.request.urlopen(f"{url}/api/v1/rules", timeout=30) as response:
            found: list[dict[str, Any]] = json.load(response)["data"]["groups"]
    except OSError:
        return []
    return found


def _program(name: str) -> str:
    program = find(name)
    if program is None:
        raise SystemExit(f"no {name} on the PATH: install Prometheus, or run `make tools`")
    return program


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fields", type=int, default=1000, help="features of the model")
    parser.add_argument("--top", type=int, default=10, help="rules to show, the slowest first")
    arguments = parser.parse_args()
    exporter = Exporter(arguments.fields)
    series = sum(len(family) for family in exporter.version.families)
    with TemporaryDirectory() as name:
        folder = Path(name)
        import_history(exporter, folder)
        with prometheus(exporter, folder) as url:
            started = time.time()
            while time.time() < started + _MINUTES * 60:
                time.sleep(1)
            evaluated = groups(url)
    print(f"{arguments.fields} fields, {series} series\n\n{'':36} {'seconds':>8} {'interval':>8}")
    slowest = []
    for group in sorted(evaluated, key=lambda group: -group["evaluationTime"]):
        print(f"{group['name']:36} {group['evaluationTime']:8.3f} {group['interval']:8.0f}")
        slowest += [(rule["evaluationTime"], rule["name"]) for rule in group["rules"]]
    total = sum(group["evaluationTime"] / group["interval"] for group in evaluated)
    print(f"{'cores, all groups':36} {total:8.3f}\n")
    for took, rule in sorted(slowest, reverse=True)[: arguments.top]:
        print(f"{rule:36} {took:8.3f}")


if __name__ == "__main__":
    main()
