"""What is remembered: offsets, counters, learned baselines and pending predictions together."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml_exporter.families import Family
from ml_exporter.labels import pending
from ml_exporter.labels.outbox import Outbox
from ml_exporter.labels.pending import ModelPending
from ml_exporter.store import migrations
from ml_exporter.store.database import Database, Schema, check, signed
from ml_exporter.store.halves import Halves

_TABLES = """
CREATE TABLE positions (
    model TEXT, stream TEXT, file TEXT, data TEXT NOT NULL, checksum BLOB,
    PRIMARY KEY (model, stream, file)
) WITHOUT ROWID;
CREATE TABLE begun (
    model TEXT, stream TEXT, pattern TEXT, PRIMARY KEY (model, stream, pattern)
) WITHOUT ROWID;
CREATE TABLE counters (
    model TEXT PRIMARY KEY, samples BLOB NOT NULL, counts BLOB NOT NULL, checksum BLOB NOT NULL
);
CREATE TABLE baselines (
    model TEXT, version TEXT, data BLOB NOT NULL, checksum BLOB, PRIMARY KEY (model, version)
);
CREATE TABLE learning (
    model TEXT, version TEXT, rows INTEGER NOT NULL, data BLOB NOT NULL, checksum BLOB
);
CREATE INDEX learning_of ON learning (model, version);
CREATE TABLE shown (place TEXT, at REAL, seen TEXT);
"""
_SCHEMA = Schema(
    _TABLES + pending.SCHEMA,
    migrations=[migrations.to_version_2, migrations.to_version_3, migrations.to_version_4],
    start_over="DELETE FROM counters",
)
_SIGNED = ("positions", "counters", "baselines", "learning")  # tables with a checksum a row
_SEEN_FOR = 1800.0  # seconds; rules remember a counter for an hour


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
    tail: str = ""  # a hash of the bytes before its end, by which a copy is known
    tail_length: int = 0
    packed: int = 0  # the size of a compressed file of which all is counted
    modified: int = 0  # when that one was written to, in nanoseconds since 1970
    gone: float = 0.0  # since when there is no such file, in seconds since 1970; 0 if there is

    @property
    def end(self) -> int:
        """Where the bytes end of which rows are counted."""
        return self.offset + self.length


Sample = tuple[str, tuple[str, ...]]  # a family's name, and suffix and labels as in Family.keys


class Store:
    """What is remembered. Nothing is, until `commit`; `rollback` forgets what came since."""

    def __init__(self, folder: Path | None) -> None:
        """Open the state in a folder, which no other process may have open; raises StateError.

        A file that is damaged, or none of ours, is set aside. Without a folder, nothing outlives
        the process.
        """
        self._saved: dict[str, list[tuple[Family, int]]] = {}  # what counters were saved of
        self._database = Database(folder, _SCHEMA)
        try:
            for table in _SIGNED:
                for row in self._db.execute(f"SELECT * FROM {table}"):
                    check(row)
        except sqlite3.Error as error:
            self.recover(error)

    @property
    def _db(self) -> sqlite3.Connection:
        return self._database.connection

    @property
    def changes(self) -> int:
        """How many rows were written so far."""
        return self._db.total_changes

    @property
    def is_in_memory(self) -> bool:
        """Whether more was said than could be saved."""
        return self._database.is_in_memory

    @property
    def exceeds_memory(self) -> bool:
        """Whether no more may be said before something is saved."""
        return self._database.exceeds_memory

    def commit(self, *, last: bool = False) -> bool:
        """Save all that was said since the last commit; raises sqlite3.Error where it can't.

        False where it waits in memory until there is room; see Database.
        """
        return self._database.commit(last=last)

    def rollback(self) -> None:
        self._database.rollback()
        self._saved.clear()

    def recover(self, error: sqlite3.Error) -> bool:
        """Go back to what was saved last, which is nothing where that is damaged, and then True.

        From now on what is said may have to wait in memory. Raises StateError.
        """
        self._saved.clear()
        return self._database.recover(error)

    def savepoint(self) -> None:
        self._db.execute("SAVEPOINT step")

    def release(self) -> None:
        self._db.execute("RELEASE step")

    def undo(self) -> None:
        """Forget what was said since `savepoint`."""
        self._db.execute("ROLLBACK TO step")
        self._db.execute("RELEASE step")

    def close(self) -> None:
        self._database.close()

    def abandon(self) -> None:
        """In a child that was forked: leave everything to the parent, whose it stays."""
        self._database.abandon()

    def begin(self, model: str, stream: str, pattern: str) -> bool:
        """Note that what matches a pattern is being read; False if that was so already."""
        row = (model, stream, pattern)
        return self._db.execute("INSERT OR IGNORE INTO begun VALUES (?, ?, ?)", row).rowcount > 0

    def positions(self, model: str, stream: str) -> dict[str, Position]:
        query = "SELECT * FROM positions WHERE model = ? AND stream = ?"
        rows = (check(row) for row in self._db.execute(query, (model, stream)))
        return {file: Position(**json.loads(data)) for _, _, file, data in rows}

    def forget_position(self, model: str, stream: str, file: str) -> None:
        place = (model, stream, file)
        self._db.execute("DELETE FROM positions WHERE (model, stream, file) = (?, ?, ?)", place)

    def set_position(self, model: str, stream: str, file: str, position: Position) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?, ?)",
            signed(model, stream, file, json.dumps(vars(position))),
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
            signed(model, samples, counts),
        )

    def counters(self, model: str) -> Iterator[tuple[Sample, float]]:
        """Samples of a model as they were saved."""
        row = self._db.execute("SELECT * FROM counters WHERE model = ?", (model,)).fetchone()
        if row is None:
            return
        _, samples, counts = check(row)
        values = iter(np.frombuffer(counts, dtype=np.float64).tolist())
        for name, keys in json.loads(samples):
            for key in keys:
                yield (name, tuple(key)), next(values)

    @property
    def saved_at(self) -> float:
        """When what there is was saved, seconds since 1970; 0 for never."""
        row = self._db.execute("SELECT at FROM shown").fetchone()
        return float(row[0]) if row else 0.0

    def note_shown(self, place: str, seen: Collection[str]) -> None:
        """Say where what is saved is shown, and of which models scrapes have seen all series.

        `place` is the target's name, or something as good.
        """
        self._db.execute("DELETE FROM shown")
        row = (place, time.time(), json.dumps(sorted(seen)))
        self._db.execute("INSERT INTO shown VALUES (?, ?, ?)", row)

    def was_seen(self, place: str, model: str, families: Sequence[Family]) -> bool:
        """Whether scrapes of late have seen all series of a model as they were saved."""
        row = self._db.execute("SELECT place, at, seen FROM shown").fetchone()
        if row is None or row[0] != place or model not in json.loads(row[2]):
            return False
        if not 0 <= time.time() - row[1] < _SEEN_FOR:
            return False
        saved = {sample for sample, _ in self.counters(model)}
        kept = (family for family in families if family.kept)
        return all((one.name, key) in saved for one in kept for key in one.keys())  # noqa: SIM118

    def save_baseline(self, model: str, version: str, data: bytes) -> None:
        """Keep a learned baseline in place of the rows it was learned from."""
        self._db.execute("DELETE FROM learning WHERE model = ? AND version = ?", (model, version))
        self._db.execute(
            "INSERT OR REPLACE INTO baselines VALUES (?, ?, ?, ?)", signed(model, version, data)
        )

    def baselines(self, model: str) -> dict[str, bytes]:
        """The learned baselines of a model by version, in the order in which they were learned."""
        query = "SELECT * FROM baselines WHERE model = ? ORDER BY rowid"
        rows = (check(row) for row in self._db.execute(query, (model,)))
        return {version: data for _, version, data in rows}

    def add_learning(self, model: str, version: str, rows: int, data: bytes) -> None:
        row = signed(model, version, rows, data)
        self._db.execute("INSERT INTO learning VALUES (?, ?, ?, ?, ?)", row)

    def learning(self, model: str) -> dict[str, list[bytes]]:
        """Rows from which baselines are being learned, by version."""
        found: dict[str, list[bytes]] = {}
        query = "SELECT * FROM learning WHERE model = ? ORDER BY rowid"
        for row in self._db.execute(query, (model,)):
            _, version, _, data = check(row)
            found.setdefault(version, []).append(data)
        return found

    def forget(self, model: str, version: str) -> None:
        """Let go of what was learned of a version; its counters are gone with the next save."""
        for table in ("baselines", "learning"):
            self._db.execute(
                f"DELETE FROM {table} WHERE model = ? AND version = ?", (model, version)
            )

    def halves(self, model: str, stream: str) -> Halves:
        return Halves(self._db, model, stream)

    def outbox(self, model: str) -> Outbox:
        return Outbox(self._db, model)

    def pending(self, model: str) -> ModelPending:
        return ModelPending(self._db, model)
