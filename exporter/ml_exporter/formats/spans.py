"""Values as spans of the bytes they were read from, decoded only when somebody asks.

Where they stand is found by the scanner, which is written in C.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_exporter.columns import (
    ABSENT,
    Categories,
    Column,
    Numbers,
    named,
    number_of_json,
    number_of_text,
    numbers_of,
)
from ml_exporter.formats import _scanner
from ml_exporter.serialization import json_text
from ml_exporter.statistics.bins import Floats

Offsets = NDArray[np.int32]
Kinds = NDArray[np.uint8]

# Hashes depend on it: whoever writes a log can't choose values that all have the same one.
_SEED = secrets.randbits(64)


_SAMPLE = 1 << 14  # bytes

# What a span holds; the quotes around a text are not in it.
ABSENT_, NULL, TRUE, FALSE, NUMBER, TEXT, ESCAPED, OBJECT, LIST = range(9)


@dataclass
class Spans:
    """Room for the values of some rows: a column for each slot, filled by the _scanner."""

    data: bytes
    slots: int
    text: bool  # CSV, in which every value is text
    rows: int = 0
    capacity: int = field(init=False)  # rows
    _tail: list[bytes] = field(default_factory=list)  # values that are not in the data
    _tail_size: int = 0

    def __post_init__(self) -> None:
        # As many as there would be if all were like the first ones, and some more.
        lines = self.data.count(b"\n", 0, _SAMPLE) + 1
        self.capacity = lines * max(1, len(self.data) // _SAMPLE) * 5 // 4 + 100
        shape = (self.slots, self.capacity)
        self.starts = np.empty(shape, dtype=np.int32)
        self.lengths = np.empty(shape, dtype=np.int32)
        self.kinds = np.zeros(shape, dtype=np.uint8)
        self.values = np.empty(shape)

    def scan_json(self, shape: _scanner.Shape, offset: int, stop: int) -> int:
        """Take lines up to an unusual one, or to `stop`; returns where that is."""
        lines = memoryview(self.data)[:stop]
        while True:
            offset, self.rows = _scanner.scan_json(shape, lines, offset, self.rows, *self._arrays)
            if offset >= stop or self.rows < self.capacity:
                return offset
            self._grow()

    def scan_csv(self, delimiter: str, slots: Offsets, offset: int, stop: int) -> int:
        """Take records up to an unusual one, or to `stop`; returns where that is.

        `slots` has the slot of each field, or -1 where it isn't wanted.
        """
        records = memoryview(self.data)[:stop]
        code = ord(delimiter)
        while True:
            offset, self.rows = _scanner.scan_csv(
                code, slots, records, offset, self.rows, *self._arrays
            )
            if offset >= stop or self.rows < self.capacity:
                return offset
            self._grow()

    @property
    def _arrays(self) -> tuple[Offsets, Offsets, Kinds, Floats]:
        return self.starts, self.lengths, self.kinds, self.values

    def _grow(self) -> None:
        """Make room for twice as many rows."""
        self.starts = np.concatenate((self.starts, np.empty_like(self.starts)), axis=1)
        self.lengths = np.concatenate((self.lengths, np.empty_like(self.lengths)), axis=1)
        self.kinds = np.concatenate((self.kinds, np.zeros_like(self.kinds)), axis=1)
        self.values = np.concatenate((self.values, np.empty_like(self.values)), axis=1)
        self.capacity *= 2

    def add(self, values: Sequence[object]) -> None:
        """Add a row that was decoded in another way: a value for each slot."""
        for slot, value in enumerate(values):
            kind, token = _token(value, self.text)
            self.values[slot, self.rows] = np.nan  # it is asked for where it is wanted
            self.kinds[slot, self.rows] = kind
            self.starts[slot, self.rows] = len(self.data) + self._tail_size
            self.lengths[slot, self.rows] = len(token)
            self._tail.append(token)
            self._tail_size += len(token)
        self.rows += 1

    def column(self, slot: int) -> SpanColumn:
        rows = slice(0, self.rows)
        kinds = self.kinds[slot, rows]
        if not self.text and kinds.size and not kinds.all():
            # What is absent has no place; it must have one all the same.
            self.starts[slot, rows][kinds == ABSENT_] = 0
            self.lengths[slot, rows][kinds == ABSENT_] = 0
        spans = (self.starts[slot, rows], self.lengths[slot, rows], kinds, self.values[slot, rows])
        return SpanColumn(self._all, *spans, self.text)

    def met(self, slot: int) -> NDArray[np.bool_]:
        """Which rows have anything there."""
        return np.not_equal(self.kinds[slot, : self.rows], ABSENT_)

    @cached_property
    def _all(self) -> bytes:
        return b"".join([self.data, *self._tail]) if self._tail else self.data


class SpanColumn(Column):
    """The values of one field, as spans of `data`."""

    def __init__(
        self,
        data: bytes,
        starts: Offsets,
        lengths: Offsets,
        kinds: Kinds,
        values: Floats,
        text: bool,
    ) -> None:
        super().__init__((), text)
        self._data = data
        self._starts = starts
        self._lengths = lengths
        self._kinds = kinds
        self._scanned = values  # what numbers say, if the scanner could tell

    def __len__(self) -> int:
        return self._kinds.size

    @cached_property
    def values(self) -> Sequence[object]:
        return [self._value(row) for row in range(len(self))]

    @cached_property
    def absent(self) -> int:
        return int(np.count_nonzero(self._kinds == ABSENT_))

    def absent_mask(self) -> NDArray[np.bool_]:
        return np.equal(self._kinds, ABSENT_)

    def missing_mask(self) -> NDArray[np.bool_]:
        missing = np.less_equal(self._kinds, NULL)
        missing |= np.equal(self._kinds, TEXT) & np.equal(self._lengths, 0)
        return missing

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> SpanColumn:
        picked = np.asarray(rows, dtype=np.intp)
        spans = (self._starts[picked], self._lengths[picked], self._kinds[picked])
        return SpanColumn(self._data, *spans, self._scanned[picked], self.text)

    def without_contents(self) -> Column:
        return self  # none was decoded

    def texts(self) -> list[str] | None:
        """All values, if each is text without escapes, and not empty."""
        if not ((self._kinds == TEXT) & (self._lengths > 0)).all():
            return None
        stops = (self._starts + self._lengths).tolist()
        starts = self._starts.tolist()
        data = self._data
        return [data[a:b].decode() for a, b in zip(starts, stops, strict=True)]

    def text_lengths(self) -> list[int] | None:
        are_texts = (self._kinds == TEXT) & (self._lengths > 0)
        return self._lengths.tolist() if are_texts.all() and self._data.isascii() else None

    @cached_property
    def numbers(self) -> Numbers:
        kinds, values = self._kinds, self._scanned
        said = np.equal(kinds, TEXT if self.text else NUMBER)
        if not said.all():
            said |= np.equal(kinds, ESCAPED) & self.text
            values = np.where(said, values, np.nan)
        missing = self.missing_mask()
        absent_or_empty = int(np.count_nonzero(missing))
        if np.count_nonzero(np.isfinite(values)) + absent_or_empty == values.size:
            return Numbers(values, absent_or_empty, invalid=0, wrong_type=0)
        wrong_type = values.size - int(np.count_nonzero(said | missing))
        for row in np.flatnonzero(np.isnan(values) & said & ~missing).tolist():
            value = self._value(row)
            number = number_of_text(str(value)) if self.text else number_of_json(value)
            if number is None:
                wrong_type += 1
            else:
                values[row] = number
        return numbers_of(values, absent_or_empty, wrong_type)

    @cached_property
    def categories(self) -> Categories:
        codes = np.empty(len(self), dtype=np.int32)
        firsts = np.empty(len(self), dtype=np.int32)
        count = _scanner.distinct(_SEED, self._data, *self._spans, codes, firsts)
        wrong_type = int(np.count_nonzero(self._kinds >= OBJECT))
        return named(codes, map(self._value, firsts[:count].tolist()), self.text, wrong_type)

    def seconds(self) -> tuple[Floats, list[int]]:
        """Seconds since 1970 of ISO 8601 texts, and the rows whose value is anything else."""
        seconds = np.empty(len(self))
        return seconds, _scanner.moments(self._data, *self._spans, seconds)

    def item_counts(self) -> list[object]:
        counts: list[object] = [[]] * len(self)  # of what is no list
        missing = self.missing_mask()
        for row in np.flatnonzero(missing).tolist():
            counts[row] = ABSENT if self._kinds[row] == ABSENT_ else None
        nested = np.flatnonzero(self._kinds >= OBJECT)
        starts, stops = self._starts[nested], self._starts[nested] + self._lengths[nested]
        for row, start, stop in zip(nested.tolist(), starts.tolist(), stops.tolist(), strict=True):
            counts[row] = json_text.size(self._data[start:stop])
        return counts

    @property
    def _spans(self) -> tuple[Offsets, Offsets, Kinds]:
        return self._starts, self._lengths, self._kinds

    def _value(self, row: int) -> object:
        start = int(self._starts[row])
        token = self._data[start : start + int(self._lengths[row])]
        kind = self._kinds[row]
        if kind == TEXT:
            return token.decode()
        if kind == NUMBER:
            return _number(token)
        if kind == ESCAPED:  # text that isn't its own bytes: "\n" in JSON, `""` in CSV
            if self.text:
                return token.decode().replace('""', '"')
            return json_text.decode(b'"%b"' % token)
        return _CONSTANTS[kind]()


# A nested value is of the wrong type, whatever is in it.
_CONSTANTS: dict[int, Callable[[], object]] = {
    ABSENT_: lambda: ABSENT,
    NULL: lambda: None,
    TRUE: lambda: True,
    FALSE: lambda: False,
    OBJECT: dict,
    LIST: list,
}


def _number(token: bytes) -> Any:
    """What JSON's parsers make of a number: NaN and numbers of any size, too."""
    try:
        return json_text.decode(token)
    except json_text.NotJson:
        return json.loads(token, parse_int=json_text.integer)


def _as_many(parts: Sized) -> bytes:
    """A list with as many items as something has; what they are is never asked."""
    return b"[%b]" % b",".join([b"0"] * len(parts))


def _token(value: object, text: bool) -> tuple[int, bytes]:
    """A value as a span of bytes of its own."""
    if value is ABSENT:
        return ABSENT_, b""
    match value:
        case str():
            if text or ('"' not in value and "\\" not in value and value.isprintable()):
                return TEXT, value.encode()
            return ESCAPED, json_text.encode(value)[1:-1]
        case None:
            return NULL, b""
        case bool():
            return (TRUE if value else FALSE), b""
        case dict():
            return OBJECT, _as_many(value)
        case list():
            return LIST, _as_many(value)
    return NUMBER, json.dumps(value).encode()
