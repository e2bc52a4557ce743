"""Offsets, counters, learned baselines and pending predictions, saved in one transaction.

One SQLite file in the state folder, or a temporary one that nothing outlives.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from ml_exporter.families import Family
from ml_exporter.labels import Early, Pending

_APPLICATION = 0x4D4C4558  # "MLEX", in the header of the file
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE positions (
    model TEXT, stream TEXT, file TEXT, data TEXT NOT NULL,
    PRIMARY KEY (model, stream, file)
) WITHOUT ROWID;
CREATE TABLE begun (
    model TEXT, stream TEXT, pattern TEXT, PRIMARY KEY (model, stream, pattern)
) WITHOUT ROWID;
CREATE TABLE counters (
    model TEXT PRIMARY KEY, samples BLOB NOT NULL, counts BLOB NOT NULL, checksum BLOB NOT NULL
);
CREATE TABLE baselines (
    model TEXT, version TEXT, data BLOB NOT NULL, PRIMARY KEY (model, version)
);
CREATE TABLE learning (model TEXT, version TEXT, rows INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX learning_of ON learning (model, version);
CREATE TABLE pending (
    model TEXT, id TEXT, version TEXT NOT NULL, predicted TEXT NOT NULL, at REAL NOT NULL,
    label TEXT, labelled_at REAL, counted INTEGER NOT NULL,
    PRIMARY KEY (model, id)
) WITHOUT ROWID;
CREATE INDEX pending_age ON pending (model, at);
CREATE INDEX pending_unsettled ON pending (model, labelled_at) WHERE counted = 0;
CREATE TABLE early (
    model TEXT, id TEXT, label TEXT NOT NULL, at REAL, since REAL NOT NULL,
    PRIMARY KEY (model, id)
) WITHOUT ROWID;
CREATE INDEX early_age ON early (model, since);
"""
_PARAMETERS = 500  # in one statement
_LONGEST_ID = 64  # characters; of a longer one a hash is kept


class StateError(Exception):
    """A state folder that can't be used, and why."""


@dataclass(frozen=True)
class Position:
    """How far a file has been counted.

    Of the `length` bytes after `offset`, the first `rows` accepted rows are counted already.
    """

    offset: int
    length: int = 0
    rows: int = 0
    head: str = ""  # a hash of the file's first bytes: a number of a deleted file is used again
    head_length: int = 0


Sample = tuple[str, tuple[str, ...]]  # a family's name, and suffix and labels as in Family.keys


class Store:
    """What is remembered. Nothing is, until `commit`; `rollback` forgets what came since."""

    def __init__(self, folder: Path | None) -> None:
        """Open the state in a folder, which no other process may have open; raises StateError."""
        self._lock = None if folder is None else _lock(folder)
        # An empty name is a temporary file: many predictions may wait, and memory is short.
        self._name = "" if folder is None else str(folder / "state.db")
        try:
            self._db = sqlite3.connect(self._name, isolation_level=None, check_same_thread=False)
            try:
                self._open(durable=folder is not None)
            except sqlite3.Error:
                self._db.close()
                raise
        except sqlite3.Error as error:
            self._unlock()
            is_of_no_use = type(error) is sqlite3.DatabaseError  # and no trouble on the way to it
            advice = "; move it away to start anew" if is_of_no_use else ""
            raise StateError(f"{self._name}: {error}{advice}") from None
        self._saved: dict[str, list[tuple[Family, int]]] = {}  # what counters were saved of

    def _open(self, durable: bool) -> None:
        version, application, tables = (
            self._db.execute(query).fetchone()[0]
            for query in (
                "PRAGMA user_version",
                "PRAGMA application_id",
                "SELECT count(*) FROM sqlite_schema",
            )
        )
        if tables and application != _APPLICATION:
            raise sqlite3.DatabaseError("not a state file of this program")
        if tables and version != _SCHEMA_VERSION:
            raise sqlite3.DatabaseError(
                f"state of version {version}; this program reads version {_SCHEMA_VERSION}"
            )
        if durable:
            self._db.execute("PRAGMA journal_mode = WAL")
            # What a scrape showed must outlive the machine's power.
            self._db.execute("PRAGMA synchronous = FULL")
        if not tables:
            self._db.executescript(
                f"BEGIN; PRAGMA application_id = {_APPLICATION};"
                f"PRAGMA user_version = {_SCHEMA_VERSION}; {_SCHEMA} COMMIT;"
            )
        self._db.execute("BEGIN")

    @property
    def changes(self) -> int:
        """How many rows were written so far."""
        return self._db.total_changes

    def commit(self) -> None:
        """Save all that was said since the last commit; raises sqlite3.Error where it can't."""
        self._db.execute("COMMIT")
        self._db.execute("BEGIN")

    def rollback(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._saved.clear()
        self._db.execute("BEGIN")

    def savepoint(self) -> None:
        self._db.execute("SAVEPOINT step")

    def release(self) -> None:
        self._db.execute("RELEASE step")

    def undo(self) -> None:
        """Forget what was said since `savepoint`."""
        self._db.execute("ROLLBACK TO step")
        self._db.execute("RELEASE step")

    def close(self) -> None:
        self._db.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()

    def begin(self, model: str, stream: str, pattern: str) -> bool:
        """Note that what matches a pattern is being read; False if that was so already."""
        row = (model, stream, pattern)
        return self._db.execute("INSERT OR IGNORE INTO begun VALUES (?, ?, ?)", row).rowcount > 0

    def positions(self, model: str, stream: str) -> dict[str, Position]:
        rows = self._db.execute(
            "SELECT file, data FROM positions WHERE model = ? AND stream = ?", (model, stream)
        )
        return {file: Position(**json.loads(data)) for file, data in rows}

    def set_position(self, model: str, stream: str, file: str, position: Position) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?)",
            (model, stream, file, json.dumps(vars(position))),
        )

    def save_counters(self, model: str, families: Sequence[Family]) -> None:
        kept = [family for family in families if family.kept]
        counts = np.concatenate([family.values for family in kept] or [np.zeros(0)]).tobytes()
        shape = [(family, len(family)) for family in kept]
        if self._saved.get(model) == shape:
            samples: bytes = self._db.execute(
                "SELECT samples FROM counters WHERE model = ?", (model,)
            ).fetchone()[0]
        else:
            samples = json.dumps([(family.name, family.keys()) for family in kept]).encode()
            self._saved[model] = shape
        self._db.execute(
            "INSERT OR REPLACE INTO counters VALUES (?, ?, ?, ?)",
            (model, samples, counts, _checksum(samples, counts)),
        )

    def counters(self, model: str) -> Iterator[tuple[Sample, float]]:
        """Samples of a model as they were saved; raises StateError if they were tampered with."""
        row = self._db.execute(
            "SELECT samples, counts, checksum FROM counters WHERE model = ?", (model,)
        ).fetchone()
        if row is None:
            return
        samples, counts, checksum = row
        if _checksum(samples, counts) != checksum:
            raise StateError(
                f"{self._name}: the saved counters of model {model!r} are damaged;"
                " move it away to start anew"
            )
        values = iter(np.frombuffer(counts, dtype=np.float64).tolist())
        for name, keys in json.loads(samples):
            for key in keys:
                yield (name, tuple(key)), next(values)

    def save_baseline(self, model: str, version: str, data: bytes) -> None:
        """Keep a learned baseline in place of the rows it was learned from."""
        self._db.execute("DELETE FROM learning WHERE model = ? AND version = ?", (model, version))
        self._db.execute(
            "INSERT OR REPLACE INTO baselines VALUES (?, ?, ?)", (model, version, data)
        )

    def baselines(self, model: str) -> dict[str, bytes]:
        """The learned baselines of a model by version, in the order in which they were learned."""
        query = "SELECT version, data FROM baselines WHERE model = ? ORDER BY rowid"
        return dict(self._db.execute(query, (model,)).fetchall())

    def add_learning(self, model: str, version: str, rows: int, data: bytes) -> None:
        self._db.execute("INSERT INTO learning VALUES (?, ?, ?, ?)", (model, version, rows, data))

    def learning(self, model: str) -> dict[str, list[bytes]]:
        """Rows from which baselines are being learned, by version."""
        found: dict[str, list[bytes]] = {}
        query = "SELECT version, data FROM learning WHERE model = ? ORDER BY rowid"
        for version, data in self._db.execute(query, (model,)):
            found.setdefault(version, []).append(data)
        return found

    def forget(self, model: str, version: str) -> None:
        """Let go of what was learned of a version; its counters are gone with the next save."""
        for table in ("baselines", "learning"):
            self._db.execute(
                f"DELETE FROM {table} WHERE model = ? AND version = ?", (model, version)
            )

    def pending(self, model: str) -> ModelPending:
        return ModelPending(self._db, model)


class ModelPending:
    """The pending predictions and early labels of one model: a `labels.PendingStore`."""

    def __init__(self, db: sqlite3.Connection, model: str) -> None:
        self._db = db
        self._model = model

    def add_pending(self, rows: Sequence[Pending]) -> None:
        self._db.executemany(
            "INSERT OR IGNORE INTO pending VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(self._model, _key(row.id), *row[1:]) for row in rows],
        )

    def latest_pending(self) -> float:
        query = "SELECT max(at) FROM pending WHERE model = ?"
        return float(self._db.execute(query, (self._model,)).fetchone()[0] or 0)

    def count(self) -> int:
        """Predictions that wait for their label."""
        query = "SELECT count(*) FROM pending WHERE model = ? AND label IS NULL"
        return int(self._db.execute(query, (self._model,)).fetchone()[0])

    def find_pending(self, ids: Iterable[str]) -> dict[str, Pending]:
        query = "SELECT id, version, predicted, at, label, labelled_at, counted FROM pending"
        return {id: _pending(id, *rest) for id, rest in self._find(query, ids)}

    def update_pending(self, rows: Sequence[Pending]) -> None:
        self._db.executemany(
            "UPDATE pending SET label = ?, labelled_at = ?, counted = ? WHERE model = ? AND id = ?",
            [(row.label, row.labelled_at, row.counted, self._model, _key(row.id)) for row in rows],
        )

    def settled(self, until: float) -> list[Pending]:
        rows = self._db.execute(
            "SELECT id, version, predicted, at, label, labelled_at, counted FROM pending"
            " WHERE model = ? AND counted = 0 AND labelled_at <= ?",
            (self._model, until),
        )
        return [_pending(*row) for row in rows]

    def expire_pending(self, before: float) -> int:
        old = (self._model, before)
        unlabelled = self._db.execute(
            "SELECT count(*) FROM pending WHERE model = ? AND at < ? AND label IS NULL", old
        ).fetchone()[0]
        # A label that still settles is counted first.
        self._db.execute(
            "DELETE FROM pending WHERE model = ? AND at < ? AND (label IS NULL OR counted)", old
        )
        return int(unlabelled)

    def add_early(self, rows: Sequence[Early]) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO early VALUES (?, ?, ?, ?, ?)",
            [(self._model, _key(row.id), *row[1:]) for row in rows],
        )

    def find_early(self, ids: Iterable[str]) -> dict[str, Early]:
        query = "SELECT id, label, at, since FROM early"
        return {id: Early(id, *rest) for id, rest in self._find(query, ids)}

    def remove_early(self, ids: Iterable[str]) -> None:
        self._db.executemany(
            "DELETE FROM early WHERE model = ? AND id = ?",
            [(self._model, _key(id)) for id in ids],
        )

    def expire_early(self, before: float) -> int:
        return self._db.execute(
            "DELETE FROM early WHERE model = ? AND since < ?", (self._model, before)
        ).rowcount

    def _find(self, query: str, ids: Iterable[str]) -> Iterator[tuple[str, tuple[Any, ...]]]:
        by_key = {_key(id): id for id in ids}
        keys = list(by_key)
        for start in range(0, len(keys), _PARAMETERS):
            some = keys[start : start + _PARAMETERS]
            marks = ",".join("?" * len(some))
            rows = self._db.execute(
                f"{query} WHERE model = ? AND id IN ({marks})", (self._model, *some)
            )
            for key, *rest in rows:
                yield by_key[key], tuple(rest)


def _pending(
    id: str,
    version: str,
    predicted: str,
    at: float,
    label: str | None,
    labelled_at: float | None,
    counted: int,
) -> Pending:
    return Pending(id, version, predicted, at, label, labelled_at, bool(counted))


def _key(id: str) -> str:
    if len(id) <= _LONGEST_ID:
        return id
    return "blake2b:" + hashlib.blake2b(id.encode("utf-8", "replace"), digest_size=16).hexdigest()


def _checksum(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"".join(parts), digest_size=16).digest()


def _lock(folder: Path) -> IO[str]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / "lock", "a+")  # noqa: SIM115 - held as long as the process lives
    except FileExistsError:
        raise StateError(f"{folder}: is a file, and must be a folder") from None
    except OSError as error:
        raise StateError(f"{folder}: {(error.strerror or str(error)).lower()}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read().strip()
        file.close()
        raise StateError(f"{folder}: in use by process {owner or 'unknown'}") from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
