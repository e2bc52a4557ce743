"""What is posted to the exporter, as a source: the reading end of a spool."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from ml_exporter.sources.matching import problem, source_id
from ml_exporter.sources.parts import Chunk, Part, Start, move
from ml_exporter.store.store import Position

_CHUNK = 1 << 19  # bytes
_KEY = "spool"


class Lines(Protocol):
    """Lines that wait to be counted, on a disk or in memory. Offsets only grow."""

    @property
    def place(self) -> str:
        """Where they are; no two processes have lines in one place."""

    def read(self, offset: int, length: int) -> tuple[int, bytes]:
        """About so many bytes of whole lines from an offset on, and where they begin."""

    def resume(self, offset: int) -> None:
        """What is before an offset is counted: it doesn't wait."""

    def release(self, offset: int) -> None:
        """What is before an offset is counted, and saved as counted: it need not be kept."""

    def waiting(self, offset: int) -> int:
        """Bytes from an offset on."""


class LinesOfModels(Protocol):
    """The lines of each model's predictions, and of its labels."""

    def of(self, model: str, stream: str) -> Lines: ...


@dataclass
class PostedSource:
    """Posted lines, from those not yet counted on. Without a spool nothing is ever posted."""

    spool: Lines | None
    positions: dict[str, Position]
    name: str = "posted"
    start: Start = "start"  # whatever was accepted is counted
    errors: dict[str, str] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        position = self.positions.get(_KEY, Position(0))
        self._part = Part(name=self.name, key=_KEY, position=position)
        if self.spool is not None:
            self.spool.resume(position.offset)

    @property
    def source_id(self) -> str:
        return source_id(f"{self.spool.place}/*") if self.spool else "none"

    def look(self) -> None:
        """A spool need not be looked for."""

    def next(self) -> Chunk | None:
        if self.spool is None:
            return None
        position = self._part.position
        self.errors.clear()
        try:
            start, data = self.spool.read(position.offset, position.length or _CHUNK)
        except OSError as error:
            self.errors[self.spool.place] = problem(error)
            return None
        if not data:
            return None
        if start != position.offset:
            self._part.position = Position(start)
        return Chunk(self._part, data, end=False)

    def advance(self, part: Part, position: Position) -> Position:
        return move(self, part, position)

    def committed(self) -> None:
        """Let the spool delete what was counted."""
        if self.spool is not None:
            self.spool.release(self._part.position.offset)

    def give_up(self, part: Part, problem: str) -> None:
        """Lines have no header that could be wrong."""

    def lag(self) -> int:
        return self.spool.waiting(self._part.position.offset) if self.spool else 0

    def close(self) -> None:
        """The spool is shared with those who post, and outlives this."""
