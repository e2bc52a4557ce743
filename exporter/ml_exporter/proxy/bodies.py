"""Bodies of HTTP/1.1 messages: where they end, and a bounded copy of what they say.

https://www.rfc-editor.org/rfc/rfc9112#section-6
"""

from __future__ import annotations

import re
from typing import Literal

from ml_exporter.proxy.heads import CHUNKED, LARGEST_HEAD, UNTIL_CLOSE, BadMessage

_LONGEST_LINE = 4096  # bytes, of a chunk's size with its extensions
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[\t ]*;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*\r\n")


class Copy:
    """What a body says without its framing, unless that is more than `limit` bytes."""

    __slots__ = ("is_cut", "limit", "pieces", "size")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self.pieces: list[bytes] = []
        self.is_cut = False

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size > self.limit:
            self.is_cut = True
            self.pieces.clear()
        elif not self.is_cut:
            self.pieces.append(piece)

    def whole(self) -> bytes | None:
        """What the body says; None where that is too much."""
        return None if self.is_cut else b"".join(self.pieces)


class Body:
    """A body that comes in pieces, of so many bytes, CHUNKED or UNTIL_CLOSE."""

    __slots__ = ("_chunks", "_copy", "_left", "is_done", "until_close")

    def __init__(self, length: int, copy: Copy | None) -> None:
        self._copy = copy
        self._left = length
        self._chunks = _Chunks(copy) if length == CHUNKED else None
        self.is_done = length == 0
        self.until_close = length == UNTIL_CLOSE

    def take(self, data: bytes) -> int:
        """How many of these bytes belong to it; raises BadMessage."""
        if self._chunks is not None:
            taken = self._chunks.take(data)
            self.is_done = self._chunks.is_done
            return taken
        if self._left == UNTIL_CLOSE:
            taken = len(data)
        else:
            taken = min(self._left, len(data))
            self._left -= taken
            self.is_done = not self._left
        if self._copy is not None:
            self._copy.add(data[:taken])
        return taken


class _Chunks:
    __slots__ = ("_copy", "_expects", "_left", "_line", "_trailers", "is_done")

    def __init__(self, copy: Copy | None) -> None:
        self._copy = copy
        self._expects: Literal["size", "data", "end", "trailer"] = "size"
        self._left = 0
        self._line = b""
        self._trailers = 0  # bytes
        self.is_done = False

    def take(self, data: bytes) -> int:
        place = 0
        while place < len(data) and not self.is_done:
            if self._expects == "data":
                stop = min(place + self._left, len(data))
                if self._copy is not None:
                    self._copy.add(data[place:stop])
                self._left -= stop - place
                place = stop
                if not self._left:
                    self._expects = "end"
                continue
            stop = data.find(b"\n", place) + 1
            self._line += data[place : stop or len(data)]
            if len(self._line) > _LONGEST_LINE:
                raise BadMessage(400, "a line between chunks is too long")
            if not stop:
                return len(data)
            place = stop
            line, self._line = self._line, b""
            self._read(line)
        return place

    def _read(self, line: bytes) -> None:
        if self._expects == "size":
            size = _SIZE.fullmatch(line)
            if size is None:
                raise BadMessage(400, "the size of a chunk is malformed")
            self._left = int(size[1], 16)
            self._expects = "data" if self._left else "trailer"
        elif self._expects == "end":
            if line != b"\r\n":
                raise BadMessage(400, "a chunk is longer than it says")
            self._expects = "size"
        elif line == b"\r\n":
            self.is_done = True
        else:
            self._trailers += len(line)
            if self._trailers > LARGEST_HEAD or not _TRAILER.fullmatch(line):
                raise BadMessage(400, "a trailer is malformed")
