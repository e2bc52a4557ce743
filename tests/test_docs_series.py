"""docs/series.md has every series, with its kind and labels."""

import re

import pytest

from ml_exporter.config import load
from ml_exporter.families import Family
from ml_exporter.monitors.exporter import ExporterInfo
from ml_exporter.monitors.fields import FieldValues
from ml_exporter.pipeline import Pipeline
from ml_exporter.store import Store
from ml_exporter.versions import Budget, given_baselines
from tests.support import ROOT

PAGE = (ROOT / "docs/series.md").read_text()
ROW = re.compile(r"^\| `(ml_\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)
OF_MODEL = {"`model`", "`version`", "`baseline_id`", "`le`"}
WITH_OPTIONAL_LABELS = {"ml_baseline_performance", "ml_threshold"}


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    config = load(ROOT / "examples/flights/ml-exporter.yml")
    (model,) = config.models
    store = Store(None)
    given = given_baselines(model)
    return Pipeline(
        model, config.limits, store, given, follow=False, start="start", budget=Budget(10_000)
    )


def test_every_series_is_on_the_page(pipeline: Pipeline) -> None:
    families: list[Family] = [*ExporterInfo().families, *pipeline.families]
    documented = {name: (kind, set(labels.split())) for name, kind, labels in ROW.findall(PAGE)}
    assert documented.keys() == {family.name for family in families}
    for family in families:
        kind, labels = documented[family.name]
        assert family.kind == kind, family.name
        if family.name not in WITH_OPTIONAL_LABELS:
            of_family = {f"`{name}`" for name in family.label_names}
            assert of_family - labels <= OF_MODEL, family.name
            assert labels <= of_family, family.name


def test_the_cost_of_a_field_is_as_told(pipeline: Pipeline) -> None:
    (baseline,) = pipeline.baselines.values()
    for field in baseline.fields:
        named = [bin for bin in field.bins if not bin.startswith("<")]
        cost = 3 * len(named) + 29 if field.edges else 2 * len(named) + 19
        assert FieldValues.series(field) == cost, field.name
