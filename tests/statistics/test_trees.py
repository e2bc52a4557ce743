from itertools import combinations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.tree import DecisionTreeRegressor

from ml_exporter.statistics.bins import quantile_edges
from ml_exporter.statistics.trees import Input, Split, boost, grow, leaves_of


def binned(data, bins=10):
    """Real numbers as bins."""
    codes, inputs = [], []
    for column in data.T:
        uppers = quantile_edges(column, bins)[1:]
        codes.append(np.searchsorted(uppers, column).astype(np.uint8))
        inputs.append(Input(uppers.size + 2, uppers.size + 1))
    return codes, inputs


def squares(targets, leaves):
    """Sum of squares about the leaves' means."""
    return sum(
        np.square(targets[leaves == leaf] - targets[leaves == leaf].mean(axis=0)).sum()
        for leaf in np.unique(leaves)
    )


@pytest.mark.parametrize("load", [load_breast_cancer, load_diabetes, load_wine])
@pytest.mark.parametrize(("most", "least"), [(2, 10), (6, 10), (20, 5)])
def test_explains_what_scikit_learns_best_first_tree_does(load, most, least):
    data = load()
    codes, inputs = binned(data.data)
    targets = np.eye(3)[data.target] if load is load_wine else data.target.reshape(-1, 1) * 1.0
    splits = grow(codes, inputs, targets, most_leaves=most, least_rows=least)
    leaves = leaves_of(splits, codes, len(targets))
    sizes = np.bincount(leaves)
    assert sizes.size == len(splits) + 1 <= most
    assert sizes.min() >= least
    # It averages over several targets, and so is as good as ours whatever their number.
    peer = DecisionTreeRegressor(max_leaf_nodes=most, min_samples_leaf=least, random_state=0)
    x = np.stack(codes, axis=1)
    of_peer = peer.fit(x, targets).apply(x)
    assert squares(targets, leaves) == pytest.approx(squares(targets, of_peer), rel=0.01)


def test_a_category_is_split_as_well_as_any_way_could():
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 7, 400).astype(np.uint8)
    target = (rng.random(400) < np.array([0.2, 0.9, 0.4, 0.1, 0.6, 0.5, 0.8])[codes]) * 1.0
    (split,) = grow([codes], [Input(7)], target[:, None], most_leaves=2, least_rows=20)
    found = squares(target, split.left[codes])
    every = (
        squares(target, np.isin(codes, subset))
        for size in (1, 2, 3)
        for subset in combinations(range(7), size)
    )
    assert found == pytest.approx(min(every))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_missing_values_go_where_they_explain_most(value):
    codes = np.repeat(np.arange(4, dtype=np.uint8), 30)  # the last one has no value
    target = np.repeat([0.0, 0.0, 1.0, value], 30)
    (split,) = grow([codes], [Input(4, ordered=3)], target[:, None], most_leaves=9, least_rows=9)
    assert split.left.tolist() == [True, True, False, value == 0.0]


def test_what_no_row_has_goes_with_most_rows():
    codes = np.repeat(np.array([0, 2, 3], dtype=np.uint8), [20, 20, 50])
    target = np.repeat([0.0, 0.0, 1.0], [20, 20, 50])
    (number,) = grow([codes], [Input(5, ordered=4)], target[:, None], most_leaves=2, least_rows=9)
    assert number.left.tolist() == [True, True, True, False, False]
    (name,) = grow([codes], [Input(5)], target[:, None], most_leaves=2, least_rows=9)
    assert name.left.tolist() == [True, False, True, False, False]


@pytest.mark.parametrize(
    ("target", "rows"),
    [
        (np.ones(100), 10),  # nothing to explain
        (np.arange(100.0), 51),  # too few rows for two leaves
    ],
)
def test_is_not_split_in_vain(target, rows):
    codes = np.repeat(np.arange(2, dtype=np.uint8), 50)
    assert grow([codes], [Input(3, 2)], target[:, None], most_leaves=8, least_rows=rows) == []


def test_leaves_of_other_rows():
    left = np.array([True, False, False])
    splits = [Split(0, 1, 0, left), Split(1, 2, 1, np.array([False, True]))]
    codes = [np.array([0, 1, 2, 1], dtype=np.uint8), np.array([0, 0, 1, 1], dtype=np.uint8)]
    assert leaves_of(splits, codes, 4).tolist() == [0, 2, 1, 1]
    assert leaves_of([], codes, 4).tolist() == [0, 0, 0, 0]


def test_is_the_same_every_time():
    data = load_breast_cancer()
    codes, inputs = binned(data.data)
    target = data.target.reshape(-1, 1) * 1.0
    first, again = (grow(codes, inputs, target, most_leaves=16, least_rows=10) for _ in range(2))
    assert [(s.leaf, s.feature, s.left.tolist()) for s in first] == [
        (s.leaf, s.feature, s.left.tolist()) for s in again
    ]


def boosted(codes, inputs, target, weight=0.0, least=10):
    found = boost(
        codes, inputs, target,
        most_trees=12, rate=0.3, weight=weight, most_leaves=5, least_rows=least,
    )  # fmt: skip
    added = (one.adds[leaves_of(one.splits, codes, target.size)] for one in found)
    return found, sum(added, np.zeros(target.size))


@pytest.mark.parametrize("load", [load_breast_cancer, load_diabetes])
def test_explains_as_much_as_scikit_learns_boosting(load):
    data = load()
    codes, inputs = binned(data.data)
    target = data.target * 1.0
    _, found = boosted(codes, inputs, target)
    of_trees = {"max_leaf_nodes": 5, "min_samples_leaf": 10}
    peer = GradientBoostingRegressor(n_estimators=12, learning_rate=0.3, random_state=0, **of_trees)
    x = np.stack(codes, axis=1)
    missed = np.square(target - peer.fit(x, target).predict(x)).sum()
    assert np.square(target - found).sum() < 1.02 * missed


@pytest.mark.parametrize("weight", [0.0, 50.0])
def test_what_trees_add_up_to_has_the_mean_of_the_target(weight):
    data = load_diabetes()
    _, found = boosted(*binned(data.data), data.target * 1.0, weight)
    assert found.mean() == pytest.approx(data.target.mean())


def test_less_is_added_where_rows_are_few():
    data = load_diabetes()
    codes, inputs = binned(data.data)
    spreads = [
        boosted(codes, inputs, data.target * 1.0, weight)[1].std() for weight in (0, 20, 200)
    ]
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[2] < 0.9 * spreads[0]


def test_there_are_no_trees_where_nothing_can_be_split():
    codes, inputs = [np.zeros(100, dtype=np.uint8)], [Input(2, 1)]
    assert boosted(codes, inputs, np.arange(100.0))[0] == []
