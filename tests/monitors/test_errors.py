import math

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.metrics import (
    explained_variance_score,
    mean_absolute_error,
    mean_absolute_percentage_error,
    r2_score,
    root_mean_squared_error,
)

from ml_exporter.baseline.baseline import Request
from ml_exporter.baseline.labelled_baseline import Errors as BaselineErrors
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import LABEL, PREDICTION, Batch
from ml_exporter.columns import Column
from ml_exporter.monitors.errors import (
    DEFAULT_EDGES,
    ErrorDistribution,
    ErrorSums,
    baseline_figures,
    edges,
)
from ml_exporter.statistics.regression import QUANTILES, Sums, figures, quantile


def labelled(actual, predicted):
    return Batch(len(actual), {LABEL: Column(actual), PREDICTION: Column(predicted)})


def exposed(*monitors):
    """Name and own labels of each series -> value."""
    found = {}
    for monitor in monitors:
        for family in monitor.families:
            own = len(family._constant)
            samples = zip(family.suffixes, family.label_sets, family.values, strict=True)
            for suffix, labels, value in samples:
                found[(family.name + suffix, *labels[own:])] = float(value)
    return found


def sums_of(found):
    return Sums(
        rows=found["ml_prediction_errors_total",],
        absolute=found["ml_absolute_error_total",],
        squared=found["ml_squared_error_total",],
        squared_squared=found["ml_squared_error_squared_total",],
        percentage=found["ml_absolute_percentage_error_total",],
        percentage_squared=found["ml_absolute_percentage_error_squared_total",],
        percentage_rows=found["ml_percentage_error_rows_total",],
        over=found["ml_overprediction_total",],
        under=found["ml_underprediction_total",],
        above=found["ml_actual_deviation_total", "above"],
        below=found["ml_actual_deviation_total", "below"],
        squared_deviation=found["ml_actual_squared_deviation_total",],
    )


def baseline_errors(**changes):
    known = dict.fromkeys(BaselineErrors.__dataclass_fields__, 1) | {"edges": [1.0, 4.0]}
    return BaselineErrors(**(known | changes))


def of_model(errors=None):
    return ErrorSums("m", "1"), ErrorDistribution("m", "1", "b1", errors)


@pytest.fixture(scope="module")
def predictions():
    x, y = load_diabetes(return_X_y=True)
    return y.tolist(), LinearRegression().fit(x[:200], y[:200]).predict(x).tolist()


class TestRealData:
    @pytest.mark.parametrize("size", [37, 442])
    @pytest.mark.parametrize("errors", [None, baseline_errors(mean_actual=150.0)])
    def test_figures_are_those_of_scikit_learn(self, predictions, size, errors):
        actual, predicted = predictions
        monitors = of_model(errors)
        for start in range(0, len(actual), size):
            rows = slice(start, start + size)
            for monitor in monitors:
                monitor.update(labelled(actual[rows], predicted[rows]))
        found = figures(sums_of(exposed(*monitors)))
        for name, expected in {
            "mean_absolute_error": mean_absolute_error,
            "root_mean_squared_error": root_mean_squared_error,
            "mean_absolute_percentage_error": mean_absolute_percentage_error,
            "r2": r2_score,
            "explained_variance": explained_variance_score,
        }.items():
            assert found[name] == pytest.approx(expected(actual, predicted), rel=1e-12), name

    def test_the_baseline_has_the_same(self, predictions):
        actual, predicted = predictions
        request = Request("m", "1", {PREDICTION: "number", LABEL: "number"}, {}, 10, 50)
        errors = build(lambda: [labelled(actual, predicted)], request).errors
        monitors = of_model(errors)
        for monitor in monitors:
            monitor.update(labelled(actual, predicted))
        found = exposed(*monitors)
        of_baseline = baseline_figures(errors)
        buckets = {
            float(key[-1]): value for key, value in found.items() if key[0].endswith("_bucket")
        }
        uppers, counts = list(buckets)[:-1], np.array(list(buckets.values()))
        of_bins = {name: quantile(q, uppers, counts) for name, q in QUANTILES.items()}
        assert of_baseline == pytest.approx(figures(sums_of(found)) | of_bins, rel=1e-12)
        assert found["ml_baseline_mean_actual",] == pytest.approx(np.mean(actual))
        # Its edges are quantiles: a twentieth of the errors is between two of them.
        assert np.diff([0, *counts[:20]]) == pytest.approx(442 / 20, abs=2.5)
        assert set(counts[19:]) == {442}


class TestRowsThatCount:
    @pytest.mark.parametrize(
        ("actual", "predicted", "rows"),
        [
            ([1.0, 2.0], [1.0, 3.0], 2),
            ([1.0, "no number"], [1.0, 3.0], 1),
            ([1.0, 2.0], [True, None], 0),
            ([math.nan, math.inf], [1.0, 1.0], 0),
            ([1.0, 1.0], [-math.inf, math.nan], 0),
            ([1.0, 10**400], [1.0, 1.0], 1),
            ([1e300, 1e75], [1e300, -1e75], 1),  # whose powers would be no number
            ([], [], 0),
        ],
    )
    def test_are_those_with_two_numbers(self, actual, predicted, rows):
        monitors = of_model(baseline_errors())
        for monitor in monitors:
            monitor.update(labelled(actual, predicted))
        found = exposed(*monitors)
        assert found["ml_prediction_errors_total",] == rows
        assert found["ml_prediction_error_count",] == rows
        assert all(map(math.isfinite, found.values()))

    def test_no_prediction_at_all(self):
        sums, _ = of_model()
        sums.update(Batch(1, {LABEL: Column([1.0])}))
        assert set(exposed(sums).values()) == {0}

    def test_percentages_are_of_truths_that_are_not_zero(self):
        sums, _ = of_model()
        sums.update(labelled([0.0, 0.0, 4.0], [3.0, 0.0, 5.0]))
        found = exposed(sums)
        assert found["ml_percentage_error_rows_total",] == 1
        assert found["ml_absolute_percentage_error_total",] == 0.25
        assert found["ml_absolute_error_total",] == 4


class TestDistribution:
    def test_text_of_a_few_rows(self):
        _, distribution = of_model(baseline_errors(edges=[1.0, 4.0], mean_actual=10.0))
        distribution.update(labelled([10.0, 12.0, 5.0, 9.0], [11.0, 8.0, 5.0, 1000.0]))
        assert exposed(distribution) == {
            ("ml_prediction_error_bucket", "1.0"): 2,
            ("ml_prediction_error_bucket", "4.0"): 3,
            ("ml_prediction_error_bucket", "8.0"): 3,
            ("ml_prediction_error_bucket", "20.0"): 3,
            ("ml_prediction_error_bucket", "40.0"): 3,
            ("ml_prediction_error_bucket", "400.0"): 3,
            ("ml_prediction_error_bucket", "+Inf"): 4,
            ("ml_prediction_error_sum",): 1 + 4 + 0 + 991,
            ("ml_prediction_error_count",): 4,
            ("ml_actual_deviation_total", "above"): 2,
            ("ml_actual_deviation_total", "below"): 5 + 1,
            ("ml_actual_squared_deviation_total",): 4 + 25 + 1,
            ("ml_baseline_mean_actual",): 10,
        }

    def test_without_a_baseline(self):
        assert edges(None) == list(DEFAULT_EDGES)
        assert DEFAULT_EDGES[:4] == (0.001, 0.002, 0.005, 0.01)
        assert DEFAULT_EDGES[-1] == 500_000
        assert baseline_figures(None) == {}

    @pytest.mark.parametrize("last", [0.0, 1e80, 1.7e308])
    def test_edges_are_finite_and_ascend(self, last):
        found = edges(baseline_errors(edges=[last]))
        assert np.all(np.isfinite(found))
        assert np.all(np.diff(found) > 0)


class TestSumsOverYears:
    def test_an_absurd_row_hides_later_ones_for_a_while_only(self):
        sums, _ = of_model()
        sums.update(labelled([0.0], [1e30]))
        for _ in range(21):
            sums.update(labelled([0.0] * 100, [2.0] * 100))
        found = exposed(sums)
        # 1000 rows with it, 1000 that were hidden, and the rest.
        assert found["ml_squared_error_total",] == 4 * 100
        assert found["ml_absolute_error_total",] == 2 * 100
        assert found["ml_prediction_errors_total",] == 2101

    def test_a_great_sum_of_ordinary_rows_goes_on(self):
        sums, _ = of_model()
        family = next(f for f in sums.families if f.name == "ml_squared_error_total")
        family.values[0] = 4.0 * 10**12  # of 10^12 rows
        sums.update(labelled([0.0] * 2000, [2.0] * 2000))
        assert family.values[0] == 4.0 * 10**12 + 8000
