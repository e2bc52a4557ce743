"""Components of a baseline: what its features are turned into, to see relations between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml_exporter.batch import Batch, Column, Field
from ml_exporter.region_sample import number_codes
from ml_exporter.statistics.bins import INVALID, MISSING, Floats
from ml_exporter.statistics.components import (
    DECIMALS,
    mahalanobis,
    normal_scores,
    whitening,
)

DISTANCE = "mahalanobis"
"""The name of the distance over all components, which is counted like one."""

LOADINGS_TOLD = 3  # fields of each component, by their loadings

LEAST_DEVIATION = 1e-6  # of an input
_GREATEST_SCORE = 40.0  # beyond which no normal quantile of a float is

_ROWS = 8192  # at a time
_PRODUCTS = 1 << 18  # at a time: for more, BLAS would wait for its threads

Codes = NDArray[Any]


class Binned(Protocol):
    """A field of a baseline, with its values counted by bin."""

    @property
    def key(self) -> Field: ...
    @property
    def edges(self) -> list[float] | None: ...
    @property
    def counts(self) -> dict[str, int]: ...


class Input(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
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


class Component(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A direction that rows vary in, or the distance over all; its values are counted by bin.

    `variance` is that of inputs of variance 1, on the rows that the direction is fitted on.
    """

    name: str
    variance: float = 0.0  # of the distance there is none
    loadings: dict[str, float | dict[str, float]] = {}  # of a number; of a category by name
    edges: list[float] = []
    counts: dict[str, int] = {}

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


class Components(msgspec.Struct, frozen=True, kw_only=True):
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
        if len(inputs) < len(self.inputs):
            return "an input occurs twice"
        for one in self.inputs:
            if not (abs(one.mean) <= _GREATEST_SCORE and one.deviation >= LEAST_DEVIATION):
                return f"{one.field}: mean and deviation must be those of a score or a share"
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
    """Turns rows into whitened values of components: shape (components + 1, rows).

    The last is the Mahalanobis distance. All bins of a feature are looked up in a table, so that no
    value weighs more for being far out.
    """

    def __init__(self, components: Components, fields: Iterable[Binned]) -> None:
        """`fields` are those of the baseline."""
        binned = {one.key.name: one for one in fields if one.key.role == "feature"}
        inputs = components.inputs
        weights = _weights(components)
        numbers = [number for number, one in enumerate(inputs) if one.category is None]
        self._weights = np.ascontiguousarray(weights[:, numbers])
        self._numbers: list[tuple[Binned, Floats]] = []  # standard scores by bin
        for one in (inputs[number] for number in numbers):
            scores = (number_scores(binned[one.field]) - one.mean) / one.deviation
            self._numbers.append((binned[one.field], np.append(scores, 0.0)))
        self._categories: list[tuple[Binned, Floats]] = []  # (components, names + 1)
        for name in components.fields:
            of_names = [number for number, one in enumerate(inputs) if one.field == name]
            if of_names[0] not in numbers:
                table = category_table(binned[name], [inputs[number] for number in of_names])
                weighted = np.ascontiguousarray(weights[:, of_names] @ table.T)
                self._categories.append((binned[name], weighted))

    def of(self, batch: Batch) -> Iterator[Floats]:
        """The values of some rows at a time: to make large arrays costs more than to fill them."""
        rows = {
            field.key: codes(field, batch.column(field.key))
            for field, _ in (*self._numbers, *self._categories)
        }
        for start in range(0, batch.rows, _ROWS):
            yield self.of_codes({key: of[start : start + _ROWS] for key, of in rows.items()})

    def of_codes(self, rows: Mapping[Field, Codes]) -> Floats:
        """The values of rows whose features are given as `codes`."""
        length = len(next(iter(rows.values())))
        inputs = np.empty((len(self._numbers), length))
        for into, (field, scores) in zip(inputs, self._numbers, strict=True):
            scores.take(rows[field.key], out=into, mode="clip")
        found = np.empty((len(self._weights) + 1, length))
        values = found[:-1]
        step = max(1, _PRODUCTS // max(self._weights.size, 1))
        for start in range(0, length, step):
            block = slice(start, start + step)
            np.matmul(self._weights, inputs[:, block], out=values[:, block])
        added = np.empty_like(values)
        for field, table in self._categories:
            values += table.take(rows[field.key], axis=1, out=added, mode="clip")
        # In which order a sum is made must not tell a value from the edge of its bin.
        values.round(DECIMALS, out=values)
        values += 0.0  # no zero has a sign
        found[-1] = mahalanobis(values)
        return found


def codes(field: Binned, column: Column) -> Codes:
    """The place of each value among a feature's bins that count; one more where it is in none."""
    if field.edges is not None:
        return number_codes(column.numbers.values, field.edges[1:])
    names = category_names(field)
    found = column.categories.among(names)
    found[found < 0] = len(names)
    return found.astype(np.uint8 if len(names) < 1 << 8 else np.uint32)


def number_scores(field: Binned) -> Floats:
    """Normal scores of a number's bins, by upper edge, and of what is above them."""
    ranked = [n for name, n in field.counts.items() if name not in (MISSING, INVALID)]
    return normal_scores(ranked)[1:]


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


def _weights(components: Components) -> Floats:
    """Whitened loadings, of shape (components, inputs)."""
    place = {(one.field, one.category): number for number, one in enumerate(components.inputs)}
    directions = [one for one in components.components if one.name != DISTANCE]
    weights = np.zeros((len(directions), len(place)))
    for row, component in zip(weights, directions, strict=True):
        for one in component.every_loading():
            row[place[one.field, one.category]] = one.value * whitening(component.variance)
    return weights
