"""The bins of a baseline, counted from a column of a statistics.json."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import numpy as np

from ml_exporter.baseline.baseline import BaselineError, Request
from ml_exporter.baseline.sagemaker.files import (
    MOST_DISTINCT,
    Feature,
    Numerical,
    Textual,
    whole_count,
)
from ml_exporter.baseline.sagemaker.values import Weighted, bins_of_buckets, of_buckets, of_sketch
from ml_exporter.columns import category_name, number_of_json
from ml_exporter.statistics.bins import (
    ANY,
    INVALID,
    MISSING,
    OTHER,
    Counts,
    Floats,
    bin_labels,
    quantile_edges,
)

_LEAST_ROWS = 10  # of a category with a name of its own

Counted = tuple[list[float] | None, dict[str, int]]  # edges of a number, and counts by bin


def counted(feature: Feature, type: str | None, rows: int, request: Request) -> Counted:
    if (numbers := feature.numerical_statistics) is not None:
        return _counted_numbers(numbers, feature.inferred_type == "Integral", type, request)
    if (text := feature.string_statistics) is not None:
        return _counted_texts(text, type, request)
    return _categories(Counter(), rows, request.categories)


def _counted_numbers(
    column: Numerical, integral: bool, type: str | None, request: Request
) -> Counted:
    present, missing = column.common.counts()
    if not present:
        return _categories(Counter(), missing, request.categories)
    kll = column.distribution.kll
    found = of_sketch(kll.sketch.data, present)
    weighted, infinite = found or (of_buckets(kll.buckets, integral), 0)
    if type == "category":
        if weighted is None:
            raise BaselineError("can't be a category: the file has ranges of its numbers alone")
        return _categories(
            weighted.names() + Counter({INVALID: infinite}), missing, request.categories
        )
    if weighted is None:
        highest = max(_extremes(column), default=-math.inf)
        edges, counts = bins_of_buckets(kll.buckets, integral, highest)
    else:
        low, high = weighted.values[0], weighted.values[-1]
        lost = [one for one in _extremes(column) if not low <= one <= high]
        edges = quantile_edges(np.append(weighted.sample(), lost), request.bins)
        counts = weighted.count(edges)
    return edges.tolist(), _number_counts(edges, counts, missing, infinite)


def _counted_texts(column: Textual, type: str | None, request: Request) -> Counted:
    from ml_exporter.formats.protocols.tables import value_of_text

    present, missing = column.common.counts()
    buckets = column.distribution.categorical.buckets
    values: Counter[object] = Counter()
    for bucket in buckets:
        value = value_of_text(bucket.value) if isinstance(bucket.value, str) else bucket.value
        values[value] += whole_count(bucket.count)
    if type == "number":
        return _numbers_of_texts(values, present, missing, request.bins)
    names: Counter[str] = Counter()
    for value, count in values.items():
        names[category_name(value)] += count
    names[OTHER] += max(0, present - values.total())
    distinct = whole_count(column.distinct_count)
    most_differ = distinct > max(present / 2, _LEAST_ROWS) or distinct >= MOST_DISTINCT
    if type is None and most_differ:
        return None, {ANY: present - names[MISSING], MISSING: missing + names[MISSING], INVALID: 0}
    return _categories(names, missing, request.categories)


def _numbers_of_texts(
    values: Mapping[object, int], present: int, missing: int, bins: int
) -> Counted:
    numbers: Counter[float] = Counter()
    for value, count in values.items():
        number = number_of_json(value)
        if number is not None and math.isfinite(number):
            numbers[number] += count
    if not numbers.total():
        raise BaselineError("can't be a number: none of the values is one")
    ascending = sorted(numbers)
    weights = np.array([numbers[number] for number in ascending], dtype=np.int64)
    weighted = Weighted(np.array(ascending), weights)
    edges = quantile_edges(weighted.sample(), bins)
    empty = values.get(None, 0)
    invalid = max(0, present - numbers.total() - empty)
    return edges.tolist(), _number_counts(edges, weighted.count(edges), missing + empty, invalid)


def _categories(names: Mapping[str, int], missing: int, most: int) -> Counted:
    special = (MISSING, INVALID, OTHER)
    named = {name: n for name, n in names.items() if name not in special and n >= _LEAST_ROWS}
    frequent = sorted(named, key=lambda name: (-named[name], name))[:most]
    counts = {name: named[name] for name in sorted(frequent)}
    others = sum(n for name, n in names.items() if name not in (MISSING, INVALID, *counts))
    counts[OTHER] = others
    counts[MISSING] = missing + names.get(MISSING, 0)
    counts[INVALID] = names.get(INVALID, 0)
    return None, counts


def _number_counts(edges: Floats, counts: Counts, missing: int, invalid: int) -> dict[str, int]:
    inside = [0, *counts.tolist(), 0]
    return dict(
        zip([*bin_labels(edges), MISSING, INVALID], [*inside, missing, invalid], strict=True)
    )


def _extremes(column: Numerical) -> list[float]:
    found = (column.min, column.max)
    return [one for one in found if isinstance(one, float) and math.isfinite(one)]
