"""What was posted waits in files until it is counted."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_exporter.sources import spool as spools
from ml_exporter.sources.spool import Spool, SpoolFull, Spools
from ml_exporter.store.state_folder import StateError

LIMIT = 1 << 20


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path)
    yield spool
    spool.close()


def files(spool: Spool) -> list[str]:
    return sorted(path.name for path in spool.folder.iterdir())


def read_all(spool: Spool, offset: int = 0, length: int = 1 << 19) -> tuple[int, bytes]:
    """The offset after all there is, and all there is."""
    found = b""
    while True:
        offset, data = spool.read(offset, length)
        if not data:
            return offset, found
        found += data
        offset += len(data)


def test_gives_back_what_was_appended(spool: Spool) -> None:
    assert read_all(spool) == (0, b"")
    assert files(spool) == []
    spool.append(b"1\n2\n", LIMIT)
    offset, data = read_all(spool)
    assert data == b"1\n2\n"
    spool.append(b"3\n", LIMIT)
    assert read_all(spool, offset)[1] == b"3\n"
    assert spool.waiting(0) == 6
    assert spool.waiting(offset) == 2


@pytest.mark.parametrize("length", [1, 3, 7, 100])
def test_is_read_by_whole_lines(spool: Spool, length: int) -> None:
    lines = b"".join(b"%d\n" % 10**number for number in range(9))
    spool.append(lines, LIMIT)
    pieces = []
    offset = 0
    while True:
        offset, data = spool.read(offset, length)
        if not data:
            break
        assert data.endswith(b"\n")
        assert len(data) <= length or data.count(b"\n") == 1
        pieces.append(data)
        offset += len(data)
    assert b"".join(pieces) == lines


def test_begins_another_file_where_one_is_large(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spools, "_LARGEST_FILE", 10)
    for number in range(6):
        spool.append(b"line %d\n" % number, LIMIT)
    assert files(spool) == ["0000000001.jsonl", "0000000002.jsonl", "0000000003.jsonl"]
    end, data = read_all(spool)
    assert data.splitlines() == [b"line %d" % number for number in range(6)]
    assert spool.waiting(end) == 0

    # What is counted is deleted, but for the file that is written to.
    offset, data = spool.read(0, 100)
    spool.release(offset + 7)
    assert len(files(spool)) == 3
    spool.release(offset + len(data))
    assert files(spool) == ["0000000002.jsonl", "0000000003.jsonl"]
    spool.release(end)
    assert files(spool) == ["0000000003.jsonl"]
    spool.append(b"more\n", LIMIT)
    assert read_all(spool, end)[1] == b"more\n"


class TestIsBounded:
    def test_by_what_waits(self, spool: Spool) -> None:
        spool.append(b"123456789\n", 20)
        spool.append(b"123456789\n", 20)
        with pytest.raises(SpoolFull):
            spool.append(b"\n", 20)
        end, data = read_all(spool)
        assert len(data) == 20
        spool.release(end - 5)
        with pytest.raises(SpoolFull):
            spool.append(b"123456789 12345\n", 20)
        spool.append(b"123456789 1234\n", 20)

    def test_from_the_start(self, tmp_path: Path, spool: Spool) -> None:
        spool.append(b"123456789\n", 20)
        end, _ = read_all(spool)
        again = Spool(tmp_path)
        with pytest.raises(SpoolFull):
            again.append(b"123456789 1\n", 20)
        again.resume(end)
        again.append(b"123456789 1\n", 20)
        again.close()


class TestOutlivesTheProcess:
    def test_and_goes_on_in_a_file_of_its_own(self, tmp_path: Path, spool: Spool) -> None:
        spool.append(b"1\n2\n", LIMIT)
        again = Spool(tmp_path)
        offset, data = again.read(0, 2)
        assert data == b"1\n"
        again.append(b"3\n", LIMIT)
        end, data = read_all(again, offset + len(data))
        assert data == b"2\n3\n"
        again.release(end)
        assert files(again) == ["0000000002.jsonl"]
        again.close()

    def test_but_for_a_line_that_was_begun(self, tmp_path: Path, spool: Spool) -> None:
        spool.append(b"1\n2\n", LIMIT)
        with (tmp_path / "0000000001.jsonl").open("ab") as file:
            file.write(b'{"id": "half a l')
        again = Spool(tmp_path)
        again.append(b"3\n", LIMIT)
        assert read_all(again)[1] == b"1\n2\n3\n"
        assert again.waiting(0) == 6
        again.close()

    def test_and_has_new_numbers_where_its_files_are_gone(
        self, tmp_path: Path, spool: Spool
    ) -> None:
        spool.append(b"1\n2\n", LIMIT)
        end, _ = read_all(spool)
        (tmp_path / "0000000001.jsonl").unlink()
        again = Spool(tmp_path)
        again.resume(end)
        again.append(b"3\n", LIMIT)
        assert read_all(again, end)[1] == b"3\n"
        again.close()

    def test_and_counts_nothing_twice_where_a_file_lost_its_end(
        self, tmp_path: Path, spool: Spool
    ) -> None:
        spool.append(b"1\n2\n3\n", LIMIT)
        end, _ = read_all(spool)
        os.truncate(tmp_path / "0000000001.jsonl", 2)
        again = Spool(tmp_path)
        again.append(b"4\n", LIMIT)
        assert read_all(again, end)[1] == b"4\n"
        again.close()


class TestWhatCannotBeWritten:
    def test_leaves_no_trace(self, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
        """As on a disk that fills up in the middle of a line."""
        spool.append(b"1\n", LIMIT)
        write = os.pwrite

        def full(descriptor: int, data: memoryview, offset: int) -> int:
            if len(data) < 6:
                raise OSError(errno.ENOSPC, "no space left on device")
            return write(descriptor, data[:4], offset)

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            with pytest.raises(OSError, match="no space left"):
                spool.append(b"2\n3\n4\n5\n", LIMIT)
        assert (spool.folder / files(spool)[0]).read_bytes() == b"1\n"
        assert read_all(spool)[1] == b"1\n"
        spool.append(b"6\n", LIMIT)
        assert read_all(spool)[1] == b"1\n6\n"

    def test_is_told_where_there_is_no_folder(self, spool: Spool) -> None:
        spool.folder.rmdir()
        with pytest.raises(FileNotFoundError):
            spool.append(b"1\n", LIMIT)
        spool.folder.mkdir()
        spool.append(b"1\n", LIMIT)
        assert read_all(spool)[1] == b"1\n"


def test_goes_on_where_somebody_deletes_a_file(spool: Spool) -> None:
    spool.append(b"1\n", LIMIT)
    (spool.folder / files(spool)[0]).unlink()
    with pytest.raises(FileNotFoundError):
        spool.read(0, 100)
    spool.append(b"2\n", LIMIT)
    assert read_all(spool)[1] == b"2\n"


def test_is_private(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "events")
    spool.append(b"1\n", LIMIT)
    assert [path.stat().st_mode & 0o077 for path in (spool.folder, *spool.folder.iterdir())] == [
        0,
        0,
    ]
    spool.close()


def test_many_may_append_while_one_reads(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spools, "_LARGEST_FILE", 1000)

    def write(writer: int) -> None:
        for number in range(200):
            spool.append(f"{writer} {number} a\n{writer} {number} b\n".encode(), LIMIT)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    offset, lines = 0, []
    while len(lines) < 4 * 200 * 2:
        offset, data = spool.read(offset, 500)
        lines += data.splitlines()
        offset += len(data)
        spool.release(offset)
    for thread in threads:
        thread.join()
    of_writers = [[line for line in lines if line.startswith(b"%d " % one)] for one in range(4)]
    for writer, of_writer in enumerate(of_writers):
        assert of_writer == [
            f"{writer} {number} {half}".encode() for number in range(200) for half in "ab"
        ]
    assert len(files(spool)) == 1


class TestSpools:
    @pytest.mark.parametrize("model", ["credit", "a/b", "..", ".", "ünï/../x", "信用" * 100])
    def test_have_a_folder_each(self, tmp_path: Path, model: str) -> None:
        folder = tmp_path / "events"
        several = Spools(folder)
        spool = several.of(model, "predictions")
        assert several.of(model, "predictions") is spool
        assert several.of(model, "labels") is not spool
        assert several.of(f"{model}x", "predictions").folder != spool.folder
        assert spool.folder.parent.parent == folder
        assert spool.folder.resolve().parent.parent == folder.resolve()
        several.close()

    def test_may_end_with_the_process(self) -> None:
        several = Spools(None)
        folder = several.of("m", "predictions").folder
        several.of("m", "predictions").append(b"1\n", LIMIT)
        assert len(list(folder.iterdir())) == 1
        several.close()
        assert not folder.exists()

    def test_say_where_they_cannot_be(self, tmp_path: Path) -> None:
        (tmp_path / "events").write_text("")
        with pytest.raises(StateError, match=r"events/m/labels: (not a directory|file exists)"):
            Spools(tmp_path / "events").of("m", "labels")
