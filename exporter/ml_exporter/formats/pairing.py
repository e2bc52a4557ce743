"""Pairs halves that come one by one, a request and its response, whichever is first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

WAIT = 3600.0  # seconds that a half waits for the other, and that a pair is remembered
MOST_HALVES = 100_000  # that wait or are remembered
LARGEST_HALVES = 64 << 20  # bytes of them

Side = Literal["request", "response", "both"]


class Half(NamedTuple):
    """One side of a pair that waits for the other; or, without data, that `both` were there."""

    key: bytes
    side: Side
    since: float  # when it came, seconds since 1970
    data: bytes


class Age(NamedTuple):
    """What is known of a half without reading it."""

    key: bytes
    side: Side
    since: float
    size: int  # bytes


class HalfStore(Protocol):
    """Where halves wait. All belong to one stream."""

    def find(self, keys: Iterable[bytes]) -> Mapping[bytes, Half]:
        """The halves with these keys."""

    def put(self, halves: Iterable[Half]) -> None:
        """Keep halves, in place of those with the same keys."""

    def remove(self, keys: Iterable[bytes]) -> None:
        """Let go of halves."""

    def oldest(self) -> Iterator[Age]:
        """All halves, the oldest first."""

    def totals(self) -> tuple[int, int]:
        """How many halves there are, and how many bytes they have."""


class Pair(NamedTuple):
    request: Half
    response: Half


@dataclass(frozen=True)
class Paired:
    """What became of some halves. The store is as it was until `settle` is called, once."""

    pairs: Sequence[Pair]  # in the order in which they became whole
    repeated: int  # halves that had come before
    let_go: int  # halves that waited too long, or for which there was no room any more
    settle: Callable[[], None]


class Pairing:
    """The pairs of one stream. The same halves give the same pairs until they are settled."""

    def __init__(self, store: HalfStore, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now
        self._count, self._size = store.totals()

    def pair(self, halves: Iterable[tuple[bytes, Side, bytes]]) -> Paired:
        """Pair halves, each a key, a side and data, with each other and with those that wait."""
        now = self._now()
        came = [Half(key, side, now, data) for key, side, data in halves]
        waited = self._store.find({half.key for half in came})
        known = dict(waited)
        pairs: list[Pair] = []
        repeated = 0
        for half in came:
            other = known.get(half.key)
            if other is None:
                known[half.key] = half
            elif other.side in ("both", half.side):
                repeated += 1
            else:
                pairs.append(Pair(half, other) if half.side == "request" else Pair(other, half))
                known[half.key] = Half(half.key, "both", now, b"")
        changed = [half for key, half in known.items() if half is not waited.get(key)]
        count = self._count + len(known) - len(waited)
        size = self._size + _size(known) - _size(waited)
        gone = self._too_many(now, known, count, size)

        def settle() -> None:
            self._store.put(changed)
            self._store.remove(age.key for age in gone)
            self._count = count - len(gone)
            self._size = size - sum(age.size for age in gone)

        let_go = sum(age.side != "both" for age in gone)
        return Paired(pairs, repeated, let_go, settle)

    def _too_many(
        self, now: float, untouched: Mapping[bytes, Half], count: int, size: int
    ) -> list[Age]:
        """The oldest halves, as far as they waited too long or are too many."""
        gone: list[Age] = []
        for age in self._store.oldest():
            too_many = count > MOST_HALVES or size > LARGEST_HALVES
            if not too_many and now - age.since < WAIT:
                break
            if age.key not in untouched:
                gone.append(age)
                count, size = count - 1, size - age.size
        return gone


def _size(halves: Mapping[bytes, Half]) -> int:
    return sum(len(half.data) for half in halves.values())


class Memory:
    """A store of halves that nothing outlives."""

    def __init__(self) -> None:
        self._halves: dict[bytes, Half] = {}  # the oldest first

    def find(self, keys: Iterable[bytes]) -> dict[bytes, Half]:
        return {key: self._halves[key] for key in keys if key in self._halves}

    def put(self, halves: Iterable[Half]) -> None:
        for half in halves:
            self._halves.pop(half.key, None)
            self._halves[half.key] = half

    def remove(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            self._halves.pop(key, None)

    def oldest(self) -> Iterator[Age]:
        return (Age(*half[:3], len(half.data)) for half in self._halves.values())

    def totals(self) -> tuple[int, int]:
        return len(self._halves), _size(self._halves)
