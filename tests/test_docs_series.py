"""docs/series.md has every series, with its kind and labels."""

import re

import pytest

from ml_exporter.baseline.profiling import build
from ml_exporter.batch import LABEL, PREDICTION, SCORE, Batch, Field
from ml_exporter.columns import Column
from ml_exporter.config.config import load
from ml_exporter.config.line_log import DeadLetters, LineLog
from ml_exporter.families import Family
from ml_exporter.monitors.exporter import ExporterInfo
from ml_exporter.monitors.fields import FieldValues
from ml_exporter.monitors.observations import DroppedObservations
from ml_exporter.monitors.probes import Probes
from ml_exporter.pipeline.dead_letters import DeadLetterLog
from ml_exporter.pipeline.given_baselines import given_baselines, request
from ml_exporter.pipeline.line_writer import NOTABLE, LineWriter
from ml_exporter.pipeline.pipeline import Pipeline
from ml_exporter.pipeline.version import Budget
from ml_exporter.service.proxied import Proxied
from ml_exporter.sources.capture import Attachment
from ml_exporter.store.store import Store
from tests.support import ROOT

PAGE = (ROOT / "docs/series.md").read_text()
ROW = re.compile(r"^\| `(ml_\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)
OF_MODEL = {"`model`", "`version`", "`baseline_id`", "`le`"}
WITH_OPTIONAL_LABELS = {"ml_baseline_performance", "ml_threshold"}


# Models that have what the example hasn't.
MODELS = """
models:
  - name: prices
    task: regression
    source: {type: file, path: prices.jsonl}
    fields:
      prediction: p
      label: y
      features: {area: x, city: c}
      attributions: {area: a}
    segments: [city]
    constraints: {area: {min: 0}}
    outcome_values: {currency: EUR, overprediction: -1}
  - name: loans
    task: binary
    positive: 1
    source: {type: file, path: loans.jsonl}
    fields: {prediction: p, score: s, label: y, features: {area: x, city: c}}
    segments: [{field: city, protected: true}]
    mute: [{fields: [city]}]
    wait: 2d
    notable: true
  - name: offers
    task: regression
    source: {type: proxy, path: /offers, probe_rate: 1}
    fields: {prediction: p, features: {area: x, city: c}}
  - name: films
    task: multiclass
    source: {type: file, path: films.jsonl}
    fields: {prediction: p, ranked: {path: items}, label: y}
  - name: assistant
    task: multiclass
    source: {type: proxy, path: /v1/chat/completions}
    fields: {prediction: finish_reason}
"""


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory, pipeline: Pipeline) -> list[Family]:
    """All that there is of models, with a baseline that has all there can be."""
    path = tmp_path_factory.mktemp("models") / "ml-exporter.yml"
    path.write_text(MODELS)
    config = load(path)
    proxied = Proxied(Attachment(path=path))
    proxied.follow({"credit": "1"})
    found = [*ExporterInfo().families, *DroppedObservations().families, *proxied.families]
    found += Probes().families
    found += [
        *LineWriter(NOTABLE, LineLog(None)).families,
        *DeadLetterLog(DeadLetters(None)).families,
    ]
    found += pipeline.families
    for model in config.models:
        given = {None: build(lambda: [rows(400)], request(model, None, config.limits))}
        budget = Budget(10_000)
        store = Store(None)
        made = Pipeline(
            model, config.limits, store, given, follow=False, start="start", budget=budget
        )
        found += made.families
    return found


def rows(number: int) -> Batch:
    truth = [row % 2 for row in range(number)]
    guess = [row % 7 % 2 for row in range(number)]
    numbers = [float(row % 11) for row in range(number)]
    return Batch(
        number,
        {
            PREDICTION: Column(guess),
            LABEL: Column(truth),
            SCORE: Column([value / 11 for value in numbers]),
            Field("feature", "area"): Column(numbers),
            Field("feature", "city"): Column(["ab"[row % 2] for row in range(number)]),
            Field("attribution", "area"): Column(numbers),
        },
    )


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    config = load(ROOT / "examples/flights/ml-exporter.yml")
    (model,) = config.models
    store = Store(None)
    given = given_baselines(model)
    return Pipeline(
        model, config.limits, store, given, follow=False, start="start", budget=Budget(10_000)
    )


def test_every_series_is_on_the_page(families: list[Family]) -> None:
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
        cost = 4 * len(named) + 30 if field.edges else 2 * len(named) + 22
        assert FieldValues.series(field) == cost, field.name
