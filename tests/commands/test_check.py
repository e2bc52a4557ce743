"""What `check` says of a configuration and the files it names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ml_exporter.baseline import baseline
from ml_exporter.commands.check import check
from ml_exporter.commands.training import profile
from ml_exporter.config.config import load
from ml_exporter.pipeline.given_baselines import given_baselines
from ml_exporter.pipeline.pipeline import Pipeline
from ml_exporter.pipeline.version import Budget
from ml_exporter.store.store import Store

CONFIG = """\
models:
  - name: m
    task: binary
    positive: a
    baseline: b.json
    source: {type: file, path: log.jsonl}
    fields: {prediction: p, label: y, features: [x, z]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(CONFIG.replace("    baseline: b.json\n", ""))
    rows = [{"p": "ab"[n % 2], "y": "a", "x": n, "z": "one"} for n in range(60)]
    Path("data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = load("ml-exporter.yml")
    made, _ = profile(config.models[0], config.limits, "data.jsonl", "jsonl")
    Path("b.json").write_bytes(baseline.encode(made))
    write(CONFIG)
    return tmp_path


def write(text: str) -> None:
    Path("ml-exporter.yml").write_text(text)


def test_a_line_tells_what_a_model_has(folder: Path) -> None:
    report = check(load("ml-exporter.yml"))
    assert report.errors == []
    (line,) = report.lines
    made = baseline.load(folder / "b.json")
    config = load("ml-exporter.yml")
    store = Store(None)
    pipeline = Pipeline(
        config.models[0],
        config.limits,
        store,
        given_baselines(config.models[0]),
        follow=False,
        start="start",
        budget=Budget(40_000),
    )
    series = sum(len(family) for family in pipeline.families)
    store.close()
    assert line == (
        f"m: task=binary version=unversioned fields=4 baseline={made.id} series={series}"
    )


def test_a_model_without_a_baseline_will_learn_one(folder: Path) -> None:
    write(CONFIG.replace("baseline: b.json", "learn: {rows: 300}"))
    (line,) = check(load("ml-exporter.yml")).lines
    assert "baseline=learn 300 rows" in line


def test_logs_need_not_be_there(folder: Path) -> None:
    assert not Path("log.jsonl").exists()
    assert check(load("ml-exporter.yml")).errors == []
    assert not Path("log.jsonl").exists()


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("b.json", "nothing.json", "5: models[0].baseline: {folder}/nothing.json: {missing}"),
        (
            "baseline: b.json",
            'baseline: {"3": b.json, "4": log.jsonl}',
            "5: models[0].baseline.4: {folder}/log.jsonl: {missing}",
        ),
        (
            "features: [x, z]",
            "features: [x, w]",
            "7: models[0].fields.features.w: isn't a feature in {folder}/b.json",
        ),
        (
            "positive: a",
            "positive: c",
            "4: models[0].positive: 'c' is none of the classes ['a', 'b'] in {folder}/b.json",
        ),
        (
            "    fields",
            "    types: {x: category}\n    fields",
            "7: models[0].types.x: is a number, not a category, in {folder}/b.json",
        ),
        (
            ", features: [x, z]}",
            "}\n    constraints: {x: {min: 0}, w: {max: 3}, prediction: {values: [a, b]}}",
            "8: models[0].constraints.w: 'w' isn't a feature in {folder}/b.json",
        ),
        (
            ", features: [x, z]}",
            "}\n    constraints: {x: {min: 0, at_least: label}}",
            "8: models[0].constraints.x: 'label' isn't a feature in {folder}/b.json",
        ),
        (
            ", features: [x, z]}",
            "}\n    notable: {values: [id, x, prediction, w]}",
            "8: models[0].notable.values: 'w' isn't a feature in {folder}/b.json",
        ),
        (
            "models:",
            "notable_log: {path: no/notable.jsonl}\nmodels:",
            "1: notable_log.path: {folder}/no is no folder",
        ),
        (
            "models:",
            "limits: {series: 60}\nmodels:",
            "1: limits.series: {n} series are beyond the limit of 60; raise it, or watch fewer"
            " features",
        ),
    ],
)
def test_an_error_tells_where_it_is(folder: Path, old: str, new: str, error: str) -> None:
    write(CONFIG.replace(old, new))
    report = check(load("ml-exporter.yml"))
    (found,) = report.errors
    number = found.split("limits.series: ")[-1].split(" ")[0]
    assert found == "ml-exporter.yml:" + error.format(
        folder=folder, missing="no such file; `ml-exporter baseline` makes it", n=number
    )


def test_one_bad_model_keeps_no_other_from_its_line(folder: Path) -> None:
    other = CONFIG.removeprefix("models:\n").replace("name: m", "name: n")
    write(CONFIG + other.replace("b.json", "nothing.json"))
    report = check(load("ml-exporter.yml"))
    assert [line.split(":")[0] for line in report.lines] == ["m"]
    assert [error.split(":")[2] for error in report.errors] == [" models[1].baseline"]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (
            "{type: kafka, brokers: ['k:9092'], topic: t, options: {enable.auto.commit: true}}",
            "options.enable.auto.commit: can't be changed, since exact counts hang on it",
        ),
        (
            "{type: sql, url: 'nosuch://x', table: t, cursor: id}",
            "url: SQLAlchemy knows no 'nosuch'",
        ),
    ],
)
def test_settings_that_no_source_takes(folder: Path, source: str, error: str) -> None:
    write(CONFIG.replace("{type: file, path: log.jsonl}", source))
    report = check(load("ml-exporter.yml"))
    assert report.errors == [f"ml-exporter.yml:6: models[0].source.{error}"]
    assert report.lines == []


def test_a_file_of_the_proxy_that_is_missing(folder: Path) -> None:
    proxy = "proxy:\n  upstream: http://model\n  web_config: web.yml\n"
    write(CONFIG + proxy)
    assert check(load("ml-exporter.yml")).errors == [
        f"ml-exporter.yml:{(CONFIG + proxy).count(chr(10))}: proxy.web_config: no such file: "
        f"'{folder}/web.yml'"
    ]


def test_the_files_of_the_proxy(folder: Path) -> None:
    proxy = (
        "proxy:\n  upstream: https://model\n  web_config: web.yml\n"
        "  upstream_tls: {ca_file: ca.pem}\n"
    )
    write(CONFIG + proxy)
    Path("web.yml").write_text("basic_auth_users: {ada: lovelace}\n")
    line = (CONFIG + proxy).count("\n")
    assert check(load("ml-exporter.yml")).errors == [
        f"{folder}/web.yml:1: basic_auth_users.ada: must be a bcrypt hash, such as"
        " `htpasswd -nBC 10 NAME` prints",
        f"ml-exporter.yml:{line}: proxy.upstream_tls: no such file: '{folder}/ca.pem'",
    ]
