"""JSON values as tables: instances, columns, and the vectors in either."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from ml_exporter.columns import ABSENT, number_of_text
from ml_exporter.formats.exchanges import LONGEST_PREFIX, MOST_COLUMNS, Rows
from ml_exporter.formats.messages import LARGEST_BODY, Rejected
from ml_exporter.formats.rows import MOST_FEATURES
from ml_exporter.serialization import json_text

MOST_ROWS = 100_000  # of one exchange
MOST_CELLS = LARGEST_BODY  # rows times columns: a body has at least a byte for each
DEEPEST = 32  # objects, or lists, within each other

_NESTED = frozenset((dict, list))
_NO_OBJECT = frozenset((type(None), type(ABSENT)))

Columns = dict[str, Sequence[object]]


def instances(value: object, about: Mapping[str, object] | None = None) -> Rows:
    """One row an item of a list: an object by its keys, a list by its places, or a single value."""
    rows: list[Any] = value if isinstance(value, list) else [value]
    check_rows(len(rows))
    columns: Columns = {}
    if set(map(type, rows)) == {dict} and not _is_base64(rows[0]):
        _add_objects(columns, "", rows, 1)
        # Objects of one vector only, the same in all rows, are a table without names, too.
        is_vector = list(map(type, rows[0].values())) == [list] and _have_same_keys(rows)
        return Rows(len(rows), columns, tuple(columns.values()) if is_vector else (), about or {})
    add_column(columns, "", rows)
    return Rows(len(rows), {}, tuple(columns.values()) if rows else (), about or {})


def one_row(value: object, about: Mapping[str, object] | None = None) -> Rows:
    """A value as a single row."""
    return instances([value], about)


def named_columns(value: Mapping[str, object], about: Mapping[str, object] | None = None) -> Rows:
    """An object of columns, one row an item of each; what is no list holds for all rows.

    Raises Rejected (ragged_row) where they aren't equally long.
    """
    lengths = {len(column) for column in value.values() if isinstance(column, list)}
    if len(lengths) > 1:
        raise Rejected("ragged_row", max(lengths))
    rows = lengths.pop() if lengths else 1
    check_rows(rows)
    check_cells(rows, len(value))
    columns: Columns = {
        name: column if isinstance(column, list) else [column] * rows
        for name, column in value.items()
    }
    if not _NESTED.isdisjoint(map(type, chain.from_iterable(columns.values()))):
        nested, columns = columns, {}
        for name, column in nested.items():
            add_column(columns, name, column)
    places = tuple(columns.values()) if len(value) == 1 and rows else ()
    return Rows(rows, columns, places, about or {})


def table(rows: Sequence[object], names: object, about: Mapping[str, object] | None = None) -> Rows:
    """Rows as `instances`, and the names of their places where there are as many."""
    found = instances(rows, about)
    if isinstance(names, list) and len(names) == len(found.places) and not found.columns:
        columns = dict(zip(map(str, names), found.places, strict=True))
        return Rows(found.rows, columns, found.places, found.about)
    return found


def add_column(columns: Columns, name: str, values: Sequence[Any], depth: int = 0) -> None:
    """Add the values of all rows: objects by dotted names, equal vectors by NAME.0, NAME.1, ...

    A vector of one value is that value. Other lists, and vectors of more than MOST_FEATURES, are
    values of their own.
    """
    kinds = set(map(type, values))
    if dict in kinds:
        values = [bytes_of(value) if _is_base64(value) else value for value in values]
        kinds = set(map(type, values))
        if dict in kinds and kinds - {dict} <= _NO_OBJECT:
            objects = [value if type(value) is dict else {} for value in values]
            _add_objects(columns, f"{name}.", objects, depth + 1)
            return
    elif kinds == {list} and (vectors := _vectors(values)):
        width = len(vectors[0])
        check_cells(len(values), len(columns) + width)
        if width > 1:
            check_names(len(values), name, len(columns) + width)
        names = [f"{name}.{place}" for place in range(width)] if width > 1 else [name]
        columns.update(zip(names, zip(*vectors, strict=True), strict=True))
        return
    columns[name] = values


def _add_objects(columns: Columns, prefix: str, rows: Sequence[dict[str, Any]], depth: int) -> None:
    first = rows[0]
    check_names(len(rows), prefix, len(columns) + len(first))
    if len(rows) == 1 and _NESTED.isdisjoint(map(type, first.values())):
        own_names = [prefix + name for name in first] if prefix else first
        columns.update(zip(own_names, zip(first.values(), strict=True), strict=True))
        return
    if depth > DEEPEST:
        raise Rejected("too_deep", len(rows))
    names = list(first)
    if not _have_same_keys(rows):
        names = list(dict.fromkeys(chain.from_iterable(rows)))
    check_names(len(rows), prefix, len(columns) + len(names))
    check_cells(len(rows), len(columns) + len(names))
    for name in names:
        values = [row.get(name, ABSENT) for row in rows]
        add_column(columns, prefix + name, values, depth)


def _have_same_keys(rows: Sequence[dict[str, Any]]) -> bool:
    keys = rows[0].keys()
    return all(row.keys() == keys for row in rows)


def _vectors(rows: Sequence[list[Any]]) -> Sequence[list[Any]] | None:
    """Lists, nested or flat, as flat ones of one length; None if they can't be columns."""
    for _ in range(DEEPEST):
        widths = set(map(len, rows))
        if len(widths) > 1 or not 0 < max(widths) <= MOST_FEATURES:
            return None
        kinds = set(map(type, chain.from_iterable(rows)))
        if _NESTED.isdisjoint(kinds):
            return rows
        if kinds != {list}:
            return None
        rows = [list(chain.from_iterable(row)) for row in rows]
    raise Rejected("too_deep", len(rows))


def _is_base64(value: object) -> bool:
    return type(value) is dict and len(value) == 1 and "b64" in value


def bytes_of(value: Mapping[str, object]) -> str | bytes:
    """What `{"b64": "..."}` stands for: text if it is text."""
    return text_if_it_is(base64_bytes(value["b64"]))


def base64_bytes(text: object) -> bytes:
    if not isinstance(text, str):
        raise Rejected("malformed")
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise Rejected("encoding") from None


def text_if_it_is(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeError:
        return value


def value_of_text(text: str) -> object:
    """What a field of CSV is: a number, if it says one; None, if it is empty."""
    if not text:
        return None
    number = number_of_text(text)
    if number is None:
        return text
    digits = text.removeprefix("-")
    # A whole number may be a long id, of which a float would lose the end.
    return json_text.integer(text) if digits.isascii() and digits.isdecimal() else number


def check_rows(rows: int) -> None:
    if rows > MOST_ROWS:
        raise Rejected("too_large", rows)


def check_cells(rows: int, columns: int) -> None:
    if rows * columns > MOST_CELLS:
        raise Rejected("too_large", rows)


def check_names(rows: int, prefix: str, columns: int) -> None:
    """Of a long name that is repeated in thousands of columns a short body makes gigabytes."""
    if len(prefix) > LONGEST_PREFIX or columns > MOST_COLUMNS:
        raise Rejected("too_large", rows)


def scalars(body: Mapping[str, object]) -> dict[str, object]:
    """What a body says of all its rows, at its top."""
    if len(body) == 1:
        return {}
    return {name: value for name, value in body.items() if isinstance(value, str | int | float)}


def an_object(body: object) -> dict[str, Any]:
    """A body that must be an object; raises Rejected."""
    if not isinstance(body, dict):
        raise Rejected("malformed")
    return body


def an_answer(body: object) -> dict[str, Any]:
    """A response that must be an object, and not the error that most servers send."""
    answer = an_object(body)
    if len(answer) <= 2 and isinstance(answer.get("error"), str | dict):
        raise Rejected("malformed")
    return answer
