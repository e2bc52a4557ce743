"""A log file that is open: its content, and what is remembered of what was read."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from ml_exporter.formats.rows import LONGEST_ROW
from ml_exporter.sources.compression import Compressed, Missing, kind_of
from ml_exporter.sources.identity import HEAD, MARKS, TAIL, Steps, digest, finish, holds, marked
from ml_exporter.sources.matching import whole_lines
from ml_exporter.sources.parts import Chunk, Part
from ml_exporter.store.store import Position

CUT_OFF = "ends in the middle of compressed data"

_CHUNK = 1 << 19  # bytes, once decompressed: many are read again after a restart
_LARGEST_CHUNK = 8 << 20  # bytes: each chunk costs as much again as some thousand rows do
_CHECKED = 1 << 10  # bytes at the beginning and before the position, whenever there is more


class WrittenAnew(Exception):
    """A file doesn't hold any more what was counted of it."""


@dataclass(frozen=True)
class Plain:
    """The bytes of a file as they are."""

    descriptor: int

    def head(self, length: int) -> bytes:
        return os.pread(self.descriptor, length, 0)

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self.descriptor, length, offset)

    def reach(self, offset: int) -> bool:
        return True


@dataclass(eq=False, kw_only=True)
class OpenFile(Part):
    """A file being read. Its name is its path, its key device and inode, which outlast a rename.

    The bytes before the position are remembered as they were read: whoever truncates the file
    meanwhile must not change what is known of it.
    """

    handle: BinaryIO
    content: Plain | Compressed | None = None  # None while it is too short to tell
    settled: bool = False  # it is known where to begin
    search: Steps[None] | None = None  # for where that is
    trouble: str = ""  # why its content can't be looked at
    ended: bool = False  # nothing more will be written to it
    gone_at: float | None = None  # when it was found to match no more, on the monotonic clock
    _asked: tuple[int, int] = (-1, -1)  # the offsets of the last chunk and of its end
    _window: int = 0  # bytes of the next one
    _scanned: int = -1  # its size when nothing in it was whole
    _searched: int = 0  # the offset up to which there is no line end
    _size: int = -1
    _changed_at: float = 0.0  # on the monotonic clock
    _head: bytes = field(default=b"", repr=False)
    _tail: bytes = field(default=b"", repr=False)  # what precedes the position
    _before: bytes = field(default=b"", repr=False)  # what precedes `_read`
    _read: bytes = field(default=b"", repr=False)  # what was read last
    _start: int = 0  # its offset

    def look_inside(self) -> bool:
        """Find out what kind of content there is; False while there is too little, or trouble."""
        if self.content is None:
            descriptor = self.handle.fileno()
            beginning = self.raw(4)
            kind = kind_of(beginning) if beginning else None
            if kind is None and beginning and self.ended:
                kind = ""
            try:
                if kind is not None:
                    self.content = Compressed(descriptor, kind) if kind else Plain(descriptor)
            except Missing as error:
                self.trouble = str(error)
        return self.content is not None

    def head(self) -> bytes:
        return self.content.head(2 * LONGEST_ROW) if self.content else b""

    def raw(self, length: int) -> bytes:
        """The first bytes as they are stored."""
        return os.pread(self.handle.fileno(), length, 0)

    def status(self) -> os.stat_result:
        return os.fstat(self.handle.fileno())

    def size(self) -> int:
        """Bytes of the file as it is stored."""
        return self._look().st_size

    def _look(self) -> os.stat_result:
        status = self.status()
        if status.st_size != self._size:
            self._size = status.st_size
            self._changed_at = time.monotonic()
        return status

    def is_quiet(self, seconds: float) -> bool:
        """Whether it hasn't changed for so long, by its own time or by our clock."""
        status = self._look()
        unchanged = time.monotonic() - self._changed_at
        return unchanged >= seconds or time.time() - status.st_mtime >= seconds

    @property
    def is_unverified(self) -> bool:
        """Whether it may be another file than that of which it has the position."""
        return self.position.end > 0 and not self.settled

    def is_read(self, size: int) -> bool:
        """Whether all of a file of this size has been counted."""
        if isinstance(self.content, Compressed):
            return size == self.position.packed
        return size == self.position.offset

    def left(self) -> int:
        """Bytes that are there and not counted yet, as they are stored."""
        size = self.size()
        if isinstance(self.content, Compressed):
            return 0 if self.is_read(size) else self.content.left(self.position.offset)
        return max(0, size - self.position.offset)

    def ends_at(self, offset: int) -> bool:
        if isinstance(self.content, Compressed):
            return self.content.ends_at(offset)
        return offset >= self.size()

    @property
    def is_whole(self) -> bool:
        """Whether it is compressed, and has been read up to the end of a member."""
        return isinstance(self.content, Compressed) and self.content.whole

    @property
    def is_cut_off(self) -> bool:
        """Whether all that there is of it has been read, and that isn't a whole member."""
        return isinstance(self.content, Compressed) and self.content.cut_off

    @property
    def problem(self) -> str:
        """Why nothing beyond what was read can be, now or ever."""
        if isinstance(self.content, Compressed) and self.content.problem:
            return self.content.problem
        return CUT_OFF if self.ended and self.is_cut_off else ""

    def begin_at(self, position: Position) -> None:
        """Take up a position of which the file holds all that was counted."""
        assert self.content is not None
        offset = position.offset
        self._head = self.content.head(min(HEAD, offset))
        self._tail = self.content.read(max(0, offset - TAIL), min(TAIL, offset))
        self._before, self._start, self._read = self._tail, offset, b""
        self.position = position
        self.settled = True

    def pass_over(self, status: os.stat_result) -> Position:
        """The position after all whole lines that there are, which are not to be counted."""
        if isinstance(self.content, Plain):
            self.begin_at(Position(whole_lines(self.handle.fileno(), status.st_size)))
            return self.mark(self.position)
        # Where the lines of a compressed file end is looked for only if there come more.
        head, (packed, modified) = self.raw(HEAD), state(status)
        return Position(
            0, head=digest(head), head_length=len(head), packed=packed, modified=modified
        )

    def was_passed_over(self) -> bool:
        """Whether it is a compressed file that began with what was not to be counted."""
        head, length = self.position.head, self.position.head_length
        return length > 0 and digest(self.raw(length)) == head

    def whole_position(self) -> Position | None:
        """The position of a compressed file that need not be read again as it is, if it is new."""
        if not self.is_whole or not self.ends_at(self.position.offset):
            return None
        packed, modified = state(self.status())
        position = replace(self.position, packed=packed, modified=modified)
        return None if self.is_read(packed) else position

    def mark(self, position: Position) -> Position:
        """A position up to which the file was read, with what tells it from others."""
        self._scanned, self._searched = -1, 0
        known = self.position
        if position.end == known.end and known.head_length:
            marks = {name: getattr(known, name) for name in MARKS}
            position = replace(position, **marks)
        else:
            position = marked(position, known, self._head, self._up_to(position.end))
        if not position.length:
            self._remember(position.offset, b"")
            self._tail = self._before
        return position

    def still_there(self) -> bool:
        """Whether the bytes before the position are those that were read, if there were any."""
        if isinstance(self.content, Compressed):
            return not self.content.was_written_anew()
        position = self.position
        if not position.end:
            return True
        assert self.content is not None
        if self.size() < position.end:
            return False
        if position.rows:
            return finish(holds(self.content, position))
        head, tail = self._head[: min(position.offset, _CHECKED)], self._tail[-_CHECKED:]
        same_tail = self.content.read(position.offset - len(tail), len(tail)) == tail
        return same_tail and self.content.head(len(head)) == head

    def chunk(self, ended: bool) -> Chunk | None:
        """The bytes at the position, if there is something new.

        Raises WrittenAnew where the file was truncated meanwhile, and perhaps written to.
        """
        offset, size = self.position.offset, self.size()
        if self.position.rows:
            chunk: Chunk | None = Chunk(self, self._take(offset, self.position.length), end=False)
        elif self.is_read(size) or (self._scanned == size and not ended):
            return None
        elif self._searched > offset:
            chunk = self._skip_row(ended)
        else:
            chunk = self._rows(size, ended)
        if not self.still_there():
            raise WrittenAnew
        return chunk

    def _rows(self, size: int, ended: bool) -> Chunk | None:
        offset = self.position.offset
        # Nothing was whole in the last chunk if this one begins where it did.
        nothing = self._asked[0] == offset
        first = _CHUNK if isinstance(self.content, Compressed) else _LARGEST_CHUNK
        self._window = min(2 * self._window, _LARGEST_CHUNK) if nothing else first
        data = self._take(offset, self._window)
        before, self._asked = self._asked, (offset, offset + len(data))
        if len(data) > 2 * LONGEST_ROW and b"\n" not in data:
            self._searched = offset + len(data)
            return self._skip_row(ended)
        at_end = self.ends_at(offset + len(data))
        if at_end and self.problem:
            if before == self._asked or not data:
                return self._unreadable()
            return Chunk(self, data, end=False)
        if at_end and not ended:
            # Read again only when there is more.
            self._scanned = size
        return Chunk(self, data, end=at_end and ended) if data else None

    def _skip_row(self, ended: bool) -> Chunk | None:
        """Look for the end of a row that is too large to read."""
        size, offset = self.size(), self.position.offset
        while data := self._take(self._searched, _LARGEST_CHUNK):
            found = data.find(b"\n")
            if found >= 0:
                length = self._searched + found + 1 - offset
                return Chunk(self, b"", end=False, too_large=1, skipped=length)
            self._searched += len(data)
        if self.problem:
            return self._unreadable()
        if ended:
            return Chunk(self, b"", True, too_large=1, skipped=self._searched - offset)
        self._scanned = size
        return None

    def _unreadable(self) -> Chunk:
        return Chunk(self, b"", end=True, problem=self.problem)

    def _take(self, offset: int, length: int) -> bytes:
        assert self.content is not None
        data = self.content.read(offset, length)
        self._remember(offset, data)
        return data

    def _remember(self, start: int, data: bytes) -> None:
        self._before = self._up_to(start)
        self._start, self._read = start, data
        if start <= len(self._head) < HEAD:
            self._head = (self._head[:start] + data)[:HEAD]

    def _up_to(self, offset: int) -> bytes:
        """The bytes before an offset, which what was read last reaches."""
        stop = offset - self._start
        tail = self._read[max(0, stop - TAIL) : stop]
        return tail if len(tail) == TAIL else (self._before + tail)[-TAIL:]


def state(status: os.stat_result) -> tuple[int, int]:
    """What changes when a file is written to: its size, and the time of it in nanoseconds."""
    return status.st_size, status.st_mtime_ns
