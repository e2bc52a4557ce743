"""When a log that is read once began to differ, by time or by row."""

from __future__ import annotations

import numpy as np
import pytest

from ml_exporter.baseline.baseline import Baseline, Request
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import LABEL, PREDICTION, Batch, Field, FieldType
from ml_exporter.columns import Column
from ml_exporter.judgement.verdicts import FieldVerdict
from ml_exporter.report.timeline import Timeline
from ml_exporter.statistics.bins import Floats
from tests.watching import sample

RADIUS = Field("feature", "mean radius")
TYPES: dict[Field, FieldType] = {PREDICTION: "category", LABEL: "category"}


def batch(rows: int, times: Floats | None = None, by: float = 1.0, wrong: bool = False) -> Batch:
    """Some tumours, as they were predicted to be; their radius may have grown."""
    picked = sample(rows)
    actual = ["malignant" if wrong else row["actual"] for row in picked]
    columns = {
        RADIUS: Column([row["mean radius"] * by for row in picked]),
        PREDICTION: Column([row["predicted"] for row in picked]),
        LABEL: Column(actual),
    }
    return Batch(rows, columns, timestamps=times)


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return build(lambda: [batch(500)], Request("m", None, TYPES, {}, 10, 50))


def verdict(baseline: Baseline) -> FieldVerdict:
    """As much of one as a timeline asks for."""
    field = baseline.by_key[RADIUS]
    counts = field.array().astype(np.float64)
    return FieldVerdict(
        role="feature",
        name=RADIUS.name,
        type="number",
        state="critical",
        drift="critical",
        rows=counts.sum(),
        baseline_rows=counts.sum(),
        bins=tuple(field.bins),
        counts=counts,
        baseline_counts=counts,
        psi=1.0,
        location_shift=0.4,
        effects={},
        thresholds={},
        statistics={},
        critical_values={},
        significance=5.0,
        shares=(),
        importance=None,
    )


def timeline(has_times: bool = True) -> Timeline:
    return Timeline(has_times=has_times, classified=True)


def evenly(start: float, seconds: float, rows: int) -> Floats:
    return start + np.arange(rows) * seconds / rows


@pytest.mark.parametrize("days", [0.01, 1, 90])
def test_it_finds_the_moment(baseline: Baseline, days: float) -> None:
    of, length = timeline(), days * 86400
    of.predicted("1", baseline, batch(1500, evenly(1e9, length, 1500)))
    of.predicted("1", baseline, batch(500, evenly(1e9 + length, length / 3, 500), by=1.5))
    found = of.field_since("1", verdict(baseline))
    assert found is not None
    assert found.seen
    assert found.time == pytest.approx(1e9 + length, abs=length / 100)
    assert (of.first, of.last) == (1e9, pytest.approx(1e9 + length * 4 / 3, rel=0.01))


def test_logs_need_not_be_read_in_their_order(baseline: Baseline) -> None:
    of = timeline()
    of.predicted("1", baseline, batch(500, evenly(1e9 + 3600, 3600, 500), by=1.5))
    of.predicted("1", baseline, batch(500, evenly(1e9, 3600, 500)))
    found = of.field_since("1", verdict(baseline))
    assert found is not None
    assert found.time == pytest.approx(1e9 + 3600, abs=60)


def test_a_clock_that_was_wrong_once_hides_nothing(baseline: Baseline) -> None:
    of = timeline()
    of.predicted("1", baseline, batch(3, np.zeros(3)))
    of.predicted("1", baseline, batch(600, evenly(1e9, 3600, 600)))
    of.predicted("1", baseline, batch(600, evenly(1e9 + 3600, 3600, 600), by=1.5))
    found = of.field_since("1", verdict(baseline))
    assert found is not None
    assert found.time == pytest.approx(1e9 + 3600, abs=60)


def test_rows_without_times_are_numbered(baseline: Baseline) -> None:
    of = timeline(has_times=False)
    for rows, by in ((700, 1.0), (300, 1.0), (500, 1.5)):
        of.predicted("1", baseline, batch(rows, np.full(rows, 1e9), by=by))
    found = of.field_since("1", verdict(baseline))
    assert found is not None
    assert found.time == pytest.approx(1001, abs=16)
    assert (of.first, of.last) == (1, 1500)


def test_what_was_so_all_along_has_no_beginning(baseline: Baseline) -> None:
    of = timeline()
    of.predicted("1", baseline, batch(900, evenly(1e9, 3600, 900), by=1.5))
    found = of.field_since("1", verdict(baseline))
    assert found is not None
    assert not found.seen
    assert found.time == 1e9


def test_what_became_better_has_none(baseline: Baseline) -> None:
    of = timeline()
    of.predicted("1", baseline, batch(900, evenly(1e9, 3600, 900), by=1.5))
    of.predicted("1", baseline, batch(900, evenly(1e9 + 3600, 3600, 900)))
    assert of.field_since("1", verdict(baseline)) is None


@pytest.mark.parametrize("joined", [False, True])
def test_it_finds_when_predictions_began_to_be_wrong(baseline: Baseline, joined: bool) -> None:
    of = timeline()
    for start, wrong in ((1e9, False), (1e9 + 3600, True)):
        rows = batch(800, evenly(start, 3600, 800), wrong=wrong)
        if joined:
            of.joined("1", rows)
        else:
            of.predicted("1", baseline, rows)
    found = of.figure_since("1")
    assert found is not None
    assert found.time == pytest.approx(1e9 + 3600, abs=60)
    assert of.figure_since("2") is None


def test_memory_does_not_grow_with_the_log(baseline: Baseline) -> None:
    of = timeline()
    for hour in range(300):
        of.predicted("1", baseline, batch(20, evenly(1e9 + hour * 3600, 3600, 20)))
    assert max(map(len, of._values.values())) <= 256
    counted = sum(np.sum(counts) for counts in of._values["1", "feature", "mean radius"].values())
    assert counted == 300 * 20


def test_nothing_was_read() -> None:
    of = timeline()
    of.predicted("1", None, Batch(0, {}, timestamps=np.empty(0)))
    assert of.first > of.last
