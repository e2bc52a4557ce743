"""CSV and TSV with a header line (RFC 4180): quoted fields may hold line ends.

A row that isn't closed or has the wrong number of fields costs its own line and no other:
reading goes on at the next line.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ml_exporter.formats.rows import (
    LONGEST_ROW,
    MOST_FEATURES,
    Decoded,
    Layout,
    Table,
    assemble,
    extra_name,
)

_BOM = b"\xef\xbb\xbf"
_LONGEST_RECORD = LONGEST_ROW + 1  # bytes, with its line ends
_MOST_LINES = 1000  # of a record: a stray quote holds up no more of the log

csv.field_size_limit(LONGEST_ROW)


class HeaderError(ValueError):
    """A header line that makes every row unreadable."""


class _Header(NamedTuple):
    width: int
    read: dict[str, int]  # name -> column
    extra: Sequence[str]  # what to call the fields that aren't known


class _Columns(NamedTuple):
    rows: int
    values: list[list[str]]  # of each column that is read


class Csv:
    """A decoder of one file, whose first line that isn't blank names the columns."""

    def __init__(self, layout: Layout, delimiter: str) -> None:
        self._layout = layout
        self._delimiter = delimiter
        self._header: _Header | None = None

    def resume(self, head: bytes) -> None:
        self._read_header(head, end=False)

    def decode(self, data: bytes, end: bool) -> Decoded:
        start = self._read_header(data, end) if self._header is None else 0
        if self._header is None:
            return self._decoded(_Header(0, {}, ()), _Columns(0, []), Counter(), start)
        stop = len(data) if end else data.rfind(b"\n") + 1
        body = data[start:stop]
        columns = self._columns_at_once(body, self._header)
        if columns is not None:
            return self._decoded(self._header, columns, Counter(), stop)
        unfinished = len(data) - stop
        rows, rejected, length = self._rows_one_by_one(body, self._header, end, unfinished)
        columns = _transposed(rows, self._header)
        return self._decoded(self._header, columns, rejected, start + length)

    def _read_header(self, data: bytes, end: bool) -> int:
        """Read the header if it is there, and say how many bytes were taken up to its end."""
        start = 0
        while True:
            stop = data.find(b"\n", start) + 1
            if not stop and not end:
                return start
            line = data[start : stop or len(data)].removeprefix(_BOM)
            start = stop or len(data)
            if line.strip():
                self._header = self._parse_header(line)
                return start
            if not stop:
                return start

    def _parse_header(self, line: bytes) -> _Header:
        try:
            names = next(self._reader([line.decode()]))
        except UnicodeError:
            raise HeaderError("the header line is not UTF-8") from None
        except csv.Error as error:
            raise HeaderError(f"the header line can't be read: {error}") from None
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

    def _reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        return csv.reader(lines, delimiter=self._delimiter, strict=True)

    def _columns_at_once(self, body: bytes, header: _Header) -> _Columns | None:
        """All rows, if there is nothing wrong with any of them."""
        if max(map(len, body.split(b"\n"))) > LONGEST_ROW:
            return None
        try:
            text = body.decode()
        except UnicodeError:
            return None
        return self._split(text, header) or self._parse(text, len(body), header)

    def _split(self, text: str, header: _Header) -> _Columns | None:
        """Rows without quotes or blank lines among them, at several times the speed."""
        lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
        delimiters = {line.count(self._delimiter) for line in lines}
        if '"' in text or delimiters != {header.width - 1} or not all(lines):
            return None
        fields = self._delimiter.join(lines).split(self._delimiter)
        if any("\r" in line for line in lines):
            return None
        return _Columns(len(lines), [fields[at :: header.width] for at in header.read.values()])

    def _parse(self, text: str, size: int, header: _Header) -> _Columns | None:
        reader = csv.reader(io.StringIO(text, newline="\n"), delimiter=self._delimiter, strict=True)
        try:
            rows = list(reader)
        except csv.Error:
            return None
        # Whether a record of several lines is too large is looked at one by one.
        more_lines = reader.line_num - len(rows)
        if more_lines and (more_lines >= _MOST_LINES or size > LONGEST_ROW):
            return None
        rows = [row for row in rows if row]
        return _transposed(rows, header) if set(map(len, rows)) <= {header.width} else None

    def _rows_one_by_one(
        self, body: bytes, header: _Header, end: bool, unfinished: int
    ) -> tuple[list[list[str]], Counter[str], int]:
        """Rows, rejected rows, and the length of both; `unfinished` bytes follow the body."""
        rows: list[list[str]] = []
        rejected: Counter[str] = Counter()
        lines = _lines(body)
        rest = len(body) + unfinished
        number = 0
        while number < len(lines):
            taken, outcome = self._record(lines, number, header)
            if outcome == "unclosed" and not end:
                all_read = number + taken == len(lines) and taken < _MOST_LINES
                if all_read and rest <= _LONGEST_RECORD:
                    break  # the rest of it may still be written
            if isinstance(outcome, str):
                taken = 1
                last = end and number == len(lines) - 1 and not body.endswith(b"\n")
                reason = "malformed" if outcome == "unclosed" else outcome
                rejected["truncated" if last and reason != "too_large" else reason] += 1
            elif outcome:
                rows.append(outcome)
            rest -= sum(map(len, lines[number : number + taken]))
            number += taken
        return rows, rejected, len(body) + unfinished - rest

    def _record(
        self, lines: list[bytes], number: int, header: _Header
    ) -> tuple[int, list[str] | str]:
        """How many lines were read for the record that begins at one, and its fields or a reason.

        It is `unclosed` where they all belong to a quoted field that goes on.
        """
        if len(lines[number]) > _LONGEST_RECORD:
            return 1, "too_large"
        reader = csv.reader(_record_lines(lines, number), delimiter=self._delimiter, strict=True)
        try:
            fields = next(reader, [])
        except UnicodeError:
            return 1, "malformed" if reader.line_num else "encoding"
        except csv.Error as error:
            unclosed = "unexpected end of data" in str(error)
            return reader.line_num, "unclosed" if unclosed else "malformed"
        if fields and len(fields) != header.width:
            return 1, "ragged_row" if reader.line_num == 1 else "malformed"
        return reader.line_num, fields

    def _decoded(
        self, header: _Header, columns: _Columns, rejected: Counter[str], consumed: int
    ) -> Decoded:
        extra = {name: np.ones(columns.rows, dtype=np.bool_) for name in header.extra}
        values = dict(zip(header.read, columns.values, strict=True))
        table = Table(columns.rows, values, text=True, extra=extra)
        return assemble(table, self._layout, rejected, consumed)


def _transposed(rows: list[list[str]], header: _Header) -> _Columns:
    return _Columns(len(rows), [[row[at] for row in rows] for at in header.read.values()])


def _record_lines(lines: list[bytes], number: int) -> Iterator[str]:
    """The lines that a record beginning at one may have."""
    size = 0
    for at in range(number, min(number + _MOST_LINES, len(lines))):
        size += len(lines[at])
        if size > _LONGEST_RECORD:
            return
        yield lines[at].decode()


def _lines(body: bytes) -> list[bytes]:
    """Lines with their line feeds; nothing else ends one."""
    return [line + b"\n" for line in body.split(b"\n")[:-1]] + [
        line for line in [body.rpartition(b"\n")[2]] if line
    ]
