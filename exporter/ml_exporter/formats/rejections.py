"""Rows that can't be used: how many, by reason, and the first few of them as they were read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

MOST_KEPT = 100  # of what is decoded at once
LONGEST_KEPT = 8 << 10  # bytes of a row


@dataclass(frozen=True)
class Rejection:
    """What was rejected for a reason: a line, an exchange, or the fields of a row."""

    reason: str
    row: bytes = b""  # the beginning of it
    size: int = 0  # bytes of all of it
    offset: int | None = None  # where it begins in what was decoded, if that is known
    rows: int = 1  # that it counts for
    problem: str = ""  # what is wrong, where more is known than the reason


class Rejections(Counter[str]):
    """Rejected rows by reason."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Rejection] = []
        self.others = 0  # rejections that were more than are kept

    @property
    def is_full(self) -> bool:
        """Whether no more is kept."""
        return len(self.kept) >= MOST_KEPT

    def reject(
        self,
        reason: str,
        row: bytes = b"",
        *,
        offset: int | None = None,
        rows: int = 1,
        problem: str = "",
    ) -> None:
        """Count a rejection, and keep it if it is one of the first."""
        self[reason] += rows
        if not self.is_full:
            kept = Rejection(reason, row[:LONGEST_KEPT], len(row), offset, rows, problem)
            self.kept.append(kept)
        else:
            self.others += 1

    def take_in(self, more: Rejections) -> None:
        """Add others, whose offsets are those of something else."""
        self.update(more)
        room = MOST_KEPT - len(self.kept)
        self.kept += [replace(one, offset=None) for one in more.kept[:room]]
        self.others += more.others + max(len(more.kept) - room, 0)
