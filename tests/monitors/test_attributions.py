import math

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression

from ml_exporter.baseline.baseline import Request
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import PREDICTION, Batch, Field
from ml_exporter.columns import Column
from ml_exporter.monitors.attributions import (
    BASELINE_ROWS,
    Attributions,
    BaselineAttributions,
    ProbedAttributions,
)


def attributed(**columns):
    fields = {Field("attribution", name): Column(values) for name, values in columns.items()}
    return Batch(len(next(iter(columns.values()))), fields)


def counted(features, *batches):
    """Sum by field, and rows."""
    monitor = Attributions("m", "1", features)
    for batch in batches:
        monitor.update(batch)
    by_field, rows = monitor.families
    assert [labels[2] for labels in by_field.label_sets] == list(features)
    return [*by_field.values.tolist(), rows.value()]


@pytest.mark.parametrize(
    ("age", "income", "expected"),
    [
        ([0.5, -0.25], [1, 2], [0.75, 3, 2]),
        ([0.5, None], [None, None], [0.5, 0, 1]),  # a log that names only what mattered
        ([math.nan, "much"], [math.inf, {}], [0, 0, 0]),
        ([1e300, 2.0], [1.0, 1.0], [2, 2, 2]),
        ([0, 0], [0, 0], [0, 0, 2]),
    ],
)
def test_a_few_rows(age, income, expected):
    assert counted(["age", "income"], attributed(age=age, income=income)) == expected


def test_a_feature_that_rows_have_no_attribution_of():
    assert counted(["age", "income"], attributed(age=[1.0])) == [1, 0, 1]
    assert counted(["age"], Batch(2, {PREDICTION: Column([1, 2])})) == [0, 0]


def test_born_at_zero():
    assert counted(["age", "income"]) == [0, 0, 0]


def test_a_real_model_is_as_its_baseline():
    """Attributions of a linear model: coefficient times distance from the mean."""
    x, y = load_diabetes(return_X_y=True, as_frame=True)
    values = (x - x.mean()) * LinearRegression().fit(x, y).coef_
    batch = attributed(**{name: values[name].tolist() for name in x})
    baseline = build(lambda: [batch], Request("m", "1", {}, {}, 10, 50)).attributions
    *sums, rows = counted(list(x), batch.slice(0, 100), batch.slice(100, 442))
    assert rows == 442
    assert np.array(sums) / rows == pytest.approx(values.abs().mean().to_numpy(), rel=1e-12)
    assert dict(zip(x, np.array(sums) / rows, strict=True)) == pytest.approx(baseline)
    (gauge,) = BaselineAttributions("m", "1", baseline).families
    assert {labels[2]: gauge.value(labels[2]) for labels in gauge.label_sets} == baseline


def test_the_first_rows_that_are_probed_are_the_baseline():
    monitor = ProbedAttributions("m", "1", ["age", "income"])
    monitor.update(attributed(age=[9.0]))  # predictions have none
    by_field, rows, baseline, of_baseline = monitor.families
    for row in range(BASELINE_ROWS - 1):
        monitor.probed(attributed(age=[-1.0 if row % 2 else 3.0], income=[0.25]))
    assert of_baseline.value() == BASELINE_ROWS - 1
    assert rows.value() == 0
    monitor.probed(attributed(age=[1.0, 10.0], income=[0.25, 20.0]))
    assert of_baseline.value() == BASELINE_ROWS
    assert [baseline.value(name) for name in ("age", "income")] == pytest.approx([2.0, 0.25])
    assert [by_field.value(name) for name in ("age", "income")] == [10.0, 20.0]
    assert rows.value() == 1


def test_a_baseline_that_was_probed_is_kept():
    monitor = ProbedAttributions("m", "1", ["age"])
    for _ in range(BASELINE_ROWS):
        monitor.probed(attributed(age=[0.5]))
    other = ProbedAttributions("m", "1", ["age"])
    for old, new in zip(monitor.families, other.families, strict=True):
        assert old.kept
        for key, value in zip(old.keys(), old.values.tolist(), strict=True):
            new.restore(key, value)
    other.probed(attributed(age=[0.25]))
    assert [
        family.value(*labels)
        for family, labels in zip(other.families, (["age"], [], ["age"], []), strict=True)
    ] == [0.25, 1, 0.5, BASELINE_ROWS]
