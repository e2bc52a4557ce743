"""Logs that come back under another name: copies, archives and restored files count once."""

from __future__ import annotations

import gzip
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from ml_exporter.sources import files, identity
from ml_exporter.sources.open_files import OpenFile
from ml_exporter.store.store import Position
from tests.reading import Reader, following, rows, write

SHORT, LONG = 5, 2000  # rows; 2000 of them have 60 kB


pytestmark = pytest.mark.usefixtures("look_each_time")


@pytest.fixture(params=[SHORT, LONG], ids=["short", "long"])
def count(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def expect(reader: Reader, *texts: str) -> None:
    """Every row was read, and none twice."""
    expected = sorted("".join(texts).splitlines())
    assert sorted(reader.lines) == expected


def copy_and_truncate(log: Path, copy: Path) -> None:
    shutil.copyfile(log, copy)
    os.truncate(log, 0)


def gzip_it(log: Path) -> Path:
    archive = log.with_name(log.name + ".gz")
    archive.write_bytes(gzip.compress(log.read_bytes()))
    return archive


def zstd_it(log: Path) -> Path:
    archive = log.with_name(log.name + ".zst")
    archive.write_bytes(zstandard.compress(log.read_bytes()))
    return archive


archiving = pytest.mark.parametrize("archive_it", [gzip_it, zstd_it], ids=["gzip", "zstd"])


class TestCopyAndTruncate:
    def test_counts_what_came_before_and_after(self, log: Path, count: int) -> None:
        first, rest, after = rows(1, count), rows(count + 1, count + 3), rows(9001, 9002)
        write(log, first)
        reader = following(log.with_name("log.jsonl*"))
        reader.read()
        write(log, rest)
        copy_and_truncate(log, log.with_name("log.jsonl.1"))
        write(log, after)
        assert sorted(reader.read()) == sorted((rest + after).splitlines())
        assert reader.read() == []
        assert reader.source.lag() == 0

    def test_while_nobody_looked(self, log: Path, count: int) -> None:
        first, rest, after = rows(1, count), rows(count + 1, count + 3), rows(9001, 9002)
        write(log, first)
        reader = following(log.with_name("log.jsonl*"))
        reader.read()
        write(log, rest)
        copy_and_truncate(log, log.with_name("log.jsonl.1"))
        write(log, after)
        assert sorted(reader.again().read()) == sorted((rest + after).splitlines())

    def test_again_and_again(self, log: Path, count: int) -> None:
        reader = following(log.with_name("log.jsonl*"))
        for number in range(1, 6):
            write(log, rows(number * 3000, number * 3000 + count))
            reader.read()
            write(log, rows(number * 3000 + count + 1, number * 3000 + count + 2))
            copy_and_truncate(log, log.with_name(f"log.jsonl.{number}"))
        reader.read()
        expect(reader, *(rows(n * 3000, n * 3000 + count + 2) for n in range(1, 6)))

    def test_where_the_log_has_outgrown_what_was_counted(self, log: Path, count: int) -> None:
        """Its size alone doesn't tell that it was truncated."""
        write(log, rows(1, count))
        reader = following(log.with_name("log.jsonl*"))
        reader.read()
        copy_and_truncate(log, log.with_name("log.jsonl.1"))
        write(log, rows(5001, 5010 + count))
        reader.read()
        expect(reader, rows(1, count), rows(5001, 5010 + count))

    def test_of_csv_whose_beginning_stays_the_same(self, tmp_path: Path) -> None:
        log = tmp_path / "log.csv"
        header = ",".join(f"feature_{n}" for n in range(3000)) + "\n"
        assert len(header) > identity.HEAD
        write(log, header + rows(1, 50))
        reader = following(tmp_path / "log.csv*")
        reader.read()
        copy_and_truncate(log, tmp_path / "log.csv.1")
        write(log, header + rows(101, 200))
        reader.read()
        expect(reader, header, rows(1, 50), header, rows(101, 200))

    def test_with_the_copy_seen_first(self, log: Path) -> None:
        write(log, rows(1, LONG))
        reader = following(log.with_name("log.jsonl*"))
        reader.read()
        shutil.copyfile(log, log.with_name("log.jsonl.1"))
        assert reader.read() == []
        assert reader.source.lag() == 0
        os.truncate(log, 0)
        assert reader.read() == []
        write(log, rows(5001, 5002))
        reader.read()
        expect(reader, rows(1, LONG), rows(5001, 5002))

    def test_with_half_of_the_copy_seen_first(
        self, log: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "_COPY_AGAIN", 0.0)
        text = rows(1, LONG)
        write(log, text)
        reader = following(log.with_name("log.jsonl*"))
        reader.read()
        rest = rows(LONG + 1, LONG + 9)
        for part in (text[:40_000], text[40_000:50_000], text[50_000:], rest):
            write(log.with_name("log.jsonl.1"), part)
            reader.read()
        os.truncate(log, 0)
        reader.read()
        expect(reader, text, rest)

    def test_with_a_copy_that_lacks_what_came_meanwhile(self, log: Path) -> None:
        """What is written between copying and truncating is in the log alone, and was read."""
        write(log, rows(1, LONG))
        reader = following(log.with_name("log.jsonl*"))
        shutil.copyfile(log, log.with_name("log.jsonl.1"))
        write(log, rows(LONG + 1, LONG + 5))
        reader.read()
        os.truncate(log, 0)
        assert reader.read() == []
        assert reader.again().read() == []
        expect(reader, rows(1, LONG + 5))

    @pytest.mark.parametrize("after", [SHORT, 2 * LONG], ids=["less", "more"])
    def test_at_the_very_moment_of_reading(
        self, log: Path, after: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(log, rows(1, LONG))
        reader = following(log.with_name("log.jsonl*"))
        reader.read()
        write(log, rows(LONG + 1, LONG + 9))
        take = OpenFile._take

        def truncating(file: OpenFile, offset: int, length: int) -> bytes:
            monkeypatch.setattr(OpenFile, "_take", take)
            copy_and_truncate(log, log.with_name("log.jsonl.1"))
            write(log, rows(10_001, 10_000 + after))
            return take(file, offset, length)

        monkeypatch.setattr(OpenFile, "_take", truncating)
        reader.read()
        expect(reader, rows(1, LONG + 9), rows(10_001, 10_000 + after))

    def test_of_a_chunk_that_is_counted_in_part(self, log: Path) -> None:
        write(log, rows(1, 10))
        reader = following(log.with_name("log.jsonl*"))
        chunk = reader.source.next()
        assert chunk is not None
        copy_and_truncate(log, log.with_name("log.jsonl.1"))
        reader.source.advance(chunk.part, chunk.within(3))
        after = reader.again()
        again = after.source.next()
        assert again is not None
        assert (again.data, again.part.position.rows) == (chunk.data, 3)
        assert again.part.name.endswith(".1")
        after.source.advance(again.part, again.after(len(again.data)))
        assert after.read() == []


class TestArchives:
    @archiving
    def test_of_what_is_counted_have_nothing_new(
        self, log: Path, count: int, archive_it: Callable[[Path], Path]
    ) -> None:
        write(log, rows(1, count))
        reader = following(log.with_name("log.jsonl*"))
        reader.read()
        rotated = log.rename(log.with_name("log.jsonl.1"))
        write(log, rows(5001, 5003))
        reader.read()
        archive_it(rotated)
        rotated.unlink()
        for one in (reader, reader.again()):
            assert one.read() == []
            assert one.source.lag() == 0
        expect(reader, rows(1, count), rows(5001, 5003))

    @archiving
    def test_have_the_rest_when_the_log_is_gone(
        self, log: Path, count: int, archive_it: Callable[[Path], Path]
    ) -> None:
        write(log, rows(1, count))
        reader = following(log.with_name("log.jsonl*"))
        reader.read()
        reader.source.close()
        write(log, rows(count + 1, count + 400))
        archive_it(log)
        log.unlink()
        after = reader.again()
        assert after.read() == rows(count + 1, count + 400).splitlines()
        assert after.source.lag() == 0
        assert after.again().read() == []

    @archiving
    def test_wait_while_the_deleted_log_is_read_to_its_end(
        self,
        log: Path,
        count: int,
        archive_it: Callable[[Path], Path],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        write(log, rows(1, count))
        reader = following(log.with_name("log.jsonl*"))
        reader.read()
        write(log, rows(count + 1, count + 50))
        archive_it(log)
        log.unlink()
        assert reader.read() == rows(count + 1, count + 50).splitlines()
        monkeypatch.setattr(files, "_GRACE", 0.0)  # the log is let go
        for _ in range(3):
            assert reader.read() == []
        assert reader.source.lag() == 0
        assert len(reader.source.positions) == 1  # the archive has it now

    def test_are_not_read_while_they_are_made(self, log: Path) -> None:
        text = rows(1, LONG)
        write(log, text)
        reader = following(log.with_name("log.jsonl*"))
        reader.read()
        packed = gzip.compress(text.encode())
        archive = log.with_name("log.jsonl.gz")
        archive.touch()
        with archive.open("ab", buffering=0) as writer:
            for start in range(0, len(packed), 1000):
                writer.write(packed[start : start + 1000])
                assert reader.read() == []
        log.unlink()
        assert reader.read() == []
        assert reader.again().read() == []
        assert reader.source.errors == {}

    def test_go_on_from_one_name_to_the_next(self, log: Path) -> None:
        """As of logrotate: log, a copy, its archive, and that one in another folder."""
        pattern = log.parent / "**" / "log*"
        write(log, rows(1, LONG))
        reader = following(pattern)
        reader.read()
        copy = log.with_name("log.jsonl.1")
        copy_and_truncate(log, copy)
        reader.read()
        archive = gzip_it(copy)
        copy.unlink()
        reader = reader.again()
        reader.read()
        (log.parent / "old").mkdir()
        shutil.copyfile(archive, log.parent / "old" / "log.gz")
        archive.unlink()
        reader = reader.again()
        reader.read()
        assert reader.lines == []


class TestRestored:
    @pytest.mark.parametrize("more", ["", rows(8001, 8010)], ids=["as it was", "with more"])
    def test_under_another_number(self, log: Path, count: int, more: str) -> None:
        write(log, rows(1, count))
        reader = following(log)
        reader.read()
        backup = log.parent / "backup"
        shutil.copyfile(log, backup)
        write(backup, more)
        reader.source.close()
        log.unlink()
        shutil.copy2(backup, log.with_name("new"))  # so that the number isn't that of the old one
        log.with_name("new").rename(log)
        assert reader.again().read() == more.splitlines()

    def test_in_place(self, log: Path, count: int) -> None:
        write(log, rows(1, count))
        reader = following(log)
        reader.read()
        for text in (rows(5001, 5004), rows(1, count) + rows(8001, 8002)):
            log.write_text(text)
            reader.read()
        expect(reader, rows(1, count), rows(5001, 5004), rows(8001, 8002))


class TestWhatIsNoCopy:
    def test_the_same_few_rows_in_two_files(self, tmp_path: Path) -> None:
        reader = following(tmp_path / "*.jsonl")
        for name in ("a", "b"):
            write(tmp_path / f"{name}.jsonl", rows(1, SHORT))
            assert reader.read() == rows(1, SHORT).splitlines()

    @pytest.mark.parametrize("archive_it", [None, gzip_it], ids=["copy", "archive"])
    def test_a_log_that_goes_on_beside_an_older_copy(
        self, tmp_path: Path, archive_it: Callable[[Path], Path] | None
    ) -> None:
        copy = tmp_path / "a.log"
        write(copy, rows(1, LONG))
        if archive_it:
            archive_it(copy)
            copy.unlink()
        write(tmp_path / "b.log", rows(1, LONG + 50))
        reader = following(tmp_path / "*")
        reader.read()
        expect(reader, rows(1, LONG + 50))
        write(tmp_path / "b.log", rows(LONG + 51, LONG + 60))
        assert reader.read() == rows(LONG + 51, LONG + 60).splitlines()
        assert reader.again().read() == []

    def test_the_same_few_rows_and_more_of_them(self, tmp_path: Path) -> None:
        reader = following(tmp_path / "*.jsonl")
        for name, count in (("a", SHORT), ("b", 2 * SHORT)):
            write(tmp_path / f"{name}.jsonl", rows(1, count))
            assert reader.read() == rows(1, count).splitlines()

    def test_many_of_them_are_one(self, tmp_path: Path) -> None:
        """Documented: nothing tells them from a copy."""
        reader = following(tmp_path / "*.jsonl")
        for name in ("a", "b"):
            write(tmp_path / f"{name}.jsonl", rows(1, LONG))
            reader.read()
        expect(reader, rows(1, LONG))

    def test_the_same_row_again_and_again(self, log: Path) -> None:
        """As of a probe: it says nothing of whose log it is."""
        row = '{"prediction": "good", "x": 1}\n'
        write(log, 500 * row)
        reader = following(log)
        reader.read()
        log.unlink()
        reader = reader.again()
        for _ in range(10):
            write(log, 100 * row)
            assert reader.read() == 100 * [row.strip()]

    @pytest.mark.parametrize("columns", [10, 3000])
    def test_another_log_with_the_same_header(self, tmp_path: Path, columns: int) -> None:
        header = ",".join(f"feature_{n}" for n in range(columns)) + "\n"
        reader = following(tmp_path / "*.csv")
        for day in range(1, 5):
            write(tmp_path / f"{day}.csv", header)
            reader.read()
            write(tmp_path / f"{day}.csv", rows(day * 100, day * 100 + 30 - day))
            reader.read()
            (tmp_path / f"{day - 1}.csv").unlink(missing_ok=True)
            reader = reader.again()
            reader.lines = []
            assert reader.read() == []
        write(tmp_path / "5.csv", header + rows(1, 5))
        lines = reader.read()
        assert lines[-5:] == rows(1, 5).splitlines()

    def test_unless_one_of_them_went_away_again(self, log: Path) -> None:
        write(log, rows(1, SHORT))
        reader = following(log.with_name("log*"))
        reader.read()
        shutil.copyfile(log, log.with_name("log.tmp"))
        reader.source.look()
        log.with_name("log.tmp").unlink()
        assert reader.read() == []

    @pytest.mark.parametrize("columns", [10, 700, 3000])
    def test_a_header_is_in_many_files(self, tmp_path: Path, columns: int) -> None:
        header = ",".join(f"feature_{n}" for n in range(columns)) + "\n"
        write(tmp_path / "1.csv", header)
        reader = following(tmp_path / "*.csv")
        reader.read()
        write(tmp_path / "2.csv", header + rows(1, 500))
        assert reader.read()[-500:] == rows(1, 500).splitlines()

    def test_another_file_that_gets_its_number(self, log: Path) -> None:
        write(log, rows(1, LONG))
        reader = following(log.with_name("log*"))
        reader.read()
        reader.source.close()
        rotated = log.rename(log.with_name("log.1"))
        text = rotated.read_text()
        rotated.write_text(rows(5001, 5003))  # in place, as of a number that is used again
        log.with_name("log.2.gz").write_bytes(gzip.compress(text.encode()))
        assert reader.again().read() == rows(5001, 5003).splitlines()

    def test_a_copy_that_becomes_another_log(
        self, log: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "_COPY_AGAIN", 0.0)
        write(log, rows(1, LONG))
        reader = following(log.with_name("log*"))
        reader.read()
        copy = Path(shutil.copyfile(log, log.with_name("log.copy")))
        assert reader.read() == []
        copy.write_text(rows(5001, 5003))
        assert reader.read() == rows(5001, 5003).splitlines()

    def test_an_archive_that_gets_its_number(self, log: Path) -> None:
        """Its position says nothing of what is there until that was looked at."""
        write(log, rows(1, SHORT))
        reader = following(log.with_name("log*"))
        reader.read()
        reader.source.close()
        archive = gzip_it(log)
        log.write_bytes(gzip.compress(rows(5001, 5003).encode()))
        log.rename(log.with_name("log.z"))
        assert archive.name < "log.z"
        assert reader.again().read() == rows(5001, 5003).splitlines()


class TestForgetting:
    DAY = 86400.0

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        now = [time.time()]
        monkeypatch.setattr(files.time, "time", lambda: now[0])
        return now

    def away(self, log: Path) -> tuple[Reader, Path]:
        """A log that was read is gone at a restart, and its archive is where nobody looks."""
        write(log, rows(1, LONG))
        write(log.with_name("log.other"), rows(5001, 5002))
        reader = following(log.with_name("log*"))
        reader.read()
        archive = gzip_it(log).rename(log.with_name("archive.gz"))
        reader.source.close()
        log.unlink()
        reader = reader.again()
        return reader, archive

    def test_a_file_that_is_away_for_long(self, log: Path, clock: list[float]) -> None:
        reader, archive = self.away(log)
        reader.read()
        (gone,) = [key for key, one in reader.source.positions.items() if one.gone]
        clock[0] += 7 * self.DAY
        reader.read()
        assert gone in reader.source.positions
        clock[0] += 2 * self.DAY
        reader.source.moved.clear()
        reader.read()
        assert gone not in reader.source.positions
        assert gone in reader.source.moved
        archive.rename(log.with_name("log.gz"))
        assert reader.read() == rows(1, LONG).splitlines()

    def test_never_one_that_is_there(self, log: Path, clock: list[float]) -> None:
        write(log, rows(1, SHORT))
        reader = following(log)
        reader.read()
        clock[0] += 100 * self.DAY
        reader = reader.again()
        assert reader.read() == []
        assert len(reader.source.positions) == 1

    def test_none_while_the_folder_is_empty(self, tmp_path: Path, clock: list[float]) -> None:
        """Perhaps it isn't mounted."""
        folder = tmp_path / "logs"
        folder.mkdir()
        write(folder / "a", rows(1, SHORT))
        reader = following(folder / "*")
        reader.read()
        reader.source.close()
        folder.rename(tmp_path / "elsewhere")
        reader = reader.again()
        for _ in range(3):
            reader.read()
            clock[0] += 100 * self.DAY
        (tmp_path / "elsewhere").rename(folder)
        assert reader.read() == []

    def test_a_clock_that_runs_backwards(self, log: Path, clock: list[float]) -> None:
        reader, archive = self.away(log)
        for _ in range(20):
            reader.read()
            assert all(one.gone <= clock[0] for one in reader.source.positions.values())
            clock[0] -= self.DAY
        archive.rename(log.with_name("log.gz"))
        assert reader.read() == []

    def test_the_oldest_of_too_many_with_an_error(
        self, tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(identity, "MOST_KEPT", 3)
        write(tmp_path / "log", rows(1, 2))
        reader = following(tmp_path / "*")
        for number in range(10):
            path = tmp_path / f"log.{number}"
            write(path, rows(100 * number, 100 * number + 5))
            reader.read()
            reader.source.close()
            path.unlink()
            clock[0] += 1.0
            reader = reader.again()
            reader.read()
        assert len(reader.source.positions) == 4
        reader.source.positions["was:x"] = Position(9, tail="x", tail_length=1)
        reader.source.look()
        assert "may be counted twice" in reader.source.errors[f"{tmp_path}/*"]


class TestPositions:
    def test_inside_a_chunk_go_on_to_its_end_and_beyond(self, log: Path) -> None:
        write(log, rows(1, 9))
        reader = following(log)
        for done in (2, 5):
            chunk = reader.source.next()
            assert chunk is not None
            reader.source.advance(chunk.part, chunk.within(done))
        chunk = reader.source.next()
        assert chunk is not None
        reader.source.advance(chunk.part, chunk.after(len(chunk.data)))
        write(log, rows(10, 12))
        assert reader.read() == rows(10, 12).splitlines()
        write(log, rows(13, 14))
        assert reader.again().read() == rows(13, 14).splitlines()

    def test_of_an_earlier_release_are_taken_up(self, log: Path) -> None:
        """They have a shorter head, and no tail."""
        write(log, rows(1, LONG))
        reader = following(log)
        reader.read()
        ((key, position),) = reader.source.positions.items()
        head = identity.digest(log.read_bytes()[:256])
        old = replace(position, head=head, head_length=256, tail="", tail_length=0)
        write(log, rows(9001, 9002))
        after = following(log, {key: old})
        assert after.read() == rows(9001, 9002).splitlines()
        assert after.source.positions[key].tail_length == identity.TAIL
