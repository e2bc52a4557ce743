"""Which values of a body have no say in how it is read: bodies that differ in these are alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Path = tuple[str | None, ...]  # where a value is: names, and None for a place in a list


@dataclass(frozen=True)
class FreeValues:
    """Single values at `within` and below, but for those at `fixed`.

    Those at `said` are free, too, but whether they are null makes a difference. What a protocol
    looks at, as names and shapes of tensors, is in neither.
    """

    within: Sequence[Path] = ()
    said: Sequence[Path] = ()
    fixed: Sequence[Path] = ()

    def has(self, path: Path) -> bool:
        if any(_is_within(path, one) for one in self.fixed):
            return False
        return path in self.said or any(_is_within(path, one) for one in self.within)


NONE = FreeValues()
ALL = FreeValues(within=[()])
ALL_BUT_ERRORS = FreeValues(within=[()], fixed=[("error",)])


def _is_within(path: Path, other: Path) -> bool:
    return path[: len(other)] == other
