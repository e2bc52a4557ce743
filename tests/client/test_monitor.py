"""A Monitor counts what an exporter counts of the same rows in a log."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ml_exporter import Monitor
from ml_exporter.config import load
from ml_exporter.once import run_once
from tests.support import wait_until

Samples = dict[tuple[str, ...], float]
Row = dict[str, Any]

BINARY = """\
models:
  - name: m
    task: binary
    positive: 1
    version: "3"
    learn: {rows: 100}
    source: {type: file, path: log.jsonl}
    fields:
      prediction: prediction
      timestamp: timestamp
      score: score
      label: label
      features: [age, "city.name", income]
    segments: ["city.name"]
    constraints: {age: {max: 60}}
    thresholds: {accuracy: {critical: 0.9}}
"""
ARGUMENTS = {
    "task": "binary",
    "positive": 1,
    "version": "3",
    "learn": {"rows": 100},
    "score": True,
    "features": ["age", "city.name", "income"],
    "segments": ["city.name"],
    "constraints": {"age": {"max": 60}},
    "thresholds": {"accuracy": {"critical": 0.9}},
}
NOW = time.time() - 60


def rows(number: int) -> list[Row]:
    chance = random.Random(7)
    made = []
    for place in range(number):
        score = chance.random()
        made.append(
            {
                "features": {
                    "age": chance.choice([chance.gauss(40, 12), 30, None, float("nan"), "old"]),
                    "city.name": chance.choice(["Köln", "Lyon", "<other>", None]),
                    "income": round(chance.lognormvariate(8, 1), 2),
                    **({"new": 1} if place > 150 else {}),
                },
                "prediction": int(score > 0.5),
                "score": score,
                "label": chance.choice([None, int(chance.random() < score)]),
                "timestamp": NOW + place / 10,
            }
        )
    return made


def of_a_log(folder: Path, config: str, **logs: list[Row]) -> Samples:
    for name, lines in logs.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "ml-exporter.yml").write_text(config)
    text, errors = run_once(load(folder / "ml-exporter.yml"))
    assert not errors
    return samples(text.decode())


def samples(text: str) -> Samples:
    """All samples about models, by name and labels; where they were read is another thing."""
    return {
        (one.name, *(f"{key}={one.labels[key]}" for key in sorted(one.labels))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
        if not one.name.startswith(("ml_exporter_", "ml_source_"))
    }


def shown(monitor: Monitor) -> Samples:
    registry = CollectorRegistry()
    monitor.register(registry)
    return samples(generate_latest(registry).decode())


def settled(monitor: Monitor, predictions: int) -> Samples:
    """What is shown once so many predictions are counted, and a commit after that."""

    def count() -> Samples | None:
        now = shown(monitor)
        total = sum(value for key, value in now.items() if key[0] == "ml_predictions_total")
        return now if total >= predictions else None

    wait_until(count, what=f"{predictions} predictions")
    time.sleep(2.2)
    return shown(monitor)


@pytest.fixture
def watch() -> Iterator[Callable[..., Monitor]]:
    made: list[Monitor] = []

    def start(name: str = "m", **arguments: Any) -> Monitor:
        made.append(Monitor(name, **{"first_scrape_wait": 0, **arguments}))
        return made[-1]

    yield start
    for one in made:
        one.close()


def flat(row: Row) -> Row:
    return {**row["features"], **{key: row[key] for key in row if key != "features"}}


def difference(one: Samples, other: Samples) -> Mapping[Any, Any]:
    keys = one.keys() | other.keys()
    return {key: (one.get(key), other.get(key)) for key in keys if one.get(key) != other.get(key)}


def test_rows_one_by_one_are_those_of_a_log(tmp_path: Path, watch: Callable[..., Monitor]) -> None:
    expected = of_a_log(tmp_path, BINARY, log=[flat(row) for row in rows(400)])
    monitor = watch(**ARGUMENTS)
    for row in rows(400):
        monitor.log(**row)
    assert difference(expected, settled(monitor, 400)) == {}
    assert expected["ml_predictions_total", "model=m", "version=3"] == 400
