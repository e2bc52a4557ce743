"""Files of Arrow's columns, read from any row on: Parquet, and the two formats of Arrow IPC.

https://parquet.apache.org/docs/file-format/ and
https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc.
Files are read rather than mapped: one that is cut short under a map ends the process.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import BinaryIO, Protocol

import numpy as np
import pyarrow as pa
from pyarrow import ipc, parquet

from ml_exporter.formats.arrow import readable
from ml_exporter.formats.arrow_columns import view_of
from ml_exporter.formats.csv import HeaderError
from ml_exporter.sources.coded_pages import CodedColumns

PARQUET = b"PAR1"
ARROW = b"ARROW1"
END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"

_SHORTEST = 8  # bytes, of what any of them begins and ends with
_BUFFER = 1 << 18  # bytes of a column that are read at a time
_LONGEST_TEXT = 1 << 24  # bytes, of those in a footer
_LONGEST_LIST = 1 << 20  # items, of those in a footer

# Of texts that can be read as codes, whether they were written so or not.
_CODES = {"PLAIN", "RLE", "BIT_PACKED", "RLE_DICTIONARY", "PLAIN_DICTIONARY"}

_Path = tuple[str, ...]


class TableReader(Protocol):
    """A file whose columns and number of rows are known."""

    schema: pa.Schema
    rows: int

    @property
    def coded(self) -> CodedColumns | None:
        """What reads columns as codes; None where the format knows no codes of numbers."""

    def batches(
        self, start: int, size: int, columns: Sequence[_Path], categories: Collection[_Path]
    ) -> Iterator[pa.RecordBatch]:
        """The rows from one on, at most `size` at a time, as far as columns are asked for.

        Texts among the `categories` may come as dictionaries. Raises HeaderError.
        """


def is_whole(format: str, head: bytes, tail: bytes) -> bool:
    """Whether a file that begins and ends with such bytes has been written to its end."""
    if len(head) < _SHORTEST:
        return False
    if format == "parquet":
        return tail.endswith(PARQUET)
    return tail.endswith(ARROW if head.startswith(ARROW) else END_OF_STREAM)


def open_table(format: str, file: BinaryIO) -> TableReader:
    """The reader of a file; raises HeaderError where it can't be read."""
    with readable():
        if format == "parquet":
            return _Parquet(file)
        file.seek(0)
        head = file.read(len(ARROW))
        if head == ARROW:
            return _ArrowFile(file)
        if head.startswith(b"FEA1"):
            raise HeaderError("is Feather of version 1; write it as version 2")
        return _ArrowStream(file)


class _Parquet:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._metadata = self._open().metadata
        self.schema = self._metadata.schema.to_arrow_schema()
        rows = [self._metadata.row_group(n).num_rows for n in range(self._metadata.num_row_groups)]
        if min(rows, default=0) < 0:
            raise HeaderError("its footer has a row group of less than no rows")
        self._starts = [0, *accumulate(rows)]
        self.rows = self._starts[-1]
        self.coded = CodedColumns(file, self._metadata)

    def _open(
        self,
        metadata: parquet.FileMetaData | None = None,
        categories: Collection[str] | None = None,
    ) -> parquet.ParquetFile:
        return parquet.ParquetFile(
            self._file,
            metadata=metadata,
            read_dictionary=categories,
            buffer_size=_BUFFER,
            pre_buffer=False,  # which would keep all that was read
            thrift_string_size_limit=_LONGEST_TEXT,
            thrift_container_size_limit=_LONGEST_LIST,
        )

    def _coded(self, categories: Iterable[str]) -> list[str]:
        """The texts among some columns that Arrow can read as codes: none that are nested."""
        wanted, schema = set(categories), self._metadata.schema
        columns = [(n, schema.column(n)) for n in range(self._metadata.num_columns)]
        groups = range(self._metadata.num_row_groups)
        return [
            one.path
            for n, one in columns
            if one.path in wanted
            and one.path == one.name
            and one.logical_type.type == "STRING"
            and all(
                _CODES.issuperset(self._metadata.row_group(group).column(n).encodings)
                for group in groups
            )
        ]

    def batches(
        self, start: int, size: int, columns: Sequence[_Path], categories: Collection[_Path]
    ) -> Iterator[pa.RecordBatch]:
        group = bisect_right(self._starts, start) - 1
        texts = self._coded(map(".".join, categories))
        found = self._open(self._metadata, texts).iter_batches(
            batch_size=size,
            row_groups=range(group, len(self._starts) - 1),
            columns=[".".join(path) for path in columns],
            use_threads=False,
        )
        return _from(start - self._starts[group], map(_bounded, found))


class _ArrowFile:
    coded = None

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        reader = self._open(None)
        self.schema = reader.schema
        if len(self.schema):
            reader = self._open([0])
        counts = (reader.get_batch(n).num_rows for n in range(reader.num_record_batches))
        self._starts = [0, *accumulate(counts)]
        self.rows = self._starts[-1]

    def _open(self, columns: list[int] | None) -> ipc.RecordBatchFileReader:
        self._file.seek(0)
        return ipc.open_file(self._file, options=_options(columns))

    def batches(
        self, start: int, size: int, columns: Sequence[_Path], categories: Collection[_Path]
    ) -> Iterator[pa.RecordBatch]:
        reader = self._open(_indices(self.schema, columns))
        first = bisect_right(self._starts, start) - 1
        found = (reader.get_batch(n) for n in range(first, reader.num_record_batches))
        return _cut(_from(start - self._starts[first], map(_checked, found)), size)


class _ArrowStream:
    coded = None

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        reader = self._open(None)
        self.schema = reader.schema
        if len(self.schema):
            reader = self._open([0])
        self.rows = sum(batch.num_rows for batch in reader)

    def _open(self, columns: list[int] | None) -> ipc.RecordBatchStreamReader:
        self._file.seek(0)
        return ipc.open_stream(self._file, options=_options(columns))

    def batches(
        self, start: int, size: int, columns: Sequence[_Path], categories: Collection[_Path]
    ) -> Iterator[pa.RecordBatch]:
        reader = self._open(_indices(self.schema, columns))
        return _cut(_from(start, map(_checked, reader)), size)


def _options(columns: list[int] | None) -> ipc.IpcReadOptions:
    return ipc.IpcReadOptions(included_fields=columns, use_threads=False)


def _indices(schema: pa.Schema, columns: Sequence[_Path]) -> list[int]:
    return sorted({schema.get_field_index(path[0]) for path in columns})


def _bounded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Arrow doesn't look whether the codes of texts that it read are those of any text."""
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            codes, texts = column.indices, len(column.dictionary)
            if view_of(codes).view(np.uint32).max(initial=0) >= texts:  # unless it is a null's
                pa.DictionaryArray.from_arrays(codes, column.dictionary, safe=True)
    return batch


def _checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Arrow believes what a message says of its own memory, unless it is asked not to."""
    batch.validate(full=True)
    return batch


def _from(start: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The rows from one on."""
    for batch in batches:
        if start < batch.num_rows:
            yield batch.slice(start) if start else batch
        start = max(0, start - batch.num_rows)


def _cut(batches: Iterator[pa.RecordBatch], size: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, size):
            yield batch.slice(start, size)
