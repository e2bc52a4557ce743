"""What brings the state of an older version up to date, one function a version."""

from __future__ import annotations

import hashlib
import sqlite3

from ml_exporter.labels import pending
from ml_exporter.labels.pending import ModelPending
from ml_exporter.labels.waiting import Early, keys_of
from ml_exporter.store.database import Damage, run_script, signed

_AT_ONCE = 5000  # rows
_HASHED = "blake2b:"  # what began the hash of a long id


def to_version_2(db: sqlite3.Connection) -> None:
    """Each row that can't be made again has a checksum; what waits for labels has other tables."""
    for _, samples, counts, checksum in db.execute("SELECT * FROM counters"):
        if hashlib.blake2b(samples + counts, digest_size=16).digest() != checksum:
            raise Damage("a checksum is wrong")
    for table, order in (("positions", "file"), ("baselines", "rowid"), ("learning", "rowid")):
        rows = db.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()
        db.execute(f"ALTER TABLE {table} ADD COLUMN checksum BLOB")
        _replace(db, table, rows)
    _replace(db, "counters", db.execute("SELECT model, samples, counts FROM counters").fetchall())
    db.execute("CREATE TABLE shown (place TEXT, at REAL, seen TEXT)")
    run_script(db, pending.SCHEMA)
    _move_predictions(db)
    _move_labels(db)
    run_script(db, "DROP TABLE pending; DROP TABLE early")


def to_version_3(db: sqlite3.Connection) -> None:
    """What goes along with predictions waits with them; there is nothing of those that wait."""
    if db.execute("SELECT 1 FROM pragma_table_info('waiting') WHERE name = 'carried'").fetchone():
        return  # the table has been made just now, from version 1
    db.execute("ALTER TABLE waiting ADD COLUMN carried BLOB NOT NULL DEFAULT x''")


def to_version_4(db: sqlite3.Connection) -> None:
    """Of an id, each version may have a prediction that waits."""
    run_script(db, "DROP INDEX waiting_keys; CREATE INDEX waiting_keys ON waiting (part, key)")


def _replace(db: sqlite3.Connection, table: str, rows: list[tuple[str | bytes | int, ...]]) -> None:
    db.execute(f"DELETE FROM {table}")
    for row in rows:
        marks = ", ".join("?" * (len(row) + 1))
        db.execute(f"INSERT INTO {table} VALUES ({marks})", signed(*row))


def _move_predictions(db: sqlite3.Connection) -> None:
    for (model,) in db.execute("SELECT DISTINCT model FROM pending").fetchall():
        waiting = ModelPending(db, model)
        old = db.execute("SELECT * FROM pending WHERE model = ? ORDER BY at", (model,))
        while rows := old.fetchmany(_AT_ONCE):
            _, ids, versions, predicted, at, labels, labelled_at, counted = zip(*rows, strict=True)
            keys = [_key(id) for id in ids]
            waiting.add(keys, versions, predicted, at, [b""] * len(keys))
            found = waiting.find(keys)
            waiting.label(
                [
                    found[key][0]._replace(label=label, labelled_at=labelled, counted=bool(done))
                    for key, label, labelled, done in zip(
                        keys, labels, labelled_at, counted, strict=True
                    )
                    if label is not None
                ]
            )


def _move_labels(db: sqlite3.Connection) -> None:
    for (model,) in db.execute("SELECT DISTINCT model FROM early").fetchall():
        waiting = ModelPending(db, model)
        old = db.execute("SELECT * FROM early WHERE model = ? ORDER BY since", (model,))
        while rows := old.fetchmany(_AT_ONCE):
            waiting.add_early(
                [Early(_key(id), label, at, since) for _, id, label, at, since in rows]
            )


def _key(id: str) -> bytes:
    if id.startswith(_HASHED):
        return bytes.fromhex(id.removeprefix(_HASHED))
    return keys_of([id])[0]
