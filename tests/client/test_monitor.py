"""A Monitor counts what an exporter counts of the same rows in a log."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sklearn.linear_model import LogisticRegression

from ml_exporter import Monitor
from ml_exporter.baseline.baseline import Baseline, Request, encode
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import PREDICTION, Batch, Field
from ml_exporter.columns import Column
from ml_exporter.commands.once import run_once
from ml_exporter.config.config import load
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
    """All samples about models, by name and labels.

    Where rows were read is another thing, and only who follows a log knows of days to come.
    """
    return {
        (one.name, *(f"{key}={one.labels[key]}" for key in sorted(one.labels))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
        if not one.name.startswith(("ml_exporter_", "ml_source_"))
        and (one.value or not one.name.startswith("ml_cohort_"))
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
    """What isn't alike; sums are rounded otherwise where batches end elsewhere."""
    pairs = {key: (one.get(key), other.get(key)) for key in one.keys() | other.keys()}
    return {
        key: (first, second)
        for key, (first, second) in pairs.items()
        if first is None or second is None or first != pytest.approx(second, rel=1e-12)
    }


def test_rows_one_by_one_are_those_of_a_log(tmp_path: Path, watch: Callable[..., Monitor]) -> None:
    expected = of_a_log(tmp_path, BINARY, log=[flat(row) for row in rows(400)])
    monitor = watch(**ARGUMENTS)
    for row in rows(400):
        monitor.log(**row)
    assert difference(expected, settled(monitor, 400)) == {}
    assert expected["ml_predictions_total", "model=m", "version=3"] == 400


def test_tables_are_those_of_a_log(tmp_path: Path, watch: Callable[..., Monitor]) -> None:
    logged = [row for row in rows(400) if row["features"]["age"] != "old"]
    expected = of_a_log(tmp_path, BINARY, log=[flat(_without_nan(row)) for row in logged])
    monitor = watch(**ARGUMENTS)
    for start in range(0, len(logged), 100):
        some = [_without_nan(row) for row in logged[start : start + 100]]
        columns = {key: [row[key] for row in some] for key in some[0] if key != "features"}
        features: Any = [row["features"] for row in some]
        if start == 100:
            features = pd.DataFrame(features)
            columns["score"] = np.array(columns["score"])
        if start == 200:
            features = {name: [one[name] for one in features] for name in features[0]}
        monitor.log_many(features, **columns)
    assert difference(expected, settled(monitor, len(logged))) == {}


def _without_nan(row: Row) -> Row:
    """In a table NaN is how one says that there is nothing, and all rows have the same columns."""
    features = {name: value for name, value in row["features"].items() if name != "new"}
    if isinstance(features["age"], float) and math.isnan(features["age"]):
        features["age"] = None
    return {**row, "features": features}


MULTICLASS = """\
models:
  - name: m
    task: multiclass
    version: {field: version}
    baseline: {v1: BASELINE}
    source: {type: file, path: log.jsonl}
    fields:
      id: id
      prediction: prediction
      timestamp: timestamp
      score: {path: score, classes: [a, b, 3]}
      features: [x]
    labels:
      source: {type: file, path: labels.jsonl}
      fields: {id: id, label: label, timestamp: timestamp}
      wait: 1d
"""


def test_labels_scores_and_versions_are_those_of_a_log(
    tmp_path: Path, watch: Callable[..., Monitor]
) -> None:
    chance = random.Random(3)
    classes = ["a", "b", 3]
    predictions = [
        {
            "x": chance.gauss(0, 1),
            "id": place,
            "prediction": chance.choice(classes),
            "score": [0.2, 0.5, 0.3],
            "version": chance.choice(["v1", "v2"]),
            "timestamp": NOW + place / 100,
        }
        for place in range(300)
    ]
    labels = [
        {"id": chance.randrange(350), "label": chance.choice(classes), "timestamp": NOW + 10 + at}
        for at in range(40)
    ]
    baseline = tmp_path / "baseline.json"
    made = profile(predictions)
    baseline.write_bytes(encode(made))
    config = MULTICLASS.replace("BASELINE", str(baseline))
    expected = of_a_log(tmp_path, config, log=predictions, labels=labels)
    monitor = watch(
        task="multiclass",
        version={"field": "version"},
        baseline={"v1": baseline},
        score=classes,
        features=["x"],
        labels={"wait": "1d"},
    )
    for number, row in enumerate(predictions):
        said = {key: value for key, value in row.items() if key not in ("x", "score")}
        ways = (row["score"], dict(zip(classes, row["score"], strict=True)), np.array(row["score"]))
        monitor.log([row["x"]], score=ways[number % 3], **said)
    monitor.flush()
    for label in labels:
        monitor.label(label["id"], label["label"], label["timestamp"])
    found = settled(monitor, 300)
    # A log ends, after which no label can come any more; here one may.
    unmatched = ("ml_labels_total", "model=m", "result=unmatched", "version=unversioned")
    assert difference(expected, found).keys() == {unmatched}
    joined = ("ml_labels_total", "model=m", "result=joined", "version=unversioned")
    assert found[joined] == expected[joined] > 20


def test_a_model_of_scikit_learn(watch: Callable[..., Monitor]) -> None:
    chance = np.random.default_rng(1)
    table = pd.DataFrame({"a": chance.normal(size=300), "b": chance.normal(size=300)})
    truth = np.where(table["a"] + chance.normal(size=300) > 0, "yes", "no")
    monitor = watch(
        task="binary", positive="yes", score=True, learn={"rows": 100}, labels={"wait": "1h"}
    )
    model = monitor.wrap(LogisticRegression().fit(table, truth))
    ids = [str(place) for place in range(300)]
    scores = model.predict_proba(table, id=ids)[:, 1]
    monitor.flush()
    for id, label in zip(ids, truth, strict=True):
        monitor.label(id, label)
    found = settled(monitor, 300)
    predicted = model.predict(table)
    right = np.count_nonzero(predicted == truth)
    assert found["ml_predictions_total", "model=m", "version=unversioned"] == 300
    outcomes = {key: value for key, value in found.items() if key[0] == "ml_outcomes_total"}
    assert sum(value for key, value in outcomes.items() if "correct=true" in key) == right
    brier = ("ml_brier_score_total", "model=m", "version=unversioned")
    assert found[brier] == pytest.approx(np.sum((scores - (truth == "yes")) ** 2))


def profile(rows: list[Row]) -> Baseline:
    fields = {
        PREDICTION: Column([row["prediction"] for row in rows]),
        Field("feature", "x"): Column([row["x"] for row in rows]),
        **{
            Field("score", name): Column([row["score"][place] for row in rows])
            for place, name in enumerate(("a", "b", "3"))
        },
    }
    wanted = Request("m", "v1", {PREDICTION: "category"}, paths={}, bins=10, categories=50)
    return build(lambda: [Batch(len(rows), fields)], wanted)


RANKING = """\
models:
  - name: m
    task: multiclass
    version: "3"
    source: {type: file, path: log.jsonl}
    fields:
      prediction: prediction
      timestamp: timestamp
      label: label
      features: [age, "city.name"]
      attributions: shap
      ranked: {path: items, depth: 3}
"""


@pytest.mark.parametrize("in_tables", [False, True])
def test_attributions_and_ranked_items_are_those_of_a_log(
    tmp_path: Path, watch: Callable[..., Monitor], in_tables: bool
) -> None:
    chance = random.Random(3)
    films = [f"film{number}" for number in range(9)]
    made: list[Row] = []
    for place in range(200):
        items = chance.sample(films, 4)
        shap = {"age": chance.gauss(0, 1), "city.name": chance.gauss(0, 2)}
        made.append(
            {
                **{"age": place % 60, "city.name": "ab"[place % 2], "items": items},
                **{"prediction": items[0], "label": chance.choice(films), "shap": shap},
                "timestamp": NOW + place / 10,
            }
        )
    expected = of_a_log(tmp_path, RANKING, log=made)
    monitor = watch(
        task="multiclass",
        version="3",
        features=["age", "city.name"],
        attributions=True,
        ranked=3,
    )
    said = {"prediction": "prediction", "label": "label", "timestamp": "timestamp"}
    said |= {"attributions": "shap", "ranked": "items"}
    if in_tables:
        columns = {name: [row[key] for row in made] for name, key in said.items()}
        monitor.log_many(pd.DataFrame(made)[["age", "city.name"]], **columns)
    else:
        for row in made:
            features = {name: row[name] for name in ("age", "city.name")}
            monitor.log(features, **{name: row[key] for name, key in said.items()})
    counted = settled(monitor, 200)
    assert {key: counted.get(key) for key in expected} == pytest.approx(expected)
    names = {key[0] for key, value in counted.items() if value}
    assert {"ml_field_attribution_total", "ml_top_k_hits_total"} <= names


def test_predictions_worth_a_look_are_counted(watch: Callable[..., Monitor]) -> None:
    monitor = watch(
        **{"task": "binary", "positive": "1", "score": True, "features": ["age"]},
        **{"constraints": {"age": {"max": 60}}, "notable": {"margin": 0.2}},
    )
    for age, score in ((40, 0.9), (40, 0.55), (61, 0.45)):
        monitor.log({"age": age}, prediction="1", score=score)
    counted = settled(monitor, 3)
    found = {
        key[2]: value for key, value in counted.items() if key[0] == "ml_notable_predictions_total"
    }
    assert {key: value for key, value in found.items() if value} == {
        "reason=constraint": 1,
        "reason=low_confidence": 2,
    }


def test_a_label_has_the_time_that_it_is_given(watch: Callable[..., Monitor]) -> None:
    monitor = watch(task="binary", positive="yes", labels={"wait": "1h"})
    monitor.log({"x": 1}, prediction="yes", id="a", timestamp=0)
    monitor.flush()
    monitor.label("a", "yes", timestamp=0)
    found = settled(monitor, 1)
    assert found["ml_labels_total", "model=m", "result=joined", "version=unversioned"] == 1
    assert found["ml_label_delay_seconds_sum", "model=m", "version=unversioned"] == 0
