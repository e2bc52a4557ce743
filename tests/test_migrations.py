"""States of every older version are taken up as they are."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from ml_exporter.labels import keys_of
from ml_exporter.store import Position, Store
from tests.support import ROOT

SAMPLES = json.dumps([["hits_total", [["", "m", "200"], ["", "m", "500"]]]]).encode()
COUNTS = np.array([3.0, 4.0]).tobytes()
LONG = "an id of more than sixty-four characters, which was kept as a hash of sixteen bytes"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@contextmanager
def version_1(folder: Path) -> Iterator[sqlite3.Connection]:
    """A state as version 1 left it, with something in every table."""
    with closing(sqlite3.connect(folder / "state.db")) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript((ROOT / "tests/states/version-1.sql").read_text())
        position = {"offset": 10, "length": 20, "rows": 3, "head": "0123abcd", "head_length": 30}
        db.execute(
            "INSERT INTO positions VALUES ('m', 'predictions', '1:2', ?)", [json.dumps(position)]
        )
        db.execute("INSERT INTO begun VALUES ('m', 'predictions', 'logs/*.jsonl')")
        checksum = hashlib.blake2b(SAMPLES + COUNTS, digest_size=16).digest()
        db.execute("INSERT INTO counters VALUES ('m', ?, ?, ?)", (SAMPLES, COUNTS, checksum))
        db.execute("INSERT INTO baselines VALUES ('m', '9', X'01'), ('m', '10', X'02')")
        db.execute("INSERT INTO learning VALUES ('m', '11', 1, X'03'), ('m', '11', 1, X'04')")
        digest = hashlib.blake2b(LONG.encode(), digest_size=16).hexdigest()
        db.executemany(
            "INSERT INTO pending VALUES ('m', ?, '9', 'yes', ?, ?, ?, ?)",
            [
                ("waits", 1.0, None, None, 0),
                ("settles", 2.0, "no", 5.0, 0),
                ("counted", 3.0, "yes", 6.0, 1),
                (f"blake2b:{digest}", 4.0, None, None, 0),
            ],
        )
        db.execute("INSERT INTO early VALUES ('m', 'early', 'yes', 7.0, 8.0)")
        yield db
        db.commit()


def tables(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """Columns of each table, and what each index is of."""
    with closing(sqlite3.connect(folder / "state.db")) as db:
        found = {}
        for kind, name in db.execute("SELECT type, name FROM sqlite_schema").fetchall():
            pragma = "table_xinfo" if kind == "table" else "index_xinfo"
            found[name] = db.execute(f"PRAGMA {pragma}('{name}')").fetchall()
        return found


def test_everything_is_there(folder: Path) -> None:
    with version_1(folder):
        pass
    for _ in range(2):
        store = Store(folder)
        expected = Position(10, length=20, rows=3, head="0123abcd", head_length=30)
        assert store.positions("m", "predictions") == {"1:2": expected}
        assert not store.begin("m", "predictions", "logs/*.jsonl")
        assert dict(store.counters("m")) == {
            ("hits_total", ("", "m", "200")): 3,
            ("hits_total", ("", "m", "500")): 4,
        }
        assert list(store.baselines("m").items()) == [("9", b"\1"), ("10", b"\2")]
        assert store.learning("m") == {"11": [b"\3", b"\4"]}
        waiting = store.pending("m")
        ids = ["waits", "settles", "counted", LONG]
        found = waiting.find(keys_of(ids))
        assert [
            (row.version, row.predicted, row.at, row.label, row.labelled_at, row.counted)
            for row in map(found.__getitem__, keys_of(ids))
        ] == [
            ("9", "yes", 1.0, None, None, False),
            ("9", "yes", 2.0, "no", 5.0, False),
            ("9", "yes", 3.0, "yes", 6.0, True),
            ("9", "yes", 4.0, None, None, False),
        ]
        assert waiting.waiting() == 2
        (early,) = waiting.find_early(keys_of(["early"])).values()
        assert (early.label, early.at, early.since) == ("yes", 7.0, 8.0)
        store.close()
    assert list(folder.glob("state.db.*")) == []


def test_tables_are_those_of_a_new_state(folder: Path) -> None:
    (folder / "old").mkdir()
    with version_1(folder / "old"):
        pass
    Store(folder / "old").close()
    Store(folder / "new").close()
    assert tables(folder / "old") == tables(folder / "new")


def test_what_is_damaged_is_set_aside(folder: Path) -> None:
    with version_1(folder) as db:
        db.execute("UPDATE counters SET counts = zeroblob(16)")
    store = Store(folder)
    assert list(store.counters("m")) == []
    store.close()
    (aside,) = folder.glob("state.db.corrupt-*Z")
    with closing(sqlite3.connect(aside)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("SELECT counts FROM counters").fetchone() == (bytes(16),)
