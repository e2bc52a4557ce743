"""The state's SQLite file, always in a transaction, which is saved while there is room for it.

The file is in WAL mode: https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_exporter.store.state_folder import APPLICATION, StateError, StateFolder

log = logging.getLogger(__name__)

_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_LOOKED_THROUGH = 16 << 20  # bytes; what is larger takes too long at each start
_CACHE = 32 << 10  # KiB; what is written all over in a second stays in it
_MOST_WAL = 64 << 20  # bytes that the write-ahead log keeps when all of it is in the file
_MOST_IN_MEMORY = 256 << 20  # bytes that may wait for room
_DELAY, _LONGEST_DELAY = 1.0, 10.0  # seconds between looks whether there is room again


class Damage(sqlite3.DatabaseError):
    """What was read is not what was written."""


@dataclass(frozen=True)
class Schema:
    """Statements that make the tables, and what brings older ones up to date."""

    statements: str
    migrations: Sequence[Callable[[sqlite3.Connection], None]]  # from version 1 to 2, and so on
    start_over: str  # statements for a state that lacks what scrapes have seen

    @property
    def version(self) -> int:
        return 1 + len(self.migrations)


class Database:
    """What is said since the last commit is in the open transaction.

    Where there is no room to save it, it stays there: SQLite keeps what has changed in memory, and
    reads the rest from the file. Before a scrape sees any of it, the folder is marked as not
    saved. A start after that begins counters at 0, for what is saved is less than what was shown.
    """

    connection: sqlite3.Connection

    def __init__(self, folder: Path | None, schema: Schema) -> None:
        """Open the state in a folder, or a temporary one without; raises StateError.

        A file that is no state, or a damaged one, is set aside.
        """
        self._schema = schema
        self._in_memory = False
        self._is_behind = False  # something was shown that the file doesn't have
        self._delay, self._try_at = _DELAY, 0.0  # of looks whether there is room
        self._folder = None if folder is None else StateFolder(folder)
        try:
            self._open()
        except BaseException:
            if self._folder is not None:
                self._folder.close()
            raise

    @property
    def is_in_memory(self) -> bool:
        """Whether more was said than could be saved."""
        return self._in_memory

    @property
    def exceeds_memory(self) -> bool:
        """Whether no more may be said before something is saved."""
        return self._in_memory and self._unsaved() > _MOST_IN_MEMORY

    def commit(self, *, last: bool = False) -> bool:
        """Save what was said since the last commit; raises sqlite3.Error where that fails.

        False where there is no room, and nothing has failed by trying. Whether there is some is
        looked at now and then, and for the `last` commit.
        """
        if self._in_memory and not self._has_room(last):
            return False
        self.connection.execute("COMMIT")
        if self._in_memory:
            self._set_saved()
        self._begin()
        return True

    def rollback(self) -> None:
        """Forget what was said since the last commit."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self._begin()

    def recover(self, error: sqlite3.Error) -> bool:
        """Go on after an error: with what was saved last, or with nothing where that is damaged.

        From now on what is said stays in memory until there is room. Only where the folder can't
        even be marked so, commits are tried as before. Returns whether all is lost; raises
        StateError where no file can be opened.
        """
        if self._folder is not None and _is_damage(error):
            self._set_aside(error)
            return True
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self._try_at = time.monotonic() + self._delay
        if self._folder is not None and not self._in_memory:
            with contextlib.suppress(OSError):
                self._folder.set_saved(False)
                self._in_memory = True
        self._begin()
        return False

    def abandon(self) -> None:
        """In a child that was forked: leave file and lock to the parent, whose they stay.

        Not even the end of the child may close the connection: that would write to the file.
        See https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_
        """
        import ctypes  # of no use to a process that doesn't fork

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.connection))
        if self._folder is not None:
            self._folder.close()

    def close(self) -> None:
        self.connection.close()
        if self._folder is not None:
            self._folder.close()

    def _open(self) -> None:
        self._in_memory = self._is_behind = False
        if self._folder is None:
            # An empty name is a temporary file: many predictions may wait, and memory is short.
            self._connect("")
            self._begin()
            return
        if problem := self._folder.examine(self._schema.version):
            self._folder.set_aside(*problem)
        try:
            self._open_file(self._folder)
        except sqlite3.Error as error:
            if not _is_damage(error):
                self.connection.close()
                raise StateError(f"{self._folder.file}: {error}") from None
            self._set_aside(error)

    def _set_aside(self, error: sqlite3.Error) -> None:
        assert self._folder is not None
        self.connection.close()
        self._folder.set_aside("corrupt", str(error))
        self._open()

    def _open_file(self, folder: StateFolder) -> None:
        self._connect(str(folder.file))
        db = self.connection
        db.execute("PRAGMA temp_store = MEMORY")
        # What a scrape showed must outlive the machine's power.
        db.execute("PRAGMA synchronous = FULL")
        version = self._get("user_version")
        if version:
            if self._get("application_id") != APPLICATION or version > self._schema.version:
                raise Damage("the header and the write-ahead log don't agree")
            self._is_behind = version > 1 and not folder.is_saved
        else:
            # The header must be in the file itself, which is known by it.
            self._set_saved()
            self._begin()
            db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA journal_size_limit = {_MOST_WAL}")
        if self._get("page_count") * self._get("page_size") <= _LOOKED_THROUGH:
            (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise Damage(found)
        if self._is_behind:
            log.warning("not all that was shown is saved: counters begin at 0")
        try:
            self._begin()
            self.commit()
            self._set_saved()
        except sqlite3.OperationalError as error:
            self.recover(error)
            if not self._in_memory or error.sqlite_errorcode & 0xFF not in _NO_ROOM:
                raise

    def _connect(self, name: str) -> None:
        self.connection = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
        # Nobody else has the folder, and memory shared with them would be a file on a full disk.
        # It is said first: whatever looks at the file would begin to share.
        self.connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        self.connection.execute(f"PRAGMA cache_size = -{_CACHE}")

    def _begin(self) -> None:
        """Begin a transaction in which the tables are as they should be."""
        db = self.connection
        self._saved_pages, self._saved_changes = self._get("page_count"), db.total_changes
        # SQLite writes early what has changed, unless it is told not to.
        db.execute(f"PRAGMA cache_spill = {'OFF' if self._in_memory else 'ON'}")
        db.execute("BEGIN")
        version = self._get("user_version")
        if not version:
            db.execute(f"PRAGMA application_id = {APPLICATION}")
            run_script(db, self._schema.statements)
        for migrate in self._schema.migrations[version - 1 :] if version else ():
            migrate(db)
        if version != self._schema.version:
            db.execute(f"PRAGMA user_version = {self._schema.version}")
        if self._is_behind:
            run_script(db, self._schema.start_over)

    def _set_saved(self) -> None:
        assert self._folder is not None
        with contextlib.suppress(OSError):  # the next start begins at 0, then
            self._folder.set_saved(True)
        self._in_memory = self._is_behind = False
        self._delay = _DELAY

    def _has_room(self, last: bool) -> bool:
        """Whether what was said can be saved: a commit that fails would undo it."""
        assert self._folder is not None
        if time.monotonic() < self._try_at and not last:
            return False
        self._delay = min(2 * self._delay, _LONGEST_DELAY)
        self._try_at = time.monotonic() + self._delay
        return self._folder.has_room(self._unsaved())

    def _unsaved(self) -> int:
        """How many bytes a commit writes, at most."""
        pages = self._get("page_count")
        touched = 4 * (self.connection.total_changes - self._saved_changes)
        written = min(touched, self._saved_pages) + max(0, pages - self._saved_pages)
        return written * (self._get("page_size") + 24)

    def _get(self, pragma: str) -> int:
        value: int = self.connection.execute(f"PRAGMA {pragma}").fetchone()[0]
        return value


def run_script(connection: sqlite3.Connection, statements: str) -> None:
    """Run statements, with no `;` but at their ends, in the open transaction."""
    for statement in statements.split(";"):
        connection.execute(statement)


def signed(*values: str | bytes | int) -> tuple[str | bytes | int, ...]:
    """A row's values, and a checksum of them."""
    return (*values, _checksum(values))


def check(row: Sequence[Any]) -> Sequence[Any]:
    """The values of a row that was `signed`; raises Damage where they are others now."""
    *values, checksum = row
    if _checksum(values) != checksum:
        raise Damage("a checksum is wrong")
    return values


def _checksum(values: Sequence[Any]) -> bytes:
    found = hashlib.blake2b(digest_size=16)
    for value in values:
        data = value if isinstance(value, bytes) else str(value).encode()
        found.update(len(data).to_bytes(8, "little"))
        found.update(data)
    return found.digest()


def _is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is to blame, and not the disk or the memory."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return isinstance(error, Damage) or code & 0xFF in _DAMAGE
