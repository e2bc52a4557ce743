"""Finds the regions of a regression, and small trees that expect how large its errors are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ml_exporter.baseline.region_sample import Binned, Inputs, Sample
from ml_exporter.baseline.regions import MOST_LEAVES, ErrorTree, Region, Regions
from ml_exporter.statistics import trees
from ml_exporter.statistics.bins import Floats

_LEAST_ERROR = 0.01  # of the mean one: smaller errors are alike

# In the mean over 34 real sets, twice drawn, half as many trees or finer bins did about as well.
_TREES = 32
_RATE = 0.3
_WEIGHT = 10.0  # rows
_LEAST_ROWS_OF_LEAF = 20
_DIGITS = 6


def of_errors(fields: Sequence[Binned], sample: Sample) -> Regions | None:
    """None where nothing can be told apart, or the model is always right."""
    predicted, actual = sample.truth
    errors = np.abs(predicted - actual)
    mean = float(errors.mean())
    if not mean:
        return None
    inputs = Inputs.of(fields, sample)
    # On a logarithm, as errors have heavy tails.
    splits = inputs.grow(np.log(errors + _LEAST_ERROR * mean)[:, None])
    if not splits:
        return None
    described, names = inputs.described(splits)
    leaves = inputs.leaves(splits)
    rows, absolute, squared = (
        np.bincount(leaves, weights, len(names)) for weights in (None, errors, np.square(errors))
    )
    small, expected = _error_trees(Inputs.of(fields, sample, fine=True), errors)
    return Regions(
        splits=described,
        regions=[
            Region(name=name, rows=int(n), absolute=float(a), squared=float(s))
            for name, n, a, s in zip(names, rows, absolute, squared, strict=True)
        ],
        preferred="regions",
        trees=small,
        square_ratio=float(np.square(errors).sum() / np.square(expected).sum()),
    )


def _error_trees(inputs: Inputs, errors: Floats) -> tuple[list[ErrorTree], Floats]:
    """Trees, and what they expect of each row."""
    found = trees.boost(
        inputs.codes,
        inputs.shapes,
        errors,
        most_trees=_TREES,
        rate=_RATE,
        weight=_WEIGHT,
        most_leaves=MOST_LEAVES,
        least_rows=_LEAST_ROWS_OF_LEAF,
    )
    expected = np.zeros(errors.size)
    small = []
    for one in found:
        adds = _rounded(one.adds)
        expected += adds[inputs.leaves(one.splits)]
        small.append(ErrorTree(inputs.described(one.splits)[0], adds.tolist()))
    return small, np.maximum(expected, 0.0)


def _rounded(values: Iterable[float]) -> Floats:
    return np.array([float(f"{value:.{_DIGITS}g}") for value in values])
