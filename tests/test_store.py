import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ml_exporter.families import Family, Histogram
from ml_exporter.labels import Early, Pending
from ml_exporter.store import Position, StateError, Store


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
            store.pending("m").add_pending([Pending("a", "1", "yes", 5.0)])
            store.commit()
        with opened(folder) as store:
            assert store.positions("m", "predictions") == {"1:2": Position(10)}
            assert list(store.counters("m")) == [(("hits_total", ("", "m", "200")), 3.0)]
            assert store.pending("m").find_pending(["a"]) == {"a": Pending("a", "1", "yes", 5.0)}

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
from ml_exporter.store import Position, Store
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

    @pytest.mark.parametrize("column", ["samples", "counts", "checksum"])
    def test_damage_is_found_out(self, folder: Path, column: str) -> None:
        with opened(folder) as store:
            store.save_counters("m", [hits(3)])
            store.commit()
        database = sqlite3.connect(folder / "state.db")
        (data,) = database.execute(f"SELECT {column} FROM counters").fetchone()
        database.execute(f"UPDATE counters SET {column} = ?", (bytes([data[0] ^ 1]) + data[1:],))
        database.commit()
        database.close()
        with opened(folder) as store, pytest.raises(StateError) as raised:
            list(store.counters("m"))
        assert str(raised.value) == (
            f"{folder}/state.db: the saved counters of model 'm' are damaged;"
            " move it away to start anew"
        )


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


class TestPending:
    @pytest.mark.parametrize("length", [1, 64, 65, 10_000])
    def test_ids_of_any_length_are_told_apart(self, length: int) -> None:
        store = Store(None)
        pending = store.pending("m")
        ids = ["é" * (length - 1) + last for last in "ab"]
        rows = {id: Pending(id, "1", "yes", 1.0) for id in ids}
        pending.add_pending(list(rows.values()))
        assert pending.find_pending(ids) == rows
        pending.add_early([Early(id, "no", None, 2.0) for id in ids])
        pending.remove_early(ids[:1])
        assert pending.find_early(ids) == {ids[1]: Early(ids[1], "no", None, 2.0)}
        store.close()

    def test_more_ids_than_a_statement_takes(self) -> None:
        store = Store(None)
        pending = store.pending("m")
        rows = [Pending(str(number), "1", "yes", float(number)) for number in range(1201)]
        pending.add_pending(rows)
        assert len(pending.find_pending(row.id for row in rows)) == 1201
        assert pending.latest_pending() == 1200
        assert pending.count() == 1201
        store.close()

    def test_models_share_no_ids(self) -> None:
        store = Store(None)
        store.pending("m").add_pending([Pending("a", "1", "yes", 1.0)])
        assert store.pending("other").find_pending(["a"]) == {}
        assert store.pending("other").latest_pending() == 0
        store.close()


class TestForeignState:
    """What is there is never written to."""

    def refused(self, folder: Path, text: str) -> None:
        before = {path: path.read_bytes() for path in folder.glob("state.db*")}
        with pytest.raises(StateError) as raised:
            Store(folder)
        assert str(raised.value) == f"{folder}/state.db: {text}; move it away to start anew"
        assert {path: path.read_bytes() for path in folder.glob("state.db*")} == before

    def test_text(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "state.db").write_text("shopping list: eggs, milk\n" * 100)
        self.refused(folder, "file is not a database")

    def test_database_of_another_program(self, folder: Path) -> None:
        folder.mkdir()
        database = sqlite3.connect(folder / "state.db")
        database.execute("CREATE TABLE eggs (number INTEGER)")
        database.close()
        self.refused(folder, "not a state file of this program")

    def test_state_of_another_version(self, folder: Path) -> None:
        Store(folder).close()
        database = sqlite3.connect(folder / "state.db")
        database.execute("PRAGMA user_version = 99")
        database.close()
        self.refused(folder, "state of version 99; this program reads version 1")

    def test_an_empty_file_is_taken(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "state.db").touch()
        Store(folder).close()


class TestFolder:
    def test_is_made_where_there_is_none(self, tmp_path: Path) -> None:
        Store(tmp_path / "var" / "lib" / "state").close()
        assert (tmp_path / "var" / "lib" / "state" / "state.db").exists()

    def test_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "state").touch()
        with pytest.raises(StateError, match=r"/state: is a file, and must be a folder$"):
            Store(tmp_path / "state")

    def test_under_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StateError, match=r"/file/state: not a directory$"):
            Store(tmp_path / "file" / "state")

    def test_that_may_not_be_written_to(self, tmp_path: Path) -> None:
        """Root may do everything: it is another user who tries."""
        if os.geteuid() != 0:
            (tmp_path / "state").mkdir(mode=0o500)
            with pytest.raises(StateError, match=r"/state: permission denied$"):
                Store(tmp_path / "state")
            return
        tmp_path.chmod(0o755)
        try:
            os.seteuid(65534)
            with pytest.raises(StateError, match=r"/state: permission denied$"):
                Store(tmp_path / "state")
        finally:
            os.seteuid(0)

    def test_in_use_by_another_process(self, folder: Path) -> None:
        script = """
import sys
from pathlib import Path
from ml_exporter.store import Store
store = Store(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""
        with subprocess.Popen(
            [sys.executable, "-c", script, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other:
            assert other.stdout
            assert other.stdout.readline() == b"open\n"
            with pytest.raises(StateError) as raised:
                Store(folder)
            assert str(raised.value) == f"{folder}: in use by process {other.pid}"
            other.kill()
        Store(folder).close()  # it let go of the folder when it died

    def test_is_free_again_after_a_failure(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "state.db").write_text("no database " * 100)
        with pytest.raises(StateError, match="not a database"):
            Store(folder)
        (folder / "state.db").unlink()
        Store(folder).close()
