"""One version of a model: what it counts, learns and costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ml_exporter.baseline.baseline import Baseline
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import LABEL, PREDICTION, Batch, Field
from ml_exporter.columns import Column
from ml_exporter.config import config
from ml_exporter.monitors.figures import baseline_performance
from ml_exporter.monitors.selection import cost
from ml_exporter.pipeline.given_baselines import request
from ml_exporter.pipeline.version import Budget, Version

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


def exposed_in_any_case(model: config.Model, baseline: Baseline) -> int:
    version = Version(model, "1", None, config.Limits(), Budget(0))
    version.judge_by(baseline, "file")
    return sum(map(len, version.families))


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
        baseline = replace(made(model), components=None)
        costs = [cost(field) for field in baseline.fields]
        limit = exposed_in_any_case(model, baseline) + sum(costs) - left_out
        budget = Budget(limit)
        version = Version(model, "1", None, config.Limits(), budget)
        version.judge_by(baseline, "file")
        fields = {
            (labels[3], labels[4])
            for family in version.families
            if family.name == "ml_field_values_total"
            for labels in family.label_sets
        }
        assert len(fields) == len(baseline.fields) - left_out
        assert (budget.suppressed >= costs[-1]) is bool(left_out)
        version.withdraw()
        assert (budget.left, budget.suppressed) == (limit, 0)

    @pytest.mark.parametrize("limit", range(50, 400, 25))
    def test_are_no_more_than_the_budget_allows(self, model: config.Model, limit: int) -> None:
        baseline = made(model)
        budget = Budget(limit)
        version = Version(model, "1", None, config.Limits(), budget)
        version.judge_by(baseline, "file")
        there = sum(map(len, version.families))
        assert there <= max(limit, exposed_in_any_case(model, baseline))
        assert budget.left == limit - there

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
