"""Log files: a path or a glob, read to their ends and then followed as they grow.

A file is known by its device and inode, and by its content: what was counted of a log isn't
counted again of a copy or an archive of it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

from ml_exporter.sources.compression import Compressed
from ml_exporter.sources.identity import (
    HEAD,
    MOST_KEPT,
    Match,
    Steps,
    absences,
    finish,
    holds,
    overdue,
    recognise,
)
from ml_exporter.sources.matching import matches, open_file, problem, source_id
from ml_exporter.sources.open_files import CUT_OFF, OpenFile, Plain, WrittenAnew, state
from ml_exporter.sources.parts import Chunk, Part, Start, move
from ml_exporter.store.store import Position

_LOOK_AGAIN = 1.0  # seconds between looks at which files there are
_GRACE = 60.0  # seconds that a writer may go on with a file that was moved away or deleted
_QUIET = 600.0  # seconds without growth, after which a file that was read to its end is closed
_COPY_AGAIN = 10.0  # seconds between looks at a copy that is still written
_MOST_OPEN = 256  # files

_Value = TypeVar("_Value")


class _Copy(NamedTuple):
    """A file that isn't read, because all it has is counted of another one."""

    of: str  # the key of a file that is there, or ""
    state: tuple[int, int]  # its size, and when it was written to
    seen: float  # on the monotonic clock


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
    _copies: dict[str, _Copy] = field(default_factory=dict)  # by key
    _present: dict[str, os.stat_result] = field(default_factory=dict)  # what matches, by key
    _looked: float = 0.0
    _first_look: bool = True
    _unverified: bool = False  # it isn't known of all files with a position if they are the same
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
            self._verify()
            for key in list(self._files):
                if chunk := self._next_of(key):
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
        return move(self, file, file.mark(position))

    def give_up(self, file: Part, problem: str) -> None:
        """Read no more of a file until it is written anew, because of what is wrong with it."""
        assert isinstance(file, OpenFile)
        self._given_up[file.key] = (file.name, problem, file.size())
        self.errors[file.name] = problem
        self._close(file)

    def lag(self) -> int:
        """Bytes that are there and not counted yet; of compressed files, as they are stored."""
        size = 0
        for file in self._files.values():
            try:
                size += file.left()
            except OSError:
                continue  # the next look at it says what is wrong
        return size

    def close(self) -> None:
        for file in list(self._files.values()):
            self._close(file)

    def _look(self) -> bool:
        """Open the files that there are now; returns whether there was any to open."""
        self._looked = time.monotonic()
        found = matches(self.name)
        self.errors = found.errors
        self._crowded = found.paths > _MOST_OPEN
        self._left_out = False
        self._present = {key: status for key, (_, status) in found.files.items()}
        # What was truncated is noticed before its copies are looked at.
        for file in list(self._files.values()):
            if not self._is_intact(file):
                self._begin_anew(file)
        opened = False
        for key, (path, status) in found.files.items():
            try:
                if self._is_to_open(key, status):
                    self._open(path, key, status)
                    opened = True
            except OSError as error:
                self.errors[path] = problem(error)
        self._given_up = _of(self._present, self._given_up)
        self._copies = _of(self._present, self._copies)
        self.errors |= {path: text for path, text, _ in self._given_up.values()}
        self.errors |= dict(self._failing.values())
        for key, file in self._files.items():
            self._see_whether_ended(file, key in self._present)
            if file.is_cut_off and file.is_quiet(_QUIET):
                self.errors[file.name] = CUT_OFF
        if self.follow and self._present:
            self._forget()
        self._first_look = False
        return opened

    def _is_to_open(self, key: str, status: os.stat_result) -> bool:
        if key in self._files or key in self._failing:
            return False
        if key in self._given_up:
            if status.st_size >= self._given_up[key][2]:
                return False
            del self._given_up[key]
        if self._is_still_copy(key, status):
            return False
        known = self.positions.get(key)
        if known is not None and known.packed:
            if (known.packed, known.modified) == state(status):
                return False
        elif known is not None and known.offset == status.st_size:
            quiet = self._crowded or time.time() - status.st_mtime >= _QUIET
            if quiet or not self.follow:
                return False
        if len(self._files) < _MOST_OPEN or (self._first_look and self.start == "end"):
            return True
        self._left_out = True
        return False

    def _is_still_copy(self, key: str, status: os.stat_result) -> bool:
        copy = self._copies.pop(key, None)
        if copy is None or (copy.of and not self._is_there(copy.of)):
            return False
        # Another file may have got its number.
        if copy.state != state(status) and self._looked - copy.seen >= _COPY_AGAIN:
            return False
        self._copies[key] = copy
        return True

    def _is_there(self, key: str) -> bool:
        return key in self._present or key in self._files

    def _is_intact(self, file: OpenFile) -> bool:
        try:
            return not file.settled or file.still_there()
        except OSError:
            return True  # whoever reads it finds out

    def _open(self, path: str, key: str, status: os.stat_result) -> None:
        handle = open_file(path)
        is_new = key not in self.positions
        file = OpenFile(name=path, key=key, handle=handle, position=Position(0))
        file.ended = not self.follow
        self._files[key] = file
        try:
            if is_new and self._first_look and self.start == "end" and file.look_inside():
                move(self, file, file.pass_over(status))
                if not file.settled:
                    self._close(file)
            elif is_new:
                move(self, file, file.position)
            else:
                self._resume(file, self.positions[key])
        except OSError:
            self._close(file)
            raise

    def _resume(self, file: OpenFile, known: Position) -> None:
        """Go on with a file that has a position, if it is the same."""
        file.position = known
        if not file.look_inside():
            if known.end and not file.trouble:
                self._begin_anew(file)
        elif isinstance(file.content, Plain) and known.end:
            if not finish(holds(file.content, known)):
                self._begin_anew(file)
                return
            file.begin_at(known)
            if self._is_done_with(file, file.size()):
                self._close(file)

    def _begin_anew(self, file: OpenFile) -> None:
        """Take a file for another one, for it doesn't hold any more what was counted of it."""
        old = file.position
        if old.tail_length:
            # There may be a copy of what it was.
            key = f"was:{file.key}:{old.head[:8]}:{old.tail[:8]}"
            self.positions[key] = replace(old, packed=0, modified=0, gone=time.time())
            self.moved.add(key)
        self._copies = {key: copy for key, copy in self._copies.items() if copy.of != file.key}
        anew = OpenFile(name=file.name, key=file.key, handle=file.handle, position=Position(0))
        anew.ended, anew.gone_at = file.ended, file.gone_at
        self._files[file.key] = anew
        move(self, anew, anew.position)

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
        if not file.is_read(size) or not self.follow or file.gone_at is not None:
            return False
        return self._crowded or file.is_quiet(_QUIET) or isinstance(file.content, Compressed)

    def _forget(self) -> None:
        """Note which files went away, and forget those that won't come back."""
        now = time.time()
        changed = absences(self.positions, {*self._present, *self._files}, now)
        self.positions.update(changed)
        old, too_many = overdue(self.positions, now)
        if too_many:
            self.errors[self.name] = (
                f"more than {MOST_KEPT} files went away; one that comes back may be counted twice"
            )
        for key in (*old, *too_many):
            del self.positions[key]
        self.moved.update(changed, old, too_many)

    def _verify(self) -> None:
        """See which files with a position are the same, before others are compared to them."""
        for file in list(self._files.values()):
            if file.is_unverified:
                self._try(file, self._settle)
        self._unverified = any(file.is_unverified for file in self._files.values())

    def _next_of(self, key: str) -> Chunk | None:
        while file := self._files.get(key):
            chunk = self._try(file, self._step)
            if chunk or self._files.get(key) is file:
                return chunk
        return None

    def _try(self, file: OpenFile, act: Callable[[OpenFile], _Value]) -> _Value | None:
        """Do something with a file, unless it can't be read now."""
        try:
            return act(file)
        except OSError as error:
            self.errors[file.name] = problem(error)
            self._failing[file.key] = (file.name, problem(error))
            self._close(self._files.get(file.key, file))
            return None

    def _step(self, file: OpenFile) -> Chunk | None:
        """The next bytes of a file, which is closed where there will be no more."""
        chunk = None
        if self._settle(file):
            chunk = self._read(file)
            over = file.ended or self._is_done_with(file, file.size())
            if chunk is None and over and self._files.get(file.key) is file:
                self._close(file)
        elif file.trouble:
            chunk = Chunk(file, b"", end=True, problem=file.trouble)
        elif file.ended and file.content is None:
            self._close(file)
        if chunk and chunk.problem:
            self.give_up(file, chunk.problem)
        return chunk

    def _settle(self, file: OpenFile) -> bool:
        """Find out where reading begins; False while that takes time, and where it doesn't."""
        if file.settled or (self._unverified and not file.is_unverified):
            return file.settled
        if file.look_inside() and not self._is_too_short(file):
            file.search = file.search or self._search(file)
            try:
                while True:
                    next(file.search)
                    if self.follow:
                        break
            except StopIteration:
                file.search = None
        return file.settled

    def _is_too_short(self, file: OpenFile) -> bool:
        """Whether too little of a compressed file is written to say what it is a copy of."""
        content = file.content
        if not self.follow or file.search or not isinstance(content, Compressed):
            return False
        others = any(one.end for key, one in self.positions.items() if key != file.key)
        content.reach(HEAD)
        young = not (file.ended or file.is_quiet(_GRACE))
        return others and young and content.at < HEAD and file.is_cut_off

    def _search(self, file: OpenFile) -> Steps[None]:
        """Find out what of a file is counted already."""
        content, known = file.content, file.position
        assert content is not None
        if known.end:
            if (yield from holds(content, known)):
                file.begin_at(known)
            else:
                self._begin_anew(file)
            return
        others = {key: one for key, one in self.positions.items() if one.end and key != file.key}
        match = (yield from recognise(content, others)) if self.follow else None
        if match is not None:
            self._match(file, match)
        elif isinstance(content, Compressed) and file.was_passed_over():
            file.begin_at(Position((yield from content.lines_of(known.packed))))
        else:
            file.begin_at(Position(0))

    def _match(self, file: OpenFile, match: Match) -> None:
        """Go on where another file was left; while that one is there, it is read alone."""
        there = self._is_there(match.key)
        position = self.positions[match.key]
        if match.whole and match.sure and there and self._outgrows(file, match.key):
            file.begin_at(replace(position, packed=0, modified=0, gone=0.0))
            move(self, file, file.position)
        elif match.whole and not there:
            file.begin_at(replace(position, packed=0, modified=0, gone=0.0))
            move(self, file, file.position)
            del self.positions[match.key]
            self.moved.add(match.key)
        elif {file.key, match.key} <= self._present.keys() and not match.sure:
            file.begin_at(Position(0))
        else:
            of = match.key if there else ""
            self._copies[file.key] = _Copy(of, state(file.status()), self._looked)
            self._close(file)

    def _outgrows(self, file: OpenFile, key: str) -> bool:
        """Whether it has more than another file that is read to its end: no copy has."""
        position = self.positions[key]
        other = self._files.get(key)
        size = other.size() if other else self._present[key].st_size
        plain = not isinstance(file.content, Compressed)
        is_read = size == (position.packed or position.end) and not position.rows
        return plain and is_read and file.size() > position.end

    def _read(self, file: OpenFile) -> Chunk | None:
        # Nobody goes on with the last line of an archive.
        ended = file.ended or (file.is_whole and file.is_quiet(_GRACE))
        try:
            chunk = file.chunk(ended)
        except WrittenAnew:
            self._begin_anew(file)
            return None
        if chunk is None and (position := file.whole_position()):
            move(self, file, position)
        return chunk

    def _close(self, file: OpenFile) -> None:
        file.handle.close()
        self._files.pop(file.key, None)


def _of(keys: Collection[str], values: dict[str, _Value]) -> dict[str, _Value]:
    return {key: value for key, value in values.items() if key in keys}
