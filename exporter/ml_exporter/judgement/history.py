"""History: a bounded ring of counters as they were, to see the last hour and day by."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ml_exporter.families import Family, Frozen, Values
from ml_exporter.publication import Edition
from ml_exporter.statistics.bins import Floats

_TIERS = ((5.0, 600.0), (60.0, 3600.0), (600.0, 86400.0))  # every so many seconds, for so many


@dataclass(frozen=True)
class Window:
    """What was counted between two times (seconds since 1970): counters by their increase.

    Gauges are as they were at the end. `complete`: all of what was asked for is remembered.
    """

    start: float
    end: float
    complete: bool
    samples: list[Frozen]

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True)
class _Snapshot:
    time: float
    values: Values  # by column; a series without a column then is one that was still at 0


class History:
    """The counters of the editions of the last day: all the finer, the younger they are.

    Some 310 snapshots are kept, 8 bytes a counter each: 40 MB for the 16,000 counters of an
    exporter at its limit of 40,000 series. One thread adds; any may read.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._edition = Edition(0, [])
        self._latest: _Snapshot | None = None
        self._rings: list[deque[_Snapshot]] = [deque() for _ in _TIERS]
        # The series of the latest edition, by name, suffix and labels: a reload makes new
        # families of the same series.
        self._columns: dict[tuple[str, ...], int] = {}
        self._placed: WeakKeyDictionary[Family, NDArray[np.intp]] = WeakKeyDictionary()

    def add(self, edition: Edition, time: float) -> None:
        """Remember an edition, published at a time in seconds since 1970."""
        counters = [frozen for frozen in edition.samples if frozen.family.kind != "gauge"]
        with self._lock:
            places = [self._places(frozen) for frozen in counters]
            if len(self._columns) > sum(place.size for place in places):
                self._forget_gone_series(counters)
                places = [self._places(frozen) for frozen in counters]
            values = np.zeros(len(self._columns))
            for frozen, place in zip(counters, places, strict=True):
                values[place] = frozen.values
            self._edition, self._latest = edition, _Snapshot(time, values)
            self._keep(self._latest)

    @property
    def span(self) -> float:
        """How many seconds are remembered."""
        with self._lock:
            return self._latest.time - self._snapshots()[0].time if self._latest else 0.0

    def window(self, seconds: float) -> Window | None:
        """What was counted in the last so many seconds, or since the oldest snapshot.

        A counter that fell, or wasn't there at the start, counts from 0. None before the first
        edition.
        """
        with self._lock:
            if self._latest is None:
                return None
            now = self._latest
            snapshots = self._snapshots()
            placed = [
                (frozen, None if frozen.family.kind == "gauge" else self._places(frozen))
                for frozen in self._edition.samples
            ]
        old = [one for one in snapshots if one.time <= now.time - seconds]
        then = old[-1] if old else snapshots[0]
        increases = now.values - _padded(then.values, now.values.size)
        increases = np.where(increases < 0, now.values, increases)
        samples = [
            frozen if place is None else Frozen(frozen.family, increases[place])
            for frozen, place in placed
        ]
        return Window(then.time, now.time, bool(old), samples)

    def over_time(self, families: Sequence[Family]) -> tuple[Floats, list[Values]]:
        """Values of counter families at each snapshot, as counted, the oldest first.

        Returns times (snapshots,) and for each family values (snapshots, series): of the series
        that the latest edition has, in the order of the family's label sets.
        """
        none = np.empty(0, dtype=np.intp)
        with self._lock:
            places = [self._placed.get(family, none) for family in families]
            snapshots = self._snapshots()
            width = len(self._columns)
        every = np.concatenate([none, *places])
        values = np.array([_padded(one.values, width)[every] for one in snapshots])
        times = np.array([one.time for one in snapshots])
        starts = np.cumsum([0, *(place.size for place in places)])
        values = values.reshape(times.size, every.size)
        return times, [values[:, start:stop] for start, stop in pairwise(starts)]

    def _snapshots(self) -> list[_Snapshot]:
        if self._latest is None:
            return []
        kept = [one for ring in reversed(self._rings) for one in ring]
        return kept if kept[-1] is self._latest else [*kept, self._latest]

    def _places(self, frozen: Frozen) -> NDArray[np.intp]:
        """The columns of a family's series; new ones get the next."""
        family, size = frozen.family, frozen.values.size
        place = self._placed.get(family)
        if place is None or place.size < size:
            place = np.array(
                [
                    self._columns.setdefault((family.name, suffix, *labels), len(self._columns))
                    for suffix, labels in zip(
                        family.suffixes[:size], family.label_sets[:size], strict=True
                    )
                ],
                dtype=np.intp,
            )
            self._placed[family] = place
        return place[:size]

    def _forget_gone_series(self, counters: list[Frozen]) -> None:
        """Rearrange all snapshots to the series of a new edition."""
        gone = self._columns
        self._columns = {}
        self._placed.clear()
        for frozen in counters:
            self._places(frozen)
        before = np.array([gone.get(key, len(gone)) for key in self._columns], dtype=np.intp)
        for ring in self._rings:
            for index, one in enumerate(ring):
                ring[index] = _Snapshot(one.time, _padded(one.values, len(gone) + 1)[before])

    def _keep(self, latest: _Snapshot) -> None:
        """Take a snapshot into the first ring, and what is too old for one ring into the next."""
        for ring in self._rings:
            while ring and ring[-1].time > latest.time:  # the clock was set back
                ring.pop()
        leaving = [latest]
        for (every, age), ring in zip(_TIERS, self._rings, strict=True):
            for one in leaving:
                if not ring or one.time - ring[-1].time >= every:
                    ring.append(one)
            leaving = []
            # The one before the oldest that is young enough is where the whole window starts.
            while len(ring) > 1 and ring[1].time <= latest.time - age:
                leaving.append(ring.popleft())


def _padded(values: Values, size: int) -> Values:
    return values if values.size == size else np.append(values, np.zeros(size - values.size))
