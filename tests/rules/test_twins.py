"""Every figure that a real Prometheus records equals its twin in statistics/, on real data.

Two replicas share the rows of the examples' models unevenly; a third one judges them by another
baseline and by stricter thresholds. The rows are drifted: some flights are of the stormy weeks,
and all penguins in the log come from their own islands. A fourth replica has fields that
there is little to say of.
"""

from __future__ import annotations

import math
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sklearn.datasets import load_breast_cancer

from ml_exporter.baseline.baseline import Request, encode
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import Batch, Field, FieldType
from ml_exporter.columns import Column
from ml_exporter.commands.once import run_once
from ml_exporter.commands.training import profile
from ml_exporter.config.config import load
from ml_exporter.config.thresholds import EFFECTS, Threshold
from ml_exporter.demo.stream import write_log
from ml_exporter.exposition import render
from ml_exporter.families import freeze
from ml_exporter.monitors.fields import FieldValues
from ml_exporter.monitors.thresholds import Thresholds
from ml_exporter.rules import Timing
from ml_exporter.rules.constancy import WINDOWS as JUDGED_WINDOWS
from ml_exporter.statistics import constancy, drift, effects, performance
from tests.rules.targets import Prometheus, Targets, prometheus
from tests.support import ROOT, wait_until

# All rows come at once, and both windows are long enough to keep them.
TIMING = Timing.shortened(5, **{"1h": 300, "24h": 600, "7d": 1200})
SCRAPE = 1.0
WINDOWS = ("1h", "24h")
SHARES = {
    "missing": ("<missing>",),
    "invalid": ("<invalid>",),
    "out_of_range": ("<below>", "<above>"),
    "unseen": ("<other>",),
}
RANKED = "ml_field_baseline_rank"

Labels = Mapping[str, str]
Sample = tuple[dict[str, str], float]
Figures = dict[tuple[str, ...], float]  # by the values of some labels


@dataclass
class Exposed:
    """What all replicas expose together, when every row is counted."""

    samples: dict[str, list[Sample]]

    def total(self, name: str, *labels: str) -> Figures:
        sums: Figures = defaultdict(float)
        for of_sample, value in self.samples[name]:
            sums[tuple(of_sample[label] for label in labels)] += value
        return sums

    def gauge(self, name: str, *labels: str) -> Figures:
        return {tuple(of[label] for label in labels): value for of, value in self.samples[name]}


def replicas(folder: Path) -> dict[str, tuple[str, str]]:
    """For each replica its exposition before and after it has read its rows."""
    flights = ROOT / "examples/flights"
    made = folder / "made"
    made.mkdir()
    write_log(made / "calm.jsonl", made / "calm-labels.jsonl", 900, rate=1)
    write_log(
        made / "storm.jsonl", made / "storm-labels.jsonl", 600, drifted=True, first=900, rate=1
    )
    log = (made / "calm.jsonl").read_text() + (made / "storm.jsonl").read_text()
    labels = (made / "calm-labels.jsonl").read_text() + (made / "storm-labels.jsonl").read_text()
    rows, truth = log.splitlines(keepends=True), labels.splitlines(keepends=True)
    # A carrier that nobody knows, and temperatures from another planet.
    rows[::40] = [row.replace('"carrier":"', '"carrier":"X') for row in rows[::40]]
    rows[7::50] = [row.replace('"temp":', '"temp":1e3,"_":') for row in rows[7::50]]
    head, *birds = (ROOT / "examples/penguins/log.csv").read_text().splitlines(keepends=True)

    expositions = {}
    shares = {"a": slice(0, 1000), "b": slice(1000, 1200), "c": slice(1200, None)}
    of_birds = {"a": slice(0, 120), "b": slice(120, 140), "c": slice(140, None)}
    for name, share in shares.items():
        replica = folder / name
        shutil.copytree(flights, replica / "flights")
        shutil.copytree(ROOT / "examples/penguins", replica / "penguins")
        config = merged_configuration(replica, strict=name == "c")
        if name == "c":  # another baseline, of other rows
            training = (flights / "training.jsonl").read_text().splitlines(keepends=True)
            other = replica / "other.jsonl"
            other.write_text("".join(training[:600]))
            model = load(config).models[0]
            made_baseline, _ = profile(model, load(config).limits, str(other), "jsonl")
            (replica / "flights/baseline.json").write_bytes(encode(made_baseline))
        logs = {
            "flights/logs/predictions.jsonl": ("", "".join(rows[share])),
            "flights/labels/arrivals.jsonl": ("", "".join(truth[share])),
            "penguins/log.csv": (head, head + "".join(birds[of_birds[name]])),
        }
        texts = []
        for moment in (0, 1):
            for path, contents in logs.items():
                (replica / path).write_text(contents[moment])
            samples, errors = run_once(load(config))
            assert errors == {}
            texts.append(samples.decode())
        expositions[name] = (texts[0], texts[1])
    poor = [*poor_fields("poor", 300, 269), *poor_fields("scarce", 30, 269)]
    poor += poor_fields("idle", 300, 0)
    expositions["d"] = ("".join(one[0] for one in poor), "".join(one[1] for one in poor))
    return expositions


def poor_fields(model: str, baseline_rows: int, rows: int) -> Iterator[tuple[str, str]]:
    """Fields of real tumours, and such as hardly vary, before and after rows of the same kind."""
    tumours = load_breast_cancer().data[np.random.default_rng(1).permutation(569)]
    columns: dict[str, list[object]] = {
        "constant": [5.0] * 569,
        "missing": [None] * 569,
        "two values": [float(row % 50 == 0) for row in range(569)],
        "begins to vary": [float(row == 400) for row in range(569)],
        "one category": ["a"] * 569,
        "radius": tumours[:, 0].tolist(),
        "concavity": tumours[:, 6].tolist(),
    }
    fields = {Field("feature", name): Column(values) for name, values in columns.items()}
    batch = Batch(569, fields)
    types: dict[Field, FieldType] = {Field("feature", "missing"): "number"}
    request = Request(model, None, types=types, paths={}, bins=12, categories=50)
    baseline = build(lambda: [batch.slice(0, baseline_rows)], request)
    limits = [Threshold(effect, "warning", 0.05) for effect in EFFECTS]
    monitors = (
        FieldValues(model, "1", baseline, baseline.fields, 0.01),
        Thresholds(model, "1", baseline, {}, limits, (), 0.01),
    )
    texts = []
    for counted in (batch.slice(0, 0), batch.slice(300, 300 + rows)):
        monitors[0].update(counted)
        samples = freeze([family for one in monitors for family in one.families])
        texts.append(render(samples).decode())
    yield texts[0], texts[1]


def merged_configuration(folder: Path, strict: bool) -> Path:
    """Both examples in one file; `strict` has lower limits of drift and higher ones of accuracy."""
    models = []
    for name in ("flights", "penguins"):
        _, _, model = (folder / name / "ml-exporter.yml").read_text().partition("models:\n")
        model = model.replace("path: ", f"path: {name}/").replace(
            "baseline.json", f"{name}/baseline.json"
        )
        models.append(model)
    if strict:
        models[0] = models[0].replace(
            "psi: {", "accuracy: {critical: 0.99}\n      psi: {warning: 0.01, "
        )
    path = folder / "ml-exporter.yml"
    path.write_text("models:\n" + "".join(models))
    return path


@pytest.fixture(scope="module")
def expositions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    return replicas(tmp_path_factory.mktemp("replicas"))


@pytest.fixture(scope="module")
def exposed(expositions: dict[str, tuple[str, str]]) -> Exposed:
    samples: dict[str, list[Sample]] = defaultdict(list)
    for _, text in expositions.values():
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                samples[sample.name].append((dict(sample.labels), sample.value))
    return Exposed(samples)


@pytest.fixture(scope="module", params=["prometheus", "prometheus-2.42/prometheus"])
def recorded(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    expositions: dict[str, tuple[str, str]],
    exposed: Exposed,
) -> Iterator[Prometheus]:
    """A Prometheus that has recorded all figures of all rows."""
    folder = tmp_path_factory.mktemp("twins")
    answers = {name: [before] for name, (before, _) in expositions.items()}
    with (
        Targets(answers).serving() as targets,
        prometheus(request.param, folder, TIMING, SCRAPE) as server,
    ):
        server.count(targets, TIMING, {name: after for name, (_, after) in expositions.items()})
        values = sum(exposed.total("ml_field_values_total").values())
        labelled = exposed.total("ml_labelled_predictions_total", "model")

        def complete() -> bool:
            return all(
                server.query(f"sum(field:rows:{window})") == [({}, values)]
                and server.by("model", f"model:labelled_predictions:{window}")
                == {model: rows for (model,), rows in labelled.items()}
                for window in WINDOWS
            )

        wait_until(complete, 150, "all rows")
        scrapes = targets.scrapes["a"]
        # What is made of them follows within a few evaluations.
        wait_until(lambda: targets.scrapes["a"] > scrapes + 30 / SCRAPE, 120, "all figures")
        yield server


def figures(server: Prometheus, name: str, *labels: str) -> Figures:
    return {tuple(of.get(label, "") for label in labels): v for of, v in server.query(name)}


def defined(expected: Mapping[tuple[str, ...], float]) -> Figures:
    """A twin is NaN where its rule has no sample."""
    return {key: value for key, value in expected.items() if not math.isnan(value)}


def assert_equal(found: Figures, expected: Mapping[tuple[str, ...], float]) -> None:
    assert found == pytest.approx(defined(expected), rel=1e-9, abs=1e-12)


FIELD = ("model", "role", "field", "baseline_id")


def field_twins(exposed: Exposed, window: str) -> dict[str, Figures]:
    """All figures of each field, by the functions of statistics/drift.py."""
    counts = exposed.total("ml_field_values_total", *FIELD, "bin")
    ratios = exposed.gauge("ml_field_baseline_ratio", *FIELD, "bin")
    rows = exposed.gauge("ml_field_baseline_rows", *FIELD)
    ranks = exposed.gauge(RANKED, *FIELD, "bin")
    distances = exposed.gauge("ml_field_baseline_distance", *FIELD, "bin")
    critical = exposed.gauge("ml_field_critical_value", *FIELD, "test", "window")
    twins: dict[str, Figures] = defaultdict(dict)
    for field, baseline_rows in rows.items():
        bins = [key[-1] for key in ratios if key[:-1] == field]
        w = np.array([counts[(*field, bin)] for bin in bins])
        r = np.array([ratios[(*field, bin)] * baseline_rows for bin in bins])
        ranked = [bin for bin in bins if (*field, bin) in ranks]
        statistics = {"g_statistic": drift.g_statistic(w, r)}
        sizes = {
            "psi": drift.psi(w, r),
            "js_distance": effects.js_distance(w, r),
            "total_variation": effects.total_variation(w, r),
            "l_infinity": (l_infinity := effects.l_infinity(w, r)),
            "l_infinity_robust": effects.robust(l_infinity, w.sum(), r.sum()),
        }
        if ranked:
            at = [bins.index(bin) for bin in ranked]
            wr, rr, rank = w[at], r[at], np.array([ranks[(*field, bin)] for bin in ranked])
            sizes["location_shift"] = drift.location_shift(wr, rr, rank)
            sizes["ks"] = effects.ks(wr, rr)
            sizes["ks_robust"] = effects.robust(sizes["ks"], wr.sum(), rr.sum())
            to_next = [distances[(*field, bin)] for bin in ranked[:-1]]
            sizes["wasserstein"] = effects.wasserstein(wr, rr, to_next)
            statistics["location_z"] = drift.location_z(wr, rr, rank)
            statistics["scale_z"] = drift.scale_z(wr, rr, rank)
        else:
            statistics["category_z"] = drift.category_z(w, r)
        for name, broken in SHARES.items():
            if not set(broken) & set(bins):
                continue
            count, before = (
                float(sum(values[bins.index(bin)] for bin in broken if bin in bins))
                for values in (w, r)
            )
            twins[f"{name}_ratio"][field] = count / w.sum() if w.sum() else math.nan
            statistics[f"{name}_z"] = drift.share_z(count, w.sum(), before, r.sum())
        for name, value in (sizes | statistics).items():
            twins[name][field] = value
        limits = {
            test: critical[(*field, test, window)]
            for test in drift.STATISTICS
            if (*field, test, window) in critical
        }
        by_test = {
            test: statistics[statistic]
            for test, statistic in drift.STATISTICS.items()
            if statistic in statistics
        }
        twins["significance"][field] = drift.significance(by_test, limits)
    return twins


@pytest.mark.parametrize("window", WINDOWS)
def test_fields(recorded: Prometheus, exposed: Exposed, window: str) -> None:
    twins = field_twins(exposed, window)
    baselines = {(field[0], field[-1]) for field in twins["psi"]}
    assert len(baselines) == 6  # of five models, one of which has two
    for name, expected in twins.items():
        assert_equal(figures(recorded, f"field:{name}:{window}", *FIELD), expected)


@pytest.mark.parametrize("window", JUDGED_WINDOWS)
def test_fields_that_do_not_vary(recorded: Prometheus, exposed: Exposed, window: str) -> None:
    counts = exposed.total("ml_field_values_total", *FIELD, "bin")
    ratios = exposed.gauge("ml_field_baseline_ratio", *FIELD, "bin")
    expected: Figures = {}
    for field, rows in exposed.gauge("ml_field_baseline_rows", *FIELD).items():
        bins = [bin for *of, bin in ratios if tuple(of) == field]
        plain = [bin for bin in bins if not bin.startswith("<")]
        others = {*bins} - {*plain, "<missing>", "<invalid>"}

        def side(of: Figures, plain: list[str] = plain, others: set[str] = others) -> list[float]:
            values = {bin: value for (*_, bin), value in of.items()}
            return [*(values[bin] for bin in plain), sum(values[bin] for bin in others)]

        w = {key: counts[key] for key in ratios if key[:-1] == field}
        r = {key: ratio * rows for key, ratio in ratios.items() if key[:-1] == field}
        expected[field] = constancy.constant_z(side(w), side(r))
    found = figures(recorded, f"field:constant_z:{window}", *FIELD)
    assert ("poor", "feature", "constant") in {key[:3] for key in found}
    # Rounding of what should be 0 has a root.
    assert found == pytest.approx(defined(expected), rel=1e-6, abs=1e-4)


@pytest.mark.parametrize("window", WINDOWS)
def test_drifted_fields(recorded: Prometheus, exposed: Exposed, window: str) -> None:
    twins = field_twins(exposed, window)
    drifted: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for field, significance in defined(twins["significance"]).items():
        model, role, name, _ = field
        drifted[model] |= set()
        size = {of: abs(twins[of].get(field, 0)) for of in EFFECTS}
        limits = {of: strictest(exposed, model, of, role, name) for of in size}
        if significance > 1 and any(size[of] > limits[of] for of in size):
            drifted[model].add((role, name))
    expected: Figures = {(model,): float(len(fields)) for model, fields in drifted.items()}
    assert expected[("flight-delays",)] > 2
    assert_equal(figures(recorded, f"model:drifted_fields:{window}", "model"), expected)


@pytest.mark.parametrize("window", WINDOWS)
def test_multivariate_drift(recorded: Prometheus, exposed: Exposed, window: str) -> None:
    significance = defined(field_twins(exposed, window)["significance"])
    expected: Figures = {}
    for (model, role, *_), value in significance.items():
        if role == "component":
            expected[(model,)] = max(value, expected.get((model,), 0.0))
    assert expected.keys() == {("flight-delays",), ("penguins",)}
    assert_equal(figures(recorded, f"model:multivariate_drift:{window}", "model"), expected)
    labels = ("model", "component", "field", "bin", "baseline_id")
    loadings = exposed.gauge("ml_component_loading", *labels)
    assert_equal(figures(recorded, "component:loading", *labels), loadings)


def strictest(exposed: Exposed, model: str, monitor: str, role: str, field: str) -> float:
    """The lowest warning threshold, of the field itself where it has one."""
    rows = [
        (of.get("field"), value)
        for of, value in exposed.samples["ml_threshold"]
        if (of["model"], of["monitor"], of["severity"]) == (model, monitor, "warning")
        and of.get("role", role) == role
    ]
    own = [value for name, value in rows if name == field]
    return min(own or [value for name, value in rows if name is None], default=math.inf)


@pytest.mark.parametrize("window", WINDOWS)
def test_fields_that_hardly_vary_are_no_alarm(recorded: Prometheus, window: str) -> None:
    poor = '{model=~"poor|scarce|idle"}'
    drifted = figures(recorded, f"model:drifted_fields:{window}{poor}", "model")
    assert drifted == {("poor",): 0, ("scarce",): 0}  # of no rows nothing can be said
    significance = figures(recorded, f"field:significance:{window}{poor}", "model", "field")
    assert len(significance) == 14
    assert max(significance.values()) < 1


def test_no_figure_is_nan(recorded: Prometheus) -> None:
    recorded_figures = recorded.query('{__name__=~".+:.+"}')
    assert [labels for labels, value in recorded_figures if not math.isfinite(value)] == []


@pytest.mark.parametrize("window", WINDOWS)
def test_performance(recorded: Prometheus, exposed: Exposed, window: str) -> None:
    cells = exposed.total("ml_outcomes_total", "model", "actual", "predicted")
    positive = {of["model"]: of["positive"] or None for of, _ in exposed.samples["ml_model_info"]}
    of_model: dict[str, Figures] = defaultdict(dict)
    of_class: dict[str, Figures] = defaultdict(dict)
    for model, positive_class in positive.items():
        classes = sorted({name for m, *names in cells if m == model for name in names})
        confusion = [[cells[(model, a, p)] for p in classes] for a in classes]
        for metric, value in performance.figures(confusion, classes, positive_class).items():
            of_model[metric][(model,)] = value
        for name, values in performance.class_figures(confusion, classes).items():
            for metric, value in values.items():
                of_class[metric][(model, name)] = value
    assert of_model["accuracy"].keys() == {("flight-delays",), ("penguins",)}
    for metric, expected in of_model.items():
        assert_equal(figures(recorded, f"model:{metric}:{window}", "model"), expected)
    for metric, expected in of_class.items():
        assert_equal(figures(recorded, f"class:{metric}:{window}", "model", "class"), expected)
    predictions = exposed.total("ml_predictions_total", "model")
    assert_equal(figures(recorded, f"model:predictions:{window}", "model"), predictions)


def test_of_thresholds_that_differ_the_stricter_holds(recorded: Prometheus) -> None:
    accuracy = figures(recorded, 'model:threshold{monitor="accuracy",severity="critical"}', "model")
    assert accuracy[("flight-delays",)] == 0.99
    psi = figures(
        recorded, 'field:threshold{monitor="psi",severity="warning",field="distance"}', "model"
    )
    assert psi == {("flight-delays",): 0.01}
