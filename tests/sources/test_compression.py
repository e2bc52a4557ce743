"""Compressed files, read as they are written, cut off, damaged or hostile."""

from __future__ import annotations

import gzip
import json
import os
import random
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from ml_exporter.sources import compression
from ml_exporter.sources.compression import Compressed, Missing, kind_of
from ml_exporter.sources.identity import finish

_RANDOM = random.Random(1)
ROWS = b"".join(json.dumps({"n": n, "x": _RANDOM.random()}).encode() + b"\n" for n in range(20_000))
SKIPPABLE = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"  # RFC 8878, 3.1.2

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}


@pytest.fixture(params=["gzip", "zstd"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.compressed"


class Opened:
    """Files that are closed when the test ends."""

    def __init__(self) -> None:
        self.descriptors: list[int] = []

    def __call__(self, path: Path, kind: str, data: bytes) -> Compressed:
        path.write_bytes(data)
        self.descriptors.append(os.open(path, os.O_RDONLY))
        return Compressed(self.descriptors[-1], kind)


@pytest.fixture
def opened() -> Iterator[Opened]:
    files = Opened()
    yield files
    for descriptor in files.descriptors:
        os.close(descriptor)


def read_all(file: Compressed, length: int = 100_000, start: int = 0) -> bytes:
    found = b""
    while data := file.read(start + len(found), length):
        found += data
    return found


@pytest.mark.parametrize(
    ("beginning", "kind"),
    [
        (b'{"a"', ""),
        (b"a", ""),
        (gzip.compress(b"")[:4], "gzip"),
        (gzip.compress(b"")[:2], None),
        (PACK["zstd"](b"")[:4], "zstd"),
        (PACK["zstd"](b"")[:3], None),
        (SKIPPABLE[:4], "zstd"),
        (b"Pred", ""),
        (b"\x1f\x8b\x00\x00", ""),
    ],
)
def test_what_kind_is_told_by_the_first_bytes(beginning: bytes, kind: str | None) -> None:
    assert kind_of(beginning) == kind


class TestReading:
    def test_of_a_file(self, kind: str, path: Path, opened: Opened) -> None:
        file = opened(path, kind, PACK[kind](ROWS))
        assert read_all(file) == ROWS
        assert (file.whole, file.cut_off, file.problem) == (True, False, "")
        assert file.left(len(ROWS)) == 0

    @pytest.mark.parametrize("more", [b"", b"\0" * 1000], ids=["at its end", "before padding"])
    def test_of_several_members(self, kind: str, path: Path, opened: Opened, more: bytes) -> None:
        parts = [ROWS[:1000], b"", ROWS[1000:]]
        file = opened(path, kind, b"".join(map(PACK[kind], parts)) + more)
        assert read_all(file) == ROWS
        assert file.whole

    def test_of_frames_to_skip(self, path: Path, opened: Opened) -> None:
        packed = PACK["zstd"](ROWS[:500]) + SKIPPABLE + PACK["zstd"](ROWS[500:])
        assert read_all(opened(path, "zstd", SKIPPABLE + packed)) == ROWS

    def test_goes_back_and_forth(self, kind: str, path: Path, opened: Opened) -> None:
        file = opened(path, kind, PACK[kind](ROWS))
        for start in (500_000, 499_000, 10, 300_000, 0, len(ROWS) - 5, len(ROWS) + 5):
            assert file.read(start, 1000) == ROWS[start : start + 1000]
        assert file.head(100) == ROWS[:100]

    def test_in_small_reads_keeps_little(self, kind: str, path: Path, opened: Opened) -> None:
        file = opened(path, kind, PACK[kind](ROWS))
        assert read_all(file, 700) == ROWS
        assert len(file._buffer) <= 2 * compression.KEPT

    def test_in_steps_towards_an_offset(
        self, kind: str, path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(compression, "_STEP", 100_000)
        file = opened(path, kind, PACK[kind](ROWS))
        steps = 1
        while not file.reach(600_000):
            steps += 1
        assert 2 <= steps <= 6
        assert file.read(600_000, 10) == ROWS[600_000:600_010]
        assert [file.reach(10 * len(ROWS)) for _ in range(3)][-1]


class TestWriting:
    def test_is_followed(self, kind: str, path: Path, opened: Opened) -> None:
        packed = PACK[kind](ROWS) + PACK[kind](b"more\n")
        file = opened(path, kind, b"")
        found = b""
        with path.open("ab", buffering=0) as writer:
            for start in range(0, len(packed), 10_001):
                writer.write(packed[start : start + 10_001])
                found += read_all(file, start=len(found))
                assert file.problem == ""
        assert found == ROWS + b"more\n"
        assert file.whole

    def test_that_stopped_in_the_middle(self, kind: str, path: Path, opened: Opened) -> None:
        packed = PACK[kind](ROWS)
        file = opened(path, kind, packed[: len(packed) // 2])
        found = read_all(file)
        assert ROWS.startswith(found)
        assert len(found) > len(ROWS) // 3
        assert (file.whole, file.cut_off, file.problem) == (False, True, "")

    @pytest.mark.parametrize("anew", [b"", b"other bytes"], ids=["nothing", "something else"])
    def test_anew_is_noticed(self, kind: str, path: Path, opened: Opened, anew: bytes) -> None:
        file = opened(path, kind, PACK[kind](ROWS))
        read_all(file)
        assert not file.was_written_anew()
        path.write_bytes(anew)
        assert file.was_written_anew()

    @pytest.mark.parametrize("share", [0.0, 0.4, 0.9, 1.0])
    def test_up_to_some_size_has_whole_lines(
        self, kind: str, path: Path, opened: Opened, share: float
    ) -> None:
        packed = PACK[kind](ROWS)
        file = opened(path, kind, packed)
        lines = finish(file.lines_of(int(share * len(packed))))
        assert ROWS[:lines] == b"" or ROWS[:lines].endswith(b"\n")
        assert abs(lines - share * len(ROWS)) < 0.2 * len(ROWS)
        assert file.read(lines, 50) == ROWS[lines : lines + 50]


class TestDamage:
    @pytest.mark.parametrize("piece", [1, 100, 16_384])
    def test_all_before_it_is_read(
        self, path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch, piece: int
    ) -> None:
        """Whatever the pieces in which it is read, so that it is the same after a restart."""
        monkeypatch.setitem(compression._PIECES, "gzip", piece)
        deflate = zlib.compressobj(wbits=31)
        good = deflate.compress(ROWS[:30_000]) + deflate.flush(zlib.Z_FULL_FLUSH)
        file = opened(path, "gzip", good + b"\xff" * 1000)
        assert read_all(file) == ROWS[:30_000]
        assert file.problem.startswith(f"damaged after {len(good)} bytes of gzip: invalid block")
        assert file.left(30_000) > 0
        assert file.read(0, 10) == ROWS[:10]
        assert read_all(file) == ROWS[:30_000]

    def test_of_a_frame_leaves_those_before_it(self, path: Path, opened: Opened) -> None:
        good, bad = PACK["zstd"](ROWS[:30_000]), bytearray(PACK["zstd"](ROWS[30_000:]))
        bad[-1] ^= 0xFF  # its checksum
        file = opened(path, "zstd", good + bytes(bad))
        assert read_all(file).startswith(ROWS[:30_000])
        assert "damaged after" in file.problem

    def test_by_what_follows(self, kind: str, path: Path, opened: Opened) -> None:
        packed = PACK[kind](ROWS)
        file = opened(path, kind, packed + b"and what is this?")
        assert read_all(file) == ROWS
        assert file.problem.startswith(f"damaged after {str(len(packed))[:-1]}")
        assert not file.whole

    @pytest.mark.parametrize("seed", range(20))
    def test_of_any_kind_raises_nothing(
        self, kind: str, path: Path, opened: Opened, seed: int
    ) -> None:
        chosen = random.Random(seed)
        packed = bytearray(PACK[kind](ROWS[:50_000]))
        for _ in range(chosen.randint(1, 5)):
            packed[chosen.randrange(4, len(packed))] ^= 1 << chosen.randrange(8)
        file = opened(path, kind, bytes(packed))
        found = read_all(file, 10_000)
        assert file.problem or file.cut_off or found == ROWS[:50_000]
        assert read_all(file, 30_000) == found


class TestBounds:
    SIZE = 128 << 20

    def bomb(self, kind: str) -> bytes:
        zeros = bytes(1 << 20)
        packer = (
            zlib.compressobj(level=9, wbits=31)
            if kind == "gzip"
            else zstandard.ZstdCompressor(level=3).compressobj()
        )
        parts = [packer.compress(zeros) for _ in range(self.SIZE >> 20)]
        return b"".join(parts) + packer.flush()

    def test_of_memory_hold_for_what_becomes_a_thousand_times_as_much(
        self, kind: str, path: Path, opened: Opened
    ) -> None:
        file = opened(path, kind, self.bomb(kind))
        tracemalloc.start()
        try:
            size = 0
            while data := file.read(size, 1 << 22):
                size += len(data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert size == self.SIZE
        assert peak < 64 << 20

    def test_of_a_window(self, path: Path, opened: Opened) -> None:
        parameters = zstandard.ZstdCompressionParameters(window_log=27)
        packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        file = opened(path, "zstd", packer.compress(ROWS) + packer.flush())
        assert file.read(0, 100) == b""
        assert file.problem == (
            "needs a window of more than 8 MiB; compress it without --long or --ultra"
        )


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="it is in the standard library")
def test_a_library_that_is_missing_is_named(
    path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(Missing) as caught:
        opened(path, "zstd", PACK["zstd"](ROWS))
    assert str(caught.value) == "reading zstd needs zstandard: pip install 'ml-exporter[zstd]'"
