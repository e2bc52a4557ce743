"""A thread that queries a table: all that has to wait for the database.

A transaction that commits late shows a lower key after a higher one was read. Where keys are
missing, what lies behind them waits until that high a key had been seen for a while: whatever
commits within the while is read.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_exporter.config.source_settings import SqlSource as Settings
from ml_exporter.sources.parts import Start
from ml_exporter.sources.sql_database import (
    Unreadable,
    begin_reading,
    check_file,
    find_table,
    kind_of,
    open_engine,
    parse_url,
    without_password,
)
from ml_exporter.sources.sql_rows import UNREADABLE, line
from ml_exporter.store.store import Position

if TYPE_CHECKING:
    from sqlalchemy import Column, Connection, Executable, Table

log = logging.getLogger(__name__)

_CHUNK = 1 << 19  # bytes, of which two may wait in memory
_MOST_ROWS = 2000  # of a query
_AT_A_TIME = 100  # rows that a driver holds
_MOST_READY = 2  # chunks that wait to be counted
_GRACE = 60.0  # seconds in which a transaction may commit after a later one
_SHORTEST = 0.1  # seconds between queries
_RETRY = 1.0  # seconds, at least, after an error
_CLOSING = 2.0  # seconds for the thread to end
_SILENCE = 90.0  # seconds without an answer, after which that is an error


class Rows(NamedTuple):
    """Lines of the rows from a key on, up to another one."""

    offset: int
    end: int
    data: bytes


class TableReader:
    """Reads a table in the order of its keys, ahead of whoever counts, but not far.

    Whoever counts holds the lock of `changed` for all but `begin` and `stop`.
    """

    def __init__(self, settings: Settings, position: Position | None, follow: bool) -> None:
        """`position` is None where nothing is counted yet. Raises SourceError."""
        self.changed = threading.Condition()
        self.ready: deque[Rows] = deque()
        self.position = position
        self.highest: int | None = None  # key
        self.mean_size = 0.0  # bytes of a row
        self.is_over = False  # nothing more comes
        self.url = parse_url(settings)
        self._problem: str | None = None
        self.asked = 0  # how many times
        self._asking_since: float | None = None
        self._settings = settings
        self._follow = follow
        self._start: Start = "start"
        self._engine = open_engine(self.url)
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._table: tuple[Table, Column[Any]] | None = None
        self._offset: int | None = None  # of the next query
        self._stop: int | None = None  # the last key, of what is read once
        self._began_again = False
        self._limit = _MOST_ROWS
        self._seen: deque[tuple[float, int]] = deque()  # the highest key at some times
        self._settled: int | None = None  # keys up to this one have all been committed

    @property
    def problem(self) -> str | None:
        since = self._asking_since
        if since is not None and time.monotonic() - since >= _SILENCE:
            return "the database doesn't answer"
        return self._problem

    def begin(self, start: Start) -> None:
        """Read, from `start` or end where nothing is counted yet."""
        if self._thread is None:
            self._start = start
            self._thread = threading.Thread(target=self._run, name="sql", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._closing.set()
        with self.changed:
            self.changed.notify_all()
        if self._thread is not None:
            self._thread.join(_CLOSING)

    def drop(self, offset: int) -> None:
        """What is before a key is counted."""
        while self.ready and self.ready[0].end <= offset:
            self.ready.popleft()
        self.changed.notify_all()

    def _run(self) -> None:
        try:
            while not self._closing.is_set() and self._turn():
                pass
        finally:
            self._engine.dispose()
            with self.changed:
                self.is_over = True
                self.changed.notify_all()

    def _turn(self) -> bool:
        """Query once, and wait until it is time for the next; False if there is none."""
        self._asking_since = time.monotonic()
        try:
            rows = self._ask()
            self._problem = None
        except Exception as error:
            self._problem = self._describe(error)
            self._table = None  # it may be another one by then
            rows = None
        self._asking_since = None
        self.asked += 1
        if rows is None:
            shortest = _RETRY if self._problem else _SHORTEST
            self._closing.wait(max(shortest, self._settings.interval) if self._follow else 0)
            return self._follow
        with self.changed:
            self.ready.append(rows)
            self.changed.notify_all()
            self.changed.wait_for(lambda: self._closing.is_set() or len(self.ready) < _MOST_READY)
        return True

    def _ask(self) -> Rows | None:
        """The next rows, if there are any that may be read."""
        check_file(self.url)
        with self._engine.connect() as connection:
            begin_reading(connection)
            if self._table is None:
                self._table = find_table(connection, self._settings)
            _, column = self._table
            low, high = self._bounds(connection, column)
            if self._offset is None:
                self._offset = self._first_offset(low, high)
            self._see(high, self._offset)
            if high is None or high < self._offset:
                return None
            rows = self._same_again(connection) or self._next(connection)
        if rows is not None:
            self._offset = rows.end
        return rows

    def _bounds(self, connection: Connection, column: Column[Any]) -> tuple[int | None, int | None]:
        """The lowest key, where it matters, and the highest."""
        from sqlalchemy import func, select

        low = None
        if self._offset is None:
            low = connection.scalar(select(func.min(column)))
        high = connection.scalar(select(func.max(column)))
        return None if low is None else self._key(low), None if high is None else self._key(high)

    def _first_offset(self, low: int | None, high: int | None) -> int:
        if not self._follow:
            self._stop = high
        if self.position is None:
            # Keys begin with 1: lower ones than the lowest may not be committed yet.
            first = min(1, low if low is not None else 1)
            if self._start == "end" and high is not None:
                first = high + 1
            with self.changed:
                self.position = Position(first)
        return self.position.offset

    def _see(self, high: int | None, offset: int) -> None:
        """Note the highest key, and which keys have been seen for long enough."""
        before, self.highest = self.highest, high
        if before is not None and high is not None and before < high < offset:
            self._began_again = True
        if self._began_again:
            raise Unreadable(
                "its numbers began again: new rows have lower ones than those that are counted"
            )
        if high is None:
            return
        if not self._follow:
            self._settled = self._stop
            return
        now = time.monotonic()
        if not self._seen or (high > self._seen[-1][1] and now - self._seen[-1][0] >= 1.0):
            self._seen.append((now, high))
        while self._seen and now - self._seen[0][0] >= _GRACE:
            self._settled = self._seen.popleft()[1]

    def _same_again(self, connection: Connection) -> Rows | None:
        """All rows of the chunk of which some are counted."""
        position = self.position
        if position is None or not position.rows or self._offset != position.offset:
            return None
        end = position.offset + position.length
        lines = [text for _, text in self._lines(connection, self._query(position.offset, end))]
        return Rows(position.offset, end, b"".join(lines))

    def _next(self, connection: Connection) -> Rows | None:
        """Rows that follow each other, or whose gaps are old."""
        from sqlalchemy.exc import DataError

        assert self._offset is not None
        offset = end = self._offset
        lines: list[bytes] = []
        size = 0
        stop = None if self._stop is None else self._stop + 1
        try:
            for key, text in self._lines(connection, self._query(offset, stop, self._limit)):
                if key < end:
                    name = self._settings.cursor
                    raise Unreadable(f"column {name!r} has a number twice; each may be there once")
                if key > end and (self._settled is None or key - 1 > self._settled):
                    break
                lines.append(text)
                size += len(text)
                end = key + 1
                if size >= _CHUNK:
                    break
        except (DataError, ValueError, ArithmeticError):
            connection.rollback()
            begin_reading(connection)
            return self._around_bad(connection, offset, stop)
        self._limit = min(2 * self._limit, _MOST_ROWS)
        if not lines:
            return None
        mean = size / len(lines)
        self.mean_size = mean if not self.mean_size else (self.mean_size + mean) / 2
        return Rows(offset, end, b"".join(lines))

    def _around_bad(self, connection: Connection, offset: int, stop: int | None) -> Rows | None:
        """Come nearer to a row that the driver can't read, and reject it alone."""
        if self._limit > 1:
            self._limit //= 2
            return self._next(connection)
        query = self._query(offset, stop, 1, only_keys=True)
        key = self._key(connection.execute(query).scalar_one())
        if key > offset and (self._settled is None or key - 1 > self._settled):
            return None
        return Rows(offset, key + 1, UNREADABLE)

    def _query(
        self, offset: int, end: int | None, limit: int | None = None, *, only_keys: bool = False
    ) -> Executable:
        from sqlalchemy import select, type_coerce
        from sqlalchemy.types import NULLTYPE

        assert self._table is not None
        table, cursor = self._table
        columns = [] if only_keys else list(table.columns)
        # As the driver has them: SQLite's columns may hold anything, whatever their type.
        raw = [type_coerce(column, NULLTYPE) for column in (cursor, *columns)]
        query = select(*raw).where(cursor >= offset).order_by(cursor)
        if end is not None:
            query = query.where(cursor < end)
        return query if limit is None else query.limit(limit)

    def _lines(self, connection: Connection, query: Executable) -> Any:
        """Keys and lines of rows, as they come."""
        assert self._table is not None
        columns = list(self._table[0].columns)
        names = [column.name for column in columns]
        kinds = [kind_of(column) for column in columns]
        result = connection.execute(query, execution_options={"yield_per": _AT_A_TIME})
        try:
            for key, *row in result:
                yield self._key(key), line(names, kinds, row)
        finally:
            result.close()

    def _key(self, value: Any) -> int:
        if isinstance(value, int) or (isinstance(value, Decimal) and value == int(value)):
            return int(value)
        raise Unreadable(f"column {self._settings.cursor!r} has values that aren't whole numbers")

    def _describe(self, error: Exception) -> str:
        """What is wrong, in words."""
        from sqlalchemy.exc import DBAPIError, SQLAlchemyError

        if isinstance(error, Unreadable):
            return str(error)
        if isinstance(error, DBAPIError):
            return without_password(str(error.orig), self.url)
        if isinstance(error, SQLAlchemyError | OSError):
            return without_password(str(error), self.url)
        log.exception("reading a database has failed")
        return "reading has failed; its reason is in the log"
