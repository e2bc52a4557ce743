"""The bounded buffer between proxy and telemetry: memory that both have, and its frames.

One process writes, one reads, and either may die at any moment: what is written counts when the
offset of the writer has moved past it, and is kept until that of the reader has. Where there is
no room, nothing is written; nobody ever waits.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import platform
import re
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from ml_exporter.request_counts import COUNTS_SIZE, RequestCounts

_MAGIC = int.from_bytes(b"mlexpcp2")
_MAGIC_CELL, _ID, _SIZE, _WRITTEN, _READ, _RELOADS = range(6)  # of 8 bytes each, at the start
_CELLS = 4096  # bytes
_ALIGNMENT = 8  # bytes, so that the offsets above are written at once

# size; model; status; time; duration, that of the model, and that to its first event; and the
# lengths of what follows
_FRAME = Struct("<IHHdfffIIII")
_COLUMNS = np.dtype(
    [
        *[("size", "<u4"), ("model", "<u2"), ("status", "<u2"), ("time", "<f8")],
        *[("durations", "<f4", 3), ("lengths", "<u4", 4)],
    ]
)
_FRAME_SIZE, _pack = _FRAME.size, _FRAME.pack
_TIMES, _TIMES_AT = Struct("<dff"), 8

FAILED = 500
"""The least status of a request that failed: by the model server's fault, or the proxy's."""


class CaptureError(OSError):
    """The buffer can't be made or opened."""


@dataclass(slots=True)
class Frame:
    """An exchange as the proxy saw it."""

    model: int  # its place among the names of the counts
    status: int  # 0: the answer didn't come to its end
    time: float  # seconds since the epoch, when the request came
    duration: float  # seconds, as the client saw it
    upstream: float  # seconds, of the model alone
    first: float  # seconds until the first event of an answer that is streamed; 0: it is not
    request_head: bytes
    request_body: bytes
    response_head: bytes
    response_body: bytes


def field_pattern(name: str) -> re.Pattern[bytes]:
    """What finds a field in the head of a message; its value is the first group."""
    return re.compile(rb"\n%b:[\t ]*+([^\r]*+)" % re.escape(name.encode()), re.IGNORECASE)


def write_frame(
    model: int,
    status: int,
    time: float,
    duration: float,
    upstream: float,
    first: float,
    request_head: bytes,
    request_body: bytes,
    response_head: bytes,
    response_body: bytes,
) -> bytes:
    """The bytes of a `Frame`."""
    a, b, c, d = len(request_head), len(request_body), len(response_head), len(response_body)
    size = _FRAME_SIZE + a + b + c + d
    fixed = _pack(size, model, status, time, duration, upstream, first, a, b, c, d)
    return b"".join((fixed, request_head, request_body, response_head, response_body))


def read_frame(data: bytes) -> Frame:
    """The frame that these bytes are; raises ValueError where they are none."""
    if len(data) < _FRAME.size:
        raise ValueError("a frame is cut off")
    size, model, status, time, duration, upstream, first, *lengths = _FRAME.unpack_from(data)
    if size != len(data) or _FRAME.size + sum(lengths) != size:
        raise ValueError("a frame's lengths don't agree")
    parts = []
    start = _FRAME.size
    for length in lengths:
        parts.append(data[start : start + length])
        start += length
    return Frame(model, status, time, duration, upstream, first, *parts)


def model_of(frame: bytes) -> int:
    """The place of the model that a frame is about, without reading the rest."""
    return int.from_bytes(frame[4:6], "little")


def has_failed(frame: bytes) -> bool:
    """Whether a frame is of a request that failed: it has the head of the request alone."""
    return int.from_bytes(frame[6:8], "little") >= FAILED


def times_of(frame: bytes) -> tuple[float, float, float]:
    """When a frame's request came, its duration, and that of the model, without the rest."""
    return _TIMES.unpack_from(frame, _TIMES_AT)


def split_frames(data: bytes) -> list[bytes]:
    """Frames that follow each other; raises ValueError."""
    frames = []
    start = 0
    while start < len(data):
        size = int.from_bytes(data[start : start + 4], "little")
        if size < _FRAME.size or start + size > len(data):
            raise ValueError("a frame is cut off")
        frames.append(data[start : start + size])
        start += size
    return frames


@dataclass
class Frames:
    """Frames that follow each other, by what is alike in them, in arrays (frames,)."""

    data: bytes
    bounds: NDArray[np.int32]  # (frames, 5): where request head, body, response head, body begin
    times: NDArray[np.float64]  # and where the frame ends; seconds since the epoch

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, number: int) -> Frame:
        start, end = self.bounds[number, [0, 4]].tolist()
        return read_frame(self.data[start - _FRAME.size : end])


def read_frames(data: bytes) -> Frames:
    """Frames that follow each other; raises ValueError."""
    starts = []
    start = 0
    while start < len(data):
        starts.append(start)
        size = int.from_bytes(data[start : start + 4], "little")
        if size < _FRAME.size or start + size > len(data):
            raise ValueError("a frame is cut off")
        start += size
    at = np.array(starts, np.int32)[:, None] + np.arange(_FRAME.size, dtype=np.int32)
    heads = np.frombuffer(data, np.uint8)[at].view(_COLUMNS)[:, 0]
    bounds = np.cumsum([at[:, -1] + 1, *heads["lengths"].T], axis=0, dtype=np.int64).T
    if (bounds[:, 4] != at[:, 0] + heads["size"]).any():
        raise ValueError("a frame's lengths don't agree")
    return Frames(data, bounds.astype(np.int32), heads["time"])


class Capture:
    """The buffer, and beside it what the proxy counts; `path` is where others find it, if any."""

    def __init__(self, descriptor: int, path: Path | None = None) -> None:
        """Take over a file that `create` or `at` made; raises CaptureError."""
        self.descriptor = descriptor
        self.path = path
        length = os.fstat(descriptor).st_size
        if length <= _CELLS + COUNTS_SIZE:
            os.close(descriptor)
            raise CaptureError("the buffer is not complete")
        self._memory = mmap.mmap(descriptor, length)
        view = memoryview(self._memory)
        self._cells = view[:_CELLS].cast("Q")
        self._data = view[_CELLS + COUNTS_SIZE :]
        self.size = len(self._data)
        if self._cells[_MAGIC_CELL] != _MAGIC or self._cells[_SIZE] != self.size:
            self.close()
            raise CaptureError("the buffer is of another version")
        self.counts = RequestCounts(view[_CELLS : _CELLS + COUNTS_SIZE])

    @classmethod
    def create(cls, size: int) -> Capture:
        """A buffer without a name, for processes that inherit its descriptor.

        Raises CaptureError.
        """
        try:
            descriptor = os.memfd_create("ml-exporter-capture", os.MFD_CLOEXEC)
            _prepare(descriptor, size)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise CaptureError(f"no buffer of {size} bytes: {reason}") from None
        return cls(descriptor)

    @classmethod
    def at(cls, path: Path, size: int) -> Capture:
        """The buffer in a file, which is made unless it is there; only one writer may have it."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_size == _CELLS + COUNTS_SIZE + _rounded(size):
                try:
                    return cls(descriptor, path)
                except CaptureError:
                    pass  # it has closed it
            else:
                os.close(descriptor)
            # Whoever reads the old one still has its memory: it is replaced, not cut off.
            fresh = path.with_name(f".{path.name}.{os.getpid()}")
            fresh.unlink(missing_ok=True)
            descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _prepare(descriptor, size)
            fresh.rename(path)
        except BlockingIOError:
            raise CaptureError(f"{path}: another proxy writes to it") from None
        except OSError as error:
            raise CaptureError(f"{path}: {(error.strerror or str(error)).lower()}") from None
        return cls(descriptor, path)

    @classmethod
    def found(cls, path: Path) -> Capture:
        """The buffer that a proxy made; raises CaptureError."""
        try:
            return cls(os.open(path, os.O_RDWR | os.O_CLOEXEC), path)
        except OSError as error:
            raise CaptureError(f"{path}: {(error.strerror or str(error)).lower()}") from None

    @property
    def memory(self) -> tuple[memoryview, int, int, memoryview]:
        """For who writes frames by other means: the offsets, which of them are those of writer and
        reader, and the room for frames.
        """
        return self._cells, _WRITTEN, _READ, self._data

    @property
    def id(self) -> str:
        """Of this buffer and no other: offsets of one mean nothing in another."""
        return f"{self._cells[_ID]:016x}"

    @property
    def written(self) -> int:
        """The offset up to which frames are whole."""
        return self._cells[_WRITTEN]

    @property
    def read_to(self) -> int:
        """The offset before which nothing is kept."""
        return self._cells[_READ]

    @property
    def reloads(self) -> int:
        """How often the configuration was reloaded: what tells the other process to do so."""
        return self._cells[_RELOADS]

    def reloaded(self) -> None:
        self._cells[_RELOADS] += 1

    def put(self, frame: bytes) -> bool:
        """Write a frame; False where there is no room."""
        size = (len(frame) + _ALIGNMENT - 1) & -_ALIGNMENT
        written, read = self._cells[_WRITTEN], self._cells[_READ]
        place = written % self.size
        rest = self.size - place
        skipped = 0
        # Where the reader has all, memory that was used before is used again: it is warm, and
        # the rest need not be there at all.
        if size > rest or (read == written and place > self.size >> 4 and place >= size):
            skipped = rest
        if written + skipped + size - read > self.size:
            return False
        if skipped:
            self._data[place : place + 4] = b"\0\0\0\0"
            place = 0
        self._data[place : place + len(frame)] = frame
        _fence()
        self._cells[_WRITTEN] = written + skipped + size
        return True

    def take(self, offset: int, most: int) -> tuple[list[bytes], int]:
        """Frames from an offset on, of about so many bytes, and the offset after them.

        Raises ValueError where there are none that make sense.
        """
        frames: list[bytes] = []
        written = self._cells[_WRITTEN]
        _fence()
        while offset < written and most > 0:
            place = offset % self.size
            size = int.from_bytes(self._data[place : place + 4], "little")
            if not size:
                offset += self.size - place
                continue
            if size < _FRAME.size or place + size > self.size:
                raise ValueError("the buffer holds what is no frame")
            frames.append(bytes(self._data[place : place + size]))
            offset += (size + _ALIGNMENT - 1) & -_ALIGNMENT
            most -= size
        return frames, offset

    def release(self, offset: int) -> None:
        """Keep nothing before an offset."""
        self._cells[_READ] = offset

    def was_replaced(self) -> bool:
        """Whether there is another file at its path now."""
        if self.path is None:
            return False
        try:
            there, here = os.stat(self.path), os.fstat(self.descriptor)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)

    def close(self) -> None:
        """Let another process write; the memory is there as long as anybody looks at it."""
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        os.close(self.descriptor)


def _prepare(descriptor: int, size: int) -> None:
    """Reserve the memory now: a write to memory that can't be had would kill the process."""
    size = _rounded(size)
    os.posix_fallocate(descriptor, 0, _CELLS + COUNTS_SIZE + size)
    with mmap.mmap(descriptor, _CELLS) as memory:
        cells = memoryview(memory).cast("Q")
        cells[_ID], cells[_SIZE] = secrets.randbits(64), size
        cells[_MAGIC_CELL] = _MAGIC
        cells.release()


def _rounded(size: int) -> int:
    return (size + _CELLS - 1) & -_CELLS


_lock = threading.Lock()
_KEEPS_ORDER = platform.machine().lower() in ("x86_64", "amd64", "i686")


def _fence() -> None:
    """Let no memory access before this be seen after one that follows it."""
    if not _KEEPS_ORDER:
        # What is before the first release and what is after the second acquisition keep order.
        for _ in range(2):
            with _lock:
                pass
