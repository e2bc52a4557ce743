"""The examples of the repository do what their configurations say."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sklearn.metrics import confusion_matrix

from ml_exporter.cli import main
from tests.support import ROOT

EXAMPLES = sorted(path.parent.name for path in ROOT.glob("examples/*/ml-exporter.yml"))
WITH_TRAINING_DATA = sorted(path.parent.name for path in ROOT.glob("examples/*/training.*"))


def outcomes(folder: Path) -> dict[tuple[str, str], int]:
    """The confusion matrix that `run --once` counts."""
    output = folder / "metrics.txt"
    config = folder / "ml-exporter.yml"
    assert main(["run", "--once", f"--config.file={config}", f"--output={output}"]) == 0
    return {
        (sample.labels["actual"], sample.labels["predicted"]): int(sample.value)
        for family in text_string_to_metric_families(output.read_text())
        for sample in family.samples
        if sample.name == "ml_outcomes_total"
    }


def expected(actual: list[str], predicted: list[str]) -> dict[tuple[str, str], int]:
    classes = sorted({*actual, *predicted})
    matrix = confusion_matrix(actual, predicted, labels=classes)
    return {(a, p): matrix[i, j] for i, a in enumerate(classes) for j, p in enumerate(classes)}


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    copy = tmp_path / request.param
    shutil.copytree(ROOT / "examples" / request.param, copy)
    return copy


@pytest.mark.parametrize("folder", EXAMPLES, indirect=True)
def test_is_in_order(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", f"--config.file={folder / 'ml-exporter.yml'}"]) == 0
    said = capsys.readouterr()
    assert "baseline=" in said.out
    assert said.err == ""


@pytest.mark.parametrize("folder", WITH_TRAINING_DATA, indirect=True)
def test_has_the_baseline_of_its_training_data(folder: Path) -> None:
    made = folder / "made.json"
    data = next(folder.glob("training.*"))
    config = folder / "ml-exporter.yml"
    arguments = [f"--config.file={config}", f"--input={data}", f"--output={made}"]
    assert main(["baseline", *arguments]) == 0
    assert made.read_bytes() == (folder / "baseline.json").read_bytes()


@pytest.mark.parametrize("folder", ["flights"], indirect=True)
def test_labels_from_a_log_of_their_own(folder: Path) -> None:
    rows = map(json.loads, (folder / "logs/predictions.jsonl").read_text().splitlines())
    predicted = {row["request_id"]: row["output"]["arrival"] for row in rows}
    labels = map(json.loads, (folder / "labels/arrivals.jsonl").read_text().splitlines())
    actual = {row["request_id"]: row["arrival"] for row in labels}
    pairs = [(actual[id], said) for id, said in predicted.items()]
    assert outcomes(folder) == expected(*map(list, zip(*pairs, strict=True)))


@pytest.mark.parametrize("folder", ["penguins"], indirect=True)
def test_labels_on_the_same_row(folder: Path) -> None:
    rows = list(csv.DictReader((folder / "log.csv").read_text().splitlines()))
    actual = [row["species"] for row in rows]
    predicted = [row["predicted"] for row in rows]
    assert outcomes(folder) == expected(actual, predicted)
