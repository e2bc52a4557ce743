"""Every estimated figure that promtool's Prometheus records equals its twin, on real models.

Two replicas share the rows unevenly. What other rules record is given to promtool as it would be.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ml_exporter.baseline.labelled_baseline import ScoreBins, losses_of
from ml_exporter.batch import LABEL, PREDICTION, Batch
from ml_exporter.exposition import render
from ml_exporter.families import freeze
from ml_exporter.judgement.estimate_verdicts import judged_estimate
from ml_exporter.judgement.samples import Samples
from ml_exporter.monitors.estimates import Estimates, EstimatorInfo
from ml_exporter.monitors.scores import BaselineTies, LabelledScores
from ml_exporter.rules import Timing, drift_kinds, estimation
from ml_exporter.rules.binned_scores import TIES
from ml_exporter.rules.groups import to_yaml
from ml_exporter.statistics import calibration, concept_drift, intervals, performance, scores
from tests.estimating import Known, digits, progression, tumours
from tests.support import find_tool

WINDOW = "24h"
REPLICAS = {"a": slice(0, None, 3), "b": slice(1, None, 3), "c": slice(2, None, 3)}

Labels = Mapping[str, str]


class Recorder:
    """Samples of a Prometheus at one moment, and what is asked of its rules."""

    def __init__(self) -> None:
        self.series: list[str] = []
        self.queries: list[str] = []

    def add(self, name: str, labels: Labels, before: float, after: float) -> None:
        text = ",".join(f'{label}="{value}"' for label, value in labels.items())
        self.series.append(
            f"  - {{series: '{name}{{{text}}}', values: '{before!r}x5 {after!r}x10'}}"
        )

    def expect(self, name: str, labels: Labels, value: float) -> None:
        """To be equal; absent if it is NaN."""
        value = float(value)
        text = ",".join(f'{label}="{of}"' for label, of in labels.items())
        if math.isnan(value):
            self.queries.append(f"absent({name}{{{text}}})")
        else:
            self.queries.append(
                f"abs({name}{{{text}}} - {value!r}) < bool {1e-9 * max(1, abs(value))}"
            )

    def run(self, folder: Path, promtool: str) -> list[str]:
        """The queries that aren't so."""
        groups = [*estimation.groups(Timing()), *drift_kinds.groups(Timing())]
        groups = [group for group in groups if "7d" not in group.name]
        (folder / "rules.yml").write_text(to_yaml(groups))
        lines = ["rule_files: [rules.yml]", "evaluation_interval: 1m", "tests:"]
        lines += ["- interval: 1m", "  input_series:", *self.series, "  promql_expr_test:"]
        for query in self.queries:
            lines += [f"  - expr: '(count({query} == 1) == bool 1) or vector(0)'"]
            lines += ["    eval_time: 12m", "    exp_samples: [{labels: '{}', value: 1}]"]
        (folder / "test.yml").write_text("\n".join(lines) + "\n")
        command = [find_tool(promtool), "test", "rules", "test.yml"]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        return (result.stdout + result.stderr).splitlines() if result.returncode else []


def carrying(known: Known, batch: Batch) -> Batch:
    """A batch with the columns that go along until labels come."""
    regions = known.baseline.regions
    assert regions is not None
    return replace(batch, fields={**batch.fields, **regions.columns(batch)})


def tied_tumours() -> Known:
    """The same as if its scores were the more alike, the higher they are; the least aren't."""
    known = tumours()
    tied = [
        replace(one, ties=np.linspace(0, 1, len(one.bins)).tolist())
        for one in known.baseline.scores
    ]
    return replace(known, baseline=replace(known.baseline, scores=tied))


class Watched:
    """A model that three replicas watch, and what they expose."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.samples: list[tuple[str, dict[str, str], float]] = []
        baseline = known.baseline
        classes = baseline.classes
        of = (known.name, "1", baseline, classes, known.positive)
        for replica, share in REPLICAS.items():
            rows = np.arange(known.production.rows)[share]
            batch = known.production.take(rows)
            monitors = [
                Estimates(*of, score_bins=baseline.scores),
                Estimates(*of, labelled=True),
                EstimatorInfo(*of, false_alarms=0.01),
                LabelledScores(known.name, "1", known.positive, baseline.id, baseline.scores),
                BaselineTies(known.name, "1", baseline.id, baseline.scores),
            ]
            monitors = monitors if classes else monitors[:3]
            families = [family for monitor in monitors for family in monitor.families]
            for monitor in monitors:
                monitor.update(carrying(known, batch))
            for family in text_string_to_metric_families(render(freeze(families)).decode()):
                for sample in family.samples:
                    labels = {**sample.labels, "instance": replica}
                    self.samples.append((sample.name, labels, sample.value))

    def total(self, name: str, **labels: str) -> float:
        return sum(
            value
            for found, of, value in self.samples
            if found == name and labels.items() <= of.items()
        )

    def confusion(self, name: str, estimator: str) -> np.ndarray:
        classes = self.known.classes
        return np.array(
            [
                [self.total(name, estimator=estimator, actual=a, predicted=p) for p in classes]
                for a in classes
            ]
        )

    def score_bins(self, of: str, estimator: str) -> list[scores.ScoredRows]:
        """What the preferred estimator expects of each class; nothing of labelled rows."""
        name = f"ml_{of}_score_values_total"

        def of_class(one: ScoreBins, actual: str) -> np.ndarray:
            labels = {"estimator": estimator, "class": one.name, "actual": actual}
            return np.array([self.total(name, **labels, bin=bin) for bin in one.bins])

        is_counted = any(
            found == name and of["estimator"] == estimator for found, of, _ in self.samples
        )
        every = self.known.baseline.scores if is_counted else ()
        return [
            scores.ScoredRows(of_class(one, "true"), of_class(one, "false"), one.ties or 0.0)
            for one in every
        ]

    def losses(self, of: str, estimator: str) -> dict[str, tuple[float, float, float]]:
        """Sums, sums of squares, and rows."""
        return {
            name: tuple(
                self.total(f"ml_{of}_{kind}_total", estimator=estimator)
                for kind in (name, f"{name}_squared", "scored_predictions")
            )
            for name in ("log_loss", "brier_score")
        }


def realised(known: Known) -> dict[str, float]:
    batch, classes = known.production, known.classes
    if not classes:
        actual, predicted = (batch.fields[key].numbers.values for key in (LABEL, PREDICTION))
        errors = predicted - actual
        mean, root = np.abs(errors).mean(), math.sqrt(np.square(errors).mean())
        return {"mean_absolute_error": float(mean), "root_mean_squared_error": root}
    cells = batch.fields[LABEL].categories.cross(batch.fields[PREDICTION].categories)
    confusion = [[cells.get((a, p), 0) for p in classes] for a in classes]
    found = performance.figures(confusion, classes, known.positive)
    log_losses, brier_scores = losses_of(batch, classes, known.positive)
    return found | {
        "log_loss": float(log_losses.mean()),
        "brier_score": float(brier_scores.mean()),
    }


def expected(watched: Watched, of: str, estimator: str) -> dict[str, float]:
    """All figures of one estimator, by the twins."""
    known = watched.known
    if known.classes:
        confusion = watched.confusion(f"ml_{of}_outcomes_total", estimator)
        found = performance.figures(confusion, known.classes, known.positive)
        of_cells = {name: found[name] for name in estimation.CLASSIFICATION if name in found}
        areas = scores.figures(watched.score_bins(of, estimator))
        losses = watched.losses(of, estimator)
        means = {name: total / rows for name, (total, _, rows) in losses.items()}
        return of_cells | areas | means
    rows = watched.total(f"ml_{of}_predictions_total")
    absolute, squared = (
        watched.total(f"ml_{of}_{kind}_error_total") for kind in ("absolute", "squared")
    )
    return {
        "mean_absolute_error": absolute / rows,
        "root_mean_squared_error": math.sqrt(squared / rows),
    }


def expected_intervals(watched: Watched, estimator: str) -> dict[str, tuple[float, float]]:
    """Those of what the figures turn out to be: of several classes, of accuracy alone."""
    known = watched.known
    if known.classes:
        confusion = watched.confusion("ml_estimated_outcomes_total", estimator)
        cells = performance.cells_of(confusion, known.classes)
        found = performance.model_intervals(cells, known.positive)
        if known.positive is None:
            found = {"accuracy": found["accuracy"]}
        losses = watched.losses("estimated", estimator)
        means = {name: intervals.mean(*sums) for name, sums in losses.items()}
        return found | scores.figure_intervals(watched.score_bins("estimated", estimator)) | means
    sums = [
        watched.total(f"ml_estimated_{of}_total")
        for of in ("absolute_error", "squared_error", "predictions")
    ]
    return {"mean_absolute_error": intervals.mean(*sums)}


def drift(watched: Watched, error: float, accuracy: float, rows: int) -> float:
    """The greatest of statistic over critical value."""
    baseline, known = watched.known.baseline, watched.known
    tests = 2 * len(baseline.scores) + 1
    significance = []
    for one in baseline.scores:
        window = [
            np.array(
                [
                    watched.total(
                        "ml_labelled_score_values_total",
                        **{"class": one.name, "actual": actual, "bin": bin},
                    )
                    for bin in one.bins
                ]
            )
            for actual in ("true", "false")
        ]
        counts = (*window, one.positives, one.negatives)
        bins = int(np.count_nonzero(np.add(one.positives, one.negatives)))
        critical = calibration.critical_values(bins, tests=tests, false_alarms=0.01)
        significance += [
            calibration.bin_statistic(*counts) / critical["bins"],
            abs(calibration.overall_z(*counts)) / critical["overall"],
        ]
    critical = calibration.critical_values(1, tests=tests, false_alarms=0.01)["overall"]
    if known.classes:
        variance = accuracy * (1 - accuracy)
    else:
        truth = realised(known)
        variance = truth["root_mean_squared_error"] ** 2 - truth["mean_absolute_error"] ** 2
    spread = math.sqrt(variance * (1 / rows + 1 / known.labelled_baseline_rows))
    return float(np.nanmax([*significance, abs(error) / spread / critical]))


def of_scores(watched: Watched) -> tuple[float, float]:
    """How far scores given the outcome, and the mix of classes, are from the baseline's."""
    every = watched.known.baseline.scores
    conditional, mix = [], []
    for one in every:
        window = [
            [
                watched.total(
                    "ml_labelled_score_values_total",
                    **{"class": one.name, "actual": actual, "bin": bin},
                )
                for bin in one.bins
            ]
            for actual in ("true", "false")
        ]
        before = (one.positives, one.negatives)
        bins = int(np.count_nonzero(np.add(*before)))
        critical = calibration.critical_values(bins, tests=2 * len(every) + 1, false_alarms=0.01)
        conditional.append(concept_drift.conditional_significance(window, before, critical["bins"]))
        hits, misses = (sum(counts) for counts in window)
        hits_before, misses_before = (float(np.sum(counts)) for counts in before)
        mix.append(
            concept_drift.mix_significance(
                hits, hits + misses, hits_before, hits_before + misses_before, critical["overall"]
            )
        )
    return max(conditional), max(mix)


@pytest.fixture(scope="module", params=["promtool", "prometheus-2.42/promtool"])
def failures(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    recorder = Recorder()
    for make in (tied_tumours, digits, progression):
        watched = Watched(make())
        known, name = watched.known, watched.known.name
        rows = known.production.rows
        of_model = {"model": name, "version": "1"}
        for series, labels, value in watched.samples:
            recorder.add(series, labels, 0.0 if series.endswith("_total") else value, value)
        info = of_model | {"task": known.task, "positive": known.positive or ""}
        recorder.add("model:info", info, 1, 1)
        truth = realised(known)
        recorder.add(f"model:labelled_predictions:{WINDOW}", of_model, rows, rows)
        for metric, value in truth.items():
            recorder.add(
                f"model:performance:{WINDOW}", of_model | {"monitor": metric}, value, value
            )
            recorder.add(f"model:{metric}:{WINDOW}", of_model, value, value)
        # Prometheus of other rule files: windows of scores.
        windows: dict[tuple[tuple[str, str], ...], float] = {}
        for series, labels, value in watched.samples:
            if series == "ml_labelled_score_values_total":
                key = tuple((k, v) for k, v in labels.items() if k != "instance")
                windows[key] = windows.get(key, 0.0) + value
        for series, labels, value in watched.samples:
            if series == "ml_score_baseline_ties" and labels["instance"] == "a":
                by = {name: of for name, of in labels.items() if name != "instance"}
                recorder.add(TIES, by, value, value)
        sides: dict[tuple[str, str, str], float] = {}
        for key, value in windows.items():
            labels = dict(key)
            recorder.add(f"ml_labelled_score_values_total:{WINDOW}", labels, value, value)
            side = (labels["class"], labels["baseline_id"], labels["actual"])
            sides[side] = sides.get(side, 0.0) + value
        for (of_class, baseline_id, actual), value in sides.items():
            side_name = {"true": "positives", "false": "negatives"}[actual]
            labels = of_model | {"class": of_class, "baseline_id": baseline_id}
            recorder.add(f"score:{side_name}:{WINDOW}", labels, value, value)
        best = known.baseline.regions.preferred if known.baseline.regions else "scores"
        for estimator in known.estimators:
            of = of_model | {"estimator": estimator}
            estimated = expected(watched, "estimated", estimator)
            assert estimated
            for metric, value in estimated.items():
                by = of | {"monitor": metric}
                recorder.expect(f"model:estimated_performance:{WINDOW}", by, value)
                if metric in truth:  # what depends on order isn't estimated of labelled rows
                    recorder.expect(f"model:labelled_estimated_performance:{WINDOW}", by, value)
                    recorder.expect(f"model:estimation_error:{WINDOW}", by, value - truth[metric])
                if estimator == best:
                    recorder.expect(f"model:estimated_{metric}:{WINDOW}", of_model, value)
            for metric, ends in expected_intervals(watched, estimator).items():
                for end, value in zip(("lower", "upper"), ends, strict=True):
                    by = of | {"monitor": metric}
                    recorder.expect(f"model:estimated_performance_{end}:{WINDOW}", by, value)
                    if estimator == best:
                        recorder.expect(f"model:estimated_{metric}_{end}:{WINDOW}", of_model, value)
            if estimator == best:
                measured = "accuracy" if known.classes else "mean_absolute_error"
                error = estimated[measured] - truth[measured]
                greatest = drift(watched, error, truth.get("accuracy", 0.0), rows)
                recorder.expect(f"model:calibration_drift:{WINDOW}", of_model, greatest)
        if known.classes:
            conditional, mix = of_scores(watched)
            recorder.expect(f"model:class_conditional_drift:{WINDOW}", of_model, conditional)
            recorder.expect(f"model:class_mix_drift:{WINDOW}", of_model, mix)
    return recorder.run(tmp_path_factory.mktemp("twins"), request.param)


def test_all_figures_equal_their_twins(failures: Sequence[str]) -> None:
    assert failures == []


@pytest.mark.parametrize("make", [tied_tumours, digits, progression])
def test_the_verdict_is_by_the_same_twins(make: Callable[[], Known]) -> None:
    watched = Watched(make())
    known = watched.known
    merged: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for name, labels, value in watched.samples:
        key = name, tuple((k, v) for k, v in labels.items() if k != "instance")
        is_counter = name.endswith("_total")
        merged[key] = merged.get(key, 0.0) + value if is_counter else value
    samples = Samples()
    for (name, items), value in merged.items():
        samples.add(name, dict(items), value)
    truth, rows = realised(known), known.production.rows
    verdict = judged_estimate(samples, known.positive, rows, truth)
    assert verdict is not None
    best = known.baseline.regions.preferred if known.baseline.regions else "scores"
    assert verdict.estimator == best
    assert verdict.rows == rows
    figures = expected(watched, "estimated", best)
    assert {one.metric: one.value for one in verdict.figures} == pytest.approx(figures)
    errors = {metric: value - truth[metric] for metric, value in figures.items() if metric in truth}
    assert verdict.errors == pytest.approx(errors)
    error = errors["accuracy" if known.classes else "mean_absolute_error"]
    greatest = drift(watched, error, truth.get("accuracy", 0.0), rows)
    assert verdict.calibration_drift == pytest.approx(greatest)
