"""What a real Prometheus records of segments, cohorts and versions are its twins, on real data.

Two replicas share the rows of two models unevenly: one says whether a tumour is benign, in two
versions, and one how a disease progresses. Rows and labels come at once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.metrics import precision_score, recall_score

from ml_exporter.baseline.baseline import Baseline
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import LABEL, PREDICTION, Batch, Field
from ml_exporter.columns import Column
from ml_exporter.config.config import Fields, FileSource, Limits, Model
from ml_exporter.config.segments import Segment
from ml_exporter.exposition import render
from ml_exporter.families import freeze
from ml_exporter.labels.join import labelled
from ml_exporter.pipeline.given_baselines import request
from ml_exporter.pipeline.version import Budget, Version
from ml_exporter.rules import Timing
from ml_exporter.statistics import fairness, segments, versions
from ml_exporter.statistics.intervals import wilson
from tests.rules.targets import Prometheus, Targets, prometheus
from tests.support import wait_until

TIMING = Timing.shortened(2, **{"1h": 20, "24h": 120, "7d": 240})
SCRAPE = 0.5
FILES = ("models", "segments", "cohorts", "versions", "regression", "degradation", "alerts")
ZEROS = 8  # scrapes before the rows
SHARES = {"large": 0.8, "small": 0.2}
NOW = time.time()

Key = tuple[str, ...]
Figures = dict[Key, float]


@dataclass(frozen=True)
class Rows:
    """Rows of a model: what they say, and what it says of them."""

    groups: list[str]
    sizes: list[float]
    actual: list[float]
    predicted: list[float]
    times: list[float]

    def batch(self, start: int, stop: int) -> Batch:
        of = slice(start, stop)
        fields = {
            Field("feature", "group"): Column(self.groups[of]),
            Field("feature", "size"): Column(self.sizes[of]),
            PREDICTION: Column(self.predicted[of]),
            LABEL: Column(self.actual[of]),
        }
        times = np.array(self.times[of])
        return Batch(len(times), fields, timestamps=times)


@dataclass(frozen=True)
class Case:
    """A version of a model, the rows of its baseline, and what came then."""

    model: Model
    version: str
    then: Rows
    now: Rows

    @property
    def name(self) -> tuple[str, str]:
        return self.model.name, self.version

    def baseline(self) -> Baseline:
        batch = self.then.batch(0, len(self.then.times))
        return build(lambda: [batch], request(self.model, self.version, Limits()))

    def segments(self) -> dict[str, NDArray[np.str_]]:
        """The segment of each row, by field of segments; without regions."""
        version = self.judged()
        batch = version.annotated(self.now.batch(0, len(self.now.times)))
        return {
            key.name: np.array(column.values)
            for key, column in batch.fields.items()
            if key.role == "segment"
        }

    def judged(self) -> Version:
        version = Version(self.model, self.version, None, Limits(), Budget(10**6))
        version.judge_by(self.baseline(), "file")
        return version


def model(name: str, task: str) -> Model:
    features = {"group": "group", "size": "size"}
    return Model(
        name=name,
        task="binary" if task == "binary" else "regression",
        source=FileSource("m.jsonl", "jsonl"),
        fields=Fields(prediction="p", label="y", features=features),
        positive="1" if task == "binary" else None,
        types={"group": "category", "size": "number"},
        bins=3,
        segments=(
            Segment(("group",), protected=True),
            Segment(("size",)),
            Segment(("group", "size")),
        ),
    )


def rows(
    group: NDArray[np.float64],
    size: NDArray[np.float64],
    actual: Sequence[float],
    predicted: Sequence[float],
) -> Rows:
    days = NOW - 86400 * (np.arange(len(size)) % 3)
    names = np.array(["low", "mid", "high"])[np.digitize(group, np.quantile(group, [0.3, 0.7]))]
    return Rows(names.tolist(), size.tolist(), list(actual), list(predicted), days.tolist())


def cases() -> Iterator[Case]:
    tumours = load_breast_cancer()
    texture, radius, benign = tumours.data[:, 1], tumours.data[:, 0], tumours.target.tolist()
    then = rows(texture, radius, benign, (radius < 15).astype(int).tolist())
    # Today's are seen through a bad lens: the larger ones look smaller.
    for version, limit in (("1", 15.0), ("2", 17.5)):
        for_size = np.where(texture > 20, radius * 0.9, radius)
        predicted = (for_size < limit).astype(int).tolist()
        every = 2 if version == "2" else 1
        now = rows(*(x[::every] for x in (texture, radius)), benign[::every], predicted[::every])
        yield Case(model("tumours", "binary"), version, then, now)
    patients = load_diabetes()
    pressure, mass = patients.data[:, 3], patients.data[:, 2]
    progress = patients.target.tolist()
    usual = 152 + 950 * mass
    yield Case(
        model("progress", "regression"),
        "1",
        rows(pressure, mass, progress, usual.tolist()),
        rows(pressure, mass, progress, np.where(mass > 0.02, usual + 150, usual).tolist()),
    )


CASES = list(cases())


def expositions() -> dict[str, tuple[str, str]]:
    """What each replica exposes before its rows, and after them."""
    texts: dict[str, tuple[str, str]] = {}
    starts = dict.fromkeys((case.name for case in CASES), 0)
    for replica, share in SHARES.items():
        before, after = [], []
        for case in CASES:
            start, every = starts[case.name], len(case.now.times)
            stop = starts[case.name] = min(every, start + math.ceil(every * share))
            born, counted = case.judged(), case.judged()
            batch = counted.annotated(case.now.batch(start, stop))
            counted.update(batch)
            counted.update_labelled(labelled(batch))
            # Series that nobody foresaw are born at 0, too.
            for family, of_all in zip(born.families, counted.families, strict=True):
                for key in of_all.keys() if family.kind == "counter" else ():
                    family.restore(key, 0.0)
            before += freeze(born.families)
            after += freeze(counted.families)
        texts[replica] = render(before).decode(), render(after).decode()
    return texts


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    answers = {name: [zeros] * ZEROS + [text] for name, (zeros, text) in expositions().items()}
    predicted = sum(len(case.now.times) for case in CASES)
    with (
        Targets(answers).serving() as targets,
        prometheus(
            "prometheus", tmp_path_factory.mktemp("twins"), TIMING, SCRAPE, *FILES
        ) as server,
    ):
        server.scrape(targets, list(answers))

        def complete() -> bool:
            return all(
                server.query(query) == [({}, float(count))]
                for query, count in (
                    ("sum(model:predictions:7d)", predicted),
                    ("sum(segment:predictions:24h{segment_field='group'})", predicted),
                    ("sum(segment:labelled_predictions:24h{segment_field='group'})", predicted),
                )
            )

        wait_until(complete, 90, "all rows")
        scrapes = targets.scrapes["large"]
        # What is made of them follows within two evaluations.
        wait_until(lambda: targets.scrapes["large"] > scrapes + 20 / SCRAPE, 90, "all figures")
        yield server


def found(server: Prometheus, query: str, *labels: str) -> Figures:
    keys = ("model", "version", *labels)
    return {tuple(of.get(key, "") for key in keys): value for of, value in server.query(query)}


def assert_equal(
    server: Prometheus, query: str, labels: Key, expected: Mapping[Key, float]
) -> None:
    defined = {key: value for key, value in expected.items() if not math.isnan(value)}
    assert defined
    assert found(server, query, *labels) == pytest.approx(defined, rel=1e-9, abs=1e-9)


SEGMENT = ("segment_field", "segment")
NAMED = '{segment_field!="<region>"}'


@dataclass(frozen=True)
class Part:
    """One segment today and in the baseline: rows, and how right they were (or wrong, as sums)."""

    rows: float
    good: float
    squares: float
    reference: float
    reference_rows: float


def parts(case: Case) -> dict[tuple[str, str], Part]:
    is_regression = case.model.task == "regression"
    actual, predicted = np.array(case.now.actual), np.array(case.now.predicted)
    error = np.abs(actual - predicted)
    counted = error if is_regression else (actual == predicted).astype(float)
    then = case.baseline()
    error_then = np.abs(np.array(case.then.actual) - np.array(case.then.predicted))
    of_model = error_then.mean() if is_regression else float((error_then == 0).mean())
    usual = {}
    for one in then.segments:
        if one.labelled >= 30:
            good = one.absolute_error if is_regression else one.correct
            usual[one.field, one.segment] = good / one.labelled, float(one.labelled)
    return {
        (field, name): Part(
            float((of == name).sum()),
            float(counted[of == name].sum()),
            float((error[of == name] ** 2).sum()),
            *usual.get((field, name), (of_model, math.inf)),
        )
        for field, of in case.segments().items()
        for name in np.unique(of).tolist()
    }


PARTS = {case.name: parts(case) for case in CASES}


def by_segment(figure: str) -> Figures:
    """A figure of each segment, by its twin."""
    expected: Figures = {}
    for case in CASES:
        is_regression = case.model.task == "regression"
        every = PARTS[case.name]
        for field in ("group", "size", "group & size"):
            of_field = {name: part for (of, name), part in every.items() if of == field}
            values = of_parts(figure, list(of_field.values()), is_regression)
            expected |= {
                (*case.name, field, name): value
                for name, value in zip(of_field, values, strict=True)
            }
    return expected


def of_parts(figure: str, some: list[Part], is_regression: bool) -> list[float]:
    rows, good = [one.rows for one in some], [one.good for one in some]
    sign = -1 if is_regression else 1
    excess = [sign * (one.reference * one.rows - one.good) for one in some]
    match figure:
        case "labelled_predictions":
            return rows
        case "accuracy" | "mean_absolute_error":
            is_other = is_regression == (figure == "accuracy")
            return [math.nan if is_other else one.good / one.rows for one in some]
        case "accuracy_lower" | "accuracy_upper":
            end = figure == "accuracy_upper"
            return [math.nan if is_regression else wilson(one.good, one.rows)[end] for one in some]
        case "performance_gap":
            gaps = segments.error_gaps if is_regression else segments.accuracy_gaps
            return gaps(good, rows).tolist()
        case "drop" if is_regression:
            return [one.good / one.rows / one.reference - 1 for one in some]
        case "drop":
            return [one.reference - one.good / one.rows for one in some]
        case "excess_errors":
            return excess
        case "drop_share":
            return segments.drop_shares(excess).tolist()
        case "drop_z" if is_regression:
            return [
                segments.error_drop_z(
                    one.good, one.squares, one.rows, one.reference, one.reference_rows
                )
                for one in some
            ]
        case _:
            return [
                segments.accuracy_drop_z(one.good, one.rows, one.reference, one.reference_rows)
                for one in some
            ]


@pytest.mark.parametrize(
    "figure",
    [
        *("labelled_predictions", "accuracy", "accuracy_lower", "accuracy_upper"),
        *("mean_absolute_error", "performance_gap", "drop", "excess_errors", "drop_share"),
        "drop_z",
    ],
)
def test_segments(recorded: Prometheus, figure: str) -> None:
    query = f"segment:{figure}:24h{NAMED}"
    if figure == "labelled_predictions":
        query += " > 0"
    assert_equal(recorded, query, SEGMENT, by_segment(figure))


def test_regions_are_segments(recorded: Prometheus) -> None:
    of_regions = found(recorded, "sum by (model, version) (segment:predictions:24h)")
    named = found(recorded, f"sum by (model, version) (segment:predictions:24h{NAMED})")
    for case in CASES:
        rows = len(case.now.times)
        assert named[case.name] == 3 * rows
        regions = rows if case.baseline().regions is not None else 0
        assert of_regions[case.name] == 3 * rows + regions


def test_fairness(recorded: Prometheus) -> None:
    parity, impact, opportunity = {}, {}, {}
    for case in CASES[:2]:
        group = np.array(case.now.groups)
        said, is_one = (np.array(side) == 1 for side in (case.now.predicted, case.now.actual))
        names = np.unique(group).tolist()

        def rows_of(mask: NDArray[np.bool_], group=group, names=names) -> list[int]:
            return [int((mask & (group == name)).sum()) for name in names]

        key = (*case.name, "group")
        every = rows_of(np.ones(group.size, dtype=bool))
        parity[key] = fairness.statistical_parity_difference(rows_of(said), every)
        impact[key] = fairness.disparate_impact(rows_of(said), every)
        opportunity[key] = fairness.equal_opportunity_difference(
            rows_of(said & is_one), rows_of(is_one)
        )
    for name, expected in (
        ("statistical_parity_difference", parity),
        ("disparate_impact", impact),
        ("equal_opportunity_difference", opportunity),
    ):
        assert_equal(recorded, f"model:{name}:24h", ("segment_field",), expected)


def test_cohorts(recorded: Prometheus) -> None:
    figures: dict[str, Figures] = {}
    for case in CASES:
        day = np.array([datetime.fromtimestamp(t, UTC).date().isoformat() for t in case.now.times])
        actual, predicted = np.array(case.now.actual), np.array(case.now.predicted)
        for name in np.unique(day).tolist():
            of_day = actual[day == name], predicted[day == name]
            rows = of_day[0].size
            expected = {"predictions": rows, "labelled_predictions": rows, "coverage": 1.0}
            if case.model.task == "regression":
                expected["mean_absolute_error"] = float(np.abs(of_day[0] - of_day[1]).mean())
            else:
                correct = int((of_day[0] == of_day[1]).sum())
                lower, upper = wilson(correct, rows)
                expected |= {
                    "accuracy": correct / rows,
                    "accuracy_lower": lower,
                    "accuracy_upper": upper,
                    "precision": precision_score(*of_day),
                    "recall": recall_score(*of_day),
                }
            for figure, value in expected.items():
                figures.setdefault(figure, {})[(*case.name, name)] = value
    for figure, of_days in figures.items():
        query = f"cohort:{figure} and cohort:predictions > 0"
        assert_equal(recorded, query, ("day",), of_days)


def test_versions(recorded: Prometheus) -> None:
    champion, challenger = CASES[:2]
    hits, rows = (
        [f(case) for case in (challenger, champion)]
        for f in (
            lambda case: sum(np.array(case.now.actual) == np.array(case.now.predicted)),
            lambda case: len(case.now.times),
        )
    )
    z = versions.two_proportion_z(hits[0], rows[0], hits[1], rows[1])
    gap = hits[1] / rows[1] - hits[0] / rows[0]
    assert gap > 0.02
    assert found(recorded, "model:champion:7d") == {
        champion.name: len(champion.now.times),
        CASES[2].name: len(CASES[2].now.times),
    }
    assert_equal(recorded, "model:version_z:24h", (), {challenger.name: z})
    assert_equal(recorded, "model:version_gap:24h", (), {challenger.name: gap})


def test_segments_that_are_worse_are_named(recorded: Prometheus) -> None:
    """By the twins of the rule: beyond the threshold, and beyond chance among so many."""
    critical = found(recorded, "model:performance_critical_value")
    many = found(recorded, "count by (model, version) (segment:labelled_predictions:24h >= 30)")
    drop, z = by_segment("drop"), by_segment("drop_z")
    expected = {}
    for key, value in drop.items():
        limit = math.sqrt(critical[key[:2]] ** 2 + 2 * math.log(many[key[:2]]))
        if value > 0.1 and z[key] > limit and PARTS[key[0], key[1]][key[2], key[3]].rows >= 30:
            expected[key] = value
    assert {key[0] for key in expected} == {"tumours", "progress"}
    query = 'segment:shortfall{severity="warning",segment_field!="<region>"}'
    assert_equal(recorded, query, SEGMENT, expected)
