"""What tells a log from others wherever it lies: how it begins, and the rows counted of it last.

The number of a file tells it from others while it is there. Its content tells it after that: a
copy of a log, or an archive of it, holds what was counted of the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import NamedTuple, Protocol, TypeVar

from ml_exporter.store.store import Position

HEAD = 1 << 14  # bytes
TAIL = 1 << 13  # bytes
_FEW = 1 << 12  # bytes that two logs may well have in common, of a few rows
KEPT_FOR = 8 * 86400.0  # seconds that a file may be away, and is known when it comes back
MOST_KEPT = 10_000  # files that are away
MARKS = ("head", "head_length", "tail", "tail_length")  # of a position

_Result = TypeVar("_Result")
Steps = Generator[None, None, _Result]  # of what may take long


class Content(Protocol):
    """The bytes of a file, decompressed."""

    def head(self, length: int) -> bytes:
        """The first bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from an offset on, fewer where the file ends."""

    def reach(self, offset: int) -> bool:
        """Go some way towards an offset; whether it, or the end, is reached."""


class Match(NamedTuple):
    """A position of which a file holds what was counted."""

    key: str
    whole: bool  # or no more than the beginning of it
    sure: bool  # no other log has so much in common with it


def digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def marked(position: Position, known: Position, head: bytes, tail: bytes) -> Position:
    """A position with the marks of a file: its first bytes, and those up to the position's end.

    `known` is an earlier position of the same file.
    """
    length = min(HEAD, position.end)
    return replace(
        position,
        head=known.head if length == known.head_length else digest(head[:length]),
        head_length=length,
        tail=digest(tail),
        tail_length=len(tail),
    )


def finish(steps: Steps[_Result]) -> _Result:
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: _Result = done.value
            return result


def holds(content: Content, position: Position) -> Steps[bool]:
    """Whether what was counted of a file is still there."""
    if digest(content.head(position.head_length)) != position.head and position.head_length:
        return False
    while not content.reach(position.end):
        yield
    if not position.tail_length:
        return len(content.read(position.end - 1, 1)) == 1
    return digest(_tail(content, position)) == position.tail


def recognise(content: Content, known: Mapping[str, Position]) -> Steps[Match | None]:
    """The position of which a file holds the most."""
    head = content.head(HEAD)
    digests = {
        length: digest(head[:length])
        for length in {position.head_length for position in known.values()}
        if length <= len(head)
    }
    alike = [
        (key, position)
        for key, position in known.items()
        if position.tail_length and digests.get(position.head_length) == position.head
    ]
    alike.sort(key=lambda one: (one[1].end, one[1].offset, one[1].rows))
    found = None
    for key, position in alike:
        while not content.reach(position.end):
            yield
        tail = _tail(content, position)
        if len(tail) < position.tail_length:
            # What is longer yet needs no look: one of them is enough.
            is_beginning = len(head) == position.head_length == HEAD and _tells(head, rows=2)
            return Match(key, whole=False, sure=True) if is_beginning else found
        if digest(tail) == position.tail and _tells(tail, rows=0):
            found = Match(key, whole=True, sure=len(tail) >= _FEW and _tells(tail, rows=2))
    return found


def absences(
    positions: Mapping[str, Position], present: set[str], now: float
) -> dict[str, Position]:
    """Positions whose file went away or came back, with since when it is away."""
    changed = {}
    for key, position in positions.items():
        # A clock that was set back may have made it a moment to come.
        since = position.gone if 0.0 < position.gone <= now else now
        gone = 0.0 if key in present else since
        if gone != position.gone:
            changed[key] = replace(position, gone=gone)
    return changed


def overdue(positions: Mapping[str, Position], now: float) -> tuple[list[str], list[str]]:
    """Positions of files that are away too long, and those that are too many, oldest first."""
    away = sorted((position.gone, key) for key, position in positions.items() if position.gone)
    old = [key for gone, key in away if now - gone > KEPT_FOR]
    return old, [key for _, key in away[len(old) : max(len(old), len(away) - MOST_KEPT)]]


def _tail(content: Content, position: Position) -> bytes:
    return content.read(position.end - position.tail_length, position.tail_length)


def _tells(data: bytes, rows: int) -> bool:
    """Whether bytes say which log they are of: the same row again and again is in many.

    The first line may be a header or a part of a row. There must be so many rows after it.
    """
    lines = data.split(b"\n")[1:-1]
    return len(lines) >= rows and (len(lines) < 2 or len(set(lines)) > 1)
