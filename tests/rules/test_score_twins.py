"""Every figure of scores and ranks that a real Prometheus records equals its twin in statistics/.

Two replicas share the rows of real models unevenly, and a third has another baseline. That an older
Prometheus records the same is promtool's to say.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from ml_exporter.baseline.labelled_baseline import (
    ScoreBins,
    score_counts,
    score_edges,
    score_key,
    score_ties,
)
from ml_exporter.batch import LABEL, Batch, Field
from ml_exporter.columns import Column
from ml_exporter.exposition import render
from ml_exporter.families import freeze
from ml_exporter.monitors import Monitor
from ml_exporter.monitors.ranks import ListRanks, ScoreRanks
from ml_exporter.monitors.scores import BaselineTies, LabelledScores, ScoreLosses
from ml_exporter.rules import Timing, ranks, scores
from ml_exporter.statistics import intervals
from ml_exporter.statistics import scores as twins
from tests.rules.targets import Prometheus, Targets, prometheus
from tests.support import wait_until

TIMING = Timing.shortened(2, **{"1h": 120, "24h": 240, "7d": 480})
SCRAPE = 0.5
WINDOWS = ("1h", "24h")
SHARES = {"a": slice(0, 300), "b": slice(300, 340), "c": slice(340, 560)}
BASELINES = {"a": "0a", "b": "0a", "c": "0b"}
ITEMS = [Field("ranked", str(number)) for number in (1, 2, 3)]

Sample = tuple[dict[str, str], float]
Figures = dict[tuple[str, ...], float]


def score_bins(batch: Batch, name: str, positive: str | None, bins: int) -> ScoreBins:
    """What a baseline would have of a class, were it made of these rows."""
    values = batch.fields[score_key(name, positive)].numbers.values
    of_class = np.array([label == name for label in batch.fields[LABEL].values])
    sides = values[of_class], values[~of_class]
    edges = score_edges(*sides, 1000 // bins)
    counts = [score_counts(side, edges) for side in sides]
    ties = score_ties(*sides, (sides[0].size, sides[1].size), edges)
    return ScoreBins(name, edges.tolist(), *(of.tolist() for of in counts), ties=ties.tolist())


def tumours() -> Batch:
    data = load_breast_cancer()
    weak = data.data[:, [4, 8, 9, 11]]
    scores = cross_val_predict(
        LogisticRegression(), weak, data.target, cv=3, method="predict_proba"
    )[:, 1]
    labels = ["benign" if target else "malignant" for target in data.target]
    return Batch(
        len(labels),
        {LABEL: Column(labels), score_key("benign", "benign"): Column(scores.tolist())},
    )


def rounded(batch: Batch) -> Batch:
    """With scores of three digits, many of which are the same, and several in a bin."""
    key = score_key("benign", "benign")
    values = batch.fields[key].numbers.values.round(3).tolist()
    return Batch(batch.rows, {LABEL: batch.fields[LABEL], key: Column(values)})


def digits() -> Batch:
    data = load_digits(n_class=4)
    model = LogisticRegression(C=1e-5)
    scores = cross_val_predict(model, data.data, data.target, cv=3, method="predict_proba")
    fields = {LABEL: Column([f"digit {target}" for target in data.target])}
    for target, column in enumerate(scores.T.tolist()):
        fields[Field("score", f"digit {target}")] = Column(column)
    return Batch(data.target.size, fields)


def healthy(batch: Batch) -> Batch:
    """Those rows that are of the positive class: half of the figures are undefined."""
    labels = batch.fields[LABEL].values
    return batch.take([row for row, label in enumerate(labels) if label == "benign"])


def shop() -> Batch:
    """Items bought, and three that were recommended."""
    order = np.argsort(np.random.default_rng(5).random((600, 8)), axis=1)
    fields = {LABEL: Column([f"item {n}" for n in (np.arange(600) % 3).tolist()])}
    for item, column in zip(ITEMS, order.T.tolist(), strict=False):
        fields[item] = Column([f"item {number}" for number in column])
    return Batch(600, fields)


def monitors_of(model: str, batch: Batch, positive: str | None, replica: str) -> list[Monitor]:
    if model == "shop":
        return [ListRanks(model, "1", ITEMS)]
    classes = [positive] if positive else [key.name for key in batch.fields if key != LABEL]
    fewer = replica == "c"
    sample = batch.take(range(int(fewer), batch.rows, 2))
    bins = [score_bins(sample, name, positive, 20 if fewer else 50) for name in classes]
    found: list[Monitor] = [
        LabelledScores(model, "1", positive, BASELINES[replica], bins),
        BaselineTies(model, "1", BASELINES[replica], bins),
        ScoreLosses(model, "1", classes, positive),
    ]
    return found if positive else [*found, ScoreRanks(model, "1", classes)]


@pytest.fixture(scope="module")
def expositions() -> dict[str, tuple[str, str]]:
    """For each replica its exposition before and after it has counted its rows."""
    models: list[tuple[str, Batch, str | None]] = [
        ("tumours", tumours(), "benign"),
        ("rounded", rounded(tumours()), "benign"),
        ("digits", digits(), None),
        ("healthy", tumours(), "benign"),
        ("shop", shop(), None),
    ]
    texts: dict[str, tuple[str, str]] = {}
    for replica, share in SHARES.items():
        found = [
            (model, batch, monitor)
            for model, batch, positive in models
            for monitor in monitors_of(model, batch, positive, replica)
        ]
        families = [family for *_, monitor in found for family in monitor.families]
        before = render(freeze(families)).decode()
        for model, batch, monitor in found:
            rows = healthy(batch) if model == "healthy" else batch
            monitor.update(rows.slice(share.start, share.stop))
        texts[replica] = before, render(freeze(families)).decode()
    return texts


@pytest.fixture(scope="module")
def exposed(expositions: dict[str, tuple[str, str]]) -> dict[str, list[Sample]]:
    samples: dict[str, list[Sample]] = defaultdict(list)
    for _, text in expositions.values():
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                samples[sample.name].append((dict(sample.labels), sample.value))
    return samples


@pytest.fixture(scope="module")
def recorded(
    tmp_path_factory: pytest.TempPathFactory,
    expositions: dict[str, tuple[str, str]],
    exposed: dict[str, list[Sample]],
) -> Iterator[Prometheus]:
    """A Prometheus that has recorded all figures of all rows."""
    answers = {name: [before] for name, (before, _) in expositions.items()}
    folder = tmp_path_factory.mktemp("scores")
    with (
        Targets(answers).serving() as targets,
        prometheus("prometheus", folder, TIMING, SCRAPE, "models", "scores") as server,
    ):
        server.count(targets, TIMING, {name: after for name, (_, after) in expositions.items()})
        rows = {
            counter.windows: sum(value for _, value in exposed[counter.name])
            for counter in (*scores.COUNTERS, *ranks.COUNTERS)
            if counter.name in exposed
        }

        def complete() -> bool:
            return all(
                server.query(f"sum({name}:{window})") == [({}, pytest.approx(value))]
                for name, value in rows.items()
                for window in WINDOWS
            )

        wait_until(complete, 60, "all rows")
        scrapes = targets.scrapes["a"]
        wait_until(lambda: targets.scrapes["a"] > scrapes + 20 / SCRAPE, 90, "all figures")
        yield server


def total(samples: Sequence[Sample], *labels: str) -> Figures:
    sums: Figures = defaultdict(float)
    for of_sample, value in samples:
        sums[tuple(of_sample[label] for label in labels)] += value
    return sums


def figures(server: Prometheus, name: str, *labels: str) -> Figures:
    return {tuple(of.get(label, "") for label in labels): v for of, v in server.query(name)}


def assert_equal(found: Figures, expected: Figures) -> None:
    """A twin is NaN where its rule has no sample."""
    defined = {key: value for key, value in expected.items() if not math.isnan(value)}
    assert defined
    assert found == pytest.approx(defined, rel=1e-9, abs=1e-12)


BINNED = ("model", "class", "baseline_id")
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def binned(exposed: dict[str, list[Sample]]) -> dict[tuple[str, ...], tuple[list[str], Arrays]]:
    """Bins of each class and baseline; their positives, negatives, sums of scores, and ties."""
    values = total(exposed["ml_labelled_score_values_total"], *BINNED, "actual", "bin")
    sums = total(exposed["ml_labelled_score_bin_sum_total"], *BINNED, "bin")
    ties = {
        tuple(labels[label] for label in (*BINNED, "bin")): chance
        for labels, chance in exposed["ml_score_baseline_ties"]
    }
    assert any(0.2 < chance < 0.8 for key, chance in ties.items() if key[0] == "rounded")
    bins: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for *key, bin in sums:
        bins[tuple(key)].append(bin)
    return {
        key: (
            names,
            (
                np.array([values[(*key, "true", bin)] for bin in names]),
                np.array([values[(*key, "false", bin)] for bin in names]),
                np.array([sums[(*key, bin)] for bin in names]),
                np.array([ties.get((*key, bin), 0.0) for bin in names]),
            ),
        )
        for key, names in bins.items()
    }


def auc_end(end: int) -> Callable[[Arrays], float]:
    def of(arrays: Arrays) -> float:
        positives, negatives = arrays[:2]
        auc = twins.roc_auc(positives, negatives)
        return intervals.auc(auc, positives.sum(), negatives.sum())[end]

    return of


def precision(arrays: Arrays) -> float:
    positives, negatives, _, ties = arrays
    return twins.average_precision(positives, negatives, ties)


def precision_end(end: int) -> Callable[[Arrays], float]:
    def of(arrays: Arrays) -> float:
        return intervals.average_precision(precision(arrays), arrays[0].sum())[end]

    return of


OF_BINS: dict[str, Callable[[Arrays], float]] = {
    "roc_auc": lambda arrays: twins.roc_auc(*arrays[:2]),
    "roc_auc_lower": auc_end(0),
    "roc_auc_upper": auc_end(1),
    "average_precision": precision,
    "average_precision_lower": precision_end(0),
    "average_precision_upper": precision_end(1),
    "expected_calibration_error": lambda arrays: twins.expected_calibration_error(*arrays[:3]),
}


def weighted(values: Sequence[tuple[float, float]]) -> float:
    """Mean of figures by rows; NaN where none is defined."""
    defined = [(value, rows) for value, rows in values if not math.isnan(value)]
    return sum(value * rows for value, rows in defined) / sum(rows for _, rows in defined) \
        if defined else math.nan  # fmt: skip


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("metric", OF_BINS)
def test_figures_of_bins(recorded, binned, metric: str, window: str) -> None:
    of_baseline = {key: OF_BINS[metric](arrays) for key, (_, arrays) in binned.items()}
    assert_equal(figures(recorded, f"score:{metric}:{window}", *BINNED), of_baseline)
    by_class: dict[tuple[str, ...], list[tuple[float, float]]] = defaultdict(list)
    for key, value in of_baseline.items():
        positives, negatives = binned[key][1][:2]
        by_class[key[:2]].append((value, positives.sum() + negatives.sum()))
    of_class = {key: weighted(values) for key, values in by_class.items()}
    assert_equal(figures(recorded, f"class:{metric}:{window}", "model", "class"), of_class)
    by_model: dict[tuple[str, ...], list[tuple[float, float]]] = defaultdict(list)
    for key, value in of_class.items():
        by_model[key[:1]].append((value, 1))
    of_model = {key: weighted(values) for key, values in by_model.items()}
    assert_equal(figures(recorded, f"model:{metric}:{window}", "model"), of_model)
    if metric.startswith("roc_auc"):
        assert math.isnan(of_model[("healthy",)])
        gini = {key: twins.gini(value) for key, value in of_model.items()}
        name = metric.replace("roc_auc", "gini")
        assert_equal(figures(recorded, f"model:{name}:{window}", "model"), gini)


CURVES = {
    "gain:population": "population",
    "gain:captured": "captured",
    "gain:lift": "lift",
    "curve:false_positive_rate": "false_positive_rate",
    "curve:precision": "precision",
}


@pytest.mark.parametrize("window", WINDOWS)
def test_curves(recorded, binned, window: str) -> None:
    for record, name in CURVES.items():
        expected = {
            (*key, le): value
            for key, (bins, arrays) in binned.items()
            for le, value in zip(
                ["-Inf", *bins], getattr(twins.gain(*arrays[:2]), name).tolist(), strict=True
            )
        }
        assert_equal(figures(recorded, f"{record}:{window}", *BINNED, "le"), expected)
    for record, side in (("calibration:observed", 0), ("calibration:mean_score", 1)):
        expected = {
            (*key, bin): value
            for key, (bins, arrays) in binned.items()
            for bin, value in zip(bins, twins.calibration(*arrays[:3])[side].tolist(), strict=True)
        }
        assert_equal(figures(recorded, f"{record}:{window}", *BINNED, "bin"), expected)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(
    ("metric", "sums", "counted"),
    [
        ("log_loss", "ml_log_loss", "ml_scored_predictions_total"),
        ("brier_score", "ml_brier_score", "ml_scored_predictions_total"),
        ("mean_reciprocal_rank", "ml_reciprocal_rank", "ml_ranked_predictions_total"),
    ],
)
def test_means(recorded, exposed, metric: str, sums: str, counted: str, window: str) -> None:
    rows = total(exposed[counted], "model")
    of_sum = total(exposed[f"{sums}_total"], "model")
    squares = total(exposed[f"{sums}_squared_total"], "model")
    means = {key: of_sum[key] / n for key, n in rows.items()}
    assert_equal(figures(recorded, f"model:{metric}:{window}", "model"), means)
    for end, name in enumerate(("lower", "upper")):
        ends = {key: intervals.mean(of_sum[key], squares[key], n)[end] for key, n in rows.items()}
        assert_equal(figures(recorded, f"model:{metric}_{name}:{window}", "model"), ends)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(
    ("metric", "sums"),
    [("top_k_accuracy", "ml_top_k_hits_total"), ("ndcg", "ml_discounted_gain_total")],
)
def test_figures_of_each_k(recorded, exposed, metric: str, sums: str, window: str) -> None:
    rows = total(exposed["ml_ranked_predictions_total"], "model")
    expected = {
        key: value / rows[key[:1]] for key, value in total(exposed[sums], "model", "k").items()
    }
    assert {key[0] for key in expected} == {"digits", "shop"}
    assert_equal(figures(recorded, f"model:{metric}:{window}", "model", "k"), expected)


def test_every_figure_is_recorded(recorded) -> None:
    for module in (scores, ranks):
        for name in module.FIGURES:
            ends = ("", "_lower", "_upper") if name in module.INTERVALS else ("",)
            for end in ends:
                assert figures(recorded, f"model:{name}{end}:24h", "model")
