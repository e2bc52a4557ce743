"""`run --once` over logs of requests and responses."""

import json
import re
from pathlib import Path

import pytest

from ml_exporter.commands.once import run_once
from ml_exporter.config import config

CONFIG = """\
models:
  - name: m
    task: binary
    positive: 1
    learn: {{rows: 50}}
    source: {{type: file, path: log.jsonl, format: {format}}}
    fields: {{prediction: prediction, score: prediction, features: [age, plan]}}
"""
KSERVE = [
    {
        "id": str(n),
        "path": "/v1/models/m:predict",
        "request": {"instances": [{"age": n, "plan": "ab"[n % 2]}, {"age": n, "plan": "a"}]},
        "response": {"predictions": [0.9, 0.1]},
    }
    for n in range(50)
]
TENSORS = [
    {
        "request": {
            "inputs": [
                {"name": "age", "shape": [2], "datatype": "INT64", "data": [n, n]},
                {"name": "plan", "shape": [2], "datatype": "BYTES", "data": ["ab"[n % 2], "a"]},
            ]
        },
        "response": {
            "outputs": [{"name": "p", "shape": [2], "datatype": "FP32", "data": [0.9, 0.1]}]
        },
    }
    for n in range(50)
]


@pytest.mark.parametrize(
    ("format", "log"),
    [
        ("kserve-v1", KSERVE),
        ("open-inference", TENSORS),
        ("auto", KSERVE),
        ("auto", TENSORS),
        ("auto", [*KSERVE[:25], *TENSORS[25:]]),
    ],
)
def test_every_row_of_an_exchange_is_counted(
    tmp_path: Path, format: str, log: list[dict[str, object]]
) -> None:
    (tmp_path / "ml-exporter.yml").write_text(CONFIG.format(format=format))
    lines = [json.dumps(exchange) for exchange in log] + ["no exchange"]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    samples, errors = run_once(config.load(tmp_path / "ml-exporter.yml"))
    assert errors == {}
    counts = {
        tuple(sorted(re.findall(r'(?:role|field|bin|reason)="([^"]*)"', labels))): int(value)
        for name, labels, value in re.findall(
            r"^(ml_\w+_total)\{(.*)\} (\d+)$", samples.decode(), re.MULTILINE
        )
        if name in ("ml_field_values_total", "ml_rows_rejected_total")
    }
    assert re.search(r"^ml_predictions_total\{.*\} 100$", samples.decode(), re.MULTILINE)
    # The first 50 rows are the baseline, the others are counted by it.
    assert counts["1", "prediction", "prediction"] == 25
    assert counts["0", "prediction", "prediction"] == 25
    assert counts["a", "feature", "plan"] + counts["b", "feature", "plan"] == 50
    assert counts["truncated",] + counts["malformed",] == 1
