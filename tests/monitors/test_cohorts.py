"""Cohorts by the day of the prediction, while days go by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from ml_exporter.batch import LABEL, PREDICTION, Batch
from ml_exporter.columns import Column
from ml_exporter.families import Family
from ml_exporter.monitors.cohorts import DAYS, Calendar, CohortOutcomes, CohortPredictions

DAY = 86400.0
NOON = 20781 * DAY + DAY / 2  # 2026-11-24


@dataclass
class Clock:
    now: float = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def predictions(clock: Clock) -> CohortPredictions:
    return CohortPredictions("m", "1", Calendar(clock))


def outcomes(clock: Clock, classified: bool = True) -> CohortOutcomes:
    return CohortOutcomes("m", "1", classified, Calendar(clock))


def batch(
    times: Sequence[float] | None,
    predicted: Sequence[object],
    actual: Sequence[object] | None = None,
) -> Batch:
    fields = {PREDICTION: Column(predicted)}
    if actual is not None:
        fields[LABEL] = Column(actual)
    return Batch(len(predicted), fields, timestamps=None if times is None else np.array(times))


def values(family: Family) -> dict[tuple[str, ...], float]:
    """By labels besides model and version."""
    found = zip(family.label_sets, family.values.tolist(), strict=True)
    return {labels[2:]: value for labels, value in found}


def counts(family: Family) -> dict[tuple[str, ...], float]:
    return {labels: value for labels, value in values(family).items() if value}


def test_today_and_tomorrow_begin_by_themselves(clock: Clock) -> None:
    assert values(predictions(clock).families[0]) == {("2026-11-24",): 0, ("2026-11-25",): 0}


def test_predictions_are_of_the_day_they_were_made_on(clock: Clock) -> None:
    monitor = predictions(clock)
    midnight = NOON - DAY / 2
    monitor.update(batch([NOON, midnight, midnight - 0.001, NOON - 3 * DAY], ["a"] * 4))
    assert counts(monitor.families[0]) == {
        ("2026-11-24",): 2,
        ("2026-11-23",): 1,
        ("2026-11-21",): 1,
    }


def test_without_a_time_they_are_of_today(clock: Clock) -> None:
    monitor = predictions(clock)
    monitor.update(batch(None, ["a"] * 2))
    monitor.update(batch([math.nan], ["a"]))
    monitor.update(batch([NOON + 9 * DAY], ["a"]))  # its clock is fast
    assert counts(monitor.families[0]) == {("2026-11-24",): 4}


def test_days_too_long_ago_count_nowhere(clock: Clock) -> None:
    monitor = predictions(clock)
    days = [(DAYS - 1), DAYS, 4000]
    monitor.update(batch([NOON - day * DAY for day in days], ["a"] * 3))
    assert counts(monitor.families[0]) == {("2026-10-21",): 1}


def test_midnight_brings_no_series_that_nobody_has_seen(clock: Clock) -> None:
    monitor = predictions(clock)
    clock.now += DAY
    size = len(monitor.families[0])
    monitor.update(batch([clock.now], ["a"]))
    assert len(monitor.families[0]) == size
    assert monitor.pass_time()
    assert not monitor.pass_time()
    assert ("2026-11-26",) in values(monitor.families[0])


def test_old_days_are_let_go_of_and_the_rest_stays(clock: Clock) -> None:
    monitor = predictions(clock)
    monitor.update(batch([NOON - 34 * DAY, NOON], ["a"] * 2))
    before = monitor.families[0]
    clock.now += DAY
    monitor.pass_time()
    after = monitor.families[0]
    assert values(after) == {("2026-11-24",): 1, ("2026-11-25",): 0, ("2026-11-26",): 0}
    assert counts(before) == {("2026-10-21",): 1, ("2026-11-24",): 1}  # who reads it is safe


def test_never_more_days_than_said(clock: Clock) -> None:
    monitor = predictions(clock)
    for _ in range(100):
        monitor.update(batch([clock.now], ["a"]))
        clock.now += DAY
        monitor.pass_time()
    assert len(monitor.families[0]) == DAYS + 1  # tomorrow, too


def test_what_was_saved_is_taken_up_but_for_old_days(clock: Clock) -> None:
    saved = outcomes(clock)
    saved.update(batch([NOON, NOON - 34 * DAY], ["a", "b"], ["a", "a"]))
    clock.now += 2 * DAY
    restored = outcomes(clock)
    family = saved.families[0]
    for key, value in zip(family.keys(), family.values.tolist(), strict=True):
        restored.families[0].restore(key, value)
    restored.resume()
    assert counts(restored.families[0]) == {("2026-11-24", "a", "a", "true"): 1}
    assert ("2026-11-26", "b", "a", "false") in values(restored.families[0])  # classes are known


def test_outcomes_are_of_the_day_of_the_prediction(clock: Clock) -> None:
    monitor = outcomes(clock)
    monitor.expect(["n", "y"])
    monitor.update(
        batch([NOON - DAY, NOON - DAY, NOON, NOON], ["y", "n", "y", "y"], ["y", "y", "n", None])
    )
    assert counts(monitor.families[0]) == {
        ("2026-11-23", "y", "y", "true"): 1,
        ("2026-11-23", "y", "n", "false"): 1,
        ("2026-11-24", "n", "y", "false"): 1,
    }
    assert len([labels for labels in values(monitor.families[0]) if labels[0] == "2026-11-25"]) == 4


def test_of_many_classes_outcomes_are_right_or_wrong(clock: Clock) -> None:
    monitor = outcomes(clock)
    monitor.expect(list("abcd"))
    monitor.update(batch([NOON] * 3, ["a", "b", "a"], ["a", "b", "c"]))
    assert values(monitor.families[0]) == {
        ("2026-11-24", "<any>", "<any>", "true"): 2,
        ("2026-11-24", "<any>", "<any>", "false"): 1,
        ("2026-11-25", "<any>", "<any>", "true"): 0,
        ("2026-11-25", "<any>", "<any>", "false"): 0,
    }


def test_classes_that_nobody_expected_have_an_end(clock: Clock) -> None:
    monitor = outcomes(clock)
    names = [f"class {number}" for number in range(1000)]
    monitor.update(batch(None, names, names))
    found = counts(monitor.families[0])
    assert len(found) == 4
    assert found["2026-11-24", "<other>", "<other>", "true"] == 997


def test_errors_of_a_regression(clock: Clock) -> None:
    monitor = outcomes(clock, classified=False)
    monitor.update(
        batch([NOON, NOON, NOON - DAY, NOON], [1.0, 5.0, 2.0, 1e300], [2.0, 3.0, 2.5, -1e300])
    )
    rows, errors = monitor.families
    assert counts(rows) == {("2026-11-24",): 2, ("2026-11-23",): 1}
    assert counts(errors) == {("2026-11-24",): 3, ("2026-11-23",): 0.5}
