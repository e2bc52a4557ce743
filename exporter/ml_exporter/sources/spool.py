"""A spool: what was posted, as lines in the files of a folder until they are counted.

Its offsets are a file's number and a byte within it, in one integer: a file that is lost, or that
lost its end, moves no other.
"""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from ml_exporter.sources.matching import problem, whole_lines
from ml_exporter.store.state_folder import StateError

_LARGEST_FILE = 16 << 20  # bytes, after which another one is begun
_LONGEST_NAME = 200  # bytes, of a folder
_BYTE = 1 << 32  # of an offset, that many are a byte within a file


class SpoolFull(Exception):
    """So much waits to be counted that nothing more is taken."""


@dataclass
class _File:
    number: int
    path: Path
    size: int  # bytes of whole lines


class Spool:
    """The lines of one stream. Many threads may append; one reads, and releases what it counted."""

    def __init__(self, folder: Path) -> None:
        """Take up what an earlier process left; raises OSError."""
        self.folder = folder
        self._lock = threading.Lock()
        self._written: int | None = None  # descriptor of the last file, which is written to
        self._counted = 0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = [path for path in folder.glob("*.jsonl") if path.stem.isdecimal()]
        self._files = [
            _File(int(path.stem), path, _size(path))
            for path in sorted(found, key=lambda path: int(path.stem))
        ]

    @property
    def place(self) -> str:
        return str(self.folder)

    def append(self, lines: bytes, limit: int) -> None:
        """Keep whole lines: all of them, or none.

        They outlive the process once this has returned. Raises SpoolFull where more than `limit`
        bytes would wait, and OSError where they can't be written.
        """
        with self._lock:
            if self._waiting(self._counted) + len(lines) > limit:
                raise SpoolFull
            if self._written is None or self._files[-1].size >= _LARGEST_FILE:
                self._begin()
            assert self._written is not None
            file = self._files[-1]
            try:
                _write(self._written, lines, file.size)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(self._written, file.size)
                raise
            file.size += len(lines)

    def read(self, offset: int, length: int) -> tuple[int, bytes]:
        """About so many bytes of whole lines from an offset on, and where they begin.

        Nothing, where there is nothing. Raises OSError.
        """
        number, byte = divmod(offset, _BYTE)
        with self._lock:
            ahead = [
                (file, byte if file.number == number else 0)
                for file in self._files
                if file.number >= number
            ]
            file, start = next(((f, s) for f, s in ahead if s < f.size), (None, 0))
            if file is None:
                return offset, b""
            size = file.size
        try:
            data = _read(file.path, start, length, size)
        except FileNotFoundError:
            self._forget(file)
            raise
        return file.number * _BYTE + start, data

    def resume(self, offset: int) -> None:
        """What is before an offset is counted: it doesn't wait."""
        with self._lock:
            self._counted = offset

    def release(self, offset: int) -> None:
        """What is before an offset is counted, and saved as counted: it need not be kept."""
        with self._lock:
            self._counted = offset
            number, byte = divmod(offset, _BYTE)
            last = self._files[-1] if self._written is not None else None
            for file in list(self._files):
                done = file.number < number or (file.number == number and byte >= file.size)
                if done and file is not last:
                    file.path.unlink(missing_ok=True)
                    self._files.remove(file)

    def waiting(self, offset: int) -> int:
        """Bytes from an offset on."""
        with self._lock:
            return self._waiting(offset)

    def close(self) -> None:
        with self._lock:
            self._stop_writing()

    def _waiting(self, offset: int) -> int:
        number, byte = divmod(offset, _BYTE)
        return sum(
            max(0, file.size - byte) if file.number == number else file.size
            for file in self._files
            if file.number >= number
        )

    def _forget(self, file: _File) -> None:
        """Somebody deleted a file: what was in it is lost, and the rest is not."""
        with self._lock:
            if file is self._files[-1]:
                self._stop_writing()
            self._files.remove(file)

    def _stop_writing(self) -> None:
        if self._written is not None:
            os.close(self._written)
            self._written = None

    def _begin(self) -> None:
        """Begin another file, with a number that no earlier one had."""
        last = self._files[-1].number if self._files else 0
        number = max(last, self._counted // _BYTE) + 1
        path = self.folder / f"{number:010d}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        written = os.open(path, flags, mode=0o600)
        self._stop_writing()
        self._written = written
        self._files.append(_File(number, path, 0))


class Spools:
    """The spools of all models, each in a folder of its own.

    They are in a `folder`, or in a temporary one that ends with them.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._temporary: TemporaryDirectory[str] | None = None
        self._spools: dict[tuple[str, str], Spool] = {}

    def of(self, model: str, stream: str) -> Spool:
        """The spool of a model's predictions, or of its labels; raises StateError."""
        key = (model, stream)
        if key not in self._spools:
            try:
                self._spools[key] = Spool(self._root() / _folder_name(model) / stream)
            except OSError as error:
                raise StateError(f"{error.filename}: {problem(error)}") from None
        return self._spools[key]

    def close(self) -> None:
        for spool in self._spools.values():
            spool.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _root(self) -> Path:
        if self._folder is None:
            self._temporary = TemporaryDirectory(prefix="ml-exporter-")
            self._folder = Path(self._temporary.name)
        return self._folder


def _folder_name(model: str) -> str:
    name = quote(model, safe="").replace(".", "%2E")
    if len(name) <= _LONGEST_NAME:
        return name
    return hashlib.blake2b(model.encode(), digest_size=16).hexdigest()


def _read(path: Path, start: int, length: int, size: int) -> bytes:
    """Whole lines from `start` on, at least one, of a file that has `size` bytes of them."""
    with path.open("rb", buffering=0) as handle:
        data = os.pread(handle.fileno(), min(length, size - start), start)
        if stop := data.rfind(b"\n") + 1:
            return data[:stop]
        data = os.pread(handle.fileno(), size - start, start)
        return data[: data.find(b"\n") + 1]


def _write(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _size(path: Path) -> int:
    """Bytes of whole lines: a process that was killed may have begun another."""
    with path.open("rb", buffering=0) as handle:
        return whole_lines(handle.fileno(), os.fstat(handle.fileno()).st_size)
