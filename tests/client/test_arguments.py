"""What is wrong with the arguments of a Monitor is said when it is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ml_exporter import Monitor
from ml_exporter.baseline.baseline import Request, encode
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import PREDICTION, Batch, Field
from ml_exporter.client.arguments import layout_of, model_of
from ml_exporter.client.hub import Hub
from ml_exporter.client.lines import Writer
from ml_exporter.columns import Column
from tests.support import ROOT

BINARY = {"task": "binary", "positive": "1"}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"task": "binry"}, "Monitor: task: unknown value 'binry'; did you mean 'binary'?"),
        ({"task": "binary"}, "Monitor: positive: is required"),
        ({**BINARY, "bins": 1}, "Monitor: bins: must be from 2 to 100"),
        ({**BINARY, "bins": "20"}, "Monitor: bins: must be a whole number, not the string '20'"),
        ({**BINARY, "learn": {"rows": 5}}, "Monitor: learn.rows: must be from 50 to 1000000000"),
        (
            {**BINARY, "learn": {"row": 500}},
            "Monitor: learn.row: unknown key; did you mean 'rows'?"
            "\nMonitor: learn.rows: is required",
        ),
        (
            {**BINARY, "features": ["age"], "segments": ["agee"]},
            "Monitor: segments[0]: unknown feature; did you mean 'age'?",
        ),
        (
            {**BINARY, "features": ["age"], "constraints": {"ages": {"min": 1}}},
            "Monitor: constraints.ages: unknown field; did you mean 'age'?",
        ),
        (
            {**BINARY, "thresholds": {"acuracy": {"critical": 0.9}}},
            "Monitor: thresholds.acuracy: unknown monitor; did you mean 'accuracy'?",
        ),
        ({**BINARY, "labels": {"wait": "soon"}}, "Monitor: labels.wait: 'soon' is not a duration"),
        (
            {**BINARY, "labels": {"source": "x"}},
            "Monitor: labels.source: has no meaning here; known: wait, settle",
        ),
        ({**BINARY, "labels": 3}, "Monitor: labels: must be a mapping, such as {'wait': '30d'}"),
        ({**BINARY, "score": ["0", "1"]}, "Monitor: score: must be true"),
        (
            {**BINARY, "attributions": True},
            "Monitor: attributions: needs the names of features, or a baseline",
        ),
        (
            {**BINARY, "attributions": "shap"},
            "Monitor: attributions: must be true, or a list of the features that have one",
        ),
        (
            {**BINARY, "ranked": 5},
            "Monitor: fields.ranked: only a multiclass model recommends items",
        ),
        (
            {"task": "multiclass", "ranked": 1},
            "Monitor: fields.ranked.depth: must be from 2 to 100",
        ),
        ({"task": "multiclass", "score": True}, "Monitor: score: must be a list of the classes"),
        ({"task": "regression", "score": True}, "Monitor: fields.score: a regression model has no"),
        ({**BINARY, "baseline": "no.json"}, "Monitor: baseline: "),
        ({**BINARY, "types": {"x": object()}}, "Monitor: types.x: can't be a object"),
        ({**BINARY, "queue": 0}, "Monitor: queue: must be a whole number from 1 on, not 0"),
        ({**BINARY, "first_scrape_wait": "1m"}, "Monitor: first_scrape_wait: must be a number of"),
        ({**BINARY, "state": "x" * 200}, "Monitor: state: "),
    ],
)
def test_errors_name_the_argument(arguments: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match="Monitor") as raised:
        Monitor("m", **arguments)
    assert str(raised.value).startswith(error)


def test_one_name_has_one_monitor() -> None:
    hub = Hub(None, 0, 10)
    model = model_of("m", BINARY)
    hub.add(model)
    with pytest.raises(ValueError, match="'m' has a Monitor already"):
        hub.add(model)
    hub.close()


def test_a_baseline_says_which_features_and_scores_there_are() -> None:
    path = ROOT / "examples/flights/baseline.json"
    model = model_of("flights", {"task": "binary", "positive": "late", "baseline": path})
    assert model.fields.scores
    assert model.fields.features is not None
    # In the example's log they are deeper; in a call each has its own name.
    assert all(name == found for name, found in model.fields.features.items())


def test_what_a_baseline_watches_of_a_text_is_of_the_text(tmp_path: Path) -> None:
    comments = Field("feature", "comment_length"), Field("feature", "age")
    wanted = Request(
        *("m", None, {PREDICTION: "category"}),
        paths=dict(zip(comments, ("inputs.comment", "inputs.age"), strict=True)),
        bins=10,
        categories=50,
        extracted={comments[0]: "length"},
    )
    columns = {PREDICTION: Column(["1"] * 60), **{key: Column([3.0] * 60) for key in comments}}
    path = tmp_path / "baseline.json"
    path.write_bytes(encode(build(lambda: [Batch(60, columns)], wanted)))
    model = model_of("m", {**BINARY, "baseline": path})
    assert model.fields.features == {"comment_length": "comment", "age": "age"}
    assert model.fields.extracted == {"comment_length": "length"}
    read = layout_of(model, None, "json")
    assert read.fields[comments[0]] == "request.comment"
    assert read.extracted == {comments[0]: "length"}
    (lines,) = Writer(model).write([(False, (["abc", 5], "1", None, None, None, None, 1.0))])
    assert b'"comment":"abc","age":5' in lines.data


def test_what_may_be_said_in_python() -> None:
    said = {"task": "multiclass", "score": ("a", 1), "features": ["x"], "version": "3"}
    model = model_of("m", said)
    assert list(model.fields.scores) == ["a", "1"]
    assert model.fields.features == {"x": "x"}
    assert model.version == "3"
