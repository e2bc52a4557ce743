"""Compressed logs: read once, as they are written, in part, cut off and damaged."""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from ml_exporter.sources import compression, files
from ml_exporter.sources.compression import Compressed
from ml_exporter.sources.files import FileSource
from tests.counting import Counting
from tests.reading import Reader, following, reading_once, rows, write

Pack = Callable[[bytes], bytes]
MB = 1 << 20


pytestmark = pytest.mark.usefixtures("look_each_time")


@pytest.fixture(params=[gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def pack(request: pytest.FixtureRequest) -> Pack:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl.compressed"


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


class TestReading:
    def test_once(self, log: Path, pack: Pack) -> None:
        append(log, pack(rows(1, 50_000).encode()))
        reader = reading_once(log)
        assert reader.read() == rows(1, 50_000).splitlines()
        assert reader.source.lag() == 0
        assert reader.source.errors == {}

    def test_of_more_files_than_may_be_open(
        self, tmp_path: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "_MOST_OPEN", 2)
        for number in range(9):
            append(tmp_path / f"{number}.packed", pack(rows(number, number).encode()))
        for reader in (reading_once(tmp_path / "*"), following(tmp_path / "*")):
            assert reader.read() == rows(0, 8).splitlines()
            assert reader.read() == []

    def test_goes_by_content_and_not_by_name(self, tmp_path: Path) -> None:
        (tmp_path / "1.jsonl.gz").write_text(rows(1, 9))
        (tmp_path / "2.jsonl").write_bytes(gzip.compress(rows(10, 19).encode()))
        (tmp_path / "3.jsonl.gz").write_bytes(zstandard.compress(rows(20, 29).encode()))
        assert reading_once(tmp_path / "*").read() == rows(1, 29).splitlines()

    def test_of_nothing(self, log: Path, pack: Pack) -> None:
        append(log, pack(b""))
        reader = following(log)
        assert reader.read() == []
        assert reader.source.lag() == 0

    def test_is_measured(self, log: Path, pack: Pack) -> None:
        append(log, pack(rows(1, 50_000).encode()))
        reader = following(log)
        reader.source.look()
        lags = [reader.source.lag()]
        assert lags == [log.stat().st_size]
        while chunk := reader.source.next():
            reader.take(chunk)
            lags.append(reader.source.lag())
        assert reader.source.lag() == 0
        assert len(lags) > 3
        assert all(lag > 0 for lag in lags[:-1])

    def test_lets_go_of_a_file_that_is_read(
        self, log: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        append(log, pack(rows(1, 99).encode()))
        reader = following(log)
        reader.read()
        descriptors = len(os.listdir("/proc/self/fd"))
        monkeypatch.setattr(files, "OpenFile", None)  # it isn't opened again
        reader.read()
        assert reader.again().read() == []
        assert len(os.listdir("/proc/self/fd")) == descriptors

    def test_of_the_last_line_without_an_end(
        self, log: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        append(log, pack(b"a\nb"))
        assert reading_once(log).read() == ["a", "b"]
        reader = following(log)
        assert reader.read() == ["a"]
        assert reader.source.lag() == 1
        monkeypatch.setattr(files, "_GRACE", 0.0)  # nobody goes on with it
        assert reader.read() == ["b"]
        assert reader.source.lag() == 0

    def test_of_rows_too_large(self, log: Path, pack: Pack) -> None:
        lines = [b"a", b"x" * (50 * MB), b"b", b"y" * (MB - 1), b"c", b"z" * (5 * MB)]
        append(log, pack(b"\n".join(lines)))
        reader = reading_once(log)
        assert [line[0] for line in reader.read()] == ["a", "b", "y", "c"]
        assert reader.too_large == 2

    def test_is_no_slower_for_reading_in_small_chunks(
        self, log: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each byte is decompressed once."""
        append(log, pack(rows(1, 100_000).encode()))
        rewinds = []
        rewind = Compressed._rewind

        def counting(file: Compressed) -> None:
            rewinds.append(file)
            rewind(file)

        monkeypatch.setattr(Compressed, "_rewind", counting)
        reader = reading_once(log)
        assert len(reader.read()) == 100_000
        assert len(rewinds) <= 2  # one of them to look at the beginning


class TestStart:
    def test_at_the_end_passes_over_archives(self, log: Path, pack: Pack) -> None:
        append(log, pack(rows(1, 9).encode()))
        descriptors = len(os.listdir("/proc/self/fd"))
        reader = Reader(FileSource(str(log), {}, start="end"))
        reader.source.look()
        assert len(os.listdir("/proc/self/fd")) == descriptors  # it isn't read at all
        assert reader.read() == []
        assert reader.again().read() == []
        assert reader.source.lag() == 0
        append(log, pack(rows(10, 12).encode()))
        assert reader.read() == rows(10, 12).splitlines()
        append(log, pack(rows(13, 15).encode()))
        assert reader.again().read() == rows(13, 15).splitlines()

    def test_goes_on_within_a_file(self, log: Path, pack: Pack) -> None:
        append(log, pack(rows(1, 90_000).encode()))
        reader = following(log)
        lines = []
        for _ in range(4):
            chunk = reader.source.next()
            assert chunk is not None
            reader.take(chunk)
            lines += reader.lines
            reader = reader.again()
        lines += reader.read()
        assert lines == rows(1, 90_000).splitlines()

    def test_within_a_chunk_has_the_same_chunk_again(self, log: Path, pack: Pack) -> None:
        append(log, pack(rows(1, 90_000).encode()))
        reader = following(log)
        for _ in range(2):
            chunk = reader.source.next()
            assert chunk is not None
            reader.take(chunk)
        chunk = reader.source.next()
        assert chunk is not None
        reader.source.advance(chunk.part, chunk.within(7))
        for one in (reader, reader.again()):
            if one is not reader:
                one.source.look()
            again = one.source.next()
            assert again is not None
            assert (again.data, again.part.position.rows) == (chunk.data, 7)

    def test_far_inside_takes_steps(
        self, log: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is skipped holds up nothing else for long."""
        monkeypatch.setattr(compression, "_STEP", 100_000)
        append(log, pack(rows(1, 50_000).encode()))
        reader = following(log)
        for _ in range(2):
            chunk = reader.source.next()
            assert chunk is not None
            reader.take(chunk)
        count = len(reader.lines)
        reader = reader.again()
        steps = 0
        while (chunk := reader.source.next()) is None:
            steps += 1
        assert 2 <= steps <= 20
        reader.take(chunk)
        reader.read()
        assert reader.lines == rows(count + 1, 50_000).splitlines()


class TestWriting:
    def test_of_members_one_after_the_other_is_followed(self, log: Path, pack: Pack) -> None:
        append(log, pack(rows(1, 2).encode()))
        reader = following(log)
        assert reader.read() == rows(1, 2).splitlines()
        append(log, pack(rows(3, 4).encode()))
        assert reader.read() == rows(3, 4).splitlines()
        append(log, pack(rows(5, 6).encode()))
        assert reader.again().read() == rows(5, 6).splitlines()

    def test_of_one_member_is_followed_without_an_error(self, log: Path, pack: Pack) -> None:
        text = rows(1, 30_000)
        packed = pack(text.encode())
        reader = following(log)
        for start in range(0, len(packed), 5000):
            append(log, packed[start : start + 5000])
            reader.read()
            assert reader.source.errors == {}
        assert reader.lines == text.splitlines()
        assert reader.source.lag() == 0

    def test_that_stopped_long_ago_is_told(
        self, log: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        packed = pack(rows(1, 30_000).encode())
        append(log, packed[:-1000])
        reader = following(log)
        reader.read()
        count = len(reader.lines)
        assert 10_000 < count < 30_000
        monkeypatch.setattr(files, "_QUIET", 0.0)
        assert reader.read() == []
        assert reader.source.errors == {str(log): "ends in the middle of compressed data"}
        append(log, packed[-1000:])
        reader.read()
        assert reader.lines == rows(1, 30_000).splitlines()
        assert reader.read() == []
        assert reader.source.errors == {}
        assert reader.problems == []

    def test_that_stopped_is_unreadable_where_nobody_waits(self, log: Path, pack: Pack) -> None:
        append(log, pack(rows(1, 30_000).encode())[:-1000])
        reader = reading_once(log)
        lines = reader.read()
        assert lines == rows(1, len(lines)).splitlines()
        assert len(lines) > 10_000
        assert reader.problems == ["ends in the middle of compressed data"]
        assert reader.source.errors == {str(log): "ends in the middle of compressed data"}

    def test_anew_in_place_begins_anew(self, log: Path, pack: Pack) -> None:
        append(log, pack(rows(1, 900).encode()))
        reader = following(log)
        reader.read()
        log.write_bytes(pack(rows(5001, 6500).encode()))
        assert reader.read() == rows(5001, 6500).splitlines()
        log.write_text(rows(7001, 7002))
        assert reader.read() == rows(7001, 7002).splitlines()


class TestDamage:
    def test_costs_what_comes_after_it(self, log: Path) -> None:
        deflate = zlib.compressobj(wbits=31)
        good = deflate.compress(rows(1, 700).encode() + b"half a li")
        append(log, good + deflate.flush(zlib.Z_FULL_FLUSH) + b"\xff" * 100)
        for reader in (reading_once(log), following(log)):
            assert reader.read() == rows(1, 700).splitlines()
            (problem,) = reader.problems
            assert "bytes of gzip: invalid block type" in problem
            assert reader.source.errors == {str(log): problem}
            assert reader.read() == []
            assert reader.source.errors == {str(log): problem}
        log.write_bytes(gzip.compress(rows(1001, 1002).encode()))
        assert reader.read() == rows(1001, 1002).splitlines()
        assert reader.source.errors == {}

    def test_after_a_restart_counts_nothing_again(self, log: Path, pack: Pack) -> None:
        append(log, pack(rows(1, 700).encode()) + b"something else")
        reader = following(log)
        assert reader.read() == rows(1, 700).splitlines()
        after = reader.again()
        assert after.read() == []
        assert len(after.problems) == 1

    @pytest.mark.skipif(sys.version_info >= (3, 14), reason="it is in the standard library")
    def test_is_said_of_a_library_that_is_missing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        append(tmp_path / "a.zst", zstandard.compress(b"a\n"))
        write(tmp_path / "b.jsonl", "b\n")
        monkeypatch.setitem(sys.modules, "zstandard", None)
        reader = following(tmp_path / "*")
        assert reader.read() == ["b"]
        assert reader.source.errors == {
            f"{tmp_path}/a.zst": "reading zstd needs zstandard: pip install 'ml-exporter[zstd]'"
        }


class TestCounting:
    CONFIG = """\
models:
  - name: m
    task: multiclass
    source: {type: file, path: "log.*", format: FORMAT}
    fields: {prediction: p, features: {x: x}}
"""

    @pytest.mark.parametrize("format", ["jsonl", "csv"])
    def test_archives_count_as_what_is_in_them(
        self, tmp_path: Path, pack: Pack, format: str
    ) -> None:
        counting = Counting(tmp_path, self.CONFIG.replace("FORMAT", format))
        if format == "jsonl":
            text = "".join(f'{{"p": "a", "x": {n}}}\n' for n in range(40_000))
        else:
            text = "x,p\n" + "".join(f"{n},a\n" for n in range(100_000))
        (tmp_path / "log.1").write_bytes(pack(text.encode())[:-20])
        for _ in range(3):
            counting.pipeline.step(births_wait=False)
        counting.save()
        counting.start_again()
        (tmp_path / "log.1").write_bytes(pack(text.encode()))
        counting.count()
        expected = text.count("\n") - (format == "csv")
        assert counting.value("ml_predictions_total") == expected
        counting.pipeline.close()

    def test_what_can_not_be_read_is_counted_once(self, tmp_path: Path, pack: Pack) -> None:
        counting = Counting(tmp_path, self.CONFIG.replace("FORMAT", "jsonl"))
        counting.append("log.1", pack(b'{"p": "a", "x": 1}\n' * 100) + b"what is this?")
        counting.append("log.2", {"p": "a", "x": 2})
        for _ in range(3):
            counting.count()
        assert counting.value("ml_predictions_total") == 101
        assert counting.value("ml_rows_rejected_total", reason="unreadable") == 1
        (text,) = counting.pipeline.errors.values()
        assert text.startswith("damaged after")
        counting.pipeline.close()
