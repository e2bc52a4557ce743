"""JSON objects, one at a time: whatever stands in a line, and where a path leads in it.

RFC 8259. NaN and Infinity, which that forbids and many loggers write, are read; of a name that
occurs twice in an object the last value counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from ml_exporter.batch import ABSENT, LONGEST_NAME
from ml_exporter.formats.rows import LONGEST_ROW
from ml_exporter.formats.spans import integer

Names = tuple[str, ...]  # a path, name by name
Tree = dict[str, "Tree | None"]  # None: a value, whatever it is


class Rejected(Exception):
    """A line that isn't a row, with its reason."""


def object_of(line: bytes) -> dict[str, Any]:
    """The object that a line is; raises Rejected."""
    if len(line) > LONGEST_ROW:
        raise Rejected("too_large")
    try:
        row = msgspec.json.decode(line)
    except UnicodeError:
        raise Rejected("encoding") from None
    except RecursionError:
        raise Rejected("too_deep") from None
    except msgspec.DecodeError:
        row = _lenient_object(line)
    if not isinstance(row, dict):
        raise Rejected("malformed")
    return row


def _lenient_object(line: bytes) -> Any:
    """What the standard library takes beyond the standard: NaN, Infinity, numbers of any size."""
    try:
        row = json.loads(line.decode(), parse_int=integer)
        if b"\\u" in line:
            json.dumps(row, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except UnicodeError:
        raise Rejected("encoding") from None
    except RecursionError:
        raise Rejected("too_deep") from None
    except ValueError:
        raise Rejected("malformed") from None
    return row


def value_at(row: dict[str, Any], path: str, names: Names) -> object:
    """What a path leads to; a name with dots in it comes before what is nested."""
    return row[path] if path in row else _descend(row, names)


def _descend(value: object, names: Iterable[str]) -> object:
    for name in names:
        if isinstance(value, dict):
            value = value.get(name, ABSENT)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return ABSENT
    return value


def insert(tree: Tree, names: Names) -> None:
    """Add a path to a tree of what is known; an index into a list says nothing of its names."""
    *parents, last = names
    for name, following in zip(parents, names[1:], strict=True):
        if following.isdecimal():
            tree[name] = None
            return
        below = tree.setdefault(name, {})
        if below is None:
            return
        tree = below
    tree.setdefault(last, None)


def unknown(row: dict[str, Any], tree: Tree, parents: Names = ()) -> Iterator[Names]:
    """The names of values that are in no tree, each with its parents, which are."""
    for name, value in row.items():
        if name not in tree:
            yield (*parents, name)
        elif isinstance(value, dict) and (below := tree[name]) is not None:
            yield from unknown(value, below, (*parents, name))


def leaves(row: dict[str, Any], known: set[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted paths and values of what may be features."""
    for name, value in row.items():
        path = prefix + name
        if path in known or len(path) > LONGEST_NAME or isinstance(value, list):
            continue
        if isinstance(value, dict):
            yield from leaves(value, known, path + ".")
        else:
            yield path, value
