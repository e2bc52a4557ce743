"""States of every older version are taken up as they are."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from ml_exporter.batch import LABEL, PREDICTION, SCORE, Batch
from ml_exporter.columns import Column
from ml_exporter.labels.join import JoinRules, LabelJoin
from ml_exporter.labels.waiting import Pending, keys_of
from ml_exporter.store.store import Position, Store
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
        db.executescript((ROOT / "tests/store/states/version-1.sql").read_text())
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


def version_2(folder: Path) -> AbstractContextManager[sqlite3.Connection]:
    """The same as version 2 left it."""
    return later_version(folder, "version-2.sql")


def version_3(folder: Path) -> AbstractContextManager[sqlite3.Connection]:
    """The same as version 3 left it."""
    return later_version(folder, "version-3.sql")


@contextmanager
def later_version(folder: Path, dump: str) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / "state.db")) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript((ROOT / "tests/store/states" / dump).read_text())
        (folder / "saved").touch()
        yield db
        db.commit()


State = Callable[[Path], AbstractContextManager[sqlite3.Connection]]
each_version = pytest.mark.parametrize("state", [version_1, version_2, version_3])


def tables(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """Columns of each table, and what each index is of."""
    with closing(sqlite3.connect(folder / "state.db")) as db:
        found = {}
        for kind, name in db.execute("SELECT type, name FROM sqlite_schema").fetchall():
            pragma = "table_xinfo" if kind == "table" else "index_xinfo"
            found[name] = db.execute(f"PRAGMA {pragma}('{name}')").fetchall()
        return found


@each_version
def test_everything_is_there(folder: Path, state: State) -> None:
    with state(folder):
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
            found[key][0]._replace(key=id.encode(), place=0)
            for id, key in zip(ids, keys_of(ids), strict=True)
        ] == [
            Pending(b"waits", "9", "yes", 1.0),
            Pending(b"settles", "9", "yes", 2.0, "no", 5.0),
            Pending(b"counted", "9", "yes", 3.0, "yes", 6.0, counted=True),
            Pending(LONG.encode(), "9", "yes", 4.0),
        ]
        assert waiting.waiting() == 2
        (early,) = waiting.find_early(keys_of(["early"])).values()
        assert (early.label, early.at, early.since) == ("yes", 7.0, 8.0)
        store.close()
    assert list(folder.glob("state.db.*")) == []


@each_version
def test_predictions_go_on_waiting(folder: Path, state: State) -> None:
    """Nothing goes along with those of old, and something with new ones."""
    with state(folder):
        pass
    store = Store(folder)
    join = LabelJoin("m", "9", store.pending("m"), JoinRules(wait=100, settle=0, numbers=False))
    new = {PREDICTION: Column(["yes"]), SCORE: Column([0.25])}
    join.predicted(Batch(1, new, ["new"], np.array([5.0])), "9")
    labels = Batch(2, {LABEL: Column(["no", "no"])}, ["waits", "new"], np.array([6.0, 6.0]))
    outcomes = join.labelled(labels, None)
    assert outcomes.fields[SCORE].values == [None, 0.25]
    assert join.waiting == 1
    store.close()


@each_version
def test_predictions_are_joined_by_those_of_other_versions(folder: Path, state: State) -> None:
    with state(folder):
        pass
    store = Store(folder)
    join = LabelJoin("m", "9", store.pending("m"), JoinRules(wait=100, settle=0, numbers=False))
    ids, times = ["waits", "counted", "waits"], np.array([6.0, 6.0, 6.0])
    new = {PREDICTION: Column(["no"] * 3)}
    outcomes = join.predicted(Batch(3, new, ids, times, versions=["10", "10", "9"]), "9")
    assert outcomes.versions == ["10"]
    assert outcomes.fields[LABEL].values == ["yes"]
    labels = Batch(1, {LABEL: Column(["no"])}, ["waits"], np.array([7.0]))
    outcomes = join.labelled(labels, None)
    assert outcomes.versions == ["9", "10"]
    assert outcomes.fields[PREDICTION].values == ["yes", "no"]
    assert join.waiting == 1
    store.close()


@each_version
def test_tables_are_those_of_a_new_state(folder: Path, state: State) -> None:
    (folder / "old").mkdir()
    with state(folder / "old"):
        pass
    Store(folder / "old").close()
    Store(folder / "new").close()
    assert tables(folder / "old") == tables(folder / "new")


@pytest.mark.parametrize(("state", "version"), [(version_1, 1), (version_2, 4), (version_3, 4)])
def test_what_is_damaged_is_set_aside(folder: Path, state: State, version: int) -> None:
    """As it was where what is wrong shows before it is changed."""
    with state(folder) as db:
        db.execute("UPDATE counters SET counts = zeroblob(16)")
    store = Store(folder)
    assert list(store.counters("m")) == []
    store.close()
    (aside,) = folder.glob("state.db.corrupt-*Z")
    with closing(sqlite3.connect(aside)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (version,)
        assert db.execute("SELECT counts FROM counters").fetchone() == (bytes(16),)
