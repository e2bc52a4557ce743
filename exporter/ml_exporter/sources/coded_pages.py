"""Columns of Parquet as the codes that they are written in, without the values they stand for.

https://parquet.apache.org/docs/file-format/data-pages/. Columns that repeat their values are mostly
written as a dictionary, and codes, which Arrow hands out of texts alone. This reads the simple
case, which nearly all writers write: a column of no structure, on pages of the first version, in a
dictionary to its end. Whatever else there is, Arrow reads.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Container, Iterable, Sequence
from itertools import accumulate
from typing import BinaryIO, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from ml_exporter.formats.arrow_columns import ArrowColumn
from ml_exporter.formats.coded_columns import CodedColumn, Distinct

try:
    from ml_exporter.formats import _pages
except ImportError:  # it isn't compiled
    _IS_COMPILED = False
else:
    _IS_COMPILED = True

_DATA, _DICTIONARY = 0, 2  # types of pages
_PLAIN, _PLAIN_DICTIONARY, _RLE, _RLE_DICTIONARY = 0, 2, 3, 8  # encodings

# None is no compression.
_CODECS = {
    "UNCOMPRESSED": None,
    "SNAPPY": "snappy",
    "ZSTD": "zstd",
    "GZIP": "gzip",
    "BROTLI": "brotli",
}
_NUMBERS = {  # what Arrow makes of them, where they are no times, nor anything else
    "INT32": pa.int32(),
    "INT64": pa.int64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
}
_TEXTS = (pa.string(), pa.large_string())

_HEADER = 1 << 7  # bytes that are read of a header at first; statistics may be longer
_LONGEST_HEADER = 1 << 14
_LARGEST_PAGE = 1 << 21  # bytes; of each column one is in memory
_MOST_DISTINCT = 1 << 17

Buffer: TypeAlias = pa.Buffer | bytes


class CodedColumns:
    """The columns of a file that can be read as codes, one row group after the other."""

    def __init__(self, file: BinaryIO, metadata: parquet.FileMetaData) -> None:
        self._file = file
        self._metadata = metadata
        self._types = metadata.schema.to_arrow_schema()
        columns = (metadata.schema.column(number) for number in range(metadata.num_columns))
        # A column of no structure is named by its path.
        self._numbers = {
            one.path: number for number, one in enumerate(columns) if one.path == one.name
        }
        groups = (metadata.row_group(number).num_rows for number in range(metadata.num_row_groups))
        self._starts = [0, *accumulate(groups)]
        self._group = -1  # whose chunks these are
        self._chunks: dict[str, _Chunk | None] = {}

    def stretch(self, start: int, most: int) -> int:
        """How many rows from one on to read at once: no two groups have the same codes."""
        group = bisect_right(self._starts, start) - 1
        first, stop = self._starts[group : group + 2]
        return min(most, stop - start) if stop - first >= most else most

    def read(
        self, start: int, rows: int, columns: Iterable[str], categories: Container[str]
    ) -> dict[str, CodedColumn]:
        """Those of some columns that can be read so: numbers, and texts among the `categories`."""
        group = bisect_right(self._starts, start) - 1
        first, stop = self._starts[group : group + 2]
        if start + rows > stop or not _IS_COMPILED:
            return {}
        if group != self._group:
            self._group, self._chunks = group, {}
        found = {}
        for name in columns:
            if name not in self._chunks:
                self._chunks[name] = self._open(name, name in categories)
            chunk = self._chunks[name]
            column = chunk.read(start - first, rows) if chunk is not None else None
            if column is None:
                self._chunks[name] = None
            else:
                found[name] = column
        return found

    def _open(self, name: str, is_category: bool) -> _Chunk | None:
        """None where it is Arrow that has to read it."""
        number = self._numbers.get(name)
        if number is None:
            return None
        group = self._metadata.row_group(self._group)
        chunk, schema = group.column(number), self._metadata.schema.column(number)
        type = self._types.field(name).type
        is_text = is_category and chunk.physical_type == "BYTE_ARRAY" and type in _TEXTS
        if not is_text and type != _NUMBERS.get(chunk.physical_type):
            return None
        if chunk.compression not in _CODECS or not chunk.has_dictionary_page:
            return None
        if schema.max_repetition_level or schema.max_definition_level > 1:
            return None
        pages = _pages_of(self._file, chunk.dictionary_page_offset, group.num_rows)
        if pages is None:
            return None
        name_of_codec = _CODECS[chunk.compression]
        codec = pa.Codec(name_of_codec) if name_of_codec else None
        data = _bytes_of(self._file, pages[0], codec)
        values = (_texts if is_text else _numbers)(data, pages[0].values, type)
        if values is None:
            return None
        optional = schema.max_definition_level == 1
        return _Chunk(self._file, codec, optional, Distinct(values), pages[1:])


class _Page(NamedTuple):
    start: int  # in the file, behind its header
    size: int
    uncompressed: int
    values: int


class _Chunk:
    """A column of a row group, which can be read from any row on."""

    def __init__(
        self,
        file: BinaryIO,
        codec: pa.Codec | None,
        optional: bool,
        distinct: Distinct,
        pages: Sequence[_Page],
    ) -> None:
        self._file = file
        self._codec = codec
        self._optional = optional
        self._distinct = distinct
        self._pages = pages
        self._starts = [0, *accumulate(page.values for page in pages)]  # their first rows
        self._at = -1  # the page that is in memory
        self._data: Buffer = b""

    def read(self, start: int, rows: int) -> CodedColumn | None:
        """Some rows of the group; None where they can't be read so."""
        codes = np.empty(rows, dtype=np.int32)
        done = 0
        while done < rows:
            number = bisect_right(self._starts, start + done) - 1
            if number != self._at:
                self._data = _bytes_of(self._file, self._pages[number], self._codec)
                self._at = number
            first = start + done - self._starts[number]
            part = codes[done : done + self._pages[number].values - first]
            if not _pages.codes(self._data, self._optional, first, self._distinct.null, part):
                return None
            done += part.size
        return CodedColumn(codes, self._distinct)


def _bytes_of(file: BinaryIO, page: _Page, codec: pa.Codec | None) -> Buffer:
    data = os.pread(file.fileno(), page.size, page.start)
    return codec.decompress(data, page.uncompressed) if codec is not None else data


def _pages_of(file: BinaryIO, offset: int, rows: int) -> list[_Page] | None:
    """The dictionary and all pages of so many rows; None where one isn't as it usually is."""
    found: list[_Page] = []
    while rows > 0:
        head = _header(file, offset)
        if head is None:
            return None
        length, kind, uncompressed, size, values, encoding, levels, _, distinct, plain = head
        if not (0 <= size <= _LARGEST_PAGE and 0 <= uncompressed <= _LARGEST_PAGE):
            return None
        if not found:
            known = kind == _DICTIONARY and plain in (_PLAIN, _PLAIN_DICTIONARY)
            if not known or not 0 <= distinct <= _MOST_DISTINCT:
                return None
            values = distinct
        else:
            known = kind == _DATA and encoding in (_PLAIN_DICTIONARY, _RLE_DICTIONARY)
            if not known or levels != _RLE or values < 1:
                return None
            rows -= values
        found.append(_Page(offset + length, size, uncompressed, values))
        offset += length + size
    return found if rows == 0 else None


def _header(file: BinaryIO, offset: int) -> tuple[int, ...] | None:
    for most in (_HEADER, _LONGEST_HEADER):
        head = _pages.header(os.pread(file.fileno(), most, offset))
        if head is not None:
            return head
    return None


def _numbers(data: Buffer, count: int, type: pa.DataType) -> ArrowColumn | None:
    """The numbers of a dictionary, and null."""
    size = type.bit_width // 8
    if len(data) < count * size:
        return None
    values = pa.py_buffer(bytes(memoryview(data)[: count * size]) + bytes(size))
    return ArrowColumn(pa.Array.from_buffers(type, count + 1, [_validity(count), values]))


def _texts(data: Buffer, count: int, type: pa.DataType) -> ArrowColumn | None:
    """The texts of a dictionary, and null."""
    view = memoryview(data)
    texts: list[bytes] = []
    at = 0
    for _ in range(count):
        stop = at + 4 + int.from_bytes(view[at : at + 4], "little")
        if stop > len(view):
            return None
        texts.append(bytes(view[at + 4 : stop]))
        at = stop
    width = np.int32 if type == pa.string() else np.int64
    stops = np.cumsum([0, *map(len, texts), 0], dtype=width)
    buffers = [_validity(count), pa.py_buffer(stops), pa.py_buffer(b"".join(texts))]
    return ArrowColumn(pa.Array.from_buffers(type, count + 1, buffers))


def _validity(count: int) -> pa.Buffer:
    """The bits of so many values, and of a null."""
    return pa.py_buffer(np.packbits([*[True] * count, False], bitorder="little"))
