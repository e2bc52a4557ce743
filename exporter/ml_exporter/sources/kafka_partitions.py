"""A partition of a Kafka topic, and its messages that wait to be counted."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from ml_exporter.formats.rows import LONGEST_ROW
from ml_exporter.sources.parts import Chunk, Part
from ml_exporter.store.store import Position

_CHUNK = 1 << 19  # bytes, of those that wait in memory
_MOST_LINES = 10_000  # of a chunk
OVERHEAD = 100  # bytes of memory for a message, besides its own


class Line(NamedTuple):
    offset: int
    data: bytes  # with its line end; empty where there is nothing to count
    too_large: int = 0  # its size in bytes, if it is larger than a row may be

    @classmethod
    def of(cls, offset: int, data: bytes) -> Line:
        size = len(data)
        return cls(offset, b"", size) if size > LONGEST_ROW + 1 else cls(offset, data)


@dataclass(eq=False, kw_only=True)
class Partition(Part):
    number: int
    read_to: int  # the offset after the last message that came
    high: int  # the offset after the last message that there is
    stop: int | None = None  # where to stop, if it is read once
    saved: Position  # what would be known after a crash
    sent: Position | None  # what the group knows, as far as is known here
    counted: bool = False  # something that isn't saved yet
    given_up: bool = False
    lines: deque[Line] = field(default_factory=deque)
    waiting: int = 0  # bytes of them

    def add(self, line: Line) -> None:
        self.read_to = line.offset + 1
        if self.given_up or (self.stop is not None and line.offset >= self.stop):
            return
        self.lines.append(line)
        self.waiting += len(line.data) + OVERHEAD

    def move(self, position: Position) -> None:
        self.position = position
        while self.lines and self.lines[0].offset < position.offset:
            self.waiting -= len(self.lines.popleft().data) + OVERHEAD

    def past_empty(self) -> int:
        """The offset of the first message that has something to count, as far as they came."""
        position = self.position
        if position.rows:
            end = position.offset + position.length
            counts = any(line.data for line in self.lines if line.offset < end)
            return position.offset if counts or self.read_to < end else end
        for line in self.lines:
            if line.data or line.too_large:
                return line.offset
        return max(position.offset, self.read_to) if self.lines else position.offset

    def chunk(self) -> Chunk | None:
        """The next lines, the first of which isn't empty."""
        if self.position.rows:
            return self._same_again()
        if not self.lines:
            return None
        first = self.lines[0]
        if first.too_large:
            end, size = first.offset + 1, first.too_large
            return Chunk(self, b"", end=False, too_large=1, skipped=size, next_offset=end)
        lines: list[Line] = []
        size = 0
        for line in self.lines:
            if line.too_large or size >= _CHUNK or len(lines) >= _MOST_LINES:
                break
            lines.append(line)
            size += len(line.data)
        return self._chunk(lines, lines[-1].offset + 1)

    def _same_again(self) -> Chunk | None:
        """The chunk of which some rows are counted, once all of it is there."""
        end = self.position.offset + self.position.length
        if self.read_to < end:
            return None
        return self._chunk([line for line in self.lines if line.offset < end], end)

    def _chunk(self, lines: list[Line], end: int) -> Chunk:
        data = b"".join(line.data for line in lines)
        length = end - self.position.offset
        return Chunk(self, data, end=False, next_offset=end, length=length)

    @property
    def is_done(self) -> bool:
        """Whether all is counted of what is read once."""
        if self.given_up:
            return True
        return self.stop is not None and not self.lines and self.read_to >= self.stop
