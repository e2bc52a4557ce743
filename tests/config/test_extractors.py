"""Features that are taken of texts, lists and times, from the configuration to the counters."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pyarrow import parquet

from ml_exporter.baseline import baseline as baselines
from ml_exporter.commands.check import check
from ml_exporter.commands.once import run_once
from ml_exporter.commands.training import profile
from ml_exporter.config.config import Limits, load

FEATURES = """
      features:
        length: {length: body}
        words: {words: body}
        foreign: {non_ascii: body}
        day: {weekday: opened}
        hour: {hour: opened}
"""
CONFIG = """\
models:
  - name: tickets
    task: multiclass
    source: {type: file, path: "log.*", format: FORMAT}
    baseline: baseline.json
    constraints: {length: {max: 10}}
    segments: [day]
    fields:
      prediction: queue"""

ROWS = [
    {
        "queue": "ab"[n % 2],
        "body": "word " * (n % 4 + 1),
        "tags": ["t"] * (n % 3),
        "opened": f"2024-04-0{n % 5 + 1}T{n % 24:02}:00:00Z",
    }
    for n in range(240)
]


def write_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))


def write_csv(path: Path) -> None:
    lines = ["queue,body,opened", *(f"{r['queue']},{r['body']},{r['opened']}" for r in ROWS)]
    path.write_text("\n".join(lines) + "\n")


def write_parquet(path: Path) -> None:
    parquet.write_table(pa.Table.from_pylist(ROWS), path)


def counted(folder: Path) -> dict[tuple[str, str], float]:
    text, errors = run_once(load(folder / "ml-exporter.yml"))
    assert errors == {}
    values: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = sample.labels
            if sample.name == "ml_field_values_total" and sample.value:
                values[labels["field"], labels["bin"]] = sample.value
            if sample.name == "ml_constraint_violations_total":
                values["violations", labels["field"]] = sample.value
            if sample.name == "ml_segment_predictions_total" and labels["segment_field"] == "day":
                values["segments", labels["segment"]] = sample.value
    return values


@pytest.mark.parametrize(
    ("format", "write"),
    [("jsonl", write_jsonl), ("csv", write_csv), ("parquet", write_parquet)],
)
def test_they_are_features_in_baseline_and_log(
    tmp_path: Path, format: str, write: Callable[[Path], None]
) -> None:
    write(tmp_path / "log.data")
    configuration = tmp_path / "ml-exporter.yml"
    configuration.write_text(CONFIG.replace("FORMAT", format) + FEATURES)
    (model,) = load(configuration).models
    made, _ = profile(model, Limits(), str(tmp_path / "log.data"), format)
    (tmp_path / "baseline.json").write_bytes(baselines.encode(made))
    types = {field.name: field.type for field in made.fields if field.role == "feature"}
    assert types == dict.fromkeys(("length", "words", "foreign", "hour"), "number") | {
        "day": "category"
    }

    values = counted(tmp_path)
    assert {bin: n for (field, bin), n in values.items() if field == "words"} == {
        f"{n}.0": 60 for n in (1, 2, 3, 4)
    }
    assert values["day", "Monday"] == values["segments", "Monday"] == 48
    assert values["foreign", "0.0"] == 240
    assert values["violations", "length"] == 120

    # The baseline knows what they were taken of.
    configuration.write_text(CONFIG.replace("FORMAT", format))
    assert counted(tmp_path) == values


def test_training_data_may_have_them_extracted_already(tmp_path: Path) -> None:
    (tmp_path / "ml-exporter.yml").write_text(CONFIG.replace("FORMAT", "jsonl") + FEATURES)
    columns = {"length": 4, "words": 1, "foreign": 0.5, "day": "Monday", "hour": 3}
    data = tmp_path / "training.jsonl"
    data.write_text(json.dumps({"queue": "a", **columns}) + "\n")
    (model,) = load(tmp_path / "ml-exporter.yml").models
    made, _ = profile(model, Limits(), str(data), "jsonl")
    (length,) = (field for field in made.fields if field.name == "length")
    assert (length.edges, length.path) == ([4.0, 4.0], "body")


def test_they_are_learned_from_the_first_rows(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "log.data")
    text = CONFIG.replace("FORMAT", "jsonl") + FEATURES + "        tags: {items: tags}\n"
    text = text.replace("baseline: baseline.json", "learn: {rows: 60}")
    (tmp_path / "ml-exporter.yml").write_text(text)
    values = counted(tmp_path)
    assert {bin: n for (field, bin), n in values.items() if field == "tags"} == {
        f"{n}.0": 60 for n in range(3)
    }


@pytest.mark.parametrize(
    ("feature", "of"), [("{length: body}", "length"), ("body", "the value itself")]
)
def test_a_baseline_of_another_extractor_is_no_baseline(
    tmp_path: Path, feature: str, of: str
) -> None:
    write_jsonl(tmp_path / "log.data")
    configuration = tmp_path / "ml-exporter.yml"
    configuration.write_text(CONFIG.replace("FORMAT", "jsonl") + FEATURES)
    (model,) = load(configuration).models
    made, _ = profile(model, Limits(), str(tmp_path / "log.data"), "jsonl")
    (tmp_path / "baseline.json").write_bytes(baselines.encode(made))
    assert check(load(configuration)).errors == []
    configuration.write_text(configuration.read_text().replace("{words: body}", feature))
    (error,) = check(load(configuration)).errors
    expected = f"models[0].fields.features.words: is words of 'body', not {of}, in {tmp_path}"
    assert expected in error


def test_a_baseline_of_an_extractor_that_is_not_known_is_no_baseline(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "log.data")
    (tmp_path / "ml-exporter.yml").write_text(CONFIG.replace("FORMAT", "jsonl") + FEATURES)
    (model,) = load(tmp_path / "ml-exporter.yml").models
    made, _ = profile(model, Limits(), str(tmp_path / "log.data"), "jsonl")
    broken = baselines.encode(made).replace(b'"extractor": "words"', b'"extractor": "sentiment"')
    with pytest.raises(baselines.BaselineError, match="sentiment"):
        baselines.decode(broken)
