"""One version of a model: what it counts, learns and costs."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest

from ml_exporter import config
from ml_exporter.baseline import Baseline
from ml_exporter.batch import ABSENT, LABEL, PREDICTION, Batch, Column, Field
from ml_exporter.formats import Layout
from ml_exporter.monitors.fields import FieldValues
from ml_exporter.monitors.figures import baseline_performance
from ml_exporter.profiling import build
from ml_exporter.versions import (
    Budget,
    Version,
    dump_rows,
    learnable,
    load_rows,
    request,
    without_labels_yet,
)

X, Z = Field("feature", "x"), Field("feature", "z")
CONFIG = """\
models:
  - name: m
    task: binary
    positive: a
    source: {type: file, path: log.jsonl}
    fields: {prediction: p, label: y, features: [x, z]}
    learn: {rows: 50}
"""


@pytest.fixture
def model(tmp_path: Path) -> config.Model:
    path = tmp_path / "ml-exporter.yml"
    path.write_text(CONFIG)
    (model,) = config.load(path).models
    return model


def batch(rows: int, **columns: list[object]) -> Batch:
    keys = {"p": PREDICTION, "y": LABEL, "x": X, "z": Z}
    given = {keys[name]: Column(values * (rows // len(values))) for name, values in columns.items()}
    return Batch(rows, {PREDICTION: Column(["a", "b"] * (rows // 2))} | given)


def made(model: config.Model) -> Baseline:
    rows = batch(60, x=[1.0, 2.0, 3.0], z=["u", "v"], y=["a", "a", "b"])
    return build(lambda: [rows], request(model, "1", config.Limits()))


class TestBudget:
    def test_is_taken_from_as_far_as_it_goes(self) -> None:
        budget = Budget(10)
        assert budget.take(6)
        assert not budget.take(5)
        assert budget.take(4)
        assert (budget.left, budget.suppressed) == (0, 5)
        budget.give_back(6, 5)
        assert (budget.left, budget.suppressed) == (6, 0)


class TestSeries:
    @pytest.mark.parametrize("left_out", [0, 1])
    def test_are_exposed_as_far_as_the_budget_goes(
        self, model: config.Model, left_out: int
    ) -> None:
        baseline = msgspec.structs.replace(made(model), components=None)
        costs = [FieldValues.series(field) for field in baseline.fields]
        budget = Budget(sum(costs) - left_out)
        version = Version(model, "1", None, config.Limits(), budget)
        version.judge_by(baseline, "file")
        fields = {
            (labels[3], labels[4])
            for family in version.families
            if family.name == "ml_field_values_total"
            for labels in family.label_sets
        }
        assert len(fields) == len(baseline.fields) - left_out
        assert budget.suppressed == (costs[-1] if left_out else 0)
        version.withdraw()
        assert (budget.left, budget.suppressed) == (sum(costs) - left_out, 0)

    def test_are_of_what_is_read(self, model: config.Model) -> None:
        version = Version(model, "1", [PREDICTION, X], config.Limits(), Budget(1000))
        version.judge_by(made(model), "file")
        fields = {
            labels[4]
            for family in version.families
            if family.name == "ml_field_values_total"
            for labels in family.label_sets
        }
        assert fields == {"prediction", "x", "label"}

    def test_of_expected_outcomes_are_there_from_the_start(self, model: config.Model) -> None:
        version = Version(model, "1", None, config.Limits(), Budget(1000))
        (outcomes,) = (f for f in version.families if f.name == "ml_outcomes_total")
        assert outcomes.label_sets == [("m", "1", "a", "a", "true")]
        version.judge_by(made(model), "learned")
        assert [labels[2:] for labels in outcomes.label_sets] == [
            ("a", "a", "true"),
            ("a", "b", "false"),
            ("b", "a", "false"),
            ("b", "b", "true"),
        ]


class TestClasses:
    def test_that_were_restored_count_towards_the_limit(self, model: config.Model) -> None:
        version = Version(model, "1", None, config.Limits(categories=3), Budget(1000))
        (outcomes,) = (f for f in version.families if f.name == "ml_outcomes_total")
        outcomes.restore(("", "m", "1", "b", "c", "false"), 2)
        version.resume()
        version.update_labelled(batch(2, y=["d"], p=["a"]))
        version.update_labelled(batch(2, y=["c"], p=["a"]))
        new = {labels[2:]: outcomes.value(*labels[2:]) for labels in outcomes.label_sets}
        assert new == {
            ("a", "a", "true"): 0,
            ("b", "c", "false"): 2,
            ("<other>", "a", "false"): 2,
            ("c", "a", "false"): 2,
        }


def test_performance_of_the_baseline_is_that_of_its_outcomes(model: config.Model) -> None:
    figures, by_class = baseline_performance(made(model), "a")
    assert figures["accuracy"] == 0.5
    assert set(by_class) == {"a", "b"}
    assert baseline_performance(None, "a") == ({}, {})


class TestRows:
    @pytest.mark.parametrize(
        "values",
        [
            [1, 2.5, -0.0, 1e300],
            ["a", "", "é\n\0", "<x>"],
            [None, True, ABSENT, ABSENT],
            [{"a": [1]}, [1, None], float("inf"), 2**70],
        ],
    )
    @pytest.mark.parametrize("text", [False, True])
    def test_are_kept_as_they_are(self, values: list[object], text: bool) -> None:
        rows = Batch(4, {X: Column(values, text)})
        again = load_rows(dump_rows(rows))
        assert again == rows
        assert [type(value) for value in again.fields[X].values] == list(map(type, values))

    def test_that_are_not_numbers_are_kept_too(self) -> None:
        (value,) = load_rows(dump_rows(Batch(1, {X: Column([float("nan")])}))).fields[X].values
        assert math.isnan(value)  # type: ignore[arg-type]

    def test_without_labels_yet_have_no_label(self) -> None:
        rows = batch(2, y=[None])
        rows.extra["new"] = [True, False]  # type: ignore[index]
        assert LABEL not in without_labels_yet(rows).fields
        assert without_labels_yet(rows).extra == rows.extra
        labelled = batch(2, y=[None, "a"])
        assert without_labels_yet(labelled) is labelled


class TestLearnable:
    """Rows of several chunks have the same fields in the same order."""

    def fields(self, batches: list[Batch], layout: Layout) -> list[str]:
        found = {tuple(key.name for key in one.fields) for one in learnable(batches, layout)}
        (names,) = found
        return list(names)

    def test_fields_are_those_that_are_read(self) -> None:
        layout = Layout({PREDICTION: "p", X: "x", Z: "z"})
        assert self.fields([batch(2, z=[1]), batch(2, x=[1])], layout) == ["prediction", "x", "z"]

    def test_labels_are_there_if_any_row_has_one(self) -> None:
        layout = Layout({PREDICTION: "p", LABEL: "y", X: "x"})
        none, one = batch(2, y=[None], x=[1]), batch(2, y=[None, "a"], x=[1])
        assert self.fields([none, none], layout) == ["prediction", "x"]
        assert self.fields([none, one], layout) == ["prediction", "label", "x"]

    @pytest.mark.parametrize("turned", [False, True])
    def test_what_is_discovered_is_sorted(self, turned: bool) -> None:
        layout = Layout({PREDICTION: "p"}, discover=True)
        batches = [batch(2, z=[1], x=[ABSENT]), batch(2, x=[1])]
        names = self.fields(batches[::-1] if turned else batches, layout)
        assert names == ["prediction", "x", "z"]

    def test_what_no_row_has_is_left_out(self) -> None:
        layout = Layout({PREDICTION: "p"}, discover=True)
        assert self.fields([batch(2, x=[ABSENT])], layout) == ["prediction"]

    def test_what_is_no_longer_read_is_left_out(self) -> None:
        assert self.fields([batch(2, x=[1])], Layout({PREDICTION: "p"})) == ["prediction"]


def test_a_request_names_paths_and_types(tmp_path: Path) -> None:
    path = tmp_path / "ml-exporter.yml"
    text = CONFIG.replace("features: [x, z]", "features: {x: in.x}")
    path.write_text(text + "    types: {x: category}\n")
    (model,) = config.load(path).models
    asked = request(model, "1", config.Limits())
    assert asked.types == {PREDICTION: "category", LABEL: "category", X: "category"}
    assert asked.paths == {X: "in.x"}
