"""Predictions and labels that wait for each other, in tables of the state.

A row is found by the hash of its id; each version has one of that. Hashes are scattered, and an
index of ten million of them is written all over with every batch. So rows go into parts, one after
the other, each small enough that the index of the one being filled stays in memory; a filter of a
part tells which keys it can't have.
"""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml_exporter.labels.waiting import Early, Pending

SCHEMA = """
CREATE TABLE queues (
    queue INTEGER PRIMARY KEY, model TEXT, kind TEXT,
    rows INTEGER NOT NULL, size INTEGER NOT NULL, unlabelled INTEGER NOT NULL,
    UNIQUE (model, kind)
);
CREATE TABLE parts (
    part INTEGER PRIMARY KEY AUTOINCREMENT, queue INTEGER NOT NULL, rows INTEGER NOT NULL
);
CREATE TABLE filters (part INTEGER PRIMARY KEY, words BLOB NOT NULL);
CREATE TABLE waiting (
    place INTEGER PRIMARY KEY, part INTEGER NOT NULL, queue INTEGER NOT NULL, key BLOB NOT NULL,
    at REAL NOT NULL, version TEXT NOT NULL, predicted TEXT NOT NULL,
    label TEXT, labelled_at REAL, settling INTEGER NOT NULL, carried BLOB NOT NULL DEFAULT x''
);
CREATE INDEX waiting_keys ON waiting (part, key);
CREATE INDEX waiting_age ON waiting (queue, at);
CREATE INDEX waiting_settling ON waiting (queue, labelled_at) WHERE settling = 1;
"""
ROW_SIZE = 100  # bytes of a row in the file and its indices, but for its texts and what is carried

_PART_ROWS = 1 << 17
_FILTER_WORDS = 1 << 16  # of 64 bits
_PARAMETERS = 1000  # in one statement
_TAKEN = 10_000  # rows taken out by one statement, which returns them
_COLUMNS = (
    "place, part, key, at, version, predicted, label, labelled_at, settling, carried,"
    " length(CAST(version AS BLOB)) + length(CAST(predicted AS BLOB))"
    " + ifnull(length(CAST(label AS BLOB)), 0) + length(carried)"
)

_Words = NDArray[np.uint64]
_Hashes = tuple[NDArray[np.intp], NDArray[np.uint64]]


# key, at, version, predicted, label, labelled_at, carried
_New = tuple[bytes, float, str, str, str | None, float | None, bytes]


class _Row(NamedTuple):
    place: int
    part: int
    key: bytes
    at: float
    version: str
    predicted: str
    label: str | None
    labelled_at: float | None
    settling: int
    carried: bytes
    size: int  # of its texts and what is carried, in bytes


class ModelPending:
    """The pending predictions and early labels of one model: a `waiting.PendingStore`."""

    def __init__(self, db: sqlite3.Connection, model: str) -> None:
        self._predictions = _Queue(db, model, "predictions")
        self._early = _Queue(db, model, "labels")

    def undone(self) -> None:
        self._predictions.load()
        self._early.load()

    def latest(self) -> float:
        return self._predictions.latest()

    def waiting(self) -> int:
        return self._predictions.total("unlabelled")

    def add(
        self,
        keys: Sequence[bytes],
        versions: Sequence[str],
        predicted: Sequence[str],
        at: Sequence[float],
        carried: Sequence[bytes],
    ) -> tuple[int, list[Pending]]:
        added, known = self._predictions.add(
            [
                (key, time, version, name, None, None, along)
                for key, version, name, time, along in zip(
                    keys, versions, predicted, at, carried, strict=True
                )
            ]
        )
        return added, [_pending(row) for row in known]

    def find(self, keys: Sequence[bytes]) -> dict[bytes, list[Pending]]:
        found: dict[bytes, list[Pending]] = {}
        for row in self._predictions.find(keys):
            found.setdefault(row.key, []).append(_pending(row))
        return found

    def label(self, rows: Sequence[Pending]) -> None:
        self._predictions.label(rows)

    def correct(self, row: Pending, label: str) -> None:
        self._predictions.relabel(row.place, label)

    def settle(self, until: float) -> list[Pending]:
        return [_pending(row)._replace(counted=True) for row in self._predictions.settle(until)]

    def expire(self, before: float) -> int:
        return sum(row.label is None for row in self._predictions.expire(before))

    def evict(self, rows: int, size: int) -> tuple[int, list[Pending]]:
        evicted = list(self._predictions.evict(rows, size))
        settled = [_pending(row)._replace(counted=True) for row in evicted if row.settling]
        return sum(row.label is None for row in evicted), settled

    def add_early(self, rows: Sequence[Early]) -> None:
        self._early.add([(row.key, row.since, "", "", row.label, row.at, b"") for row in rows])

    def find_early(self, keys: Sequence[bytes]) -> dict[bytes, Early]:
        return {row.key: _early(row) for row in self._early.find(keys)}

    def correct_early(self, row: Early, label: str) -> None:
        self._early.relabel(row.place, label)

    def remove_early(self, rows: Iterable[Early]) -> None:
        self._early.remove([row.place for row in rows])

    def expire_early(self, before: float) -> int:
        return sum(1 for _ in self._early.expire(before))

    def evict_early(self, rows: int, size: int) -> int:
        return sum(1 for _ in self._early.evict(rows, size))


class _Queue:
    """The rows of one model that wait for one thing."""

    def __init__(
        self, db: sqlite3.Connection, model: str, kind: Literal["predictions", "labels"]
    ) -> None:
        self._db = db
        db.execute(
            "INSERT OR IGNORE INTO queues (model, kind, rows, size, unlabelled)"
            " VALUES (?, ?, 0, 0, 0)",
            (model, kind),
        )
        query = "SELECT queue FROM queues WHERE model = ? AND kind = ?"
        (self._queue,) = db.execute(query, (model, kind)).fetchone()
        self._filters: dict[int, _Words] = {}  # of parts, the newest last
        self.load()

    def load(self) -> None:
        """Take up the parts that there are; a filter that knows too many keys does no harm.

        No number is given to another part in the same transaction.
        """
        query = "SELECT part FROM parts WHERE queue = ? ORDER BY part"
        self._filters = {
            part: self._filters[part] if part in self._filters else self._read_filter(part)
            for (part,) in self._db.execute(query, (self._queue,)).fetchall()
        }

    def _read_filter(self, part: int) -> _Words:
        query = "SELECT words FROM filters WHERE part = ?"
        if row := self._db.execute(query, (part,)).fetchone():
            return np.frombuffer(row[0], dtype=np.uint64)
        words = np.zeros(_FILTER_WORDS, dtype=np.uint64)
        keys = self._db.execute("SELECT key FROM waiting WHERE part = ?", (part,))
        while some := keys.fetchmany(_TAKEN):
            _admit(words, _hashes([key for (key,) in some]))
        return words

    def latest(self) -> float:
        query = "SELECT max(at) FROM waiting WHERE queue = ?"
        return float(self._db.execute(query, (self._queue,)).fetchone()[0] or 0)

    def total(self, of: Literal["rows", "size", "unlabelled"]) -> int:
        query = f"SELECT {of} FROM queues WHERE queue = ?"
        return int(self._db.execute(query, (self._queue,)).fetchone()[0])

    def add(self, rows: Sequence[_New]) -> tuple[int, list[_Row]]:
        """Add rows of whose key and version there is none yet, of several the first.

        How many, and what was there with their keys.
        """
        found = list(self.find([row[0] for row in rows]))
        known = {(row.key, row.version) for row in found}
        new = {(row[0], row[2]): row for row in reversed(rows)}
        for name in known & new.keys():
            del new[name]
        if not new:
            return 0, found
        part = self._open_part()
        self._db.executemany(
            "INSERT INTO waiting"
            " (part, queue, key, at, version, predicted, label, labelled_at, carried, settling)"
            f" VALUES ({part}, {self._queue}, ?, ?, ?, ?, ?, ?, ?, 0)",
            reversed(new.values()),
        )
        _admit(self._filters[part], _hashes([key for key, _ in new]))
        texts = Counter(text for row in new.values() for text in row[2:5])
        size = sum(_size(text) * times for text, times in texts.items())
        size += sum(len(row[6]) for row in new.values())
        self._change(len(new), size, texts[None])
        self._change_part(part, len(new))
        return len(new), found

    def _open_part(self) -> int:
        """The part that new rows go to."""
        newest = next(reversed(self._filters), None)
        if newest is not None:
            query = (
                "SELECT 1 FROM parts WHERE part = ? AND rows < ?"
                " AND part NOT IN (SELECT part FROM filters)"
            )
            if self._db.execute(query, (newest, _PART_ROWS)).fetchone():
                return newest
            filter = self._filters[newest].tobytes()
            self._db.execute("INSERT OR IGNORE INTO filters VALUES (?, ?)", (newest, filter))
        query = "INSERT INTO parts (queue, rows) VALUES (?, 0) RETURNING part"
        (part,) = self._db.execute(query, (self._queue,)).fetchone()
        self._filters[part] = np.zeros(_FILTER_WORDS, dtype=np.uint64)
        return int(part)

    def find(self, keys: Sequence[bytes]) -> Iterator[_Row]:
        hashes = _hashes(keys)
        for part, filter in self._filters.items():
            candidates = np.flatnonzero(_may_have(filter, hashes)).tolist()
            wanted = list({keys[row] for row in candidates})
            for start in range(0, len(wanted), _PARAMETERS):
                some = wanted[start : start + _PARAMETERS]
                marks = ",".join("?" * len(some))
                query = f"SELECT {_COLUMNS} FROM waiting WHERE part = ? AND key IN ({marks})"
                yield from map(_Row._make, self._db.execute(query, (part, *some)))

    def label(self, rows: Sequence[Pending]) -> None:
        if not rows:
            return
        left = [b"" if row.counted else row.carried for row in rows]
        self._db.executemany(
            "UPDATE waiting SET label = ?, labelled_at = ?, settling = ?, carried = ?"
            " WHERE place = ?",
            [
                (row.label, row.labelled_at, not row.counted, carried, row.place)
                for row, carried in zip(rows, left, strict=True)
            ],
        )
        labels = Counter(row.label for row in rows)
        size = sum(_size(text) * times for text, times in labels.items())
        size += sum(map(len, left)) - sum(len(row.carried) for row in rows)
        self._change(0, size, -len(rows))

    def relabel(self, place: int, label: str) -> None:
        query = "SELECT label FROM waiting WHERE place = ?"
        (old,) = self._db.execute(query, (place,)).fetchone()
        self._db.execute("UPDATE waiting SET label = ? WHERE place = ?", (label, place))
        self._change(0, _size(label) - _size(old), 0)

    def settle(self, until: float) -> list[_Row]:
        of = "waiting INDEXED BY waiting_settling"
        due = "WHERE queue = ? AND settling = 1 AND labelled_at <= ?"
        query = f"SELECT {_COLUMNS} FROM {of} {due}"
        rows = [_Row(*row) for row in self._db.execute(query, (self._queue, until))]
        if rows:
            query = f"UPDATE {of} SET settling = 0, carried = x'' {due}"
            self._db.execute(query, (self._queue, until))
            self._change(0, -sum(len(row.carried) for row in rows), 0)
        return rows

    def expire(self, before: float) -> Iterator[_Row]:
        """Take out what is older than a time, but for labels that still settle."""
        while rows := self._take("at < ? AND settling = 0", before, _TAKEN):
            yield from rows

    def evict(self, rows: int, size: int) -> Iterator[_Row]:
        """Take out the oldest rows until there are no more than so many, of no more bytes."""
        while True:
            there = self.total("rows")
            taken = ROW_SIZE * there + self.total("size")
            excess = max(there - rows, math.ceil((taken - size) / max(taken, 1) * there))
            if there == 0 or excess <= 0:
                return
            yield from self._take("at <= ?", math.inf, min(excess, _TAKEN))

    def _take(self, where: str, at: float, most: int) -> list[_Row]:
        return self._delete(
            "SELECT place FROM waiting INDEXED BY waiting_age"
            f" WHERE queue = ? AND {where} ORDER BY at LIMIT ?",
            (self._queue, at, most),
        )

    def remove(self, places: Sequence[int]) -> None:
        for start in range(0, len(places), _PARAMETERS):
            some = places[start : start + _PARAMETERS]
            self._delete(",".join("?" * len(some)), some)

    def _delete(self, places: str, parameters: Sequence[object]) -> list[_Row]:
        query = f"DELETE FROM waiting WHERE place IN ({places}) RETURNING {_COLUMNS}"
        rows = [_Row(*row) for row in self._db.execute(query, parameters)]
        if not rows:
            return []
        unlabelled = sum(row.label is None for row in rows)
        self._change(-len(rows), -sum(row.size for row in rows), -unlabelled)
        for part, gone in Counter(row.part for row in rows).items():
            self._change_part(part, -gone)
        return rows

    def _change(self, rows: int, size: int, unlabelled: int) -> None:
        """Say by how much it grew."""
        self._db.execute(
            "UPDATE queues SET rows = rows + ?, size = size + ?, unlabelled = unlabelled + ?"
            " WHERE queue = ?",
            (rows, size, unlabelled, self._queue),
        )

    def _change_part(self, part: int, rows: int) -> None:
        self._db.execute("UPDATE parts SET rows = rows + ? WHERE part = ?", (rows, part))
        if self._db.execute("DELETE FROM parts WHERE part = ? AND rows = 0", (part,)).rowcount:
            self._db.execute("DELETE FROM filters WHERE part = ?", (part,))
            del self._filters[part]


def _hashes(keys: Sequence[bytes]) -> _Hashes:
    """Which word of a filter a key belongs to, and which six bits of it are the key's."""
    halves = np.frombuffer(b"".join(keys), dtype="<u8").reshape(-1, 2)
    words = (halves[:, 0] & np.uint64(_FILTER_WORDS - 1)).astype(np.intp)
    bits = np.zeros(len(keys), dtype=np.uint64)
    for shift in range(0, 36, 6):
        bits |= np.uint64(1) << (halves[:, 1] >> np.uint64(shift) & np.uint64(63))
    return words, bits


def _admit(filter: _Words, hashes: _Hashes) -> None:
    words, bits = hashes
    np.bitwise_or.at(filter, words, bits)


def _may_have(filter: _Words, hashes: _Hashes) -> NDArray[np.bool_]:
    words, bits = hashes
    found: NDArray[np.bool_] = filter[words] & bits == bits
    return found


def _size(text: str | None) -> int:
    return 0 if text is None else len(text.encode())


def _pending(row: _Row) -> Pending:
    counted = row.label is not None and not row.settling
    return Pending(
        row.key,
        row.version,
        row.predicted,
        row.at,
        row.label,
        row.labelled_at,
        counted,
        row.place,
        row.carried,
    )


def _early(row: _Row) -> Early:
    return Early(row.key, row.label or "", row.labelled_at, row.at, row.place)
