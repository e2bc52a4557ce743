import numpy as np
import pytest

from ml_exporter.baseline.baseline import Baseline, BaselineField, Request
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import Batch, Field
from ml_exporter.columns import Column
from ml_exporter.statistics import drift, overdispersion
from ml_exporter.statistics.bins import OTHER
from ml_exporter.statistics.drift import (
    category_z,
    g_statistic,
    location_z,
    mid_ranks,
    scale_z,
    share_z,
)

HOUR, DAY = 3600.0, 86_400.0
START = 1_772_323_200.0  # midnight
X = Field("feature", "x")


def baseline(values: list[object], timestamps: np.ndarray | None, rows: int = 500) -> Baseline:
    """Of one feature, whose rows are read a few at a time."""
    batches = [
        Batch(
            len(values[start : start + rows]),
            {X: Column(values[start : start + rows])},
            timestamps=None if timestamps is None else timestamps[start : start + rows],
        )
        for start in range(0, len(values), rows)
    ]
    return build(lambda: batches, Request("model", None, {}, {}, 10, 50))


def counts(values: list[object], of: Baseline) -> np.ndarray:
    return of.by_key[X].count(Column(values))


def test_an_extreme_is_that_of_the_hour_that_strays_most_from_the_others():
    values = np.random.default_rng(1).normal(size=4000)
    values[1000:1100] += 0.5
    a_hundred_an_hour = START + np.arange(4000) * 36.0
    made = baseline(values.tolist(), a_hundred_an_hour)
    field = made.by_key[X]
    ranked = slice(0, -2)
    ranks = mid_ranks(field.array()[ranked])
    statistics: dict[str, list[float]] = {
        test: [] for test in ("distribution", "location", "scale")
    }
    for hour in values.reshape(-1, 100):
        inside = counts(hour.tolist(), made)
        rest = field.array() - inside
        statistics["distribution"].append(g_statistic(inside, rest))
        statistics["location"].append(location_z(inside[ranked], rest[ranked], ranks))
        statistics["scale"].append(scale_z(inside[ranked], rest[ranked], ranks))
    assert np.argmax(statistics["location"]) == 10
    for test, of_hours in statistics.items():
        assert field.extremes["1h"][test] == pytest.approx(np.abs(of_hours).max(), rel=1e-3)


def test_a_category_has_the_extremes_of_its_tests():
    values = ["a", "b"] * 500 + ["rare"] * 5 + ["a"] * 495
    times = START + np.arange(1500) * HOUR / 500
    field = baseline(values, times).by_key[X]
    # Nothing is missing or invalid.
    assert set(field.extremes["1h"]) == {"distribution", "category", "unseen"}
    assert field.extremes["1h"]["category"] == pytest.approx(
        category_z([495, 0, 5], [500, 500, 0]), rel=1e-3
    )
    in_others = share_z(5, 500, 0, 1000)
    assert field.extremes["1h"]["unseen"] == pytest.approx(in_others, rel=1e-3)
    assert field.counts[OTHER] == 5


@pytest.mark.parametrize(
    ("span", "lengths"),
    [
        pytest.param(0.9 * HOUR, set(), id="all in one hour"),
        pytest.param(5 * HOUR, {"1h"}, id="one day"),
        pytest.param(10 * DAY, {"1h", "24h"}, id="days"),
        pytest.param(20 * DAY, {"1h", "24h", "7d"}, id="weeks"),
    ],
)
def test_only_lengths_that_the_baseline_has_several_of_are_known(span, lengths):
    times = START + np.linspace(0, span, 2000)
    field = baseline(list(map(float, range(2000))), times).by_key[X]
    assert set(field.extremes) == lengths


def test_rows_without_a_time_are_in_no_window():
    times = START + np.arange(2000) * 36.0
    times[1000:] = np.nan
    values = [float(n % 7) for n in range(2000)]
    with_a_time = baseline(values[:1000], times[:1000]).by_key[X].extremes
    assert baseline(values, times).by_key[X].extremes.keys() == with_a_time.keys()
    assert baseline(values, None).by_key[X].extremes == {}


def test_memory_is_bounded_by_leaving_out_later_hours(monkeypatch):
    monkeypatch.setattr("ml_exporter.baseline.usual_windows._MOST_CELLS", 14 * 24)
    random = np.random.default_rng(1)
    values = random.normal(size=4800)
    values[2400:] += 3  # on the second day, which doesn't fit
    times = START + np.arange(4800) * 36.0
    field = baseline(values.tolist(), times).by_key[X]
    assert set(field.extremes) == {"1h"}
    assert field.extremes["1h"]["location"] < 5


def test_a_baseline_file_has_them_and_is_another_baseline_by_them():
    values = [float(n % 7) for n in range(2000)]
    plain, timed = baseline(values, None), baseline(values, START + np.arange(2000) * 36.0)
    assert plain.by_key[X].counts == timed.by_key[X].counts
    assert plain.id != timed.id


def in_sessions(weeks: float, random: np.random.Generator) -> np.ndarray:
    """200 rows an hour, five of each session, and a daily season."""
    rows = int(weeks * 7 * 24 * 200)
    season = 0.6 * np.sin(2 * np.pi * np.arange(rows) / (24 * 200))
    return np.repeat(random.normal(size=rows // 5), 5) + 0.1 * random.normal(size=rows) + season


def critical_values_of(field: BaselineField, weights: float) -> dict[str, dict[str, float]]:
    theory = drift.critical_values(
        field.tested_as, field.array(), weights=weights, false_alarms=0.01
    )
    cells = int(np.count_nonzero(field.array()))
    return overdispersion.critical_values(theory, cells, field.overdispersions, field.extremes)


def test_what_the_baseline_itself_did_is_no_drift():
    random = np.random.default_rng(1)
    values = in_sessions(4, random)
    made = baseline(values.tolist(), START + np.arange(values.size) * 18.0, rows=8000)
    field = made.by_key[X]
    theory = drift.critical_values(
        "number", field.array(), weights=drift.weight("number"), false_alarms=0.01
    )
    critical = critical_values_of(field, weights=drift.weight("number"))["1h"]["distribution"]
    hours = [counts(hour.tolist(), made) for hour in in_sessions(1, random).reshape(-1, 200)]
    statistics = np.array([g_statistic(hour, field.array()) for hour in hours])
    assert np.count_nonzero(statistics > theory["distribution"]) > 100  # of 168
    assert not np.any(statistics > critical)


def test_independent_rows_are_judged_nearly_as_without_a_time():
    values = np.random.default_rng(1).normal(size=672 * 50)
    field = baseline(values.tolist(), START + np.arange(values.size) * 72.0, rows=8000).by_key[X]
    theory = drift.critical_values(
        "number", field.array(), weights=drift.weight("number"), false_alarms=0.01
    )
    for of_length in critical_values_of(field, weights=drift.weight("number")).values():
        for test, value in of_length.items():
            assert theory[test] <= value < 1.25 * theory[test]


def test_an_outage_makes_no_other_hour_stray():
    values: list[object] = np.random.default_rng(1).normal(size=20_000).tolist()
    values[5000:5060] = [None] * 60
    field = baseline(values, START + np.arange(20_000) * 36.0).by_key[X]
    assert field.extremes["1h"]["missing"] > 20
    assert "missing" not in field.overdispersions.get("1h", {})


class TestComponents:
    A, B = Field("feature", "a"), Field("feature", "b")

    def made(self, hourly_noise: float) -> Baseline:
        """Two numbers that go together, in some hours less."""
        random = np.random.default_rng(1)
        a = random.normal(size=100 * 200)
        noise = 0.1 + hourly_noise * random.random(100).repeat(200)
        columns = {self.A: a, self.B: a + noise * random.normal(size=a.size)}
        batches = [
            Batch(
                2000,
                {key: Column(of[start : start + 2000].tolist()) for key, of in columns.items()},
                timestamps=START + np.arange(start, start + 2000) * 18.0,
            )
            for start in range(0, a.size, 2000)
        ]
        return build(lambda: batches, Request("model", None, {}, {}, 10, 50))

    def test_hours_that_break_a_relation_stray_in_it_alone(self):
        largest, smallest, _ = self.made(0.2).component_fields
        assert smallest.overdispersions["1h"]["scale"] > 2
        assert largest.overdispersions.get("1h", {}).get("scale", 1.0) < 1.3

    def test_hours_without_a_change_dont(self):
        for field in self.made(0.0).component_fields:
            assert set(field.extremes) == {"1h", "24h"}
            assert max(field.overdispersions.get("1h", {}).values(), default=1.0) < 1.3

    def test_are_judged_by_all_rows_though_fitted_on_some(self, monkeypatch):
        every = [of.extremes for of in self.made(0.2).component_fields]
        monkeypatch.setattr("ml_exporter.baseline.component_fitting._MOST_ROWS", 2000)
        sampled = self.made(0.2).component_fields
        assert sum(sampled[0].counts.values()) < 3000
        for mine, theirs in zip(sampled, every, strict=True):
            assert mine.extremes["1h"]["scale"] == pytest.approx(theirs["1h"]["scale"], rel=0.3)
