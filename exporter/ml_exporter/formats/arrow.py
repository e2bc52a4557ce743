"""Tables of Arrow's columns as batches: what a path leads to in a schema.

https://arrow.apache.org/docs/format/Columnar.html
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from pyarrow import types as kinds

from ml_exporter.columns import Column
from ml_exporter.formats.arrow_columns import (
    ArrowColumn,
    Mask,
    plain,
    plain_array,
    valid_mask,
    view_of,
)
from ml_exporter.formats.coded_columns import CodedColumn
from ml_exporter.formats.csv import HeaderError
from ml_exporter.formats.json_objects import Names, Tree, insert, leaves, unknown
from ml_exporter.formats.rejections import Rejections
from ml_exporter.formats.rows import MOST_FEATURES, Decoded, Layout, Table, assemble, extra_name

_LONGEST_LIST = 1 << 31
_LONGEST_PROBLEM = 300  # characters


class Rows(Protocol):
    """Rows of a table, of which columns are read when they are known to be wanted."""

    @property
    def rows(self) -> int: ...

    @property
    def schema(self) -> pa.Schema:
        """Of the whole table; raises HeaderError where that can't be read."""

    @property
    def keys(self) -> Mapping[str, str]:
        """Values that all rows share because of where the table stands, as in a partition."""

    def read(
        self, columns: Sequence[Names], categories: Collection[Names]
    ) -> Mapping[str, pa.Array | CodedColumn]:
        """Some columns, or parts of them, by name; texts among the `categories` may be coded.

        Raises HeaderError where the rows can't be read.
        """


def decode_table(rows: Rows, layout: Layout) -> Decoded:
    """The rows as a batch; raises HeaderError where they can't be read."""
    with readable():
        return _decode(rows, layout)


@contextmanager
def readable() -> Iterator[None]:
    """Turn whatever Arrow says of what can't be read into a HeaderError."""
    try:
        yield
    except HeaderError:
        raise
    except RecursionError:
        raise HeaderError("its columns are nested too deeply") from None
    except (pa.ArrowException, OSError, MemoryError, ValueError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise HeaderError(lines[0][:_LONGEST_PROBLEM]) from None


def _decode(rows: Rows, layout: Layout) -> Decoded:
    schema = rows.schema
    paths = layout.paths()
    example = _example(schema)
    if layout.discover:
        found = (path for path, _ in leaves(example, {*paths, *layout.known}) if path)
        paths += [path for path, _ in zip(found, range(MOST_FEATURES), strict=False)]
    places = {path: place for path in paths if (place := _place(schema, path)) is not None}
    told_apart = {layout.id, layout.timestamp}
    read = {path: _column_of(schema, place) for path, place in places.items()}
    texts = {place for path, place in read.items() if path in told_apart}
    wanted = list(dict.fromkeys(read.values()))
    arrays = rows.read(wanted, set(wanted) - texts) if wanted else {}
    columns: dict[str, Column] = {}
    for path, (name, *inner) in places.items():
        array = arrays[name]
        columns[path] = array if isinstance(array, CodedColumn) else _reach(array, inner)
    for path in (set(layout.paths()) - places.keys()) & rows.keys.keys():
        columns[path] = Column([rows.keys[path]] * rows.rows, text=True)
    extra = {} if layout.discover else _extra(example, layout, rows.rows)
    return assemble(Table(rows.rows, columns, extra=extra), layout, Rejections(), rows.rows)


def _example(schema: pa.Schema) -> dict[str, Any]:
    """A row of a schema, as far as names go."""

    def of(type: pa.DataType) -> Any:
        if kinds.is_struct(type):
            return {field.name: of(field.type) for field in type}
        return [] if kinds.is_nested(type) else None

    return {field.name: of(field.type) for field in schema}


def _extra(example: dict[str, Any], layout: Layout, rows: int) -> dict[str, Mask]:
    known = {*layout.paths(), *layout.known}
    tree: Tree = {}
    for names in sorted((tuple(path.split(".")) for path in known), key=len):
        insert(tree, names)
    extra: dict[str, Mask] = {}
    for names in unknown(example, tree):
        if len(names) > 1 or names[0] not in known:  # a path as one name with dots in it
            extra[extra_name(".".join(names), extra)] = np.ones(rows, dtype=np.bool_)
    return extra


def _place(schema: pa.Schema, path: str) -> Names | None:
    """Where a path leads; a name with dots in it comes before what is nested."""
    for names in ((path,), tuple(path.split("."))):
        match schema.get_all_field_indices(names[0]):
            case [index] if _leads_on(schema.field(index).type, names[1:]):
                return names
            case [_, _, *_]:
                raise HeaderError(f"column {names[0]!r} occurs twice")
    return None


def _leads_on(type: pa.DataType, names: Names) -> bool:
    if not names:
        return True
    if kinds.is_struct(type):
        index = type.get_field_index(names[0])
        return index >= 0 and _leads_on(type.field(index).type, names[1:])
    if _is_list(type):
        return names[0].isdecimal() and _leads_on(type.value_type, names[1:])
    if kinds.is_map(type):
        return _is_text(type.key_type) and _leads_on(type.item_type, names[1:])
    return False


def _is_list(type: pa.DataType) -> bool:
    return bool(kinds.is_list(type) or kinds.is_large_list(type) or kinds.is_fixed_size_list(type))


def _is_text(type: pa.DataType) -> bool:
    return bool(kinds.is_string(type) or kinds.is_large_string(type))


def _column_of(schema: pa.Schema, place: Names) -> Names:
    """The part of a place that can be read by itself: a list or a map is read whole."""
    type = schema.field(place[0]).type
    for depth, name in enumerate(place[1:], start=1):
        if not kinds.is_struct(type):
            return place[:depth]
        type = type.field(name).type
    return place


def _reach(array: pa.Array, names: Sequence[str]) -> ArrowColumn:
    """What is below an array, by names that lead on; absent where something above is null."""
    if not names:
        return ArrowColumn(array)
    absent = np.zeros(len(array), dtype=np.bool_)
    for name in names:
        absent |= ~valid_mask(array)
        type = array.type
        if kinds.is_struct(type):
            array = array.flatten()[type.get_field_index(name)]
        elif kinds.is_map(type):
            from pyarrow import compute

            array = compute.map_lookup(array, pa.scalar(name, type.key_type), "last")
            absent |= ~valid_mask(array)  # no such key, or null: nobody knows which
        else:
            array, too_short = _element(array, int(name))
            absent |= too_short
    return ArrowColumn(array, absent if absent.any() else None)


def _element(array: pa.Array, number: int) -> tuple[pa.Array, Mask]:
    """One element of each list, and the lists that are too short to have it."""
    number = min(number, _LONGEST_LIST)
    if kinds.is_fixed_size_list(array.type):
        size = array.type.list_size
        starts = (np.arange(len(array), dtype=np.int64) + array.offset) * size
        stops = starts + size
    else:
        offsets = view_of(array.offsets).astype(np.int64)
        starts, stops = offsets[:-1], offsets[1:]
    too_short = (starts + number >= stops) | ~valid_mask(array)
    return plain(array.values).take(plain_array(starts + number, ~too_short)), too_short
