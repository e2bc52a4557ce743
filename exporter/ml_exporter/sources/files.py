"""Log files: a path or a glob, read to their ends and then followed as they grow."""

from __future__ import annotations

import glob
import hashlib
import os
import stat
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from ml_exporter.formats.rows import LONGEST_ROW
from ml_exporter.sources.parts import Chunk, Part, Start
from ml_exporter.store import Position

_CHUNK = 1 << 19  # bytes; what fits the processor's cache is counted fastest
_LARGEST_CHUNK = 4 << 20  # bytes; as many as it takes for some rows to be whole
_HEAD = 256  # bytes that tell a file from another one with the same number
_LOOK_AGAIN = 1.0  # seconds between looks at which files there are
_GRACE = 60.0  # seconds that a writer may go on with a file that was moved away or deleted
_QUIET = 600.0  # seconds without growth, after which a file that was read to its end is closed
_MOST_OPEN = 256  # files


@dataclass(eq=False, kw_only=True)
class OpenFile(Part):
    """A file being read. Its name is its path, its key device and inode, which outlast a rename."""

    handle: BinaryIO
    ended: bool = False  # nothing more will be written to it
    gone_at: float | None = None  # when it was found to match no more, on the monotonic clock
    asked: int = -1  # the offset of the last chunk
    window: int = _CHUNK  # bytes of the next one

    def head(self) -> bytes:
        return os.pread(self.handle.fileno(), 2 * LONGEST_ROW, 0)

    def status(self) -> os.stat_result:
        return os.fstat(self.handle.fileno())

    def is_quiet(self, seconds: float) -> bool:
        return time.time() - self.status().st_mtime >= seconds


@dataclass
class FileSource:
    """Files that match a pattern, in the order of their names.

    `follow`: stay with the files as they grow. `start` is where a file begins that was there
    at the first look and has no position: later ones are read from their start.
    """

    name: str  # the pattern
    positions: dict[str, Position]
    follow: bool = True
    start: Start = "start"
    errors: dict[str, str] = field(default_factory=dict)  # path -> what is wrong with it
    moved: set[str] = field(default_factory=set)  # keys of positions that aren't saved yet
    _given_up: dict[str, tuple[str, str, int]] = field(default_factory=dict)  # by key
    _failing: dict[str, tuple[str, str]] = field(default_factory=dict)  # by key, till the next look
    _files: dict[str, OpenFile] = field(default_factory=dict)  # by key
    _scanned: dict[str, int] = field(default_factory=dict)  # key -> end of a scan for a line end
    _looked: float = 0.0
    _first_look: bool = True
    _crowded: bool = False  # there are more files than may be open
    _left_out: bool = False  # some of them have something new

    def look(self) -> None:
        """See which files there are, if it is time for that."""
        due = self.follow and time.monotonic() - self._looked >= _LOOK_AGAIN
        if due or self._first_look:
            self._failing.clear()
            self._look()

    def next(self) -> Chunk | None:
        """The next bytes of some file, or None while there are none."""
        self.look()
        while True:
            for file in list(self._files.values()):
                if chunk := self._next_of(file):
                    return chunk
            if not self._left_out or not self._look():
                return None

    @property
    def source_id(self) -> str:
        return source_id(self.name)

    def committed(self) -> None:
        """Files need not be told."""

    def advance(self, file: Part, position: Position) -> Position:
        """Move a file's position; returns it with what tells the file from others."""
        assert isinstance(file, OpenFile)
        length = min(_HEAD, position.offset + position.length)
        if length != file.position.head_length:
            head = _digest(os.pread(file.handle.fileno(), length, 0))
            position = replace(position, head=head, head_length=length)
        else:
            position = replace(position, head=file.position.head, head_length=length)
        file.position = position
        self.positions[file.key] = position
        self.moved.add(file.key)
        self._scanned.pop(file.key, None)
        return position

    def skip(self, file: Part, length: int) -> Position:
        """Move past bytes that are done with."""
        return self.advance(file, Position(file.position.offset + length))

    def give_up(self, file: Part, problem: str) -> None:
        """Read no more of a file until it is written anew, because of what is wrong with it."""
        assert isinstance(file, OpenFile)
        self._given_up[file.key] = (file.name, problem, file.status().st_size)
        self.errors[file.name] = problem
        self._close(file)

    def lag(self) -> int:
        """Bytes that are there and not counted yet."""
        size = 0
        for file in self._files.values():
            try:
                size += max(0, file.status().st_size - file.position.offset)
            except OSError:
                continue  # the next look at it says what is wrong
        return size

    def close(self) -> None:
        for file in list(self._files.values()):
            self._close(file)

    def _look(self) -> bool:
        """Open the files that there are now; returns whether there was any to open."""
        self._looked = time.monotonic()
        self.errors = {}
        paths = sorted(glob.glob(self.name, recursive=True))
        self._crowded = len(paths) > _MOST_OPEN
        self._left_out = False
        is_glob = glob.has_magic(self.name)
        if not paths:
            self.errors[self.name] = "no file matches" if is_glob else "no such file"
        found: set[str] = set()
        opened = False
        for path in paths:
            try:
                status = os.stat(path)
                if not stat.S_ISREG(status.st_mode):
                    if not is_glob:
                        self.errors[path] = _not_a_file(status.st_mode)
                    continue
                key = f"{status.st_dev}:{status.st_ino}"
                found.add(key)
                if self._is_to_open(key, status):
                    self._open(path, key, status)
                    opened = True
            except OSError as error:
                self.errors[path] = _problem(error)
        self._given_up = {key: one for key, one in self._given_up.items() if key in found}
        self.errors |= {path: problem for path, problem, _ in self._given_up.values()}
        self.errors |= dict(self._failing.values())
        for key, file in self._files.items():
            self._see_whether_ended(file, key in found)
        self._first_look = False
        return opened

    def _is_to_open(self, key: str, status: os.stat_result) -> bool:
        if key in self._files or key in self._failing:
            return False
        if key in self._given_up:
            if status.st_size >= self._given_up[key][2]:
                return False
            del self._given_up[key]
        known = self.positions.get(key)
        at_end = known is not None and known.offset == status.st_size
        quiet = self._crowded or time.time() - status.st_mtime >= _QUIET
        if at_end and (quiet or not self.follow):
            return False
        if len(self._files) < _MOST_OPEN or (self._first_look and self.start == "end"):
            return True
        self._left_out = True
        return False

    def _open(self, path: str, key: str, status: os.stat_result) -> None:
        # Whoever swaps a pipe for the file meanwhile must not make us wait for its writer.
        handle = open(  # noqa: SIM115 - closed when the file has ended
            os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0
        )
        known = self.positions.get(key)
        size = status.st_size
        file = OpenFile(name=path, key=key, handle=handle, position=known or Position(0))
        self._files[key] = file
        if known is None:
            skip = self._first_look and self.start == "end"
            self.advance(file, Position(_whole_lines(handle, size) if skip else 0))
        elif not _is_same(file, size):
            self.advance(file, Position(0))
        if self._is_done_with(file, size):
            self._close(file)

    def _see_whether_ended(self, file: OpenFile, is_there: bool) -> None:
        if is_there or not self.follow:
            file.gone_at = None
            file.ended = not self.follow
            return
        if file.gone_at is None:
            file.gone_at = self._looked
        file.ended = self._looked - file.gone_at >= _GRACE and file.is_quiet(_GRACE)

    def _is_done_with(self, file: OpenFile, size: int) -> bool:
        """Whether a file that was read to its end may be closed until it grows again."""
        if size != file.position.offset or not self.follow or file.gone_at is not None:
            return False
        return self._crowded or file.is_quiet(_QUIET)

    def _next_of(self, file: OpenFile) -> Chunk | None:
        try:
            chunk = self._read(file)
            if chunk is None and (file.ended or self._is_done_with(file, file.status().st_size)):
                self._close(file)
        except OSError as error:
            self.errors[file.name] = _problem(error)
            self._failing[file.key] = (file.name, _problem(error))
            self._close(file)
            return None
        return chunk

    def _read(self, file: OpenFile) -> Chunk | None:
        size = file.status().st_size
        if size != file.position.offset and not _is_same(file, size):
            self.advance(file, Position(0))  # truncated in place, and perhaps written to again
        position = file.position
        if position.rows:
            data = os.pread(file.handle.fileno(), position.length, position.offset)
            return Chunk(file, data, end=False)
        nothing_new = size == self._scanned.get(file.key) and not file.ended
        if size == position.offset or nothing_new:
            return None
        # Nothing was whole in the last chunk if this one begins where it did.
        nothing = file.asked == position.offset
        file.window = min(2 * file.window, _LARGEST_CHUNK) if nothing else _CHUNK
        file.asked = position.offset
        data = os.pread(file.handle.fileno(), file.window, position.offset)
        at_end = position.offset + len(data) >= size
        if len(data) > 2 * LONGEST_ROW and b"\n" not in data:
            return self._skip_row(file, size)
        if at_end and not file.ended:
            # Read again only when there is more.
            self._scanned[file.key] = size
        return Chunk(file, data, end=at_end and file.ended)

    def _skip_row(self, file: OpenFile, size: int) -> Chunk | None:
        """Look for the end of a row that is too large to read."""
        start = max(file.position.offset, self._scanned.get(file.key, 0))
        while start < size:
            data = os.pread(file.handle.fileno(), _LARGEST_CHUNK, start)
            if not data:
                return None  # truncated meanwhile
            found = data.find(b"\n")
            if found >= 0:
                length = start + found + 1 - file.position.offset
                return Chunk(file, b"", end=False, too_large=1, skipped=length)
            start += len(data)
        if file.ended:
            return Chunk(file, b"", True, too_large=1, skipped=size - file.position.offset)
        self._scanned[file.key] = start
        return None

    def _close(self, file: OpenFile) -> None:
        file.handle.close()
        self._files.pop(file.key, None)
        self._scanned.pop(file.key, None)


def source_id(pattern: str) -> str:
    """A hash of what is read, alike only where two processes read the same files."""
    parts = Path(pattern).parts
    plain = next((n for n, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    # Containers may have one folder under several paths.
    folder, rest = Path(*parts[:plain]), os.sep.join(parts[plain:])
    try:
        status = os.stat(folder)
        place = f"{status.st_dev}:{status.st_ino}"
    except OSError:
        place = str(folder)
    try:
        host = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        host = os.uname().nodename
    return _digest(f"{host}\n{place}\n{rest}".encode(errors="surrogateescape"))[:16]


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _is_same(file: OpenFile, size: int) -> bool:
    """Whether what was counted of a file is still there."""
    position = file.position
    if size < position.offset + position.length:
        return False
    head = os.pread(file.handle.fileno(), position.head_length, 0)
    return not position.head_length or _digest(head) == position.head


def _problem(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _not_a_file(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "is a folder; name its files, as in *.jsonl"
    return "is no regular file"


def _whole_lines(handle: BinaryIO, size: int) -> int:
    """The end of the last whole line of a file."""
    stop = size
    while stop > 0:
        start = max(0, stop - (1 << 16))
        found = os.pread(handle.fileno(), stop - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        stop = start
    return 0
