"""Values as spans of the bytes they were read from, decoded only when somebody asks.

Where they stand is found by the scanner, which is written in C.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml_exporter.batch import (
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
from ml_exporter.statistics.bins import Floats

Offsets = NDArray[np.int32]
Kinds = NDArray[np.uint8]

# Hashes depend on it: whoever writes a log can't choose values that all have the same one.
_SEED = secrets.randbits(64)


class Kind(IntEnum):
    """What a span holds; of text and of what is escaped, the quotes are not in it."""

    ABSENT = 0
    NULL = 1
    TRUE = 2
    FALSE = 3
    NUMBER = 4
    TEXT = 5
    ESCAPED = 6  # text that isn't its own bytes: "\n" in JSON, `""` in CSV
    OBJECT = 7
    LIST = 8


@dataclass
class Spans:
    """Room for the values of some rows: a column for each slot, filled by the _scanner."""

    data: bytes
    slots: int
    capacity: int  # rows
    text: bool  # CSV, in which every value is text
    rows: int = 0
    _tail: list[bytes] = field(default_factory=list)  # values that are not in the data
    _tail_size: int = 0

    def __post_init__(self) -> None:
        shape = (self.slots, self.capacity)
        self.starts = np.empty(shape, dtype=np.int32)
        self.lengths = np.empty(shape, dtype=np.int32)
        self.kinds = np.zeros(shape, dtype=np.uint8)

    def add(self, values: Sequence[object]) -> None:
        """Add a row that was decoded in another way: a value for each slot."""
        for slot, value in enumerate(values):
            kind, token = _token(value, self.text)
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
            self.starts[slot, rows][kinds == Kind.ABSENT] = 0
            self.lengths[slot, rows][kinds == Kind.ABSENT] = 0
        return SpanColumn(
            self._all, self.starts[slot, rows], self.lengths[slot, rows], kinds, self.text
        )

    def met(self, slot: int) -> NDArray[np.bool_]:
        """Which rows have anything there."""
        return np.not_equal(self.kinds[slot, : self.rows], Kind.ABSENT)

    @cached_property
    def _all(self) -> bytes:
        return b"".join([self.data, *self._tail]) if self._tail else self.data


class SpanColumn(Column):
    """The values of one field, as spans of `data`."""

    def __init__(
        self, data: bytes, starts: Offsets, lengths: Offsets, kinds: Kinds, text: bool
    ) -> None:
        super().__init__((), text)
        self._data = data
        self._starts = starts
        self._lengths = lengths
        self._kinds = kinds

    def __len__(self) -> int:
        return self._kinds.size

    @cached_property
    def values(self) -> Sequence[object]:
        return [self._value(row) for row in range(len(self))]

    @cached_property
    def absent(self) -> int:
        return int(np.count_nonzero(self._kinds == Kind.ABSENT))

    def absent_mask(self) -> NDArray[np.bool_]:
        return np.equal(self._kinds, Kind.ABSENT)

    def missing_mask(self) -> NDArray[np.bool_]:
        empty = np.equal(self._kinds, Kind.TEXT) & np.equal(self._lengths, 0)
        return np.less_equal(self._kinds, Kind.NULL) | empty

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> SpanColumn:
        picked = np.asarray(rows, dtype=np.intp)
        spans = (self._starts[picked], self._lengths[picked], self._kinds[picked])
        return SpanColumn(self._data, *spans, self.text)

    def texts(self) -> list[str] | None:
        """All values, if each is text without escapes, and not empty."""
        if not ((self._kinds == Kind.TEXT) & (self._lengths > 0)).all():
            return None
        stops = (self._starts + self._lengths).tolist()
        starts = self._starts.tolist()
        data = self._data
        return [data[a:b].decode() for a, b in zip(starts, stops, strict=True)]

    @cached_property
    def numbers(self) -> Numbers:
        values = np.empty(len(self))
        missing, wrong_type, rest = _scanner.numbers(self.text, self._data, *self._spans, values)
        for row in rest:
            value = self._value(row)
            number = number_of_text(str(value)) if self.text else number_of_json(value)
            if number is None:
                wrong_type += 1
            else:
                values[row] = number
        return numbers_of(values, missing, wrong_type)

    @cached_property
    def categories(self) -> Categories:
        codes = np.empty(len(self), dtype=np.int32)
        firsts = np.empty(len(self), dtype=np.int32)
        count = _scanner.distinct(_SEED, self._data, *self._spans, codes, firsts)
        wrong_type = int(np.count_nonzero(self._kinds >= Kind.OBJECT))
        return named(codes, map(self._value, firsts[:count].tolist()), self.text, wrong_type)

    def seconds(self) -> tuple[Floats, list[int]]:
        """Seconds since 1970 of ISO 8601 texts, and the rows whose value is anything else."""
        seconds = np.empty(len(self))
        return seconds, _scanner.moments(self._data, *self._spans, seconds)

    @property
    def _spans(self) -> tuple[Offsets, Offsets, Kinds]:
        return self._starts, self._lengths, self._kinds

    def _value(self, row: int) -> object:
        start = int(self._starts[row])
        token = self._data[start : start + int(self._lengths[row])]
        match self._kinds[row]:
            case Kind.ABSENT:
                return ABSENT
            case Kind.NULL:
                return None
            case Kind.TRUE:
                return True
            case Kind.FALSE:
                return False
            case Kind.OBJECT:  # of the wrong type, whatever is in it
                return {}
            case Kind.LIST:
                return []
            case Kind.TEXT:
                return token.decode()
            case Kind.ESCAPED if self.text:
                return token.decode().replace('""', '"')
            case Kind.ESCAPED:
                return msgspec.json.decode(b'"%b"' % token)
        return _number(token)


def _number(token: bytes) -> Any:
    """What JSON's parsers make of a number: NaN and numbers of any size, too."""
    try:
        return msgspec.json.decode(token)
    except msgspec.DecodeError:
        return json.loads(token, parse_int=integer)


def integer(digits: str) -> float:
    """An int, but for one too large for anything."""
    return int(digits) if len(digits) < 300 else float(digits)


def _token(value: object, text: bool) -> tuple[Kind, bytes]:
    """A value as a span of bytes of its own."""
    match value:
        case msgspec.UNSET:
            return Kind.ABSENT, b""
        case str():
            if text or ('"' not in value and "\\" not in value and value.isprintable()):
                return Kind.TEXT, value.encode()
            return Kind.ESCAPED, msgspec.json.encode(value)[1:-1]
        case None:
            return Kind.NULL, b""
        case bool():
            return (Kind.TRUE if value else Kind.FALSE), b""
        case dict():
            return Kind.OBJECT, b""
        case list():
            return Kind.LIST, b""
    return Kind.NUMBER, json.dumps(value).encode()
