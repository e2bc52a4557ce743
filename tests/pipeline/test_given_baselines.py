"""What a baseline of a model is to have."""

from __future__ import annotations

from pathlib import Path

from ml_exporter.batch import LABEL, PREDICTION, Field
from ml_exporter.config import config
from ml_exporter.pipeline.given_baselines import request

X = Field("feature", "x")
CONFIG = """\
models:
  - name: m
    task: binary
    positive: a
    source: {type: file, path: log.jsonl}
    fields: {prediction: p, label: y, features: {x: in.x}}
    types: {x: category}
"""


def test_a_request_names_paths_and_types(tmp_path: Path) -> None:
    path = tmp_path / "ml-exporter.yml"
    path.write_text(CONFIG)
    (model,) = config.load(path).models
    asked = request(model, "1", config.Limits())
    assert asked.types == {PREDICTION: "category", LABEL: "category", X: "category"}
    assert asked.paths == {X: "in.x"}
