"""Requests and responses that wait for each other, in the store's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

from ml_exporter.formats.pairing import Age, Half

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS halves ("
    " model TEXT, stream TEXT, key BLOB, side TEXT NOT NULL, since REAL NOT NULL,"
    " data BLOB NOT NULL, PRIMARY KEY (model, stream, key))",
    "CREATE INDEX IF NOT EXISTS halves_age ON halves (model, stream, since)",
)
_PARAMETERS = 500  # in one statement


class Halves:
    """The halves of one stream of a model: a `pairing.HalfStore`."""

    def __init__(self, db: sqlite3.Connection, model: str = "", stream: str = "") -> None:
        self._db = db
        self._of = (model, stream)
        for statement in _SCHEMA:
            db.execute(statement)

    def find(self, keys: Iterable[bytes]) -> dict[bytes, Half]:
        found: dict[bytes, Half] = {}
        listed = list(keys)
        for start in range(0, len(listed), _PARAMETERS):
            some = listed[start : start + _PARAMETERS]
            marks = ",".join("?" * len(some))
            rows = self._db.execute(
                "SELECT key, side, since, data FROM halves"
                f" WHERE model = ? AND stream = ? AND key IN ({marks})",
                (*self._of, *some),
            )
            found.update((row[0], Half(*row)) for row in rows)
        return found

    def put(self, halves: Iterable[Half]) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO halves VALUES (?, ?, ?, ?, ?, ?)",
            [(*self._of, *half) for half in halves],
        )

    def remove(self, keys: Iterable[bytes]) -> None:
        self._db.executemany(
            "DELETE FROM halves WHERE model = ? AND stream = ? AND key = ?",
            [(*self._of, key) for key in keys],
        )

    def oldest(self) -> Iterator[Age]:
        rows = self._db.execute(
            "SELECT key, side, since, length(data) FROM halves"
            " WHERE model = ? AND stream = ? ORDER BY since",
            self._of,
        )
        return (Age(*row) for row in rows)

    def totals(self) -> tuple[int, int]:
        count, size = self._db.execute(
            "SELECT count(*), total(length(data)) FROM halves WHERE model = ? AND stream = ?",
            self._of,
        ).fetchone()
        return int(count), int(size)
