"""Exchanges that are alike but for the values in their bodies, decoded together.

What one exchange says is found out once as that of any other, but of bodies that have marks in
place of their values: so each column of its rows tells which values it has. Of all exchanges that
are alike these columns are then spans of their bytes, without a Python object for any of them.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from ml_exporter.capture import Frames
from ml_exporter.columns import Column
from ml_exporter.formats.exchanges import Exchange, Invocation, row_ids
from ml_exporter.formats.free_values import NONE, FreeValues
from ml_exporter.formats.messages import LARGEST_BODY, Rejected
from ml_exporter.formats.rejections import Rejections
from ml_exporter.formats.rows import Table
from ml_exporter.formats.tabulation import Tabulator
from ml_exporter.formats.templates import (
    MOST_VALUES,
    Matches,
    Template,
    has_mark,
    marked_place,
    template,
)

_OF_RESPONSE = MOST_VALUES + 1  # the number of a response's first value
_NESTED = (dict, list, bytes)

# What stands for what each exchange has of its own, beside its bodies. No body can have them.
_ID, _TRACE = secrets.token_hex(16), secrets.token_hex(16)
_TIME = -random.SystemRandom().random()

_MOST_KINDS = 16
_MOST_ALIKE = 8  # of one kind

Numbers = NDArray[np.intp]  # of exchanges
Kind = tuple[object, ...]  # of exchanges whose bodies are read in the same way


@dataclass
class Heads:
    """What the heads of exchanges say, of each; its kind is None where bodies are no plain text."""

    kinds: list[Kind | None] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    traces: list[str | None] = field(default_factory=list)


class Likenesses:
    """What is known of exchanges that are alike."""

    def __init__(self) -> None:
        self._of_kinds: dict[Kind, list[Likeness]] = {}
        self._looks = 0

    def select(self, frames: Frames, heads: Heads) -> tuple[list[tuple[Table, Numbers]], list[int]]:
        """The rows of exchanges that are like earlier ones with the number of each row's exchange,
        and the numbers of all others.
        """
        of_kinds: dict[Kind, list[int]] = {}
        parts = list[tuple[Table, Numbers]]()
        others = list[int]()
        for number, kind in enumerate(heads.kinds):
            of_kind = others if kind is None else of_kinds.setdefault(kind, [])
            of_kind.append(number)
        for kind, numbers in of_kinds.items():
            known = self._of_kinds.get(kind, [])
            left = np.array(numbers)
            for one in [*known]:
                table, found = one.select(frames, heads, left)
                if found.size:
                    parts.append((table, found.repeat(one.rows)))
                    left = np.setdiff1d(left, found, assume_unique=True)
                    known.remove(one)
                    known.insert(0, one)
                if not left.size:
                    break
            others += left.tolist()
        return parts, sorted(others)

    def look_at(
        self, heads: Heads, numbers: Sequence[int], make: Callable[[int], Likeness | None]
    ) -> None:
        """Remember what is like one of some exchanges; which of them is asked is left to chance."""
        self._looks += 1
        number = numbers[self._looks % len(numbers)]
        kind = heads.kinds[number]
        found = None if kind is None else make(number)
        if kind is None or found is None:
            return
        if kind not in self._of_kinds and len(self._of_kinds) >= _MOST_KINDS:
            self._of_kinds.clear()
        known = self._of_kinds.setdefault(kind, [])
        known.insert(0, found)
        del known[_MOST_ALIKE:]


@dataclass(frozen=True, eq=False)
class Likeness:
    """What exchanges that are alike have in common, and where the values of their columns are."""

    request: Template
    response: Template
    rows: int  # of each exchange
    columns: Mapping[str, Sequence[object]]  # of one of them: a mark, or what it is in all
    extra: Sequence[str]

    def select(self, frames: Frames, heads: Heads, among: Numbers) -> tuple[Table, Numbers]:
        """The rows of those exchanges that are alike, and which these are."""
        bounds = frames.bounds[among]
        sizes = bounds[:, [2, 4]] - bounds[:, [1, 3]]
        least = [self.request.least_size, self.response.least_size]
        # Room is needed for the values of all that might be alike.
        may_be = ((least <= sizes) & (sizes <= LARGEST_BODY)).all(axis=1)
        among, bounds = among[may_be], np.ascontiguousarray(bounds[may_be].T)
        asked = self.request.match(frames.data, bounds[1], bounds[2])
        answered = self.response.match(frames.data, bounds[3], bounds[4])
        alike = np.flatnonzero(asked.matched & answered.matched)
        found = among[alike]
        columns = {
            path: self._column(cells, (asked, answered), alike, found, frames, heads)
            for path, cells in self.columns.items()
        }
        rows = found.size * self.rows
        extra = {name: np.ones(rows, np.bool_) for name in self.extra}
        return Table(rows, columns, extra=extra), found

    def _column(
        self,
        cells: Sequence[object],
        sides: tuple[Matches, Matches],
        alike: Numbers,
        found: Numbers,
        frames: Frames,
        heads: Heads,
    ) -> Sequence[object] | Column:
        first = cells[0]
        if (place := marked_place(first)) is not None:
            places = [marked_place(cell) or 0 for cell in cells]
            if place < _OF_RESPONSE:
                return sides[0].column(places, alike)
            return sides[1].column([place - _OF_RESPONSE for place in places], alike)
        if first == _TIME:
            return Column(frames.times[found].repeat(self.rows).tolist())
        if first == _TRACE:
            return [heads.traces[number] for number in found.repeat(self.rows).tolist()]
        if cells == row_ids(_ID, self.rows):
            ids = [row_ids(heads.ids[number], self.rows) for number in found.tolist()]
            return [*chain.from_iterable(ids)]
        return [*cells] * found.size


def likeness(
    exchange: Exchange,
    free: FreeValues,
    read: Callable[[Exchange], Invocation],
    tabulator: Tabulator,
) -> Likeness | None:
    """What others have in common that are like an exchange; None where it is unusual."""
    asked, answered = exchange.request, exchange.response
    if free is NONE or asked is None or answered is None:
        return None
    request, response = template(asked.body, free), template(answered.body, free)
    if request is None or response is None:
        return None
    marked = replace(
        exchange,
        request=replace(asked, body=request.marked(0)),
        response=replace(answered, body=response.marked(_OF_RESPONSE)),
        id=exchange.id and _ID,
        time=_TIME,
        trace=_TRACE,
    )
    rejected = Rejections()
    try:
        invocation = read(marked)
    except Rejected:
        return None
    table, _ = tabulator.table([invocation], rejected)
    columns = {path: _cells(values) for path, values in table.columns.items()}
    if rejected or not table.rows or _has_nested(invocation):
        return None
    if not all(map(_is_clear, columns.values())):
        return None
    return Likeness(request, response, table.rows, columns, [*table.extra])


def _cells(values: Sequence[object] | Column) -> list[object]:
    return [*(values.values if isinstance(values, Column) else values)]


def _has_nested(one: Invocation) -> bool:
    """Whether something isn't split into single values: then these may make a difference."""
    sides = (one.inputs, one.outputs)
    values = chain.from_iterable((*side.columns.values(), *side.places) for side in sides)
    return any(isinstance(value, _NESTED) for value in chain.from_iterable(values))


def _is_clear(cells: Sequence[object]) -> bool:
    """Whether all cells of a column are values of one side, or all the same of the exchange, or
    none of them depends on either.
    """
    places = [marked_place(cell) for cell in cells]
    if None not in places:
        return len({place < _OF_RESPONSE for place in places if place is not None}) == 1
    if [*cells] in ([_TIME] * len(cells), [_TRACE] * len(cells), row_ids(_ID, len(cells))):
        return True
    texts = [*map(str, cells)]
    return not any(
        isinstance(cell, _NESTED) or has_mark(text) or _ID in text or _TRACE in text
        for cell, text in zip(cells, texts, strict=True)
    )
