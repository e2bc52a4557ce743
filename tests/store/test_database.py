from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ml_exporter.labels.waiting import keys_of
from ml_exporter.store import database
from ml_exporter.store.database import Damage, check, signed
from ml_exporter.store.state_folder import StateError
from ml_exporter.store.store import Position, Store
from tests.support import ROOT, full_disk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_DELAY", 0.0)


def positions(folder: Path) -> set[str]:
    """What is in the file."""
    with closing(sqlite3.connect(folder / "state.db")) as db:
        return {name for (name,) in db.execute("SELECT file FROM positions")}


def fail(store: Store) -> None:
    """A commit for which there is no room."""
    store.set_position("m", "predictions", "lost", Position(1))
    with full_disk(), pytest.raises(sqlite3.OperationalError) as raised:
        store.commit()
    assert not store.recover(raised.value)


class TestWithoutRoom:
    def test_what_is_said_can_be_read_and_is_saved_later(self, folder: Path) -> None:
        store = Store(folder)
        fail(store)
        assert store.is_in_memory
        assert not (folder / "saved").exists()
        with full_disk():
            for number in range(3):
                store.set_position("m", "predictions", str(number), Position(1))
                assert not store.commit(last=True)
        assert set(store.positions("m", "predictions")) == {"0", "1", "2"}
        assert store.commit()
        assert not store.is_in_memory
        assert (folder / "saved").exists()
        store.close()
        assert positions(folder) == {"0", "1", "2"}

    def test_more_than_the_cache_holds_is_kept(self, folder: Path) -> None:
        store = Store(folder)
        fail(store)
        store._db.execute("PRAGMA cache_size = 10")
        text = "x" * 10_000
        with full_disk():
            for number in range(200):
                store.savepoint()
                store.set_position("m", "predictions", f"{number} {text}", Position(1))
                store.undo() if number % 2 else store.release()
        assert store.commit()
        store.close()
        assert len(positions(folder)) == 100

    def test_a_rollback_goes_back_to_the_file(self, folder: Path) -> None:
        store = Store(folder)
        store.set_position("m", "predictions", "saved", Position(1))
        store.commit()
        fail(store)
        store.set_position("m", "predictions", "not", Position(1))
        store.rollback()
        assert set(store.positions("m", "predictions")) == {"saved"}
        store.close()

    def test_a_state_is_opened(self, folder: Path) -> None:
        store = Store(folder)
        store.set_position("m", "predictions", "saved", Position(1))
        store.commit()
        store.close()
        with full_disk():
            store = Store(folder)
            assert set(store.positions("m", "predictions")) == {"saved"}
            store.set_position("m", "predictions", "new", Position(1))
            with pytest.raises(sqlite3.OperationalError) as raised:
                store.commit()
            store.recover(raised.value)
            store.set_position("m", "predictions", "new", Position(1))
        assert store.commit()
        store.close()
        assert positions(folder) == {"saved", "new"}

    def test_a_state_of_an_older_version_is_opened(self, folder: Path) -> None:
        folder.mkdir()
        with closing(sqlite3.connect(folder / "state.db")) as db:
            db.executescript((ROOT / "tests/store/states/version-1.sql").read_text())
            db.execute("PRAGMA journal_mode = WAL")
        with full_disk():
            store = Store(folder)
            assert store.is_in_memory
            store.set_position("m", "predictions", "new", Position(1))
        assert store.commit()
        store.close()
        assert positions(folder) == {"new"}

    def test_none_is_made(self, folder: Path) -> None:
        with full_disk(), pytest.raises(StateError, match=r"/state.db: disk I/O error$"):
            Store(folder)
        Store(folder).close()


def test_no_commit_takes_more_room_than_was_looked_for(folder: Path) -> None:
    dice = random.Random(1)
    store = Store(folder)
    store._db.execute("PRAGMA wal_autocheckpoint = 0")
    log = folder / "state.db-wal"
    number, waiting = 0, store.pending("m")
    for size in (1, 3000, 1, 200, 5000, 30):
        before = log.stat().st_size
        ids = [str(number + each) for each in range(size)]
        columns = (["1"] * size, ["yes"] * size, [float(number)] * size, [b"along"] * size)
        waiting.add(keys_of(ids), *columns)
        found = waiting.find(keys_of([str(dice.randrange(number + size)) for _ in range(size)]))
        waiting.label([row._replace(label="no", labelled_at=1.0) for (row,) in found.values()])
        number += size
        store.set_position("m", "predictions", "1:2", Position(number))
        expected = store._database._unsaved()
        store.commit()
        assert 0 < log.stat().st_size - before <= expected
    store.close()


def test_a_signed_row_is_what_it_was() -> None:
    row = signed("text", b"bytes", 3)
    assert check(row) == ["text", b"bytes", 3]
    for other in (("texts", b"bytes", 3), ("text", b"byte", 3), ("text", b"bytes", 4)):
        with pytest.raises(Damage):
            check((*other, row[-1]))
    with pytest.raises(Damage):
        check(("textb", b"ytes", 3, row[-1]))
