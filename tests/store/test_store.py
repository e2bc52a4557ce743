import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ml_exporter.families import Family, Histogram
from ml_exporter.labels.waiting import keys_of
from ml_exporter.store.store import Position, Store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    store = Store(folder)
    try:
        yield store
    finally:
        store.close()


def hits(value: float = 0, code: str = "200") -> Family:
    family = Family("hits_total", "Hits.", "counter", ["code"], of={"model": "m"})
    family.inc(value, code)
    return family


def restored(store: Store, *families: Family) -> list[Family]:
    for (name, key), value in store.counters("m"):
        for family in families:
            if family.name == name:
                family.restore(key, value)
    return list(families)


class TestTransaction:
    def test_is_seen_after_a_commit(self, folder: Path) -> None:
        with opened(folder) as store:
            store.set_position("m", "predictions", "1:2", Position(10))
            store.save_counters("m", [hits(3)])
            store.pending("m").add(keys_of(["a"]), ["1"], ["yes"], [5.0], [b""])
            store.commit()
        with opened(folder) as store:
            assert store.positions("m", "predictions") == {"1:2": Position(10)}
            assert list(store.counters("m")) == [(("hits_total", ("", "m", "200")), 3.0)]
            assert store.pending("m").waiting() == 1

    def test_is_nothing_without_one(self, folder: Path) -> None:
        with opened(folder) as store:
            store.set_position("m", "predictions", "1:2", Position(10))
            store.save_counters("m", [hits(3)])
        with opened(folder) as store:
            assert store.positions("m", "predictions") == {}
            assert list(store.counters("m")) == []

    def test_is_forgotten_by_a_rollback(self, folder: Path) -> None:
        with opened(folder) as store:
            family = hits(3)
            store.save_counters("m", [family])
            store.commit()
            family.inc(1, "500")
            store.save_counters("m", [family])
            store.rollback()
            assert [value for _, value in store.counters("m")] == [3]
            # What the labels are is saved anew as well.
            store.save_counters("m", [family])
            assert [value for _, value in store.counters("m")] == [3, 1]

    def test_undoes_what_came_since_a_savepoint_alone(self, folder: Path) -> None:
        with opened(folder) as store:
            store.set_position("m", "predictions", "before", Position(1))
            store.savepoint()
            store.set_position("m", "predictions", "undone", Position(2))
            store.undo()
            store.savepoint()
            store.set_position("m", "predictions", "after", Position(3))
            store.release()
            store.commit()
        with opened(folder) as store:
            assert set(store.positions("m", "predictions")) == {"before", "after"}

    def test_outlives_a_process_that_is_killed(self, folder: Path) -> None:
        script = """
import os, sys
from pathlib import Path
from ml_exporter.store.store import Position, Store
store = Store(Path(sys.argv[1]))
store.set_position("m", "predictions", "saved", Position(1))
store.commit()
store.set_position("m", "predictions", "lost", Position(1))
os.kill(os.getpid(), 9)
"""
        killed = subprocess.run([sys.executable, "-c", script, folder], check=False)
        assert killed.returncode == -9
        with opened(folder) as store:
            assert set(store.positions("m", "predictions")) == {"saved"}

    def test_temporary_store_starts_empty_each_time(self) -> None:
        for _ in range(2):
            store = Store(None)
            assert store.positions("m", "predictions") == {}
            store.set_position("m", "predictions", "1:2", Position(1))
            store.commit()
            store.close()


class TestCounters:
    def test_are_found_by_their_labels_whatever_the_order(self) -> None:
        store = Store(None)
        delay = Histogram("delay_seconds", "Delay.", [1.0, 10.0], of={"model": "m"})
        delay.observe(delay.uppers)
        two = hits(3)
        two.inc(4, "500")
        store.save_counters("m", [two, delay])
        turned = Family("hits_total", "Hits.", "counter", ["code"], of={"model": "m"})
        turned.add("500")
        turned.add("404")
        again = Histogram("delay_seconds", "Delay.", [1.0, 10.0], of={"model": "m"})
        restored(store, turned, again)
        assert {code: turned.value(code) for code in ("200", "404", "500")} == {
            "200": 3,
            "404": 0,
            "500": 4,
        }
        assert again.values.tolist() == delay.values.tolist()
        store.close()

    def test_of_other_constant_labels_are_left_alone(self) -> None:
        store = Store(None)
        store.save_counters("m", [hits(3)])
        other = Family("hits_total", "Hits.", "counter", ["code"], of={"model": "other"})
        assert len(restored(store, other)[0]) == 0
        store.close()

    def test_gauges_are_not_kept_unless_they_say_so(self) -> None:
        store = Store(None)
        passing, kept = Family("a", "A.", "gauge"), Family("b", "B.", "gauge", kept=True)
        passing.set(1)
        kept.set(2)
        store.save_counters("m", [passing, kept])
        assert list(store.counters("m")) == [(("b", ("",)), 2.0)]
        store.close()

    def test_new_families_of_the_same_shape_are_saved_by_their_own_labels(self) -> None:
        store = Store(None)
        for code in ("200", "404", "500"):
            store.save_counters("m", [hits(1, code)])
            assert [key for (_, key), _ in store.counters("m")] == [("", "m", code)]
        store.close()


class TestPositions:
    @pytest.mark.parametrize(
        "position",
        [
            Position(0),
            Position(2**40),
            Position(5, length=1 << 19, rows=17),
            Position(900, head="0123abcd", head_length=256),
        ],
    )
    def test_come_back_as_they_were(self, position: Position) -> None:
        store = Store(None)
        store.set_position("m", "labels", "1:2", position)
        assert store.positions("m", "labels") == {"1:2": position}
        assert store.positions("m", "predictions") == {}
        assert store.positions("other", "labels") == {}
        store.close()

    def test_a_pattern_is_begun_once(self, folder: Path) -> None:
        with opened(folder) as store:
            assert store.begin("m", "labels", "/logs/*.jsonl")
            assert not store.begin("m", "labels", "/logs/*.jsonl")
            assert store.begin("m", "labels", "/elsewhere/*.jsonl")
            store.commit()
        with opened(folder) as store:
            assert not store.begin("m", "labels", "/logs/*.jsonl")


class TestLearning:
    def test_rows_and_baselines_are_kept_by_version(self) -> None:
        store = Store(None)
        for version, data in [("9", b"one"), ("10", b"two"), ("9", b"three")]:
            store.add_learning("m", version, 1, data)
        assert store.learning("m") == {"9": [b"one", b"three"], "10": [b"two"]}
        store.save_baseline("m", "9", b"made of them")
        assert store.learning("m") == {"10": [b"two"]}
        store.save_baseline("m", "10", b"later")
        assert list(store.baselines("m").items()) == [("9", b"made of them"), ("10", b"later")]
        store.forget("m", "9")
        assert store.baselines("m") == {"10": b"later"}
        store.close()


class TestShown:
    def test_series_that_were_saved_and_seen_at_one_place(self, folder: Path) -> None:
        with opened(folder) as store:
            store.save_counters("m", [hits(3)])
            assert not store.was_seen("here", "m", [hits()])
            store.note_shown("here", {"m"})
            assert store.was_seen("here", "m", [hits()])
            assert not store.was_seen("elsewhere", "m", [hits()])
            assert not store.was_seen("here", "other", [])
            assert not store.was_seen("here", "m", [hits(0, "500")])
            store.note_shown("here", {"other"})
            assert not store.was_seen("here", "m", [hits()])

    def test_is_forgotten_after_a_while(self, monkeypatch: pytest.MonkeyPatch) -> None:
        store = Store(None)
        store.save_counters("m", [hits(3)])
        store.note_shown("here", {"m"})
        saved_at = store.saved_at
        monkeypatch.setattr(time, "time", lambda: saved_at + 3600)
        assert not store.was_seen("here", "m", [hits()])
        store.close()


class TestDamage:
    """Rows that are not what they were: a checksum says so, whatever SQLite thinks of the file."""

    @pytest.mark.parametrize(
        ("table", "column"),
        [
            ("positions", "data"),
            ("counters", "samples"),
            ("counters", "counts"),
            ("counters", "checksum"),
            ("baselines", "data"),
            ("learning", "version"),
        ],
    )
    def test_sets_the_file_aside(self, folder: Path, table: str, column: str) -> None:
        with opened(folder) as store:
            store.set_position("m", "predictions", "1:2", Position(10))
            store.save_counters("m", [hits(3)])
            store.save_baseline("m", "1", b"baseline")
            store.add_learning("m", "2", 1, b"rows")
            store.commit()
        with closing(sqlite3.connect(folder / "state.db")) as database:
            database.execute(f"UPDATE {table} SET {column} = CAST({column} || '!' AS BLOB)")
            database.commit()
        with opened(folder) as store:
            assert list(store.counters("m")) == []
            assert store.positions("m", "predictions") == {}
            assert store.baselines("m") == {}
        assert len(list(folder.glob("state.db.corrupt-*Z"))) == 1

    def test_is_found_while_running(self, folder: Path) -> None:
        with opened(folder) as store:
            store.save_counters("m", [hits(3)])
            store._db.execute("UPDATE counters SET counts = zeroblob(8)")
            with pytest.raises(sqlite3.DatabaseError, match="a checksum is wrong") as raised:
                list(store.counters("m"))
            assert store.recover(raised.value)
            assert list(store.counters("m")) == []
