"""A process that is killed a hundred times counts every row once, and no counter ever falls.

Logs grow and rotate all the while, and a real Prometheus scrapes every second.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import pytest

from ml_exporter.rules import Timing
from tests.rules.targets import Prometheus, prometheus
from tests.support import free_port, get, wait_until

KILLS = 100
SEED = 4
LEARNED = 2000  # rows
TIMING = Timing.shortened(8)
COMMAND = [sys.executable, "-m", "ml_exporter"]
CONFIG = """\
models:
  - name: given
    task: binary
    positive: "yes"
    baseline: baseline.json
    source: {type: file, path: logs/predictions*.jsonl}
    fields: {id: id, timestamp: ts, prediction: p, score: s, features: [x, c]}
    labels:
      source: {type: file, path: logs/labels*.jsonl}
      fields: {id: id, label: y, timestamp: ts}
      wait: 30d
  - name: learned
    task: binary
    positive: "yes"
    learn: {rows: 2000}
    source: {type: file, path: logs/predictions*.jsonl}
    fields: {prediction: p, score: s, label: y, features: [x, c]}
state: {path: state}
"""
COUNTERS = '{__name__=~"ml_.+_(total|bucket|count|sum)"}'

Samples = dict[tuple[str, str], float]  # by name and labels


@dataclass
class Log:
    """Predictions and their labels, written without end, and what was written."""

    folder: Path
    random: random.Random
    rows: int = 0
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)
    rotations: int = 0
    _waiting: list[dict[str, object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self._predictions = self._open("predictions")
        self._labels = self._open("labels")

    def write(self, count: int) -> None:
        """Append predictions, and the labels of some of those that have none."""
        predictions, labels = [], []
        for _ in range(count):
            actual = self.random.choice(("yes", "no"))
            predicted = actual if self.random.random() < 0.8 else self.random.choice(("yes", "no"))
            row = {
                "id": f"row-{self.rows}",
                "ts": time.time() - 60,  # a time to come would be taken for that of reading
                "p": predicted,
                "s": round(self.random.random(), 3),
                "y": actual,
                "x": self.random.gauss(50, 10),
                "c": self.random.choice("abcd"),
            }
            self.rows += 1
            self.outcomes[actual, predicted] += 1
            self.categories[str(row["c"])] += 1
            predictions.append(row)
            label = {"id": row["id"], "y": actual, "ts": row["ts"]}
            # Some labels come before their prediction, others long after it.
            (labels if self.random.random() < 0.3 else self._waiting).append(label)
        self.random.shuffle(self._waiting)
        labels += self._waiting[count // 2 :]
        del self._waiting[count // 2 :]
        self._append(self._labels, labels)
        self._append(self._predictions, predictions)

    def rotate(self) -> None:
        """Rename both logs, and begin new ones."""
        self.rotations += 1
        for name in ("predictions", "labels"):
            path = self.folder / f"{name}.jsonl"
            path.rename(self.folder / f"{name}-{self.rotations:06}.jsonl")
        # The writer of a log may hold on to the old file for a while.
        old = self._predictions, self._labels
        self._predictions, self._labels = self._open("predictions"), self._open("labels")
        for file in old:
            file.close()

    def finish(self) -> None:
        """Write the labels that are still to come."""
        self._append(self._labels, self._waiting)
        self._predictions.close()
        self._labels.close()

    def _open(self, name: str) -> TextIO:
        return (self.folder / f"{name}.jsonl").open("a")

    def _append(self, file: TextIO, rows: list[dict[str, object]]) -> None:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        # The reader may find half a row at the end.
        half = self.random.randrange(len(text) + 1)
        for part in (text[:half], text[half:]):
            file.write(part)
            file.flush()


@contextmanager
def growing(log: Log) -> Iterator[None]:
    """Write to a log, and rotate it, beside what the block does."""
    over = threading.Event()

    def write() -> None:
        while not over.wait(0.05):
            log.write(log.random.randrange(1, 30))
            if log.random.random() < 0.04:
                log.rotate()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        log.finish()


@dataclass
class World:
    folder: Path
    log: Log
    prometheus: Prometheus
    final: Samples  # what the exporter says in the end
    once: Samples  # what one reading of all logs says
    lives: list[bool]  # whether the exporter counted before it was killed


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("killed")
    dice = random.Random(SEED)
    make_baseline(folder)
    address = f"127.0.0.1:{free_port()}"
    log = Log(folder / "logs", random.Random(SEED))
    log.write(3000)
    (folder / "prometheus").mkdir()
    lives = []
    with prometheus("prometheus", folder / "prometheus", TIMING, scrape_interval=1) as server:
        server.scrape_address(address)
        with growing(log):
            for _ in range(KILLS):
                lives.append(live(folder, address, dice))
        with exporter(folder, address) as process:
            settle(server, log, process)
            # The last rows are in the rules' minutes a little later.
            time.sleep(3 * TIMING.minute)
            final = samples(get(f"http://{address}/metrics")[1])
            assert server.missed_evaluations() == 0, "this machine is too slow for rules so fast"
            once = subprocess.run(
                [*COMMAND, "run", "--once", "--config.file=ml-exporter.yml"],
                cwd=folder,
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            yield World(folder, log, server, final, samples(once), lives)


def make_baseline(folder: Path) -> None:
    log = Log(folder / "training", random.Random(0))
    log.write(2000)
    log.finish()
    (folder / "ml-exporter.yml").write_text(CONFIG)
    subprocess.run(
        [
            *COMMAND,
            "baseline",
            "--config.file=ml-exporter.yml",
            "--model=given",
            "--input=training/predictions.jsonl",
            "--output=baseline.json",
        ],
        cwd=folder,
        check=True,
    )


@contextmanager
def exporter(folder: Path, address: str) -> Iterator[subprocess.Popen[bytes]]:
    """An exporter that is killed when the block ends."""
    with (folder / "exporter.log").open("ab") as output:
        process = subprocess.Popen(
            [
                *COMMAND,
                "run",
                "--config.file=ml-exporter.yml",
                f"--web.listen-address={address}",
                "--web.first-scrape-wait=10m",
            ],
            cwd=folder,
            stdout=output,
            stderr=output,
        )
        try:
            yield process
        finally:
            assert process.poll() is None, (folder / "exporter.log").read_text()[-4000:]
            process.kill()
            process.wait()


def live(folder: Path, address: str, dice: random.Random) -> bool:
    """One life of the exporter; whether it began to count before it was killed."""
    with exporter(folder, address) as process:
        if dice.random() < 0.4:
            time.sleep(dice.uniform(0, 1))
        else:
            wait_until(lambda: process.poll() or get(f"http://{address}/-/ready")[0] == 200)
            time.sleep(dice.expovariate(1.2))
        return get(f"http://{address}/-/ready")[0] == 200


def settle(server: Prometheus, log: Log, process: subprocess.Popen[bytes]) -> None:
    """Wait until a scrape has seen all; it is none of ours, for series wait until two have."""

    def counted() -> bool:
        assert process.poll() is None
        expected = {"given": log.rows, "learned": log.rows}
        found = [
            server.by("model", f"sum by (model) ({counter})")
            for counter in ("ml_predictions_total", "ml_outcomes_total")
        ]
        return found == [expected, expected]

    wait_until(counted, 120, "the final counts")


def samples(exposition: str) -> Samples:
    lines = (line for line in exposition.splitlines() if not line.startswith("#"))
    found = {}
    for line in lines:
        labelled, _, value = line.rpartition(" ")
        name, _, labels = labelled.partition("{")
        found[name, labels.removesuffix("}")] = float(value)
    return found


def labelled(found: Samples) -> Iterator[tuple[str, dict[str, str], float]]:
    for (name, labels), value in found.items():
        yield name, dict(re.findall(r'(\w+)="([^"]*)"', labels)), value


def by_model(found: Samples, name: str) -> dict[str, float]:
    sums: dict[str, float] = {}
    for of, labels, value in labelled(found):
        if of == name:
            sums[labels["model"]] = sums.get(labels["model"], 0) + value
    return sums


def counts(found: Samples) -> Samples:
    """What depends on the rows alone: no gauge, and nothing of the exporter itself."""
    return {
        (name, labels): value
        for (name, labels), value in found.items()
        if name.endswith(("_total", "_bucket", "_count", "_sum")) and "exporter" not in name
    }


def test_was_alive_between_the_kills(world: World) -> None:
    assert len(world.lives) == KILLS
    assert KILLS / 3 < sum(world.lives) < KILLS
    assert world.log.rotations > KILLS / 10


def test_the_counters_equal_the_log(world: World) -> None:
    rows = world.log.rows
    assert by_model(world.final, "ml_predictions_total") == {"given": rows, "learned": rows}
    for model in ("given", "learned"):
        outcomes = {
            (labels["actual"], labels["predicted"]): value
            for name, labels, value in labelled(world.final)
            if name == "ml_outcomes_total" and labels["model"] == model and value
        }
        assert outcomes == world.log.outcomes
    # Each row has one value of each field; components are fields, too.
    values: Counter[tuple[str, str, str]] = Counter()
    for name, labels, value in labelled(world.final):
        if name == "ml_field_values_total":
            values[labels["model"], labels["role"], labels["field"]] += round(value)
    fields = {("feature", "x"), ("feature", "c"), ("prediction", "prediction"), ("score", "score")}
    for role, name in fields:
        assert values["given", role, name] == rows
        assert values["learned", role, name] == rows - LEARNED
    categories = {
        labels["bin"]: value
        for name, labels, value in labelled(world.final)
        if name == "ml_field_values_total" and labels["field"] == "c" and labels["model"] == "given"
    }
    assert {bin: value for bin, value in categories.items() if value} == world.log.categories


def test_the_counters_equal_those_of_one_reading(world: World) -> None:
    """Of the order in which files were read, nothing but the rounding of sums may depend."""
    once, final = counts(world.once), counts(world.final)
    assert final == pytest.approx(once, rel=1e-9)


def test_no_counter_falls(world: World) -> None:
    series = world.prometheus.samples(f"{COUNTERS}[30m]")
    assert len(series) > 100
    fallen = {
        str(labels): (before, after)
        for labels, values in series
        for before, after in itertools.pairwise(values)
        if after < before
    }
    assert fallen == {}


@pytest.mark.parametrize(
    ("record", "counter"),
    [
        ("ml_predictions_total:1m", "ml_predictions_total"),
        ("ml_outcomes_total:1m", "ml_outcomes_total"),
        ("ml_field_values_total:1m", "ml_field_values_total"),
        ("ml_labelled_predictions_total:1m", "ml_labelled_predictions_total"),
    ],
)
def test_the_minutes_have_every_row(world: World, record: str, counter: str) -> None:
    def of(expression: str) -> Mapping[str, float]:
        found = world.prometheus.query(expression)
        return {
            str(sorted(item for item in labels.items() if item[0] != "__name__")): value
            for labels, value in found
        }

    recorded = of(f"sum without (job) (sum_over_time({record}[30m])) > 0")
    counted = of(f"sum without (instance, job) ({counter}) > 0")
    assert recorded == counted
    assert recorded
