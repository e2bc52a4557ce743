"""JSON objects, one at a time: whatever stands in a line, and where a path leads in it.

RFC 8259. NaN and Infinity, which that forbids and many loggers write, are read; of a name that
occurs twice in an object the last value counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ml_exporter.columns import ABSENT, LONGEST_NAME
from ml_exporter.formats.messages import Rejected, json_value
from ml_exporter.formats.rows import LONGEST_ROW

Names = tuple[str, ...]  # a path, name by name
Tree = dict[str, "Tree | None"]  # None: a value, whatever it is


def object_of(line: bytes) -> dict[str, Any]:
    """The object that a line is; raises Rejected."""
    if len(line) > LONGEST_ROW:
        raise Rejected("too_large")
    row = json_value(line)
    if not isinstance(row, dict):
        raise Rejected("malformed")
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
