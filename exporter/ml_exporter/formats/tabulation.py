"""Rows of requests and responses by the paths of a layout."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from ml_exporter.columns import ABSENT, LONGEST_NAME
from ml_exporter.config.completions import DURATION, FIRST
from ml_exporter.formats.exchanges import MOST_COLUMNS, Invocation, Rows, Values, agree, row_ids
from ml_exporter.formats.rejections import Rejections
from ml_exporter.formats.rows import MOST_FEATURES, Decoded, Layout, Table, assemble, extra_name

PREDICTION = "prediction"  # what an output without a name is called
INPUTS, OUTPUTS = "inputs.", "outputs."  # prefixes that say on which side a path is

_TIME = "\0time"  # the path of the exchange's own time, where the layout has none
_VERSIONS = ("model_version", "modelVersionId")  # of responses: Open Inference, Vertex AI
_PART_OF_VECTOR = re.compile(r"\.[0-9]+\Z")  # the end of such a column's name
_MOST_PLANS = 16  # that are remembered, each with the names of its columns
_MOST_CHARACTERS = 4 << 20  # of all these names
_LONGEST_RUN = 128  # rows that are put together at once: more only fill the processor's cache


@dataclass(slots=True)
class _Run:
    """Invocations of one shape that follow each other."""

    plan: _Plan
    rows: int = 0
    invocations: list[tuple[Invocation, int]] = field(default_factory=list)  # and the rows of each

    def each(self, values_of: Callable[[Invocation, int], Values]) -> Iterable[object]:
        """One column of them all."""
        return chain.from_iterable([values_of(one, rows) for one, rows in self.invocations])


_Get = Callable[[_Run], Iterable[object]]
_Side = Callable[[Invocation], Rows]

_INPUTS: _Side = attrgetter("inputs")
_OUTPUTS: _Side = attrgetter("outputs")


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where the values of each path come from, in all invocations of one shape."""

    sources: Sequence[tuple[str, _Get]]
    extra: Sequence[str]  # what inputs that nobody asked for are counted as


class Tabulator:
    """Turns the invocations of one model into batches, by the paths of its layout.

    Features are looked up in the inputs, the prediction and its scores in the outputs, by name;
    docs/formats/index.md says how. Unknown and discovered names are remembered.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout if layout.timestamp else replace(layout, timestamp=_TIME)
        self._paths = self.layout.paths()
        roles = [(key.role, path) for key, path in layout.fields.items()]
        self._features = dict.fromkeys(path for role, path in roles if role == "feature")
        self._results = {path for role, path in roles if role in ("prediction", "score")}
        names = dict.fromkeys(path.removeprefix(INPUTS) for path in self._features)
        self._place_of = {name: place for place, name in enumerate(names)}
        self._known = {name for path in layout.known for name in (path, path.removeprefix(INPUTS))}
        self._extra: set[str] = set()  # unknown inputs met so far
        self._discovered: set[str] = set()  # features met so far
        self._plans: dict[object, _Plan] = {}
        self._characters = 0  # of the names in them

    def decode(
        self, invocations: Iterable[Invocation], rejected: Rejections, consumed: int
    ) -> Decoded:
        """All their rows. Those of invocations that can't be used are added to `rejected`."""
        table, _ = self.table(invocations, rejected)
        return assemble(table, self.layout, rejected, consumed)

    def table(
        self, invocations: Iterable[Invocation], rejected: Rejections
    ) -> tuple[Table, list[int]]:
        """Their rows by the paths of the layout, and how many each invocation has."""
        counts: list[int] = []
        columns: dict[str, list[object]] = {path: [] for path in self._paths}
        extra: dict[str, list[slice]] = {}
        total = 0
        for run in self._runs(invocations, rejected, counts):
            for path, get in run.plan.sources:
                values = columns.setdefault(path, [])
                if len(values) < total:  # it wasn't met in the last one
                    values += [ABSENT] * (total - len(values))
                values += get(run)
            for name in run.plan.extra:
                extra.setdefault(name, []).append(slice(total, total + run.rows))
            total += run.rows
        if self.layout.discover:
            self._complete(columns, total)
        masks = {name: _mask(total, parts) for name, parts in extra.items()}
        return Table(total, columns, extra=masks), counts

    def _runs(
        self, invocations: Iterable[Invocation], rejected: Rejections, counts: list[int]
    ) -> Iterator[_Run]:
        run = None
        for invocation in invocations:
            one, rows = agree(invocation, rejected)
            if max(map(_width, (one.inputs, one.outputs))) > MOST_COLUMNS:
                one.reject(rejected, "too_large", rows)
                counts.append(0)
                continue
            counts.append(rows)
            plan = self._plan(one)
            if run is None or run.plan is not plan or run.rows >= _LONGEST_RUN:
                if run is not None:
                    yield run
                run = _Run(plan)
            run.invocations.append((one, rows))
            run.rows += rows
        if run is not None:
            yield run

    def _plan(self, one: Invocation) -> _Plan:
        shape = (*_shape(one.inputs), *_shape(one.outputs))
        plan = self._plans.get(shape)
        if plan is None:
            characters = sum(map(len, chain(one.inputs.columns, one.outputs.columns)))
            self._characters += characters
            if len(self._plans) >= _MOST_PLANS or self._characters > _MOST_CHARACTERS:
                self._plans.clear()
                self._characters = characters
            plan = self._plans[shape] = self._make_plan(one.inputs, one.outputs)
        return plan

    def _make_plan(self, inputs: Rows, outputs: Rows) -> _Plan:
        used: set[str] = set()
        sources = [(path, self._source(path, inputs, outputs, used)) for path in self._paths]
        known = used | self._known
        names = [name for name in _names(inputs, used) if name not in known]
        if not self.layout.discover:
            extra = () if inputs.is_open else dict.fromkeys(map(self._unknown, names))
            return _Plan(sources, list(extra))
        for name in names:
            if not name or name in self._paths or len(name) > LONGEST_NAME:
                continue
            if name in self._discovered or len(self._discovered) < MOST_FEATURES:
                self._discovered.add(name)
                sources.append((name, self._input(name, inputs, used) or _absent))
        return _Plan(sources, ())

    def _source(self, path: str, inputs: Rows, outputs: Rows, used: set[str]) -> _Get:
        found = None
        if path not in self._results or path.startswith(INPUTS):
            found = self._input(path, inputs, used)
        if found is None and (path not in self._features or path.startswith(OUTPUTS)):
            found = _output(path, outputs)
        if found is not None:
            return found
        if path == self.layout.id:
            return lambda run: run.each(partial(_ids, path))
        if path == self.layout.timestamp:
            return lambda run: run.each(lambda one, rows: [_about(path, one, one.time)] * rows)
        if path == self.layout.version:
            return lambda run: run.each(lambda one, rows: [_version(path, one)] * rows)
        if path in (DURATION, FIRST):
            return lambda run: run.each(partial(_seconds, path))
        if path == self.layout.trace:
            return lambda run: run.each(lambda one, rows: [_about(path, one, one.trace)] * rows)
        return _null if inputs.is_open else _absent

    def _input(self, path: str, inputs: Rows, used: set[str]) -> _Get | None:
        """Where an input is; the names that it goes by are `used`."""
        name = path.removeprefix(INPUTS)
        for column in (path, name):
            if column in inputs.columns:
                used.add(column)
                return _column(_INPUTS, column)
        place = self._place(name, len(inputs.places))
        if place is not None:
            used |= {name, _place_name(place)}
            return _at(_INPUTS, place)
        if parts := list(_parts(name, inputs)):
            used.update(parts)
            return _vector(_INPUTS, parts)
        return None

    def _place(self, name: str, places: int) -> int | None:
        """Inputs without names are the features in order, where there are as many."""
        place = self._place_of.get(name) if places == len(self._place_of) else None
        if place is None and name.startswith("_c") and name[2:].isdecimal():
            place = int(name[2:])
        return place if place is not None and place < places else None

    def _unknown(self, name: str) -> str:
        name = extra_name(name, self._extra)
        self._extra.add(name)
        return name

    def _complete(self, columns: dict[str, list[object]], total: int) -> None:
        """Make columns of equal length. What is no single value is no discovered feature."""
        for name in [name for name in columns if name not in self._paths]:
            values = columns[name]
            values += [ABSENT] * (total - len(values))
            if {list, dict, bytes} & set(map(type, values)):
                columns[name] = [ABSENT if type(v) in (list, dict, bytes) else v for v in values]
            if all(value is ABSENT for value in columns[name]):
                del columns[name]


def _shape(side: Rows) -> tuple[object, ...]:
    return tuple(side.columns), len(side.places), side.is_open


def _output(path: str, outputs: Rows) -> _Get | None:
    name = path.removeprefix(OUTPUTS)
    for column in (path, name):
        if column in outputs.columns:
            return _column(_OUTPUTS, column)
    if parts := list(_parts(name, outputs)):
        return _vector(_OUTPUTS, parts)
    if name == PREDICTION:
        if len(outputs.places) > 1:
            return lambda run: run.each(lambda one, rows: _lists(one.outputs.places))
        if outputs.places:
            return _at(_OUTPUTS, 0)
        singles = [name for name in outputs.columns if not _PART_OF_VECTOR.search(name)]
        names = singles or list(outputs.columns)
        return _column(_OUTPUTS, *names) if len(names) == 1 else None
    start, _, place = name.partition(".")
    if start == PREDICTION and place.isdecimal() and int(place) < len(outputs.places):
        return _at(_OUTPUTS, int(place))
    return None


def _column(side: _Side, name: str) -> _Get:
    return lambda run: chain.from_iterable([side(one).columns[name] for one, _ in run.invocations])


def _at(side: _Side, place: int) -> _Get:
    return lambda run: chain.from_iterable([side(one).places[place] for one, _ in run.invocations])


def _vector(side: _Side, names: Sequence[str]) -> _Get:
    return lambda run: run.each(
        lambda one, rows: _lists([side(one).columns[name] for name in names])
    )


def _names(inputs: Rows, used: set[str]) -> Iterable[str]:
    """The inputs by name, or by place where that is how they are read."""
    places = [_place_name(place) for place in range(len(inputs.places))]
    return places if not inputs.columns or used.intersection(places) else inputs.columns


def _place_name(place: int) -> str:
    return f"_c{place}"


def _parts(name: str, side: Rows) -> Iterator[str]:
    """The names of a vector's columns."""
    place = 0
    while (column := f"{name}.{place}") in side.columns:
        yield column
        place += 1


def _lists(columns: Iterable[Values]) -> Values:
    return [list(row) for row in zip(*columns, strict=True)]


def _absent(run: _Run) -> Values:
    return [ABSENT] * run.rows


def _null(run: _Run) -> Values:
    return [None] * run.rows


def _seconds(path: str, one: Invocation, rows: int) -> Values:
    """A time of the exchange, which is its first row's, or it would be counted for each."""
    value = one.duration if path == DURATION else one.first
    return [value, *[None] * (rows - 1)] if rows else []


def _width(side: Rows) -> int:
    return max(len(side.columns), len(side.places))


def _ids(path: str, one: Invocation, rows: int) -> Values:
    return row_ids(
        _about(path, one, one.id if one.id is not None else _about("id", one, None)), rows
    )


def _version(path: str, one: Invocation) -> object:
    found = _about(path, one, one.version)
    for name in _VERSIONS:
        found = _about(name, one, None) if found is None else found
    return found


def _about(name: str, one: Invocation, default: object) -> object:
    """What either side says of all its rows, the response before the request."""
    for side in (one.outputs, one.inputs):
        if side.about.get(name) is not None:
            return side.about[name]
    return default


def _mask(rows: int, parts: Iterable[slice]) -> NDArray[np.bool_]:
    mask = np.zeros(rows, dtype=np.bool_)
    for part in parts:
        mask[part] = True
    return mask
