"""Operations to be done elsewhere when what they belong to is committed, and not before."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS outbox ("
    " number INTEGER PRIMARY KEY AUTOINCREMENT, model TEXT NOT NULL,"
    " rows INTEGER NOT NULL, size INTEGER NOT NULL, data BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS outbox_size ON outbox (model, rows, size)",
    "CREATE TABLE IF NOT EXISTS replica (name TEXT NOT NULL)",
)


class Outbox:
    """The operations of one model, in their order. A number is given once among those committed."""

    def __init__(self, db: sqlite3.Connection, model: str) -> None:
        self._db = db
        self._model = model
        self._committed = 0  # the last number of which that is sure
        for statement in _SCHEMA:
            db.execute(statement)
        if db.execute("SELECT 1 FROM replica").fetchone() is None:
            db.execute("INSERT INTO replica VALUES (?)", (uuid.uuid4().hex,))
        (self.replica,) = db.execute("SELECT name FROM replica").fetchone()  # whose numbers

    def put(self, data: bytes, rows: int) -> None:
        self._db.execute(
            "INSERT INTO outbox (model, rows, size, data) VALUES (?, ?, ?, ?)",
            (self._model, rows, len(data), data),
        )

    def committed(self) -> None:
        """All that was put is committed."""
        query = "SELECT max(number) FROM outbox WHERE model = ?"
        (last,) = self._db.execute(query, (self._model,)).fetchone()
        self._committed = last or 0

    def first(self) -> tuple[int, bytes] | None:
        """The first operation there is, if it is committed."""
        found: tuple[int, bytes] | None = self._db.execute(
            "SELECT number, data FROM outbox WHERE model = ? AND number <= ?"
            " ORDER BY number LIMIT 1",
            (self._model, self._committed),
        ).fetchone()
        return found

    def remove(self, number: int) -> None:
        self._db.execute("DELETE FROM outbox WHERE number = ?", (number,))

    def reduce(self, rows: int, size: int) -> Iterator[bytes]:
        """Take out the first operations until no more than so many rows and bytes are left."""
        query = "SELECT total(rows), total(size) FROM outbox WHERE model = ?"
        there, taken = self._db.execute(query, (self._model,)).fetchone()
        oldest = "SELECT number, rows, data FROM outbox WHERE model = ? ORDER BY number LIMIT 1"
        while there > rows or taken > size:
            number, its_rows, data = self._db.execute(oldest, (self._model,)).fetchone()
            self.remove(number)
            there, taken = there - its_rows, taken - len(data)
            yield data
