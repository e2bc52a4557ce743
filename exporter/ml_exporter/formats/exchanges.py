"""Requests and their responses, and what each side of them says: rows, of as many on both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ml_exporter.formats.messages import Message
from ml_exporter.formats.rejections import Rejections
from ml_exporter.formats.rows import MOST_FEATURES

MOST_COLUMNS = 10_000  # of one side
LONGEST_PREFIX = 1_000  # characters that the names of several columns, or ids of rows, may share

Values = Sequence[object]  # of one column

# Of the values that are made for each exchange no dataclass is frozen: that takes thrice as long.


@dataclass(slots=True)
class Exchange:
    """A request and its response as they were sent; either may be missing."""

    id: str | None
    time: str | float | None  # as a log may write it: see timestamps.parse_timestamps
    request: Message | None
    response: Message | None
    model: str | None = None
    version: str | None = None
    path: str = ""  # of the URL
    duration: float | None = None  # seconds that the model took to answer
    first: float | None = None  # seconds until the first event of an answer that is streamed
    trace: str | None = None


@dataclass(slots=True)
class Rows:
    """What one side of an exchange says: n rows, in columns that have a name, a place, or both."""

    rows: int | None  # None: nobody can say
    columns: Mapping[str, Values] = field(default_factory=dict)  # by name
    places: Sequence[Values] = ()  # by position, where the side is one table or one vector
    about: Mapping[str, object] = field(default_factory=dict)  # of all rows: `model_version`
    holds_for_all: bool = False  # its one row is that of each row of the other side
    is_open: bool = False  # it has what it has: what is absent is null, and nothing is unknown


NO_TABLE = Rows(None)  # a side that is missing, or that is no table: an image, say


@dataclass(slots=True)
class Invocation:
    """An exchange as rows."""

    id: str | None
    time: str | float | None
    version: str | None
    inputs: Rows
    outputs: Rows
    duration: float | None = None
    first: float | None = None
    trace: str | None = None
    written: tuple[bytes, ...] = ()  # what it was read of
    start: int | None = None  # where that begins, if it is a line

    def reject(self, rejected: Rejections, reason: str, rows: int) -> None:
        """Count it as rejected."""
        rejected.reject(reason, b"\n".join(self.written), offset=self.start, rows=rows)


def agree(one: Invocation, rejected: Rejections) -> tuple[Invocation, int]:
    """An invocation whose sides have the same number of rows, and that number.

    Where one side has one row and the other is a single column, that is one row of a vector.
    Whatever else doesn't agree is added to `rejected`, and has no rows.
    """
    inputs, outputs = one.inputs, one.outputs
    if inputs.rows == outputs.rows and inputs.rows is not None:
        return one, inputs.rows
    if inputs.rows is None or outputs.rows is None:
        rows = outputs.rows if inputs.rows is None else inputs.rows
        if rows is not None:
            return one, rows
        one.reject(rejected, "unreadable", 1)
    elif inputs.rows == 1 and inputs.holds_for_all:
        return replace(one, inputs=_repeated(inputs, outputs.rows)), outputs.rows
    elif outputs.rows == 1 and _is_vector(inputs):
        return replace(one, inputs=_as_one_row(inputs)), 1
    elif inputs.rows == 1 and _is_vector(outputs):
        return replace(one, outputs=_as_one_row(outputs)), 1
    else:
        one.reject(rejected, "ragged_row", max(inputs.rows, outputs.rows))
    return replace(one, inputs=NO_TABLE, outputs=NO_TABLE), 0


def _is_vector(side: Rows) -> bool:
    return len(side.places) == 1 and 0 < len(side.places[0]) <= MOST_FEATURES


def _as_one_row(side: Rows) -> Rows:
    """Under its places; and under its name and these, unless that is too long to be repeated."""
    places = [[value] for value in side.places[0]]
    columns = {
        f"{name}.{place}": values
        for name in side.columns
        if len(name) <= LONGEST_PREFIX
        for place, values in enumerate(places)
    }
    return Rows(1, columns, places, side.about)


def _repeated(side: Rows, rows: int) -> Rows:
    columns = {name: [*values] * rows for name, values in side.columns.items()}
    return replace(side, rows=rows, columns=columns)


def row_ids(id: object, rows: int) -> list[object]:
    """Ids of the rows of an exchange, of which only a single one may have an id of any length."""
    if rows == 1 or id is None:
        return [id] * rows
    name = str(id)
    return [None if len(name) > LONGEST_PREFIX else f"{name}/{row}" for row in range(rows)]
