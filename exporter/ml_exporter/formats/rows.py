"""What every row format shares: which paths are read, and which rows are accepted."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ml_exporter.batch import PREDICTION, Batch, Field
from ml_exporter.columns import ABSENT, LONGEST_NAME, Column, category_name, without_fraction
from ml_exporter.config.extractors import Extractor
from ml_exporter.formats.decision import Decision
from ml_exporter.formats.extraction import extract
from ml_exporter.formats.rejections import MOST_KEPT, Rejections
from ml_exporter.formats.timestamps import parse_timestamps
from ml_exporter.formats.traces import trace_id
from ml_exporter.statistics.bins import INVALID, MISSING, OTHER

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
TRACE_OF_REQUEST = "\0trace"  # the path of what a request's headers say, where no field says it
MOST_EXTRA_FIELDS = 20  # names; what more there are is counted together
OTHER_FIELDS = "<other>"
MOST_FEATURES = 1000  # that are discovered in one file; there are no series for more


@dataclass(frozen=True)
class Layout:
    """Which paths of a row are read, and as what."""

    fields: Mapping[Field, str]
    id: str | None = None
    timestamp: str | None = None
    version: str | None = None
    trace: str | None = None
    known: frozenset[str] = frozenset()  # paths that aren't read and yet are no surprise
    discover: bool = False  # whatever else a row has is a feature
    columns: tuple[str, ...] = ()  # names of columns, where the format has none
    decision: Decision | None = None  # what makes a class of scores
    extracted: Mapping[Field, Extractor] = field(default_factory=dict)  # what is no value itself

    def paths(self) -> list[str]:
        """Every path that is read, once."""
        special = (self.id, self.timestamp, self.version, self.trace)
        named = (path for path in special if path is not None)
        return list(dict.fromkeys([*self.fields.values(), *named]))


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
    rejected: Rejections
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


def assemble(table: Table, layout: Layout, rejected: Rejections, consumed: int) -> Decoded:
    """Turn raw columns into a batch, rejecting rows that can't be used."""
    rows = table.rows
    reasons: dict[int, str] = {}

    def raw(path: str) -> Column:
        values = table.columns.get(path)
        if values is None:
            return Column([ABSENT] * rows)
        return values if isinstance(values, Column) else Column(values, table.text)

    def column(path: str) -> Column:
        return raw(path).without_contents()

    fields = {
        key: extract(layout.extracted[key], raw(path)) if key in layout.extracted else column(path)
        for key, path in layout.fields.items()
    }
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

    traces = None
    if layout.trace is not None:
        traces = [trace_id(value) for value in column(layout.trace).values]

    batch = Batch(rows, fields, ids, timestamps, versions, traces, table.extra)
    if reasons:
        columns = {path: column(path) for path in layout.paths()}
        bad = sorted(reasons)
        for row, written in zip(bad, _as_read(columns, bad), strict=True):
            rejected.reject(reasons[row], written)
        batch = batch.take([row for row in range(rows) if row not in reasons])
    return Decoded(batch, rejected, consumed)


def _as_read(columns: Mapping[str, Column], rows: Sequence[int]) -> Iterator[bytes]:
    """Rows as JSON, of those that may be kept; nothing of the others."""
    first = rows[:MOST_KEPT]
    values = {path: column.take(np.array(first)).values for path, column in columns.items()}
    for place in range(len(first)):
        row = {path: of[place] for path, of in values.items() if of[place] is not ABSENT}
        yield json.dumps(row, ensure_ascii=False, default=str).encode(errors="backslashreplace")
    yield from repeat(b"", len(rows) - len(first))


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
