import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

from ml_exporter.statistics.bins import (
    bin_labels,
    count_bins,
    format_number,
    quantile_edges,
    round_down,
    round_up,
    weighted_edges,
)

finite = st.floats(allow_nan=False, allow_infinity=False)
# Real columns have ties, and more rows than different values.
columns = st.one_of(
    st.lists(finite, min_size=1, max_size=60),
    st.lists(st.sampled_from([-1.0, 0.0, -0.0, 1e-9, 0.5, 7.0, 1e12]), min_size=1, max_size=60),
    st.lists(st.floats(1000, 1001), min_size=1, max_size=60),
).map(np.array)


class TestFormatNumber:
    @pytest.mark.parametrize(
        ("value", "expected"),
        # What Go's strconv.FormatFloat(value, 'g', -1, 64) gives, with .0 where it looks whole.
        [
            (0.0, "0.0"),
            (-0.0, "0.0"),
            (1.0, "1.0"),
            (-1.0, "-1.0"),
            (10.0, "10.0"),
            (42.5, "42.5"),
            (0.1, "0.1"),
            (100000.0, "100000.0"),
            (999999.0, "999999.0"),
            (999999.5, "999999.5"),
            (1000000.0, "1e+06"),
            (1234567.0, "1.234567e+06"),
            (1234567.8, "1.2345678e+06"),
            (123456789.0, "1.23456789e+08"),
            (-2500000.0, "-2.5e+06"),
            (0.001, "0.001"),
            (0.0001, "0.0001"),
            (0.00012345, "0.00012345"),
            (0.00001, "1e-05"),
            (0.000012345, "1.2345e-05"),
            (1e16, "1e+16"),
            (1e21, "1e+21"),
            (1e22, "1e+22"),
            (1e23, "1e+23"),
            (1e100, "1e+100"),
            (9007199254740993.0, "9.007199254740992e+15"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1 / 3, "0.3333333333333333"),
            (100 / 3, "33.333333333333336"),
            (5e-324, "5e-324"),
            (2.2250738585072014e-308, "2.2250738585072014e-308"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (math.inf, "+Inf"),
            (-math.inf, "-Inf"),
            (math.nan, "NaN"),
        ],
    )
    def test_as_go_writes_it(self, value, expected):
        assert format_number(value) == expected

    @given(finite)
    def test_reads_back_as_the_same_number(self, value):
        assert float(format_number(value)) == value

    @given(finite)
    def test_looks_like_a_number_with_a_point_or_an_exponent(self, value):
        text = format_number(value)
        assert "." in text or "e" in text
        assert ("e" in text) == (value != 0 and not 1e-4 <= abs(value) < 1e6)


class TestRounding:
    @pytest.mark.parametrize(
        ("value", "down", "up"),
        [
            (0.0, 0.0, 0.0),
            (1234.0, 1230.0, 1240.0),
            (1230.0, 1230.0, 1230.0),
            (-1234.0, -1240.0, -1230.0),
            (0.0012345, 0.00123, 0.00124),
            (999.9, 999.0, 1000.0),
            (1.7976931348623157e308, 1.79e308, 1.7976931348623157e308),  # 1.80e308 is infinite
        ],
    )
    def test_to_three_digits(self, value, down, up):
        assert (round_down(value, 3), round_up(value, 3)) == (down, up)

    @given(finite, st.integers(1, 17))
    def test_is_outward_and_near(self, value, digits):
        up = round_up(value, digits)
        assert math.isfinite(up)
        assert round_down(value, digits) <= value <= up
        step = abs(value) * 10.0 ** (1 - digits) * (1 + 1e-9)
        assert up - value <= max(step + 2 * math.ulp(value), 5e-324)


class TestQuantileEdges:
    @pytest.mark.parametrize(
        ("values", "bins", "edges"),
        [
            pytest.param(range(1, 101), 4, [1, 25, 50, 75, 100], id="quarters"),
            pytest.param([7], 10, [7, 7], id="one value"),
            pytest.param([7] * 50, 10, [7, 7], id="constant"),
            pytest.param([0] * 90 + [1] * 10, 10, [0, 0, 1], id="two values"),
            pytest.param([12345, 67891], 2, [12300, 12400, 67900], id="rounded outward"),
            pytest.param([1000.1] * 5 + [1000.2] * 5, 2, [1000, 1000.1, 1010], id="kept apart"),
            pytest.param([-1.0, -0.5, 0.0, 0.5], 2, [-1, -0.5, 0.5], id="negative"),
        ],
    )
    def test_value(self, values, bins, edges):
        assert quantile_edges(np.array(values, dtype=float), bins).tolist() == edges

    @given(columns, st.integers(2, 50))
    def test_what_edges_promise(self, values, bins):
        edges = quantile_edges(values, bins)
        assert np.all(np.isfinite(edges))
        assert 2 <= len(edges) <= bins + 1
        assert edges[0] <= values.min()
        assert values.max() <= edges[-1]
        assert edges[0] <= edges[1]
        assert np.all(np.diff(edges[1:]) > 0)
        counts = count_bins(values, edges)
        assert counts[0] == counts[-1] == 0
        assert counts.sum() == len(values)
        labels = bin_labels(edges)
        assert len(set(labels)) == len(labels) == len(counts)

    @given(columns, st.integers(2, 50))
    def test_outermost_edges_tell_three_digits_alone(self, values, bins):
        edges = quantile_edges(values, bins)
        for edge, extreme in ((edges[0], values.min()), (edges[-1], values.max())):
            if abs(extreme) < 1e308:  # there is no room to round up the greatest numbers
                assert edge == float(f"{edge:.2e}")

    @pytest.mark.parametrize("load", [load_breast_cancer, load_wine, load_digits])
    def test_bins_of_real_columns_have_about_equal_shares(self, load):
        for column in load().data.T:
            counts = count_bins(column, quantile_edges(column, 10))[1:-1]
            heaviest_value = np.unique(column, return_counts=True)[1].max()
            assert counts.max() <= len(column) * 0.14 + heaviest_value

    def test_order_of_the_values_makes_no_difference(self):
        values = load_wine().data[:, 0]
        assert np.array_equal(quantile_edges(values, 10), quantile_edges(np.sort(values), 10))


class TestWeightedEdges:
    @given(columns, st.integers(2, 50), st.data())
    def test_what_edges_promise(self, values, bins, data):
        some = st.lists(st.floats(1e-6, 1), min_size=len(values), max_size=len(values))
        edges = weighted_edges(values, np.array(data.draw(some)), bins)
        assert np.all(np.isfinite(edges))
        assert 2 <= len(edges) <= bins + 1
        assert edges[0] <= values.min()
        assert values.max() <= edges[-1]
        assert edges[0] <= edges[1]
        assert np.all(np.diff(edges[1:]) > 0)

    def test_bins_weigh_about_the_same(self):
        rng = np.random.default_rng(0)
        values, weights = rng.normal(size=5000), rng.random(5000)
        edges = weighted_edges(values, weights, 20)
        of_bins, _ = np.histogram(values, edges, weights=weights)
        assert of_bins == pytest.approx(weights.sum() / 20, rel=0.05)

    def test_a_heavy_value_is_alone(self):
        values, weights = np.arange(101) / 10, np.ones(101)
        weights[40] = 1000
        edges = weighted_edges(values, weights, 12)
        assert {3.9, 4.0} <= set(edges.tolist())
        assert 12 <= len(edges) <= 13


class TestCountBins:
    def test_each_bin_includes_its_upper_edge_and_the_first_its_lower_one(self):
        edges = np.array([0.0, 1.0, 2.0])
        values = np.array([-1e-9, 0.0, 1.0, 1.0 + 1e-9, 2.0, 2.0 + 1e-9, -np.inf, np.inf, np.nan])
        assert count_bins(values, edges).tolist() == [2, 2, 2, 2]

    def test_bin_of_one_value(self):
        edges = np.array([5.0, 5.0, 6.0])
        assert count_bins(np.array([4.9, 5.0, 5.0, 5.1]), edges).tolist() == [1, 2, 1, 0]

    def test_nothing(self):
        assert count_bins(np.array([]), np.array([0.0, 1.0])).tolist() == [0, 0, 0]

    @given(st.lists(st.floats(), max_size=40), columns, st.integers(2, 20))
    def test_equals_one_value_at_a_time(self, values, baseline, bins):
        edges = quantile_edges(baseline, bins)
        expected = [0] * (len(edges) + 1)
        for value in values:
            if value < edges[0]:
                expected[0] += 1
            elif value > edges[-1]:
                expected[-1] += 1
            elif not math.isnan(value):
                expected[1 + next(i for i, e in enumerate(edges[1:]) if value <= e)] += 1
        assert count_bins(np.array(values), edges).tolist() == expected


def test_bins_are_named_by_their_upper_edges():
    assert bin_labels(np.array([0.0, 0.5, 1e6])) == ["<below>", "0.5", "1e+06", "<above>"]


@given(columns, st.integers(2, 20))
def test_labels_are_in_the_order_of_their_numbers(values, bins):
    numbers = [float(label) for label in bin_labels(quantile_edges(values, bins))[1:-1]]
    assert all(low < high for low, high in pairwise(numbers))
