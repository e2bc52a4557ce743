"""What every row format shares: which paths are read, and which rows are accepted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ml_exporter.batch import (
    ABSENT,
    LONGEST_NAME,
    PREDICTION,
    Batch,
    Column,
    Field,
    category_name,
    number_of_json,
    number_of_text,
    without_fraction,
)
from ml_exporter.formats.decision import Decision
from ml_exporter.statistics.bins import INVALID, MISSING, OTHER, Floats

REASONS = (
    "malformed",
    "encoding",
    "too_large",
    "too_deep",
    "truncated",
    "ragged_row",
    "no_fields",
    "no_id",
    "bad_timestamp",
    "unreadable",
)
UNVERSIONED = "unversioned"
LONGEST_ROW = 1 << 20  # bytes
MOST_EXTRA_FIELDS = 20  # names; what more there are is counted together
OTHER_FIELDS = "<other>"
MOST_FEATURES = 1000  # that are discovered in one file; there are no series for more

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GREATEST_DATE = 99991231


@dataclass(frozen=True)
class Layout:
    """Which paths of a row are read, and as what."""

    fields: Mapping[Field, str]
    id: str | None = None
    timestamp: str | None = None
    version: str | None = None
    known: frozenset[str] = frozenset()  # paths that aren't read and yet are no surprise
    discover: bool = False  # whatever else a row has is a feature
    columns: tuple[str, ...] = ()  # names of columns, where the format has none
    decision: Decision | None = None  # what makes a class of scores

    def paths(self) -> list[str]:
        """Every path that is read, once."""
        special = [path for path in (self.id, self.timestamp, self.version) if path is not None]
        return list(dict.fromkeys([*self.fields.values(), *special]))


@dataclass(frozen=True)
class Table:
    """Rows as a format read them: for each path a list of raw values, or a column of its own."""

    rows: int
    columns: Mapping[str, Sequence[object] | Column]
    text: bool = False
    extra: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


@dataclass(frozen=True)
class Decoded:
    """What some bytes held: accepted rows, rejected rows by reason, and how many bytes that was."""

    batch: Batch
    rejected: Counter[str]
    consumed: int
    settle: Callable[[], None] | None = None  # what is to be remembered once all is counted


class Decoder(Protocol):
    """Decodes one file or stream, in pieces that follow each other."""

    def resume(self, head: bytes) -> None:
        """Read what the beginning of the file says of the rest, when decoding starts further on."""

    def decode(self, data: bytes, end: bool) -> Decoded:
        """Decode the whole rows at the beginning of `data`; all of it where the file `end`s there.

        How a file is cut into pieces makes no difference to its rows. Of 2 * LONGEST_ROW bytes
        with a line end in them, some are always consumed.
        """


def extra_name(name: str, met: Collection[str]) -> str:
    """What an unknown field is called: one of the first few, by its own name."""
    if name in met or (len(met) < MOST_EXTRA_FIELDS and len(name) <= LONGEST_NAME):
        return name
    return OTHER_FIELDS


def assemble(table: Table, layout: Layout, rejected: Counter[str], consumed: int) -> Decoded:
    """Turn raw columns into a batch, rejecting rows that can't be used."""
    rows = table.rows
    reasons: dict[int, str] = {}

    def column(path: str) -> Column:
        values = table.columns.get(path)
        if values is None:
            return Column([ABSENT] * rows)
        if isinstance(values, Column):
            return values
        column = Column(values, table.text)
        if column.types & {dict, list}:
            # They are of the wrong type, whatever is in them: that is all to remember.
            values = [type(v)() if isinstance(v, dict | list) else v for v in values]
            column = Column(values)
        return column

    fields = {key: column(path) for key, path in layout.fields.items()}
    if layout.discover:
        named = set(layout.paths()) | layout.known
        fields.update(
            (Field("feature", path), column(path))
            for path in table.columns
            if path and path not in named
        )
    for row in _rows_without_fields(fields.values(), rows):
        reasons[row] = "no_fields"
    if layout.decision is not None:
        fields[PREDICTION] = layout.decision.column(fields, rows)

    ids: list[str] | None = None
    if layout.id is not None:
        ids, without = _ids(column(layout.id))
        for row in without:
            reasons.setdefault(row, "no_id")

    timestamps = None
    if layout.timestamp is not None:
        timestamps, bad = parse_timestamps(column(layout.timestamp))
        for row in bad:
            reasons.setdefault(row, "bad_timestamp")

    versions = None
    if layout.version is not None:
        versions = [
            UNVERSIONED if name in (MISSING, INVALID) else name
            for name in column(layout.version).categories.of_rows
        ]

    batch = Batch(rows, fields, ids, timestamps, versions, table.extra)
    if reasons:
        rejected = rejected + Counter(reasons.values())
        batch = batch.take([row for row in range(rows) if row not in reasons])
    return Decoded(batch, rejected, consumed)


def _ids(column: Column) -> tuple[list[str], list[int]]:
    """The id of each row, and the rows that have none."""
    texts = column.texts()
    if texts is not None and not column.text:
        return texts, []
    found = [_id(value, column.text) for value in texts or column.values]
    return [id or "" for id in found], [row for row, id in enumerate(found) if id is None]


def _id(value: object, text: bool) -> str | None:
    """An id as it is written; a number has one form, whatever it was written as."""
    if isinstance(value, str):
        return (without_fraction(value) if text and value else value) or None
    name = category_name(value)
    return None if name in (MISSING, INVALID, OTHER) else name


def _rows_without_fields(columns: Iterable[Column], rows: int) -> list[int]:
    without = np.ones(rows, dtype=np.bool_)
    for column in columns:
        if not column.absent:
            return []
        without &= column.absent_mask()
    return np.flatnonzero(without).tolist()


def parse_timestamps(column: Column) -> tuple[Floats, list[int]]:
    """Seconds since 1970 of a column, NaN where there is none, and the rows that can't be read.

    ISO 8601 (without an offset it is UTC), or a number since 1970 in seconds, milliseconds,
    microseconds or nanoseconds, by its magnitude. A text of eight digits is a date, if it can be.
    """
    known = column.seconds()
    if known is not None:
        seconds, rest = known
        if rest:
            others = Column([column.values[row] for row in rest], column.text)
            values, bad = parse_timestamps(others)
            seconds[rest] = values
            return seconds, [rest[row] for row in bad]
        return seconds, []
    if column.types <= {int, float}:
        values = column.numbers.values
        return _seconds(values), np.flatnonzero(np.isnan(values)).tolist()
    try:
        return _seconds_of_iso(column.values), []
    except (TypeError, ValueError):
        pass
    if column.text and np.all(column.numbers.values > _GREATEST_DATE):
        return _seconds(column.numbers.values), []
    return _timestamps_one_by_one(column.values)


def _seconds_of_iso(texts: Sequence[Any]) -> Floats:
    """What all are if each is a text with an offset; raises TypeError or ValueError if not."""
    since = [datetime.fromisoformat(text) - _EPOCH for text in texts]
    return np.array([duration.total_seconds() for duration in since], dtype=np.float64)


def _timestamps_one_by_one(values: Sequence[object]) -> tuple[Floats, list[int]]:
    seconds = np.full(len(values), np.nan)
    bad = []
    for row, value in enumerate(values):
        if value is None or value is ABSENT or value == "":
            continue
        parsed = _timestamp(value)
        if parsed is None:
            bad.append(row)
        else:
            seconds[row] = parsed
    return seconds, bad


def _timestamp(value: object) -> float | None:
    number = number_of_text(value) if isinstance(value, str) else number_of_json(value)
    if isinstance(value, str) and (number is None or len(value) == len(str(_GREATEST_DATE))):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            pass
        else:
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if number is None or not math.isfinite(number):
        return None
    return float(_seconds(np.array([number]))[0])


def _seconds(values: Floats) -> Floats:
    size = np.abs(values)
    unit = np.select([size < 1e11, size < 1e14, size < 1e17], [1.0, 1e3, 1e6], 1e9)
    return np.asarray(values / unit, dtype=np.float64)
