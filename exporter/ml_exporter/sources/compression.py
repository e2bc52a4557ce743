"""The decompressed bytes of a gzip or Zstandard file, read forwards as it is written.

gzip is RFC 1952, Zstandard RFC 8878; both may have several members, one after the other.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Callable, Generator
from typing import Protocol, cast

KEPT = 1 << 15  # bytes before what was asked for last, which may be asked for again

# A piece of input can become a thousand times as much (gzip), or 128 KiB for each four bytes of
# it (Zstandard): with these, no more than 16 MiB.
_PIECES = {"gzip": 1 << 14, "zstd": 1 << 9}
_BLOCK = 1 << 18  # bytes that are read at a time
_LARGEST_WINDOW_LOG = 23  # 8 MiB, which RFC 8878 (3.1.1.1.2) recommends to support
_STEP = 1 << 26  # bytes that are decompressed at a time, where they are not to be counted
_BEGINNING = 1 << 9  # bytes that tell whether a file was written anew

_GZIP = b"\x1f\x8b\x08"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"  # after a byte from 0x50 to 0x5f


class _Member(Protocol):
    """A decompressor of one gzip member or Zstandard frame."""

    def decompress(self, data: bytes, /) -> bytes: ...

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...


class Missing(ImportError):
    """A library that isn't installed, and how to."""


def kind_of(beginning: bytes) -> str | None:
    """How a file is compressed, by its first four bytes: "gzip", "zstd", "" for not at all.

    None while there are too few of them to say.
    """
    if beginning[:3] == _GZIP[: len(beginning)]:
        return "gzip" if len(beginning) >= 3 else None
    skippable = beginning[:1] and 0x50 <= beginning[0] <= 0x5F
    if beginning == _ZSTD[: len(beginning)] or (
        skippable and len(beginning) > 1 and beginning[1:] == _ZSTD_SKIPPABLE[: len(beginning) - 1]
    ):
        return "zstd" if len(beginning) >= 4 else None
    return ""


class Compressed:
    """A compressed file, by its open descriptor. Memory is bounded by what is asked for.

    `problem` says why it can't be read beyond `at`; all that comes before the damage is given.
    """

    def __init__(self, descriptor: int, kind: str) -> None:
        """Raises Missing."""
        self._descriptor = descriptor
        self._kind = kind
        self._new, self._error = _decompressor(kind)
        self._beginning = b""
        self.problem = ""
        self._rewind()

    def _rewind(self) -> None:
        self.packed = 0  # compressed bytes that were taken
        self.at = 0  # the offset of the next decompressed byte
        self._start = 0  # the offset of the first one in the buffer
        self._buffer = bytearray()
        self._block = b""  # compressed bytes from an offset on
        self._block_start = 0
        self._member: _Member | None = None
        self._damaged: range | None = None  # compressed bytes that are given one by one
        self.problem = ""

    @property
    def size(self) -> int:
        """Bytes of the file as it is, compressed."""
        return os.fstat(self._descriptor).st_size

    @property
    def cut_off(self) -> bool:
        """Whether the file ends in the middle of a member, and was read until there."""
        return self._member is not None and self.packed == self.size and not self.problem

    @property
    def whole(self) -> bool:
        """Whether the file ends where a member does, and was read until there."""
        return self._member is None and self.packed == self.size and not self.problem

    def head(self, length: int) -> bytes:
        """The first decompressed bytes, wherever reading is."""
        return Compressed(self._descriptor, self._kind).read(0, length)

    def read(self, offset: int, length: int) -> bytes:
        """Decompressed bytes from an offset on, fewer where there are no more now.

        What lies more than KEPT before the last read is decompressed anew.
        """
        if offset < self._start:
            self._rewind()
        while not self.reach(offset):
            pass
        self._fill(offset + length, keep_from=offset - KEPT)
        first = offset - self._start
        return bytes(self._buffer[first : first + length]) if first >= 0 else b""

    def reach(self, offset: int) -> bool:
        """Go some way towards an offset; whether it, or the end, is reached."""
        target = min(offset, self.at + _STEP)
        self._fill(target, keep_from=min(target, offset) - KEPT)
        return self.at >= offset or self.at < target

    def left(self, offset: int) -> int:
        """Bytes beyond an offset, of which those not read yet are counted as compressed."""
        return max(0, self.size - self.packed) + max(0, self.at - offset)

    def ends_at(self, offset: int) -> bool:
        """Whether there is no more than what was read, and that is up to an offset."""
        return self.at <= offset and (bool(self.problem) or self.packed >= self.size)

    def was_written_anew(self) -> bool:
        """Whether the file isn't the one that was read so far."""
        beginning = os.pread(self._descriptor, len(self._beginning), 0)
        return self.size < self.packed or beginning != self._beginning

    def lines_of(self, packed: int) -> Generator[None, None, int]:
        """The length of the lines that the first `packed` bytes of the file hold, in steps."""
        self._rewind()
        line_end, pause = 0, _STEP
        while self.packed < packed:
            before = self.at
            if not self._more(packed):
                break
            found = self._buffer.rfind(b"\n", before - self._start)
            line_end = self._start + found + 1 if found >= 0 else line_end
            self._drop(self.at - KEPT)
            if self.at >= pause:
                pause += _STEP
                yield
        return line_end

    def _fill(self, target: int, keep_from: int) -> None:
        while self.at < target and self._more():
            self._drop(keep_from)
        self._drop(keep_from)

    def _drop(self, keep_from: int) -> None:
        length = min(keep_from - self._start, len(self._buffer))
        if length > 0:
            del self._buffer[:length]
            self._start += length

    def _more(self, up_to: int | None = None) -> bool:
        """Decompress a piece more; False if there is none now."""
        one_by_one = self._damaged is not None and self.packed in self._damaged
        piece = (
            b"" if self.problem else self._piece(1 if one_by_one else _PIECES[self._kind], up_to)
        )
        if not piece:
            return False
        try:
            taken, data = self._decompress(piece)
        except self._error as error:
            if self._damaged is not None:
                self.problem = self._describe(error)
                return False
            self._return_to(range(self.packed, self.packed + len(piece)))
            return True
        self.packed += taken
        self.at += len(data)
        self._buffer += data
        return True

    def _piece(self, length: int, up_to: int | None) -> bytes:
        """The next compressed bytes."""
        if self._damaged is not None and self.packed < self._damaged.start:
            length = min(length, self._damaged.start - self.packed)
        if up_to is not None:
            length = min(length, up_to - self.packed)
        first = self.packed - self._block_start
        if len(self._block) - first < length:
            self._block = os.pread(self._descriptor, _BLOCK, self.packed)
            self._block_start, first = self.packed, 0
            if self.packed == 0:
                self._beginning = self._block[:_BEGINNING]
        return self._block[first : first + length]

    def _decompress(self, piece: bytes) -> tuple[int, bytes]:
        """How much of a piece was taken, and what it became."""
        if self._member is None:
            padding = len(piece) - len(piece.lstrip(b"\0")) if self.packed else 0
            if padding:
                return padding, b""
            self._member = self._new()
        data = self._member.decompress(piece)
        unused = 0
        if self._member.eof:
            unused = len(self._member.unused_data)
            self._member = None
        return len(piece) - unused, data

    def _return_to(self, damaged: range) -> None:
        """Come to the same place anew: a piece that can't be read may begin with what can be."""
        start, buffer, at = self._start, self._buffer, self.at
        self._rewind()
        self._damaged = damaged
        while self.packed < damaged.start and self._more():
            self._drop(self.at)
        self._start, self._buffer, self.at = start, buffer, at

    def _describe(self, error: Exception) -> str:
        text = str(error).rpartition(": ")[2].lower()
        if "too much memory" in text:
            most = 1 << (_LARGEST_WINDOW_LOG - 20)
            return f"needs a window of more than {most} MiB; compress it without --long or --ultra"
        return f"damaged after {self.packed} bytes of {self._kind}: {text}"


def _decompressor(kind: str) -> tuple[Callable[[], _Member], type[Exception]]:
    """What makes a decompressor of one member, and what it raises."""
    if kind == "gzip":
        return (lambda: zlib.decompressobj(wbits=31)), zlib.error
    return _zstd_of_python() if sys.version_info >= (3, 14) else _zstd_of_package()


def _zstd_of_python() -> tuple[Callable[[], _Member], type[Exception]]:
    from importlib import import_module

    zstd = import_module("compression.zstd")
    options = {zstd.DecompressionParameter.window_log_max: _LARGEST_WINDOW_LOG}
    return (lambda: cast(_Member, zstd.ZstdDecompressor(options=options))), zstd.ZstdError


def _zstd_of_package() -> tuple[Callable[[], _Member], type[Exception]]:
    try:
        import zstandard
    except ImportError:
        raise Missing("reading zstd needs zstandard: pip install 'ml-exporter[zstd]'") from None
    made = zstandard.ZstdDecompressor(max_window_size=1 << _LARGEST_WINDOW_LOG)
    return (lambda: cast(_Member, made.decompressobj())), zstandard.ZstdError
