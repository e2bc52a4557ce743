"""A table file being read, from any row on and as far as columns are asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote

from ml_exporter.formats import HeaderError
from ml_exporter.sources.parts import Part

if TYPE_CHECKING:
    import pyarrow as pa

    from ml_exporter.formats.coded_columns import CodedColumn
    from ml_exporter.sources.table_readers import TableReader

ROWS = 1 << 16  # of a chunk: calls cost little then, and its columns still fit a cache
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"

_Path = tuple[str, ...]


@dataclass(eq=False, kw_only=True)
class TableFile(Part):
    """A file being read. Its key is of its size and content; its position counts rows."""

    handle: BinaryIO
    size: int
    reader: TableReader | None = None
    problem: str | None = None  # what keeps it from being read on
    _wanted: tuple[tuple[_Path, ...], frozenset[_Path]] | None = None
    _batches: Iterator[pa.RecordBatch] = field(default_factory=lambda: iter(()))
    _rest: pa.RecordBatch | None = None  # read already, from `_at` on
    _at: int = -1  # the row with which `_batches` go on

    @property
    def rows(self) -> int:
        return 0 if self.reader is None else self.reader.rows

    def stretch(self) -> int:
        """How many rows to read next, if there are so many."""
        coded = self.reader.coded if self.reader else None
        return coded.stretch(self.position.offset, ROWS) if coded else ROWS

    def read(
        self, start: int, rows: int, columns: Sequence[_Path], categories: Collection[_Path]
    ) -> dict[str, pa.Array | CodedColumn]:
        """Some rows, by the name of each column; fast where they follow those read last."""
        from ml_exporter.formats.arrow import readable

        assert self.reader is not None
        found: dict[str, pa.Array | CodedColumn] = {}
        with readable():
            if self.reader.coded is not None:
                simple = [path[0] for path in columns if len(path) == 1]
                texts = {path[0] for path in categories if len(path) == 1}
                found.update(self.reader.coded.read(start, rows, simple, texts))
            rest = [path for path in columns if path[0] not in found]
            if rest:
                batch = self._read_batch(start, rows, rest, categories)
                found.update(zip(batch.schema.names, batch.columns, strict=True))
        return found

    def _read_batch(
        self, start: int, rows: int, columns: Sequence[_Path], categories: Collection[_Path]
    ) -> pa.RecordBatch:
        import pyarrow as pa

        assert self.reader is not None
        wanted = (tuple(columns), frozenset(categories))
        if wanted != self._wanted or start != self._at:
            self._batches = self.reader.batches(start, ROWS, *wanted)
            self._rest = None
        self._wanted, self._at = wanted, -1
        found: list[pa.RecordBatch] = []
        missing = rows
        while missing:
            batch = self._rest or next(self._batches, None)
            if batch is None:
                raise HeaderError("ends before the last of its rows")
            found.append(batch.slice(0, missing))
            self._rest = batch.slice(missing) if batch.num_rows > missing else None
            missing -= found[-1].num_rows
        self._at = start + rows
        return found[0] if len(found) == 1 else pa.concat_batches(found)


@dataclass(frozen=True)
class FileRows:
    """Some rows of a file, read when it is known which columns are wanted."""

    file: TableFile
    start: int
    rows: int

    @property
    def schema(self) -> pa.Schema:
        assert self.file.reader is not None
        return self.file.reader.schema

    @property
    def keys(self) -> Mapping[str, str]:
        return partition_keys(self.file.name)

    def read(
        self, columns: Sequence[_Path], categories: Collection[_Path]
    ) -> Mapping[str, pa.Array | CodedColumn]:
        return self.file.read(self.start, self.rows, columns, categories)


def partition_keys(path: str) -> dict[str, str]:
    """What the folders of a path say of all rows in it, as in `date=2026-11-24/part-0.parquet`.

    https://cwiki.apache.org/confluence/display/hive/tutorial
    """
    pairs = [part.split("=", 1) for part in Path(path).parts[:-1] if "=" in part]
    values = {unquote(name): unquote(value) for name, value in pairs}
    return {name: "" if value == _NO_VALUE else value for name, value in values.items()}
