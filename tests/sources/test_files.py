"""Log files as they are written, rotated, truncated and deleted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ml_exporter.sources import files
from ml_exporter.sources.files import FileSource
from ml_exporter.sources.matching import source_id
from ml_exporter.store.store import Position
from tests.reading import Reader, following, reading_once, write

pytestmark = pytest.mark.usefixtures("look_each_time")


class TestWhatThereIs:
    def test_files_of_a_glob_are_read_in_the_order_of_their_names(self, tmp_path: Path) -> None:
        for name in ("b", "a", "c"):
            write(tmp_path / f"{name}.jsonl", f"{name}\n")
        write(tmp_path / "other.txt", "no\n")
        assert reading_once(tmp_path / "*.jsonl").read() == ["a", "b", "c"]

    def test_folders_under_a_double_star(self, tmp_path: Path) -> None:
        (tmp_path / "2026" / "01").mkdir(parents=True)
        write(tmp_path / "2026" / "01" / "a.jsonl", "a\n")
        assert reading_once(tmp_path / "**" / "*.jsonl").read() == ["a"]

    def test_one_file_of_two_names_is_read_once(self, log: Path, tmp_path: Path) -> None:
        write(log, "a\n")
        (tmp_path / "current.jsonl").symlink_to(log)
        (tmp_path / "hard.jsonl").hardlink_to(log)
        assert reading_once(tmp_path / "*.jsonl").read() == ["a"]

    def test_an_empty_file_has_no_lines(self, log: Path) -> None:
        log.touch()
        reader = reading_once(log)
        assert reader.read() == []
        assert reader.source.errors == {}

    def test_the_last_line_needs_no_end_where_nothing_follows(self, log: Path) -> None:
        write(log, "a\nb")
        assert reading_once(log).read() == ["a", "b"]

    def test_more_files_than_may_be_open(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "_MOST_OPEN", 3)
        names = [f"{number:02}" for number in range(20)]
        for name in names:
            write(tmp_path / f"{name}.jsonl", f"{name}\n")
        assert reading_once(tmp_path / "*.jsonl").read() == names
        reader = following(tmp_path / "*.jsonl")
        assert reader.read() == names
        for name in ("19", "03"):
            write(tmp_path / f"{name}.jsonl", f"more {name}\n")
        assert sorted(reader.read()) == ["more 03", "more 19"]
        assert reader.read() == []


class TestGrowth:
    def test_is_followed(self, log: Path) -> None:
        write(log, "a\n")
        reader = following(log)
        assert reader.read() == ["a"]
        assert reader.read() == []
        write(log, "b\nc\n")
        assert reader.read() == ["b", "c"]

    def test_a_half_written_line_waits_for_its_end(self, log: Path) -> None:
        write(log, "a\nhal")
        reader = following(log)
        assert reader.read() == ["a"]
        assert reader.source.lag() == 3
        write(log, "f\n")
        assert reader.read() == ["half"]
        assert reader.source.lag() == 0

    def test_a_half_written_line_is_not_read_again_and_again(self, log: Path) -> None:
        write(log, "half")
        source = FileSource(str(log), {})
        assert source.next() is not None
        assert source.next() is None
        assert source.next() is None
        write(log, " done\n")
        assert source.next() is not None
        source.close()

    def test_files_that_come_later_are_read_from_their_start(self, tmp_path: Path) -> None:
        write(tmp_path / "a.jsonl", "old\n")
        reader = Reader(FileSource(str(tmp_path / "*.jsonl"), {}, start="end"))
        assert reader.read() == []
        write(tmp_path / "b.jsonl", "new\n")
        assert reader.read() == ["new"]

    def test_a_file_that_is_not_there_yet_is_waited_for(self, log: Path) -> None:
        reader = following(log)
        assert reader.read() == []
        assert reader.source.errors == {str(log): "no such file"}
        write(log, "a\n")
        assert reader.read() == ["a"]
        assert reader.source.errors == {}

    def test_quiet_files_are_closed_and_opened_again_as_they_grow(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "_QUIET", 0.0)
        for name in "abc":
            write(tmp_path / f"{name}.jsonl", f"{name}\n")
        reader = following(tmp_path / "*.jsonl")
        descriptors = len(os.listdir("/proc/self/fd"))
        assert reader.read() == ["a", "b", "c"]
        assert len(os.listdir("/proc/self/fd")) == descriptors
        write(tmp_path / "b.jsonl", "more\n")
        assert reader.read() == ["more"]
        (tmp_path / "a.jsonl").write_text("A\n-\n")
        assert reader.read() == ["A", "-"]


class TestStart:
    @pytest.mark.parametrize(
        ("text", "more", "read"),
        [
            ("a\nb\n", "c\n", ["c"]),
            ("a\nhal", "f\n", ["half"]),
            ("hal", "f\n", ["half"]),
            ("", "a\n", ["a"]),
            ("x" * 100_000 + "\n" + "y" * 100_000, "z\n", ["y" * 100_000 + "z"]),
        ],
        ids=["lines", "half a line", "nothing but half a line", "empty", "long lines"],
    )
    def test_at_the_end_of_whole_lines(
        self, log: Path, text: str, more: str, read: list[str]
    ) -> None:
        write(log, text)
        reader = Reader(FileSource(str(log), {}, start="end"))
        assert reader.read() == []
        write(log, more)
        assert reader.read() == read

    def test_is_where_the_files_end_at_the_first_look(self, log: Path) -> None:
        write(log, "a\n")
        reader = Reader(FileSource(str(log), {}, start="end"))
        reader.source.look()
        write(log, "b\n")
        assert reader.read() == ["b"]


class TestRestart:
    def test_goes_on_at_the_position(self, log: Path) -> None:
        write(log, "a\nb\n")
        first = following(log)
        first.read()
        first.source.close()
        write(log, "c\n")
        assert following(log, first.source.positions).read() == ["c"]

    def test_finds_a_file_that_was_renamed_meanwhile(self, log: Path, tmp_path: Path) -> None:
        write(log, "a\n")
        first = following(tmp_path / "log.jsonl*")
        first.read()
        first.source.close()
        write(log, "b\n")
        log.rename(tmp_path / "log.jsonl.1")
        write(log, "c\n")
        assert following(tmp_path / "log.jsonl*", first.source.positions).read() == ["c", "b"]

    @pytest.mark.parametrize("content", ["other content\n", "a\n", ""])
    def test_does_not_take_one_file_for_another_of_its_number(
        self, log: Path, content: str
    ) -> None:
        """A file system gives the number of a deleted file to the next one."""
        write(log, "first line\nb\n")
        first = following(log)
        first.read()
        first.source.close()
        log.write_text(content)  # keeps the number
        assert following(log, first.source.positions).read() == content.splitlines()

    def test_of_a_chunk_that_was_counted_in_part_gives_it_again(self, log: Path) -> None:
        write(log, "a\nb\nc\n")
        source = FileSource(str(log), {})
        chunk = source.next()
        assert chunk is not None
        source.advance(chunk.part, Position(0, length=4, rows=1))
        source.close()
        write(log, "d\n")
        again = FileSource(str(log), source.positions)
        chunk = again.next()
        assert chunk is not None
        assert (chunk.data, chunk.part.position.rows) == (b"a\nb\n", 1)
        again.close()

    def test_of_a_chunk_counted_in_part_is_not_taken_for_that_of_another_file(
        self, log: Path
    ) -> None:
        write(log, "a\nb\nc\n")
        source = FileSource(str(log), {})
        chunk = source.next()
        assert chunk is not None
        source.advance(chunk.part, Position(0, length=4, rows=1))
        source.close()
        log.write_text("x\ny\nz\n")
        assert following(log, source.positions).read() == ["x", "y", "z"]


class TestRotation:
    @pytest.mark.parametrize("pattern", ["log.jsonl", "*.jsonl", "log.jsonl*"])
    def test_by_renaming_loses_and_doubles_nothing(self, tmp_path: Path, pattern: str) -> None:
        log = tmp_path / "log.jsonl"
        write(log, "a\n")
        reader = following(tmp_path / pattern)
        reader.read()
        for number in (1, 2, 3):
            write(log, f"before {number}\n")
            log.rename(tmp_path / f"log.jsonl.{number}")
            write(log, f"after {number}\n")
            reader.read()
        assert sorted(reader.lines) == sorted(
            ["a", *(f"{when} {n}" for when in ("before", "after") for n in (1, 2, 3))]
        )

    def test_a_writer_may_go_on_with_the_file_that_was_moved(self, log: Path) -> None:
        with log.open("a", buffering=1) as writer:
            writer.write("a\n")
            reader = following(log)
            reader.read()
            log.rename(log.with_suffix(".old"))
            assert reader.read() == []
            writer.write("b\nhal")
            assert reader.read() == ["b"]
            writer.write("f\n")
            assert reader.read() == ["half"]

    def test_a_moved_file_is_let_go_after_a_while(
        self, log: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(log, "a\nhalf")
        reader = following(log)
        assert reader.read() == ["a"]
        log.rename(log.with_suffix(".old"))
        assert reader.read() == []
        monkeypatch.setattr(files, "_GRACE", 0.0)
        assert reader.read() == ["half"]
        assert reader.source.lag() == 0
        write(log.with_suffix(".old"), "unseen\n")
        assert reader.read() == []

    def test_a_moved_file_from_the_future_is_let_go_too(
        self, log: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever wrote it has another clock, or ours was set back."""
        write(log, "a\nhalf")
        reader = following(log)
        reader.read()
        os.utime(log, (4e9, 4e9))
        log.unlink()
        monkeypatch.setattr(files, "_GRACE", 0.0)
        assert reader.read() == ["half"]

    def test_a_deleted_file_is_read_to_its_end(self, log: Path) -> None:
        write(log, "a\n")
        reader = following(log)
        reader.source.look()
        write(log, "b\n")
        log.unlink()
        assert reader.read() == ["a", "b"]

    @pytest.mark.parametrize(
        "anew", ["b\n", "", "longer than what was there before\n"], ids=["less", "none", "more"]
    )
    def test_in_place_begins_anew(self, log: Path, anew: str) -> None:
        write(log, "first\nsecond\n")
        reader = following(log)
        reader.read()
        log.write_text(anew)
        assert reader.read() == anew.splitlines()
        write(log, "and on\n")
        assert reader.read() == ["and on"]


class TestLongLines:
    MB = 1 << 20

    def test_of_any_length_up_to_the_largest_are_given_whole(self, log: Path) -> None:
        lines = ["x" * length for length in (10, self.MB // 2 + 10, self.MB - 1, 10)]
        write(log, "".join(f"{line}\n" for line in lines))
        assert reading_once(log).read() == lines
        reader = following(log)
        assert reader.read() == lines

    def test_of_a_hundred_megabytes_are_skipped(self, log: Path) -> None:
        with log.open("wb") as file:
            file.write(b"a\n")
            for _ in range(100):
                file.write(b"x" * self.MB)
            file.write(b"\nb\n")
        reader = reading_once(log)
        assert reader.read() == ["a", "b"]
        assert reader.too_large == 1

    def test_are_skipped_as_they_are_written(self, log: Path) -> None:
        reader = following(log)
        for _ in range(8):
            write(log, "x" * self.MB)
            assert reader.read() == []
        write(log, "\nb\n")
        assert reader.read() == ["b"]
        assert reader.too_large == 1

    def test_without_an_end_are_one_row_too_large(self, log: Path) -> None:
        write(log, "a\n" + "x" * 10 * self.MB)
        reader = reading_once(log)
        assert reader.read() == ["a"]
        assert reader.too_large == 1


class TestTrouble:
    def test_a_folder_in_place_of_a_file(self, tmp_path: Path) -> None:
        reader = reading_once(tmp_path)
        assert reader.read() == []
        assert reader.source.errors == {str(tmp_path): "is a folder; name its files, as in *.jsonl"}

    def test_a_folder_that_matches_is_passed_over(self, tmp_path: Path) -> None:
        (tmp_path / "folder.jsonl").mkdir()
        write(tmp_path / "log.jsonl", "a\n")
        reader = reading_once(tmp_path / "*.jsonl")
        assert reader.read() == ["a"]
        assert reader.source.errors == {}

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        reader = reading_once(tmp_path / "pipe")
        assert reader.read() == []
        assert reader.source.errors == {str(tmp_path / "pipe"): "is no regular file"}

    def test_a_glob_without_a_match(self, tmp_path: Path) -> None:
        reader = reading_once(tmp_path / "*.jsonl")
        assert reader.read() == []
        assert reader.source.errors == {f"{tmp_path}/*.jsonl": "no file matches"}

    def test_a_link_to_nowhere(self, log: Path) -> None:
        log.symlink_to("nowhere")
        reader = reading_once(log)
        assert reader.read() == []
        assert reader.source.errors == {str(log): "no such file or directory"}

    def test_no_permission_costs_that_file_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Root may do everything: it is another user who tries."""
        write(tmp_path / "a.jsonl", "a\n")
        write(tmp_path / "b.jsonl", "b\n")
        (tmp_path / "a.jsonl").chmod(0)
        monkeypatch.chdir(tmp_path)  # which that user could not enter
        reader = reading_once(Path("*.jsonl"))
        tmp_path.chmod(0o755)
        is_root = os.geteuid() == 0
        try:
            if is_root:
                os.seteuid(65534)
            assert reader.read() == ["b"]
        finally:
            if is_root:
                os.seteuid(0)
        assert reader.source.errors == {"a.jsonl": "permission denied"}

    def test_a_disk_that_fails_costs_that_file_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path / "a.jsonl", "a\n")
        write(tmp_path / "b.jsonl", "b\n")
        reader = following(tmp_path / "*.jsonl")
        pread = os.pread

        def failing(descriptor: int, length: int, offset: int) -> bytes:
            if Path(f"/proc/self/fd/{descriptor}").readlink().name == "a.jsonl":
                raise OSError(5, "Input/output error")
            return pread(descriptor, length, offset)

        monkeypatch.setattr(os, "pread", failing)
        assert reader.read() == ["b"]
        assert reader.source.errors == {f"{tmp_path}/a.jsonl": "input/output error"}
        monkeypatch.setattr(os, "pread", pread)
        assert reader.read() == ["a"]
        assert reader.source.errors == {}

    def test_a_file_that_was_given_up_is_read_when_it_is_written_anew(self, log: Path) -> None:
        write(log, "bad header\n")
        reader = following(log)
        chunk = reader.source.next()
        assert chunk is not None
        reader.source.give_up(chunk.part, "no header")
        for more in ("", "more\n"):
            write(log, more)
            assert reader.read() == []
            assert reader.source.errors == {str(log): "no header"}
        log.write_text("a\n")
        assert reader.read() == ["a"]
        assert reader.source.errors == {}


class TestSourceId:
    def test_is_of_16_hex_digits_and_always_the_same(self, log: Path) -> None:
        assert source_id(str(log)) == source_id(str(log))
        assert len(bytes.fromhex(source_id(str(log)))) == 8

    def test_is_that_of_what_is_read_whatever_the_way_to_it(self, tmp_path: Path) -> None:
        (tmp_path / "logs").mkdir()
        (tmp_path / "link").symlink_to("logs")
        for rest in ("a.jsonl", "*.jsonl", "**/[ab].jsonl"):
            assert source_id(f"{tmp_path}/logs/{rest}") == source_id(f"{tmp_path}/link/{rest}")

    def test_differs_where_other_files_are_read(self, tmp_path: Path) -> None:
        for name in ("x", "y"):
            (tmp_path / name).mkdir()
        patterns = [f"{tmp_path}/{rest}" for rest in ("x/*.jsonl", "y/*.jsonl", "x/*.csv", "z/*")]
        assert len(set(map(source_id, patterns))) == len(patterns)

    def test_outlives_a_rotation(self, log: Path) -> None:
        write(log, "a\n")
        before = source_id(str(log))
        log.rename(log.with_suffix(".1"))
        write(log, "b\n")
        assert source_id(str(log)) == before
