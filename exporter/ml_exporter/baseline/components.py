"""Components of a baseline: what its features are turned into, to see relations between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from ml_exporter.batch import Batch, Field
from ml_exporter.columns import Column
from ml_exporter.statistics import counting
from ml_exporter.statistics.bins import INVALID, MISSING, Codes, Counts, Floats, looked_up
from ml_exporter.statistics.components import SCALE, normal_scores, thresholds, whitening
from ml_exporter.statistics.drift import Test

DISTANCE = "mahalanobis"
"""The name of the distance over all components, which is counted like one."""

LOADINGS_TOLD = 3  # fields of each component, by their loadings

LEAST_DEVIATION = 1e-6  # of an input
_GREATEST_SCORE = 40.0  # beyond which no normal quantile of a float is

_VECTOR = 8  # numbers that are added at once


class Binned(Protocol):
    """A field of a baseline, with its values counted by bin."""

    @property
    def key(self) -> Field: ...
    @property
    def edges(self) -> list[float] | None: ...
    @property
    def counts(self) -> dict[str, int]: ...


@dataclass(frozen=True, kw_only=True)
class Input:
    """A number's normal score, or whether a category is this one: less `mean`, over `deviation`."""

    field: str
    category: str | None = None
    mean: float
    deviation: float


class Loading(NamedTuple):
    """What an input counts in a component."""

    field: str
    category: str | None
    value: float


@dataclass(frozen=True, kw_only=True)
class Component:
    """A direction that rows vary in, or the distance over all; its values are counted by bin.

    `variance` is that of inputs of variance 1, on the rows that the direction is fitted on.
    """

    name: str
    variance: float = 0.0  # of the distance there is none
    # Of a number; of a category by name.
    loadings: dict[str, float | dict[str, float]] = dataclasses.field(default_factory=dict)
    edges: list[float] = dataclasses.field(default_factory=list)
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    # As a field has them.
    extremes: dict[str, dict[Test, float]] = dataclasses.field(default_factory=dict)
    overdispersions: dict[str, dict[Test, float]] = dataclasses.field(default_factory=dict)

    def every_loading(self) -> Iterator[Loading]:
        for field, loading in self.loadings.items():
            if isinstance(loading, dict):
                for category, value in loading.items():
                    yield Loading(field, category, value)
            else:
                yield Loading(field, None, loading)

    def strongest(self, most: int = LOADINGS_TOLD) -> list[Loading]:
        """The greatest loading of each of so many features."""
        found: dict[str, Loading] = {}
        for one in sorted(self.every_loading(), key=lambda loading: -abs(loading.value)):
            found.setdefault(one.field, one)
        return list(found.values())[:most]


@dataclass(frozen=True, kw_only=True)
class Components:
    """All components of a baseline; `rows` are those that the directions were fitted on.

    A value is `Σ loading (input - mean) / deviation`, over the root of the variance. A feature
    without a value, or with one that is in no category of the baseline, counts nothing.
    """

    rows: int
    inputs: list[Input]
    components: list[Component]

    @property
    def fields(self) -> list[str]:
        """The features that count."""
        return list(dict.fromkeys(one.field for one in self.inputs))

    @property
    def problem(self) -> str | None:
        """What is wrong with it, as a file has it."""
        inputs = {(one.field, one.category) for one in self.inputs}
        if not inputs:
            return "there are no inputs"
        if len(inputs) < len(self.inputs):
            return "an input occurs twice"
        for one in self.inputs:
            if not (abs(one.mean) <= _GREATEST_SCORE and one.deviation >= LEAST_DEVIATION):
                return f"{one.field}: mean and deviation must be those of a score or a share"
        if len(self.components) < 2 or self.components[-1].name != DISTANCE:
            return f"{DISTANCE} must be the last, after one component or more"
        for component in self.components:
            if not 0 <= component.variance <= len(inputs) + 1:
                return f"{component.name}: variance must be from 0 to the number of inputs"
            for loading in component.every_loading():
                if (loading.field, loading.category) not in inputs:
                    return f"{component.name}: has a loading of what is no input"
                if not abs(loading.value) <= 1:
                    return f"{component.name}: loadings must be from -1 to 1"
        return None


class Projection:
    """Turns rows into whitened values of components, the last being the Mahalanobis distance.

    Each bin of a feature adds what a table says, so that no value weighs more for being far out.
    """

    def __init__(self, components: Components, fields: Iterable[Binned]) -> None:
        """`fields` are those of the baseline."""
        binned = {one.key.name: one for one in fields if one.key.role == "feature"}
        inputs, weights = components.inputs, _weights(components)
        tables: list[Floats] = []  # of each feature: (codes, components)
        self._fields = [binned[name] for name in components.fields]
        for field in self._fields:
            own = [place for place, one in enumerate(inputs) if one.field == field.key.name]
            standard = _standard_inputs(field, [inputs[place] for place in own])
            tables.append(standard @ weights[:, own].T)
        self._sizes = np.array([len(table) for table in tables], dtype=np.int64)
        # Zeros make whole vectors of the components; the distance comes behind them.
        width = -(-len(weights) // _VECTOR) * _VECTOR
        self._tables = _aligned(int(self._sizes.sum()), width)
        self._tables[:, : len(weights)] = np.concatenate(tables) * SCALE
        self._places = [*range(len(weights)), width]
        edges = [np.array(one.edges) for one in components.components]
        self._bins = [one.size + 1 for one in edges]
        shape = (max(self._bins) - 1, width + 1)
        self._thresholds = np.full(shape, np.iinfo(np.int32).max, dtype=np.int32)
        for place, of_component in zip(self._places, edges, strict=False):
            self._thresholds[: of_component.size, place] = thresholds(of_component)

    def of(self, batch: Batch) -> Floats:
        """The values of rows, of shape (components, rows)."""
        return self.of_codes(self._codes(batch))

    def of_codes(self, rows: Mapping[Field, Codes]) -> Floats:
        """The values of rows whose features are given as `codes`."""
        found = [rows[field.key] for field in self._fields]
        values = np.empty((self._tables.shape[1] + 1, found[0].size), dtype=np.int32)
        counting.project(tuple(found), self._sizes, self._tables, values)
        return values[self._places] / SCALE

    def count(self, batch: Batch) -> list[Counts]:
        """Values counted into `<below>`, the bins of each component in order, and `<above>`."""
        found = tuple(self._codes(batch).values())
        above = np.zeros(self._thresholds.shape, dtype=np.int64)
        counting.count_projected(found, self._sizes, self._tables, self._thresholds, above)
        counts = -np.diff(above, axis=0, prepend=batch.rows, append=0)
        return [counts[:bins, at] for at, bins in zip(self._places, self._bins, strict=True)]

    def _codes(self, batch: Batch) -> dict[Field, Codes]:
        return {one.key: codes(one, batch.column(one.key)) for one in self._fields}


def codes(field: Binned, column: Column) -> Codes:
    """The place of each value among a feature's bins that count; one more where it is in none."""
    if field.edges is not None:
        return column.numbers.binned(field.edges).codes
    place = {name: number for number, name in enumerate(category_names(field))}
    type = np.uint8 if len(place) < 1 << 8 else np.uint32
    categories = column.categories
    of_names = np.array([place.get(name, len(place)) for name in categories.names], dtype=type)
    return looked_up(categories.codes, of_names, len(place) + 1).codes


def number_scores(field: Binned) -> Floats:
    """Normal scores of a number's bins, from `<below>` to `<above>`; NaN for what is in none."""
    ranked = [n for name, n in field.counts.items() if name not in (MISSING, INVALID)]
    return np.append(normal_scores(ranked), np.nan)


def category_names(field: Binned) -> list[str]:
    """The bins of a category that have a name."""
    return [name for name in field.counts if not name.startswith("<")]


def category_table(field: Binned, inputs: Sequence[Input]) -> Floats:
    """The inputs of each name, and, in one more row, of none: shape (names + 1, inputs)."""
    table = [
        [((name == one.category) - one.mean) / one.deviation for one in inputs]
        for name in category_names(field)
    ]
    return np.array([*table, [0.0] * len(inputs)])


def _standard_inputs(field: Binned, inputs: Sequence[Input]) -> Floats:
    """A feature's inputs by the code of its value, of shape (codes, inputs)."""
    if field.edges is None:
        return category_table(field, inputs)
    (one,) = inputs
    return np.nan_to_num((number_scores(field) - one.mean) / one.deviation)[:, None]


def _aligned(rows: int, width: int) -> Floats:
    """Zeros in lines of the cache that begin with whole vectors: others take a quarter longer."""
    room = np.zeros(rows * width + _VECTOR)
    start = -(room.ctypes.data // room.itemsize) % _VECTOR
    return room[start : start + rows * width].reshape(rows, width)


def _weights(components: Components) -> Floats:
    """Whitened loadings, of shape (components, inputs)."""
    place = {(one.field, one.category): number for number, one in enumerate(components.inputs)}
    directions = [one for one in components.components if one.name != DISTANCE]
    weights = np.zeros((len(directions), len(place)))
    for row, component in zip(weights, directions, strict=True):
        for one in component.every_loading():
            row[place[one.field, one.category]] = one.value * whitening(component.variance)
    return weights
