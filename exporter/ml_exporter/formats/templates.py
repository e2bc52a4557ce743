"""What texts of JSON have in common that differ in single values alone (RFC 8259).

Clients and servers write the bodies of one model alike, so what one of them holds is known of all
others without parsing them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ml_exporter.formats.free_values import FreeValues, Path
from ml_exporter.formats.messages import Rejected, json_value
from ml_exporter.statistics.bins import Floats

if TYPE_CHECKING:  # nothing is matched unless the scanner is compiled
    from ml_exporter.formats.spans import Kinds, Offsets, SpanColumn

MOST_VALUES = 2048
_LONGEST = 1 << 14  # bytes

_MARKS = 7_203_186_954_000_000_000  # numbers from here on stand for values
_MOST_MARKS = 1_000_000_000
_MARK = re.compile(r"7203186954\d{9}")

_SPACES = b" \t\r\n"
_TOKEN = re.compile(rb'[ \t\r\n]*+(?:([{}\[\],:])|("(?:[^"\\]|\\.)*+"|[^{}\[\],:" \t\r\n]++))')


@dataclass(frozen=True, eq=False)
class Template:
    """What is before, between and behind the values of a text, in which others may be."""

    text: bytes  # all pieces
    sizes: Offsets  # of the pieces, of which there is one more than there are values
    nullable: bytes  # 1 for each value that may be null

    @property
    def least_size(self) -> int:
        """Bytes of the shortest text that is alike."""
        return len(self.text) + len(self.nullable)

    def marked(self, first: int) -> bytes:
        """A text that is alike, whose values are `first` and the numbers after it, as marks."""
        text, start = b"", 0
        for place, size in enumerate(self.sizes.tolist()):
            text += b"%b%d" % (self.text[start : start + size], _MARKS + first + place)
            start += size
        return text[: -len(str(_MARKS))]

    def match(self, data: bytes, begins: Offsets, ends: Offsets) -> Matches:
        """Which texts in some data are alike, and where their values are."""
        from ml_exporter.formats import _scanner

        shape = (len(self.nullable), begins.size)
        found = Matches(
            data,
            starts=np.empty(shape, np.int32),
            lengths=np.empty(shape, np.int32),
            kinds=np.empty(shape, np.uint8),
            values=np.empty(shape),
            matched=np.empty(begins.size, np.bool_),
        )
        _scanner.match(
            *(self.text, self.sizes, self.nullable, data, begins, ends),
            *(found.starts, found.lengths, found.kinds, found.values, found.matched),
        )
        return found


@dataclass(frozen=True, eq=False)
class Matches:
    """Texts as spans of their values, in arrays (values, texts)."""

    data: bytes
    starts: Offsets
    lengths: Offsets
    kinds: Kinds
    values: Floats
    matched: NDArray[np.bool_]  # (texts,): of the others nothing is known

    def column(self, places: Sequence[int], texts: NDArray[np.intp]) -> SpanColumn:
        """The values at some places, of one text after the other."""
        from ml_exporter.formats.spans import SpanColumn

        at = (np.array(places)[None, :], texts[:, None])
        starts, lengths = self.starts[at].ravel(), self.lengths[at].ravel()
        kinds, values = self.kinds[at].ravel(), self.values[at].ravel()
        return SpanColumn(self.data, starts, lengths, kinds, values, text=False)


def marked_place(value: object) -> int | None:
    """The number of the value that a mark stands for; None if it is no mark."""
    if type(value) is int and 0 <= value - _MARKS < _MOST_MARKS:
        return value - _MARKS
    return None


def has_mark(text: str) -> bool:
    """Whether some part of a text is, or looks like, a mark."""
    return _MARK.search(text) is not None


def template(text: bytes, free: FreeValues) -> Template | None:
    """What all texts that are like this one have in common; None where it is unusual, or long."""
    if len(text) > _LONGEST or text[:1] not in (b"{", b"[") or has_mark(text.decode("latin-1")):
        return None
    try:
        json_value(text)
    except Rejected:
        return None
    pieces, nullable = [], []
    end = 0
    for path, start, stop in _values(text):
        is_said = path in free.said
        if free.has(path) and not (is_said and text[start:stop] == b"null"):
            pieces.append(text[end:start])
            nullable.append(not is_said)
            end = stop
    pieces.append(text[end:].rstrip(_SPACES))
    if len(nullable) > MOST_VALUES:
        return None
    sizes = np.array([len(piece) for piece in pieces], np.int32)
    return Template(b"".join(pieces), sizes, bytes(nullable))


def _values(text: bytes) -> Iterator[tuple[Path, int, int]]:
    """Where each single value in a text of JSON is, by its path and in the text."""
    path: list[str | None] = []
    is_name = False
    for token in _TOKEN.finditer(text):
        sign, value = token.groups()
        if sign in (b"{", b"["):
            path.append(None)
            is_name = sign == b"{"
        elif sign in (b"}", b"]"):
            path.pop()
            is_name = False
        elif sign == b",":
            is_name = path[-1] is not None
        elif is_name:
            path[-1] = json_value(value)
            is_name = False
        elif value is not None:
            yield tuple(path), token.start(2), token.end(2)
