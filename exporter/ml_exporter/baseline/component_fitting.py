"""Finds the components of a baseline: directions from one half of a sample, bins from the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ml_exporter.baseline.components import (
    DISTANCE,
    LEAST_DEVIATION,
    Binned,
    Component,
    Components,
    Input,
    Projection,
    category_names,
    codes,
    number_scores,
)
from ml_exporter.batch import Batch, Field
from ml_exporter.statistics import components as statistics
from ml_exporter.statistics.bins import (
    INVALID,
    MISSING,
    Codes,
    Floats,
    bin_labels,
    count_bins,
    quantile_edges,
)

_MOST_ROWS = 50_000  # of one half of the sample
_MOST_VALUES = 5_000_000  # of all inputs of one half of it
_MOST_INPUTS = 1000
_MOST_CATEGORIES = 10  # of a feature that are inputs
_LEAST_ROWS = 10  # of a category that is an input, in the first half
_DIGITS = 8  # decimals of what is stored


class ComponentsBuilder:
    """Collects rows while a baseline counts them, and fits its components at the end.

    `fields` are those of the baseline. It keeps every so-manieth row, at most 100,000, as the
    bins of its values.
    """

    def __init__(self, fields: Iterable[Binned]) -> None:
        features = [one for one in fields if one.key.role == "feature"]
        self._fields = [one for one in features if one.edges is not None or category_names(one)]
        inputs = sum(min(len(category_names(one)), _MOST_CATEGORIES) or 1 for one in self._fields)
        self._most = min(_MOST_ROWS, _MOST_VALUES // max(min(inputs, _MOST_INPUTS), 1))
        self._blocks: list[list[Codes]] = []
        self._size = 0
        self._stride = 1
        self._position = 0

    def update(self, batch: Batch) -> None:
        picked = np.arange(-self._position % self._stride, batch.rows, self._stride)
        self._position += batch.rows
        columns = (codes(one, batch.column(one.key)) for one in self._fields)
        self._blocks.append([column[picked] for column in columns])
        self._size += picked.size
        while self._size > 2 * self._most:
            self._blocks = [[column[::2].copy() for column in self._joined()]]
            self._size = -(-self._size // 2)
            self._stride *= 2

    def fit(self, fields: Iterable[Binned], bins: int) -> Components | None:
        """The components, in so many bins; None where there are too few rows or features.

        `fields` are those of the baseline, with their counts.
        """
        if not self._blocks or not self._fields:
            return None
        columns = dict(zip((one.key for one in self._fields), self._joined(), strict=True))
        counted = [one for one in fields if one.key in columns]
        first = statistics.first_half(self._size)
        directions = _directions(counted, {key: column[first] for key, column in columns.items()})
        if directions is None:
            return None
        second = {key: column[~first] for key, column in columns.items()}
        values = Projection(directions, counted).of_codes(second)
        of = [*directions.components, Component(name=DISTANCE)]
        return replace(
            directions,
            components=[_counted(*one, bins) for one in zip(of, values, strict=True)],
        )

    def _joined(self) -> list[Codes]:
        return [np.concatenate(parts) for parts in zip(*self._blocks, strict=True)]


def _directions(fields: Sequence[Binned], rows: Mapping[Field, Codes]) -> Components | None:
    """Components of rows, whose values are still to be counted."""
    number = len(next(iter(rows.values())))
    inputs, columns = _inputs(fields, rows)
    if len({one.field for one in inputs}) < 2:
        return None
    kept = statistics.kept(number, len(inputs))
    if not kept:
        return None
    variances, loadings = statistics.principal_components(np.column_stack(columns))
    return Components(
        rows=number,
        inputs=inputs,
        components=[
            Component(
                name=f"pc{place + 1}",
                variance=round(float(variances[place]), _DIGITS),
                loadings=_loadings(inputs, loadings[:, place]),
            )
            for place in kept
        ],
    )


def _inputs(
    fields: Sequence[Binned], rows: Mapping[Field, Codes]
) -> tuple[list[Input], list[Floats]]:
    """What varies of the features, and its standard values."""
    found: list[tuple[int, Input, Floats]] = []
    for field in fields:
        of_rows = rows[field.key]
        if field.edges is not None:
            found += _input(field, None, number_scores(field)[of_rows])
            continue
        names = category_names(field)
        counts = np.bincount(of_rows, minlength=len(names) + 1)[:-1]
        frequent = np.argsort(-counts, kind="stable")[:_MOST_CATEGORIES]
        frequent = frequent[counts[frequent] >= _LEAST_ROWS]
        if counts[frequent].sum() == counts.sum():
            frequent = frequent[1:]  # it is known from the others
        for code in frequent.tolist():
            is_it = np.where(of_rows == len(names), np.nan, of_rows == code)
            found += _input(field, names[code], is_it)
    most = sorted(range(len(found)), key=lambda place: -found[place][0])[:_MOST_INPUTS]
    picked = [found[place] for place in sorted(most)]
    return [one for _, one, _ in picked], [values for _, _, values in picked]


def _input(
    field: Binned, category: str | None, values: Floats
) -> Iterator[tuple[int, Input, Floats]]:
    """An input, if it varies, with how many rows say something of it, and its standard values."""
    present = ~np.isnan(values)
    rows = int(np.count_nonzero(present))
    if not rows:
        return
    mean = round(float(values[present].mean()), _DIGITS)
    centred = np.where(present, values - mean, 0.0)
    deviation = round(float(np.sqrt(np.mean(np.square(centred)))), _DIGITS)
    if deviation > LEAST_DEVIATION:
        of = Input(field=field.key.name, category=category, mean=mean, deviation=deviation)
        yield (rows if category is None else int(values[present].sum())), of, centred / deviation


def _loadings(inputs: Sequence[Input], values: Floats) -> dict[str, float | dict[str, float]]:
    """Loadings by feature, the greatest first."""
    found: dict[str, float | dict[str, float]] = {}
    for place in np.argsort(-np.abs(values), kind="stable").tolist():
        of, value = inputs[place], round(float(values[place]), _DIGITS)
        if of.category is None:
            found[of.field] = value
        else:
            by_name = found.setdefault(of.field, {})
            assert isinstance(by_name, dict)
            by_name[of.category] = value
    return found


def _counted(component: Component, values: Floats, bins: int) -> Component:
    edges = quantile_edges(values, bins)
    counts = [*count_bins(values, edges).tolist(), 0, 0]
    return replace(
        component,
        edges=edges.tolist(),
        counts=dict(zip([*bin_labels(edges), MISSING, INVALID], counts, strict=True)),
    )
