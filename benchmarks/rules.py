"""What the rules cost: the evaluation time of each group, on a Prometheus with a past.

    python benchmarks/rules.py [--fields 1000] [--top 10]

One model with so many numbers, ten bins each, and its label and score, scraped every 15 seconds.
What rules look back at is read from the rules, and its series from a first Prometheus; it is
imported into a second one for as long as each rule reaches back, at the step at which it is
recorded, so that rules cost what they cost after three weeks. The table is Prometheus's own account
of the last evaluation, after each group has had a few: seconds on the clock, which are more on a
machine that is busy otherwise. Its processor time is hardly so: of all rules, and of scrapes, which
it has without rules, too. It takes about a quarter of an hour.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import numpy as np

from ml_exporter.baseline.baseline import Request
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import LABEL, PREDICTION, SCORE, Batch, Field, FieldType
from ml_exporter.columns import Column
from ml_exporter.config.config import Fields, FileSource, Limits, Model
from ml_exporter.config.units import parse_duration
from ml_exporter.demo.servers import find, free_port
from ml_exporter.exposition import TEXT, render
from ml_exporter.families import freeze
from ml_exporter.labels.join import labelled
from ml_exporter.pipeline.version import Budget, Version
from ml_exporter.rules import DEFAULT_TIMING, rule_files, write_rules
from ml_exporter.rules.groups import Rule

_SCRAPE = 15.0  # seconds
_BLOCK = 7200.0  # seconds of a block of Prometheus's storage, all of which promtool reads at once
_WARM_UP = 1  # minutes until the slowest group has been evaluated, or nearly so
_MINUTES = 4  # that are measured: two evaluations of the slowest group
_LONGEST_RUN = 1800.0  # seconds from the end of what is imported to the last evaluation
_LOOK_BACK = 300.0  # seconds that an instant look-up reaches back
_HOURLY = ("hour:ends", "signal:excess_variance")  # and what ends in `:hour`
_LOOKS = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{[^}]*\})?(?:\[([\w:]+)\])?(?:\s+offset\s+(\w+))?")
_MONITORS = """
count(count without (severity) (field:threshold))
+ count(field:critical_value{window="24h"})
"""


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


@dataclass(frozen=True)
class Look:
    """A part of the past that rules look back at: seconds ago."""

    begin: float
    end: float


def looks() -> Mapping[str, frozenset[Look]]:
    """What is looked back at, by the name of the series."""
    found: dict[str, set[Look]] = defaultdict(set)
    for rule in (rule for of in rule_files().values() for group in of for rule in group.rules):
        for name, length, offset in _LOOKS.findall(rule.expr):
            if length or offset:
                end = parse_duration(offset or "0")
                begin = end + (parse_duration(length.split(":")[0]) if length else _LOOK_BACK)
                found[name].add(Look(begin, end))
    return {name: frozenset(of) for name, of in found.items()}


def steps() -> Mapping[str, float]:
    """Seconds between two samples of each recorded series."""
    found = {
        rule.record: parse_duration(group.interval)
        for groups in rule_files().values()
        for group in groups
        for rule in group.rules
        if isinstance(rule, Rule)
    }
    hour = DEFAULT_TIMING.lengths["1h"]
    return {
        name: hour if name.endswith(":hour") or name in _HOURLY else found[name] for name in found
    }


def series_of(url: str, names: Iterable[str]) -> Mapping[str, list[str]]:
    """The series of each name, as they are written in an exposition."""
    found: dict[str, list[str]] = {}
    for name in names:
        for labels in ask(url, "series", **{"match[]": name}):
            pairs = ",".join(
                f"{key}={json.dumps(labels[key])}" for key in labels if key != "__name__"
            )
            found.setdefault(name, []).append(f"{name}{{{pairs}}}")
    scored = found.get("signal:learned_score", ())  # there is no other one before it is learned
    found["signal:excess_variance"] = [
        one.replace("signal:learned_score{", f'signal:excess_variance{{season="{season}",')
        for one in scored
        for season in ("day", "week")
    ]
    return found


def history(series: Mapping[str, list[str]], begin: float, end: float) -> Iterator[bytes]:
    """OpenMetrics of what is looked back at in a block that begins then; nothing, if nothing is."""
    every = steps()
    for name, of in looks().items():
        times = np.arange(begin, min(begin + _BLOCK, end), every.get(name, _SCRAPE))
        seen = np.zeros(times.shape, bool)
        for look in of:
            # What is a week old when the benchmark ends is not yet so when it begins.
            seen |= (times >= end - look.begin) & (times <= end - look.end + _LONGEST_RUN)
        if not seen.any() or name not in series:
            continue
        stamps = [f" 7 {at:.0f}\n" for at in times[seen]]
        yield f"# TYPE {name} unknown\n".encode()
        for one in series[name]:
            yield "".join(one + stamp for stamp in stamps).encode()


def import_history(series: Mapping[str, list[str]], folder: Path) -> None:
    """Fill a Prometheus's storage with what is looked back at, up to half a minute ago."""
    end = time.time() - 30
    longest = max(look.begin for of in looks().values() for look in of)
    text = folder / "history.txt"
    for begin in np.arange((end - longest) // _BLOCK * _BLOCK, end, _BLOCK):
        with text.open("wb") as file:
            file.writelines(history(series, begin, end))
            if not file.tell():
                continue
            file.write(b"# EOF\n")
        command = ["tsdb", "create-blocks-from", "openmetrics", text, folder / "data"]
        subprocess.run([_program("promtool"), *command], check=True, stdout=subprocess.DEVNULL)


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
        "--storage.tsdb.retention.time=30d",
        f"--web.listen-address={address}",
        "--log.level=error",
    ]
    with subprocess.Popen(command) as server:
        try:
            yield f"http://{address}"
        finally:
            server.terminate()


@contextmanager
def evaluated(exporter: Exporter, folder: Path) -> Iterator[tuple[str, float]]:
    """The URL of a Prometheus that has evaluated each group twice or more.

    And how many seconds it computed in each minute of them.
    """
    with prometheus(exporter, folder) as url:
        time.sleep(_WARM_UP * 60)
        before = processor_time(url)
        time.sleep(_MINUTES * 60)
        yield url, (processor_time(url) - before) / _MINUTES


def processor_time(url: str) -> float:
    """Seconds that a server has computed."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as response:
        lines = response.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("process_cpu_seconds"))


def ask(url: str, path: str, **parameters: str) -> Any:
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{query}", timeout=60) as response:
        return json.load(response)["data"]


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
    scraped = sum(len(family) for family in exporter.version.families)
    with TemporaryDirectory() as name:
        first, second = Path(name, "first"), Path(name, "second")
        first.mkdir()
        second.mkdir()
        with evaluated(exporter, first) as (url, _):
            series = series_of(url, looks())
        shutil.rmtree(first)
        import_history(series, second)
        with evaluated(exporter, second) as (url, computed):
            found = ask(url, "rules")["groups"]
            ((_, monitors),) = (
                one["value"] for one in ask(url, "query", query=_MONITORS)["result"]
            )
    print(f"{arguments.fields} fields, {scraped} series, {monitors} monitors of fields\n")
    print(f"{'':36} {'seconds':>8} {'interval':>8}")
    slowest = []
    for group in sorted(found, key=lambda group: -group["evaluationTime"]):
        print(f"{group['name']:36} {group['evaluationTime']:8.3f} {group['interval']:8.0f}")
        slowest += [(rule["evaluationTime"], rule["name"]) for rule in group["rules"]]
    total = sum(group["evaluationTime"] / group["interval"] for group in found)
    print(f"{'cores, all groups':36} {total:8.3f}\n")
    print(f"processor: {computed:.1f} seconds a minute, with scrapes\n")
    for took, rule in sorted(slowest, reverse=True)[: arguments.top]:
        print(f"{rule:36} {took:8.3f}")


if __name__ == "__main__":
    main()
