import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import spatial, stats
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from ml_exporter.statistics import effects

NAN = math.nan


def columns():
    """Every column of three real data sets, cut into a window and a baseline of older rows."""
    for load in (load_breast_cancer, load_wine, load_diabetes):
        data = load()
        for name, column in zip(data.feature_names, data.data.T, strict=True):
            yield pytest.param((column[120:], column[:120]), id=f"{load.__name__[5:]}-{name}")


@pytest.fixture(params=columns())
def column(request):
    """Edges of ten bins, the numbers of the bins of all values, and their counts, on both sides."""
    edges = np.unique(np.quantile(request.param[1], np.linspace(0, 1, 11)))
    bins = [np.searchsorted(edges, side) for side in request.param]
    bins[1] = np.maximum(bins[1], 1)  # the first bin has its lower edge, too
    counts = [np.bincount(side, minlength=len(edges) + 1) for side in bins]
    return edges, bins, counts


DISTANCES = {
    "js_distance": effects.js_distance,
    "total_variation": effects.total_variation,
    "l_infinity": effects.l_infinity,
    "ks": effects.ks,
}


@pytest.mark.parametrize(
    ("window", "baseline", "js_distance", "total_variation", "l_infinity", "ks"),
    [
        pytest.param([5, 5], [50, 50], 0, 0, 0, 0, id="equal shares"),
        pytest.param([5, 0], [0, 50], 1, 1, 1, 1, id="nothing in common"),
        pytest.param([7], [3], 0, 0, 0, 0, id="one bin"),
        pytest.param([0, 10, 0], [1, 0, 1], 1, 1, 1, 0.5, id="outside to inside"),
        pytest.param([1, 2, 1], [2, 0, 2], math.sqrt(0.311278), 0.5, 0.5, 0.25, id="half of it"),
        pytest.param([0, 0], [1, 1], NAN, NAN, NAN, NAN, id="no window"),
        pytest.param([1, 1], [0, 0], NAN, NAN, NAN, NAN, id="no baseline"),
        pytest.param([], [], NAN, NAN, NAN, NAN, id="no bins"),
    ],
)
def test_value(window, baseline, js_distance, total_variation, l_infinity, ks):
    found = [distance(window, baseline) for distance in DISTANCES.values()]
    expected = [js_distance, total_variation, l_infinity, ks]
    assert found == pytest.approx(expected, abs=1e-6, nan_ok=True)


class TestEqualsSciPy:
    def test_js_distance(self, column):
        _, _, (w, r) = column
        expected = spatial.distance.jensenshannon(w, r, base=2)
        assert effects.js_distance(w, r) == pytest.approx(expected, rel=1e-12, abs=1e-8)

    def test_total_variation_is_half_of_the_city_block_distance(self, column):
        _, _, (w, r) = column
        expected = spatial.distance.cityblock(w / w.sum(), r / r.sum()) / 2
        assert effects.total_variation(w, r) == pytest.approx(expected, rel=1e-12)

    def test_l_infinity_is_chebyshevs_distance(self, column):
        _, _, (w, r) = column
        expected = spatial.distance.chebyshev(w / w.sum(), r / r.sum())
        assert effects.l_infinity(w, r) == pytest.approx(expected, rel=1e-12)

    def test_ks_is_that_of_the_values_bins(self, column):
        _, bins, (w, r) = column
        assert effects.ks(w, r) == pytest.approx(stats.ks_2samp(*bins).statistic, rel=1e-12)

    def test_wasserstein_is_that_of_the_middles_of_the_values_bins(self, column):
        edges, bins, (w, r) = column
        middles = np.array([edges[0], *(edges[1:] + edges[:-1]) / 2, edges[-1]])
        window, baseline = (middles[side] for side in bins)
        moved, deviation = stats.wasserstein_distance(window, baseline), baseline.std()
        found = effects.wasserstein(w, r, effects.bin_distances(edges, r))
        expected = moved / deviation if deviation else NAN  # one column has a constant baseline
        assert found == pytest.approx(expected, rel=1e-9, nan_ok=True)


class TestDeequ:
    """The examples that Deequ's own tests have for its distances of categories."""

    @pytest.mark.parametrize(
        ("window", "baseline", "simple"),
        [
            ([10, 20, 25, 10, 5], [11, 20, 25, 10, 10], 0.06015037593984962),
            ([10, 20, 25, 10, 5, 0], [20, 0, 25, 10, 10, 11], 0.2857142857142857),
        ],
    )
    def test_of_few_rows_nothing_is_left(self, window, baseline, simple):
        distance = effects.l_infinity(window, baseline)
        assert distance == pytest.approx(simple, rel=1e-15)
        assert effects.robust(distance, sum(window), sum(baseline)) == 0

    def test_of_more_rows_something_is_left(self):
        window, baseline = [207, 20, 25, 14, 25, 13, 0], [22, 20, 25, 12, 13, 0, 15]
        simple = effects.l_infinity(window, baseline)
        # Deequ has 0.2726338 for alpha = 0.003, of which c is 1.8031 where it isn't rounded.
        forgiven = (math.sqrt(-math.log(0.0015) / 2) - 1.8) * math.sqrt(1 / 304 + 1 / 107)
        robust = effects.robust(simple, sum(window), sum(baseline))
        assert robust == pytest.approx(0.2726338046550349 + forgiven, rel=1e-12)

    @pytest.mark.parametrize("rows", [(0, 5), (5, 0)])
    def test_without_rows_it_is_undefined(self, rows):
        assert math.isnan(effects.robust(0.5, *rows))


class TestWasserstein:
    def test_a_shift_by_a_bin(self):
        distances = effects.bin_distances([0, 2, 4], [0, 1, 1, 0])
        assert distances == pytest.approx([1, 2, 1])  # the middles 1 and 3 have a deviation of 1
        assert effects.wasserstein([0, 0, 8, 0], [0, 8, 0, 0], distances) == pytest.approx(2)

    def test_what_is_out_of_range_is_at_the_edge(self):
        distances = effects.bin_distances([0, 2, 4], [0, 1, 1, 0])
        assert effects.wasserstein([0, 0, 0, 5], [0, 0, 5, 0], distances) == pytest.approx(1)

    @pytest.mark.parametrize("unit", [1e-300, 1e-9, 1, 1e9, 1e307])
    def test_the_unit_does_not_matter(self, unit):
        edges = np.array([-3, -1, 0.5, 2, 7])
        expected = effects.bin_distances(edges, [0, 4, 3, 2, 1, 0])
        found = effects.bin_distances(edges * unit, [0, 4, 3, 2, 1, 0])
        assert found == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize(
        ("edges", "baseline"),
        [
            pytest.param([5, 5], [0, 9, 0], id="a constant"),
            pytest.param([0, 0], [0, 9, 0], id="zero"),
            pytest.param([0, 1, 2], [0, 9, 0, 0], id="all in one bin"),
            pytest.param([0, 1, 2], [0, 0, 0, 0], id="no rows"),
        ],
    )
    def test_of_what_does_not_vary_is_undefined(self, edges, baseline):
        distances = effects.bin_distances(edges, baseline)
        assert distances.tolist() == [0] * len(edges)
        assert math.isnan(effects.wasserstein(baseline, baseline, distances))


# Two sides of one field, with anything in its bins.
counts = st.lists(
    st.tuples(st.integers(0, 10**7), st.integers(0, 10**7)), min_size=1, max_size=15
).map(lambda pairs: np.array(pairs, dtype=float).T)


class TestProperties:
    @given(counts)
    def test_distances_are_shares_unless_a_side_has_no_rows(self, sides):
        for distance in DISTANCES.values():
            value = distance(*sides)
            assert math.isnan(value) != bool(sides.sum(axis=1).all())
            assert math.isnan(value) or 0 <= value <= 1 + 1e-12

    @given(counts)
    def test_sides_may_be_swapped(self, sides):
        for distance in DISTANCES.values():
            there, back = distance(*sides), distance(*sides[::-1])
            assert there == pytest.approx(back, abs=1e-12, nan_ok=True)

    @given(counts)
    def test_neither_one_bin_nor_the_cumulative_shares_differ_by_more_than_moved(self, sides):
        moved = effects.total_variation(*sides)
        for distance in (effects.l_infinity, effects.ks):
            assert not distance(*sides) > moved + 1e-12


class TestPlaces:
    @pytest.mark.parametrize("bins", [0, 1, 2, 3, 4, 5, 11, 21, 101, effects.MOST_PLACES])
    def test_are_one_for_each_bin_in_order(self, bins):
        places = effects.places(bins)
        assert len(set(places)) == bins
        assert places == sorted(places)

    @pytest.mark.parametrize(
        ("bins", "of_each_block"), [(1, [1]), (3, [1, 2]), (11, [3, 4, 4]), (101, [2, *[11] * 9])]
    )
    def test_only_the_first_block_is_shorter_than_there_are_blocks(self, bins, of_each_block):
        blocks = Counter(block for block, _ in effects.places(bins))
        assert list(blocks.values()) == of_each_block

    @pytest.mark.parametrize("bins", [1, 2, 3, 11, 21, 101])
    def test_every_block_and_every_field_ends_in_the_last_digit(self, bins):
        last = dict(effects.places(bins))  # of each block, its last place
        assert max(last) == effects.DIGITS[-1]
        assert set(last.values()) == {effects.DIGITS[-1]}

    def test_there_are_enough_for_the_bins_one_can_ask_for(self):
        assert len(effects.places(100 + 1)) == 100 + 1
        assert effects.places(effects.MOST_PLACES + 1) == []
