"""What every source yields: chunks of bytes, each of one part of the source, with its position."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from ml_exporter.store.store import Position

if TYPE_CHECKING:
    from ml_exporter.formats.arrow import Rows

Start = Literal["start", "end"]


class SourceError(ValueError):
    """A source that can't be opened as it is configured, as `KEY: text`."""

    @property
    def key(self) -> str:
        """What is wrong, of the keys below `source`."""
        return str(self).partition(": ")[0]

    @property
    def text(self) -> str:
        """What is wrong with it."""
        return str(self).partition(": ")[2]


@dataclass(eq=False, kw_only=True)
class Part:
    """A file, a partition, a table: what has a position of its own."""

    name: str  # for people
    key: str  # for the store
    position: Position  # its offset is where the first byte, message or row not yet counted is
    lost: bool = False  # another process counts it from here on: this one must not

    def move(self, position: Position) -> None:
        """What is before the position is counted."""
        self.position = position

    def head(self) -> bytes:
        """The beginning of the part, where some formats say how to read the rest."""
        return b""


@dataclass(frozen=True)
class Chunk:
    """Bytes at a part's position; `end` if the part ends with them for good.

    `too_large` is 1 where a row beyond all bounds was skipped in place of reading it; `problem`
    says why nothing more can be read of the part.
    Where bytes are not what offsets count, `next_offset` is the one after all of them, and
    `length` says how much is to be read to have the same rows again. Of a `table` there are no
    bytes: its rows are columns already, and what offsets count.
    """

    part: Part
    data: bytes
    end: bool
    too_large: int = 0
    skipped: int = 0  # bytes
    next_offset: int | None = None
    length: int | None = None
    problem: str = ""
    table: Rows | None = None

    @property
    def counts_bytes(self) -> bool:
        """Whether offsets are those of bytes."""
        return self.next_offset is None and self.table is None

    def after(self, consumed: int) -> Position:
        """The position when so many bytes have been counted."""
        offset = self.part.position.offset + consumed
        return Position(offset if self.next_offset is None else self.next_offset)

    def within(self, rows: int) -> Position:
        """The position when the first so many of its accepted rows have been counted."""
        length = len(self.data) if self.length is None else self.length
        return Position(self.part.position.offset, length=length, rows=rows)


class Source(Protocol):
    """Where bytes come from. Nothing it does is remembered but by `positions`."""

    name: str  # as the store remembers that it was begun
    start: Start  # where a part begins that was there at the first look and has no position
    positions: dict[str, Position]  # by the key of a part
    moved: set[str]  # keys of positions that aren't saved yet; what has none is forgotten

    @property
    def errors(self) -> Mapping[str, str]:
        """What can't be read, and why."""

    @property
    def source_id(self) -> str:
        """Alike only where two processes read the same."""

    def look(self) -> None:
        """See which parts there are, if it is time for that."""

    def next(self) -> Chunk | None:
        """The next bytes of some part, or None while there are none; it doesn't wait for them.

        Until the part is moved, the same bytes may come again.
        """

    def advance(self, part: Part, position: Position) -> Position:
        """Move a part's position."""

    def committed(self) -> None:
        """What was moved so far is saved now."""

    def give_up(self, part: Part, problem: str) -> None:
        """Read no more of a part, because of what is wrong with it."""

    def lag(self) -> int:
        """Bytes that are there and not counted yet."""

    def close(self) -> None:
        """Let go of all that is open."""


def move(source: Source, part: Part, position: Position) -> Position:
    """Move a part's position, which is to be saved; returns it."""
    part.move(position)
    source.positions[part.key] = position
    source.moved.add(part.key)
    return position
