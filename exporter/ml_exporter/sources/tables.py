"""Table files: a path or a glob of Parquet or Arrow files, each read once it is whole.

A file is known by what is in it, so that one that is copied, renamed or there again is counted
once, and one that was written anew is another file.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass, replace
from typing import BinaryIO

from ml_exporter.formats import HeaderError
from ml_exporter.sources.identity import digest
from ml_exporter.sources.matching import matches, open_file, problem, source_id
from ml_exporter.sources.parts import Chunk, Part, SourceError, Start
from ml_exporter.sources.table_file import FileRows, TableFile, partition_keys
from ml_exporter.store.store import Position

_LOOK_AGAIN = 1.0  # seconds between looks at which files there are
_GRACE = 60.0  # seconds without a change, after which a file that isn't whole never will be
_SAMPLE = 1 << 12  # bytes that a file is known by, at each of
_SAMPLES = 64  # places, and at its end
_TAIL = 1 << 16  # bytes, where footers are
_DONE = -1  # as the length of a position's head: all rows are counted, or can't be

_log = logging.getLogger(__name__)


@dataclass
class _Seen:
    """What a file was like at the last look."""

    signature: tuple[int, ...]
    since: float  # when it was first seen like that, on the monotonic clock
    key: str | None = None  # None: not whole yet

    @property
    def size(self) -> int:
        return self.signature[2]


class TableFiles:
    """Files that match a pattern, one after the other in the order of their names.

    `follow`: stay and read those that come. `start` is whether those are read that are there at
    the first look and have no position. Raises SourceError without pyarrow.
    """

    def __init__(
        self,
        pattern: str,
        format: str,
        positions: dict[str, Position],
        follow: bool = True,
        start: Start = "start",
    ) -> None:
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            title = "Parquet" if format == "parquet" else "Arrow"
            raise SourceError(
                f"format: reading {title} needs pyarrow: pip install 'ml-exporter[parquet]'"
            ) from None
        self.name = pattern
        self.start: Start = start
        self.positions = positions
        self.moved: set[str] = set()
        self.errors: dict[str, str] = {}
        self._format = format
        self._follow = follow
        self._file: TableFile | None = None
        self._seen: dict[str, _Seen] = {}  # by path, in order
        self._given_up: dict[str, str] = {}  # key -> problem
        self._failing: set[str] = set()  # paths, till the next look
        self._paths = {position.head for position in positions.values()}  # hashes of those counted
        self._looked = 0.0
        self._first_look = True

    @property
    def source_id(self) -> str:
        return source_id(self.name)

    def look(self) -> None:
        """See which files there are, if it is time for that."""
        due = self._follow and time.monotonic() - self._looked >= _LOOK_AGAIN
        if due or self._first_look:
            self._look()
            self._first_look = False

    def next(self) -> Chunk | None:
        """The next rows of some file, or None while there are none."""
        self.look()
        while self._file is not None or self._open_next():
            assert self._file is not None
            if chunk := _chunk(self._file):
                return chunk
            self.close()
        return None

    def advance(self, file: Part, position: Position) -> Position:
        """Move a file's position; returns it with what more is remembered."""
        assert isinstance(file, TableFile)
        done = file.problem is not None or position.offset >= file.rows
        position = replace(position, head=_name(file.name), head_length=_DONE if done else 0)
        file.position = position
        self._remember(file.key, position)
        return position

    def committed(self) -> None:
        """Files need not be told."""

    def give_up(self, file: Part, problem: str) -> None:
        """Read no more of a file, because of what is wrong with it."""
        assert isinstance(file, TableFile)
        file.problem = problem
        self._given_up[file.key] = problem
        self.errors[file.name] = problem

    def lag(self) -> int:
        """Bytes that are there and not counted yet."""
        sizes = {seen.key: seen.size for seen in self._seen.values() if seen.key is not None}
        left = sum(size for key, size in sizes.items() if not self._is_done(key))
        if self._file is not None and self._file.rows and not self._is_done(self._file.key):
            left -= self._file.size * self._file.position.offset // self._file.rows
        return max(0, left)

    def close(self) -> None:
        if self._file is not None:
            self._file.handle.close()
            self._file = None

    def _remember(self, key: str, position: Position) -> None:
        self.positions[key] = position
        self._paths.add(position.head)
        self.moved.add(key)

    def _is_done(self, key: str) -> bool:
        return key in self.positions and self.positions[key].head_length == _DONE

    def _look(self) -> None:
        self._looked = time.monotonic()
        self._failing.clear()
        found = matches(self.name, hidden=False, example="**/*.parquet")
        self.errors = found.errors
        seen: dict[str, _Seen] = {}
        for path, status in found.files.values():
            try:
                seen[path] = self._see(path, status)
            except OSError as error:
                self.errors[path] = problem(error)
        self._seen = seen
        keys = {one.key: path for path, one in seen.items()}
        self.errors |= {keys[key]: text for key, text in self._given_up.items() if key in keys}

    def _see(self, path: str, status: os.stat_result) -> _Seen:
        signature = _signature(status)
        seen = self._seen.get(path)
        is_new = seen is None or seen.signature != signature
        if seen is None or is_new:
            seen = _Seen(signature, self._looked)
        if seen.key is not None:
            return seen
        age = max(time.time() - status.st_mtime, self._looked - seen.since)
        never = not self._follow or age >= _GRACE
        if not is_new and not never:
            return seen
        with open_file(path) as handle:
            if never or _is_whole(self._format, handle, status.st_size):
                seen.key = _key(handle, status.st_size, path)
        if seen.key is None or seen.key in self.positions:
            return seen
        if self._first_look and self.start == "end":
            self._remember(seen.key, Position(0, head=_name(path), head_length=_DONE))
        elif _name(path) in self._paths:
            _log.warning(
                "%s: was counted before, and has been written anew: all its rows are counted", path
            )
        return seen

    def _open_next(self) -> bool:
        """Open a file of which there is something to read, if there is any."""
        for path, seen in self._seen.items():
            if seen.key is None or self._is_done(seen.key) or path in self._failing:
                continue
            try:
                self._file = self._open(path, seen)
            except OSError as error:
                self.errors[path] = problem(error)
            if self._file is not None:
                return True
            self._failing.add(path)
        return False

    def _open(self, path: str, seen: _Seen) -> TableFile | None:
        """None where it is no more what it was; the next look sees what it is."""
        from ml_exporter.sources.table_readers import open_table

        handle = open_file(path)
        if _signature(os.fstat(handle.fileno())) != seen.signature:
            handle.close()
            return None
        assert seen.key is not None
        position = self.positions.get(seen.key, Position(0))
        file = TableFile(name=path, key=seen.key, position=position, handle=handle, size=seen.size)
        try:
            file.reader = open_table(self._format, handle)
        except HeaderError as error:
            self.give_up(file, str(error))
        else:
            if not file.rows:
                self.advance(file, Position(0))
        return file


def _chunk(file: TableFile) -> Chunk | None:
    position = file.position
    if position.head_length == _DONE:
        return None
    if file.problem is not None:
        return Chunk(file, b"", end=True, problem=file.problem)
    left = file.rows - position.offset
    rows = min(left, position.length if position.rows else file.stretch())
    table = FileRows(file, position.offset, rows)
    return Chunk(file, b"", end=rows == left, length=rows, table=table)


def _signature(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _is_whole(format: str, handle: BinaryIO, size: int) -> bool:
    from ml_exporter.sources.table_readers import is_whole

    head = os.pread(handle.fileno(), 8, 0)
    return is_whole(format, head, os.pread(handle.fileno(), 8, max(0, size - 8)))


def _key(handle: BinaryIO, size: int, path: str) -> str:
    """What tells the rows of a file from any other's: size, samples, footer, and partition."""
    samples = [repr(partition_keys(path)).encode(errors="surrogateescape")]
    for number in range(_SAMPLES):
        samples.append(os.pread(handle.fileno(), _SAMPLE, size * number // _SAMPLES))
    samples.append(os.pread(handle.fileno(), _TAIL, max(0, size - _TAIL)))
    return f"{size}:{digest(b''.join(samples))}"


def _name(path: str) -> str:
    """What is remembered of the path of a file."""
    return digest(path.encode(errors="surrogateescape"))
