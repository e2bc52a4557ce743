"""CSV and TSV, with a header line or with columns named beforehand (RFC 4180).

Quoted fields may hold line ends. A row that isn't closed or has the wrong number of fields costs
its own line and no other: reading goes on at the next line.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ml_exporter.formats.lines import BOM, whole
from ml_exporter.formats.rejections import Rejections
from ml_exporter.formats.rows import (
    LONGEST_ROW,
    MOST_FEATURES,
    Decoded,
    Layout,
    Table,
    assemble,
    extra_name,
)
from ml_exporter.formats.slots import Slots

_LONGEST_RECORD = LONGEST_ROW + 1  # bytes, with its line ends
_MOST_LINES = 1000  # of a record: a stray quote holds up no more of the log

csv.field_size_limit(LONGEST_ROW)


class HeaderError(ValueError):
    """A header line that makes every row unreadable."""


class _Header(NamedTuple):
    width: int
    read: dict[str, int]  # name -> column
    extra: Sequence[str]  # what to call the fields that aren't known


class _Record(NamedTuple):
    """What begins at some line: how many bytes that is, and its fields or what is wrong."""

    size: int
    lines: int
    fields: list[str]
    problem: str | None = None  # a reason, or `unclosed` where all belong to a quoted field


class Csv:
    """A decoder of one file, whose first line that isn't blank names the columns.

    `columns` are their names where there is no such line.
    """

    def __init__(self, layout: Layout, delimiter: str, columns: Sequence[str] = ()) -> None:
        self._layout = layout
        self._delimiter = delimiter
        self._header = self._header_of(columns) if columns else None

    def resume(self, head: bytes) -> None:
        if self._header is None:
            self._read_header(head, end=False)

    def decode(self, data: bytes, end: bool) -> Decoded:
        start = self._read_header(data, end) if self._header is None else 0
        header = self._header
        rejected = Rejections()
        if header is None:
            return assemble(Table(0, {}, text=True), self._layout, rejected, start)
        stop = whole(data, end)
        width = max(1, len(header.read))
        values = Slots(data, width, text=True)
        consumed = self._read(values, header, start, stop, end, rejected)
        columns = {name: values.column(slot) for slot, name in enumerate(header.read)}
        extra = {name: np.ones(values.rows, dtype=np.bool_) for name in header.extra}
        table = Table(values.rows, columns, text=True, extra=extra)
        return assemble(table, self._layout, rejected, consumed)

    def _read(
        self,
        values: Slots,
        header: _Header,
        start: int,
        stop: int,
        end: bool,
        rejected: Rejections,
    ) -> int:
        """Read the records of some bytes; returns where it came to."""
        data = values.data
        slots = np.full(header.width, -1, dtype=np.int32)
        slots[list(header.read.values())] = np.arange(len(header.read))
        offset = start
        while (offset := values.scan_csv(self._delimiter, slots, offset, stop)) < stop:
            record = self._record(data, offset, stop, header)
            if record.problem == "unclosed" and not end:
                all_read = offset + record.size == stop and record.lines < _MOST_LINES
                if all_read and len(data) - offset <= _LONGEST_RECORD:
                    return offset  # the rest of it may still be written
            if record.problem is None:
                if record.fields:
                    values.add([record.fields[column] for column in header.read.values()])
                offset += record.size
                continue
            line = data.find(b"\n", offset, stop) + 1 or stop
            last = end and line == stop and not data.endswith(b"\n")
            reason = "malformed" if record.problem == "unclosed" else record.problem
            reason = "truncated" if last and reason != "too_large" else reason
            rejected.reject(reason, data[offset:line].rstrip(b"\r\n"), offset=offset)
            offset = line
        return offset

    def _record(self, data: bytes, start: int, stop: int, header: _Header) -> _Record:
        """Read the record that begins somewhere, and may end at `stop`."""
        lines = _Lines(data, start, stop)
        if lines.first_is_too_large:
            return _Record(0, 1, [], "too_large")
        reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
        try:
            fields = next(reader, [])
        except UnicodeError:
            return _Record(0, 1, [], "malformed" if reader.line_num else "encoding")
        except csv.Error as error:
            unclosed = "unexpected end of data" in str(error)
            problem = "unclosed" if unclosed else "malformed"
            return _Record(lines.size, reader.line_num, [], problem)
        if fields and len(fields) != header.width:
            problem = "ragged_row" if reader.line_num == 1 else "malformed"
            return _Record(lines.size, reader.line_num, [], problem)
        return _Record(lines.size, reader.line_num, fields)

    def _read_header(self, data: bytes, end: bool) -> int:
        """Read the header if it is there, and say how many bytes were taken up to its end."""
        start = 0
        while True:
            stop = data.find(b"\n", start) + 1
            if not stop and not end:
                return start
            line = data[start : stop or len(data)].removeprefix(BOM)
            start = stop or len(data)
            if line.strip():
                self._header = self._header_of(self._names(line))
                return start
            if not stop:
                return start

    def _names(self, line: bytes) -> list[str]:
        try:
            return next(csv.reader([line.decode()], delimiter=self._delimiter, strict=True))
        except UnicodeError:
            raise HeaderError("the header line is not UTF-8") from None
        except csv.Error as error:
            raise HeaderError(f"the header line can't be read: {error}") from None

    def _header_of(self, names: Sequence[str]) -> _Header:
        layout = self._layout
        wanted = set(layout.paths())
        twice = [
            name
            for name, n in Counter(names).items()
            if n > 1 and (name in wanted or (layout.discover and name))
        ]
        if twice:
            raise HeaderError(f"column {twice[0]!r} occurs twice in the header")
        unknown = [name for name in names if name not in wanted and name not in layout.known]
        if layout.discover:
            wanted.update([name for name in unknown if name][:MOST_FEATURES])
        read = {name: column for column, name in enumerate(names) if name in wanted}
        extra: dict[str, None] = {}
        for name in () if layout.discover else unknown:
            extra[extra_name(name, extra)] = None
        return _Header(len(names), read, list(extra))


class _Lines(Iterable[str]):
    """The lines that a record may have, decoded as they are asked for."""

    def __init__(self, data: bytes, start: int, stop: int) -> None:
        self._data = data
        self._start = start
        self._stop = stop
        self.size = 0  # bytes, of those that were asked for

    @property
    def first_is_too_large(self) -> bool:
        last = min(self._stop, self._start + _LONGEST_RECORD)
        found = self._data.find(b"\n", self._start, last)
        return found < 0 and self._stop - self._start > LONGEST_ROW

    def __iter__(self) -> Iterator[str]:
        for _ in range(_MOST_LINES):
            start = self._start + self.size
            stop = self._data.find(b"\n", start, self._stop) + 1 or self._stop
            if start == stop or stop - self._start > _LONGEST_RECORD:
                return
            self.size += stop - start
            yield self._data[start:stop].decode()
