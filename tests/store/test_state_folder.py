from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ml_exporter.store.state_folder import StateError, StateFolder
from ml_exporter.store.store import Position, Store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


class TestAFileThatIsOfNoUse:
    """It is renamed as it is, and an empty state is begun."""

    def set_aside(self, folder: Path, kind: str) -> None:
        before = (folder / "state.db").read_bytes()
        store = Store(folder)
        assert store.positions("m", "predictions") == {}
        store.set_position("m", "predictions", "1:2", Position(1))
        store.commit()
        store.close()
        (aside,) = folder.glob("state.db.*")
        assert aside.name.startswith(f"state.db.{kind}-2")
        assert aside.read_bytes() == before
        # What came in its place is good.
        Store(folder).close()
        assert list(folder.glob("state.db.*")) == [aside]

    def test_text(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        folder.mkdir()
        (folder / "state.db").write_text("shopping list: eggs, milk\n" * 100)
        with caplog.at_level(logging.ERROR):
            self.set_aside(folder, "corrupt")
        (record,) = caplog.records
        assert record.getMessage() == (
            "state is of no use: it is set aside, and counting starts from the logs"
        )
        said = vars(record)
        assert said["error"] == "file is not a database"
        assert said["file"] == f"{folder}/state.db"
        assert Path(said["moved_to"]).exists()

    def test_database_of_another_program(self, folder: Path) -> None:
        folder.mkdir()
        with closing(sqlite3.connect(folder / "state.db")) as database:
            database.execute("CREATE TABLE eggs (number INTEGER)")
        self.set_aside(folder, "foreign")

    def test_state_of_a_later_version(self, folder: Path) -> None:
        Store(folder).close()
        with closing(sqlite3.connect(folder / "state.db")) as database:
            database.execute("PRAGMA user_version = 99")
        self.set_aside(folder, "newer")

    @pytest.mark.parametrize("at", [100, 4096, 3 * 4096])
    def test_state_that_was_written_over(self, folder: Path, at: int) -> None:
        Store(folder).close()
        data = bytearray((folder / "state.db").read_bytes())
        data[at : at + 64] = b"\xff" * 64
        (folder / "state.db").write_bytes(data)
        self.set_aside(folder, "corrupt")

    def test_state_that_was_cut_off(self, folder: Path) -> None:
        Store(folder).close()
        data = (folder / "state.db").read_bytes()
        (folder / "state.db").write_bytes(data[: len(data) // 2])
        self.set_aside(folder, "corrupt")

    def test_with_its_write_ahead_log(self, folder: Path) -> None:
        folder.mkdir()
        for end in ("", "-wal", "-shm"):
            (folder / f"state.db{end}").write_text(f"no database{end}")
        Store(folder).close()
        (aside,) = folder.glob("state.db.corrupt-*Z")
        for end in ("", "-wal", "-shm"):
            assert Path(f"{aside}{end}").read_text() == f"no database{end}"

    def test_write_ahead_log_alone(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "state.db-wal").write_text("what is left")
        Store(folder).close()
        (aside,) = folder.glob("state.db.corrupt-*Z-wal")
        assert aside.read_text() == "what is left"

    def test_many_in_one_second(self, folder: Path) -> None:
        folder.mkdir()
        texts = {f"no database, number {number}" for number in range(5)}
        for text in texts:
            (folder / "state.db").write_text(text)
            Store(folder).close()
        assert {path.read_text() for path in folder.glob("state.db.corrupt-*")} == texts

    def test_an_empty_file_is_taken(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "state.db").touch()
        Store(folder).close()
        assert list(folder.glob("state.db.*")) == []


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
from ml_exporter.store.store import Store
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
        (folder / "state.db").mkdir(parents=True)
        with pytest.raises(StateError, match=r"/state.db: is a directory$"):
            Store(folder)
        (folder / "state.db").rmdir()
        Store(folder).close()

    def test_has_room_for_what_can_be_written(self, folder: Path) -> None:
        state = StateFolder(folder)
        assert state.has_room(3 << 20)
        assert sorted(path.name for path in folder.iterdir()) == ["lock"]
        state.close()
