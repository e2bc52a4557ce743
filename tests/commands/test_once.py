"""All that logs hold, read once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ml_exporter.commands.once import run_once
from ml_exporter.config.config import load

CONFIG = """\
models:
  - name: m
    task: binary
    positive: a
    source: {type: file, path: "log*.jsonl"}
    fields: {id: id, prediction: p, timestamp: t, features: [x]}
    labels:
      source: {type: file, path: labels.jsonl}
      fields: {id: id, label: y}
  - name: n
    task: multiclass
    source: {type: file, path: n.csv}
    fields: {prediction: p, label: y}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ml-exporter.yml").write_text(CONFIG)
    for name, ids in (("log1.jsonl", range(3)), ("log2.jsonl", range(3, 6))):
        write(tmp_path / name, *({"id": id, "p": "a", "x": 1, "t": 1e9} for id in ids))
    write(tmp_path / "labels.jsonl", *({"id": id, "y": "ab"[id % 2]} for id in range(5)))
    (tmp_path / "n.csv").write_text("p,y\na,a\nb,a\n")
    return tmp_path


def write(path: Path, *rows: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read(folder: Path) -> tuple[dict[str, float], dict[str, str]]:
    """Samples that aren't 0, by name and labels, and what couldn't be read."""
    text, errors = run_once(load(folder / "ml-exporter.yml"))
    samples = {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.value
    }
    return samples, errors


def test_every_model_and_log_is_counted(folder: Path) -> None:
    samples, errors = read(folder)
    assert errors == {}
    assert samples["ml_predictions_total m unversioned"] == 6
    assert samples["ml_predictions_total n unversioned"] == 2
    assert samples["ml_outcomes_total m unversioned a a true"] == 3
    assert samples["ml_outcomes_total m unversioned b a false"] == 2
    assert samples["ml_outcomes_total n unversioned a b false"] == 1
    assert samples["ml_labels_total m unversioned joined"] == 5
    assert samples["ml_exporter_pending_predictions"] == 1


def test_it_is_the_same_each_time(folder: Path) -> None:
    def counters() -> dict[str, float]:
        samples, _ = read(folder)
        return {
            name: value
            for name, value in samples.items()
            if "_exporter_" not in name and "_timestamp_" not in name
        }

    assert counters() == counters()
    assert not (folder / "state").exists()


def test_state_is_neither_read_nor_written(folder: Path) -> None:
    with (folder / "ml-exporter.yml").open("a") as config:
        config.write("state: {path: state}\n")
    samples, _ = read(folder)
    assert samples["ml_predictions_total m unversioned"] == 6
    assert not (folder / "state").exists()


def test_files_are_read_from_their_start_whatever_is_said(folder: Path) -> None:
    text = CONFIG.replace("path: n.csv", "path: n.csv, from: end")
    (folder / "ml-exporter.yml").write_text(text)
    samples, _ = read(folder)
    assert samples["ml_predictions_total n unversioned"] == 2


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("nothing.jsonl", "no such file"),
        ("*.nothing.jsonl", "no file matches"),
        ("folder.jsonl", "is a folder; name its files, as in *.jsonl"),
    ],
)
def test_what_can_not_be_read_keeps_nothing_else_from_it(
    folder: Path, path: str, problem: str
) -> None:
    (folder / "folder.jsonl").mkdir()
    (folder / "ml-exporter.yml").write_text(CONFIG.replace('"log*.jsonl"', f'"{path}"'))
    samples, errors = read(folder)
    assert errors == {f"{folder}/{path}": problem}
    assert "ml_predictions_total m unversioned" not in samples
    assert samples["ml_predictions_total n unversioned"] == 2
    assert samples["ml_labels_total m unversioned unmatched"] == 5


def test_old_predictions_find_labels_that_tell_no_time(folder: Path) -> None:
    """A year of predictions is read before the first of their labels."""
    day = 86400
    write(
        folder / "log1.jsonl",
        *({"id": id, "p": "a", "x": 1, "t": 1e9 + id * day} for id in range(365)),
    )
    (folder / "log2.jsonl").unlink()
    write(folder / "labels.jsonl", *({"id": id, "y": "a"} for id in range(365)))
    samples, _ = read(folder)
    assert samples["ml_outcomes_total m unversioned a a true"] == 365
    assert "ml_predictions_expired_total m unversioned" not in samples


def test_predictions_that_waited_too_long_have_expired(folder: Path) -> None:
    write(
        folder / "log1.jsonl",
        {"id": "old", "p": "a", "x": 1, "t": 1e9},
        {"id": "new", "p": "a", "x": 1, "t": 1e9 + 31 * 86400},
    )
    (folder / "log2.jsonl").unlink()
    write(folder / "labels.jsonl")
    samples, _ = read(folder)
    assert samples["ml_predictions_expired_total m unversioned"] == 1
    assert samples["ml_exporter_pending_predictions"] == 1
