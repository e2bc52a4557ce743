"""Decision trees of values in bins, grown leaf by leaf where they explain most."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml_exporter.statistics.bins import Floats

Codes = NDArray[np.unsignedinteger]
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Input:
    """A feature of a tree: so many bins, of which the first `ordered` have an order.

    The bins after those (a number's missing values) go to either side together. A feature
    without order is a category. What a leaf has no rows of goes with most of its rows.
    """

    bins: int
    ordered: int = 0


@dataclass(frozen=True)
class Split:
    """A leaf that was split in two: which bins of a feature go left. Indices are of leaves.

    The left part keeps the leaf's number; the right part is leaf `right`.
    """

    leaf: int
    right: int
    feature: int
    left: NDArray[np.bool_]  # (bins,)


@dataclass(frozen=True)
class Addend:
    """A tree of a sum, and what it adds in each of its leaves."""

    splits: list[Split]
    adds: Floats


@dataclass(frozen=True)
class _Candidate:
    gain: float
    feature: int
    left: NDArray[np.bool_]


def grow(
    codes: Sequence[Codes],
    inputs: Sequence[Input],
    targets: Floats,
    *,
    most_leaves: int,
    least_rows: int,
) -> list[Split]:
    """Splits in the order of what they explain: always the leaf whose best split explains most.

    `codes` has an array of shape (rows,) for each input, the bin of each row; `targets` is of
    shape (rows, k). What a split explains is the sum of squares about the leaves' means that it
    takes away, over all targets: for classes as columns of 0 and 1 that is Gini's impurity.
    No leaf has fewer than `least_rows` rows.

    L. Breiman et al., Classification and Regression Trees (1984); best-first as H. Shi,
    Best-first decision tree learning (2007).
    """
    leaves: list[Rows] = [np.arange(len(targets))]
    heap: list[tuple[float, int, _Candidate]] = []

    def consider(leaf: int) -> None:
        found = _best(codes, inputs, targets, leaves[leaf], least_rows)
        if found is not None and found.gain > 0:
            heapq.heappush(heap, (-found.gain, leaf, found))

    consider(0)
    splits: list[Split] = []
    while heap and len(leaves) < most_leaves:
        _, leaf, best = heapq.heappop(heap)
        rows = leaves[leaf]
        goes_left = best.left[codes[best.feature][rows]]
        splits.append(Split(leaf, len(leaves), best.feature, best.left))
        leaves[leaf] = rows[goes_left]
        leaves.append(rows[~goes_left])
        consider(leaf)
        consider(splits[-1].right)
    return splits


def boost(
    codes: Sequence[Codes],
    inputs: Sequence[Input],
    target: Floats,
    *,
    most_trees: int,
    rate: float,
    weight: float,
    most_leaves: int,
    least_rows: int,
) -> list[Addend]:
    """Trees whose sum is the target's mean, given the bins; all as `grow` has them, but for these.

    Each tree is grown on what those before it leave of the target, of shape (rows,), and of each
    leaf's mean a share is added, `rate`, after so many rows (`weight`) without anything left have
    been added to it. There are none where nothing can be split.

    J. H. Friedman, Greedy function approximation: a gradient boosting machine (2001); weights as
    T. Chen and C. Guestrin, XGBoost: a scalable tree boosting system (2016).
    """
    mean = target.mean()
    left = target - mean
    found: list[Addend] = []
    while len(found) < most_trees:
        splits = grow(codes, inputs, left[:, None], most_leaves=most_leaves, least_rows=least_rows)
        if not splits:
            break
        leaves = leaves_of(splits, codes, target.size)
        sums, rows = np.bincount(leaves, left), np.bincount(leaves)
        adds = rate * sums / (rows + weight)
        left -= adds[leaves]
        found.append(Addend(splits, adds))
    if found:
        # Means that are pulled to nothing don't add up to that of all rows.
        found[0] = Addend(found[0].splits, found[0].adds + mean + left.mean())
    return found


def leaves_of(splits: Sequence[Split], codes: Sequence[Codes], rows: int) -> NDArray[np.int32]:
    """The leaf of each row after all splits."""
    leaf = np.zeros(rows, dtype=np.int32)
    for split, moved in moves(splits, codes, rows):
        leaf[moved] = split.right
    return leaf


def moves(
    splits: Sequence[Split], codes: Sequence[Codes], rows: int
) -> Iterator[tuple[Split, Rows]]:
    """Which rows each split takes away from its leaf, one split after the other."""
    members: dict[int, Rows] = {0: np.arange(rows)}
    for split in splits:
        of_leaf = members[split.leaf]
        goes_left = split.left[codes[split.feature][of_leaf]]
        members[split.leaf] = of_leaf[goes_left]
        members[split.right] = of_leaf[~goes_left]
        yield split, members[split.right]


def _best(
    codes: Sequence[Codes], inputs: Sequence[Input], targets: Floats, rows: Rows, least_rows: int
) -> _Candidate | None:
    if rows.size < 2 * least_rows:
        return None
    of_rows = targets[rows]
    best: _Candidate | None = None
    for feature, one in enumerate(inputs):
        picked = codes[feature][rows]
        counts: Floats = np.bincount(picked, minlength=one.bins).astype(np.float64)
        of_targets = [np.bincount(picked, column, one.bins) for column in of_rows.T]
        sums = np.stack(of_targets, axis=1).astype(np.float64)
        found = _best_of(one, counts, sums, least_rows)
        if found is not None and (best is None or found[0] > best.gain):
            best = _Candidate(found[0], feature, found[1])
    return best


def _best_of(
    one: Input, counts: Floats, sums: Floats, least_rows: int
) -> tuple[float, NDArray[np.bool_]] | None:
    """The best gain of splitting a feature, and the bins that go left."""
    if one.ordered:
        order, rest = np.arange(one.ordered), np.arange(one.ordered, one.bins)
    else:
        order, rest = _by_target(counts, sums), np.empty(0, dtype=np.intp)
    n, total = counts.sum(), sums.sum(axis=0)
    left_n, left = np.cumsum(counts[order]), np.cumsum(sums[order], axis=0)
    with_rest = (left_n + counts[rest].sum(), left + sums[rest].sum(axis=0))
    best = None
    for take_rest, (ln, ls) in ((False, (left_n, left)), (True, with_rest)):
        allowed = (ln >= least_rows) & (n - ln >= least_rows)
        if not allowed.any():
            continue
        explained = np.square(ls[allowed]).sum(axis=1) / ln[allowed] + np.square(
            total - ls[allowed]
        ).sum(axis=1) / (n - ln[allowed])
        at = int(np.argmax(explained))
        gain = float(explained[at] - np.square(total).sum() / n)
        if best is None or gain > best[0]:
            goes_left = np.zeros(one.bins, dtype=np.bool_)
            goes_left[order[: int(np.flatnonzero(allowed)[at]) + 1]] = True
            goes_left[rest] = take_rest
            if not one.ordered or not counts[rest].any():
                unseen = rest if one.ordered else np.flatnonzero(counts == 0)
                goes_left[unseen] = 2 * counts[goes_left].sum() > n
            best = (gain, goes_left)
        if not rest.size:
            break
    return best


def _by_target(counts: Floats, sums: Floats) -> Rows:
    """Categories by the mean of their target, or where that is most spread if there are several.

    For one target no other order has a better split (Breiman); for several the first principal
    component is the usual stand-in (D. Coppersmith et al., Partitioning nominal attributes in
    decision trees, 1999).
    """
    means = sums / np.maximum(counts, 1)[:, None]
    mean = sums.sum(axis=0) / counts.sum()
    spread = (means - mean) * np.sqrt(counts)[:, None]
    _, _, directions = np.linalg.svd(spread, full_matrices=False)
    place = (means - mean) @ directions[0]
    return np.argsort(np.where(counts > 0, place, np.inf), kind="stable")
