"""JSON Lines: one object a line, flat or nested.

https://jsonlines.org/ and RFC 8259. NaN and Infinity, which that forbids and many loggers
write, are read; of a name that occurs twice in an object the last value counts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml_exporter.batch import ABSENT, LONGEST_NAME
from ml_exporter.formats.rows import (
    LONGEST_ROW,
    MOST_FEATURES,
    OTHER_FIELDS,
    Decoded,
    Layout,
    Table,
    assemble,
    extra_name,
)

_BOM = b"\xef\xbb\xbf"
_Names = tuple[str, ...]
_Tree = dict[str, "_Tree | None"]  # None: a value, whatever it is
_Getter = Callable[[Sequence[Any]], list[object]]


class _Rejected(Exception):
    """A line that isn't a row, with its reason."""


class JsonLines:
    """Decodes objects of the shape seen so far at full speed, and any other one by one."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._names = {path: tuple(path.split(".")) for path in layout.paths()}
        self._known = {*self._names, *layout.known}
        self._tree: _Tree = {}
        for names in sorted((tuple(path.split(".")) for path in self._known), key=len):
            _insert(self._tree, names)
        self._extra: dict[_Names, str] = {}  # unknown fields met so far
        self._discovered: set[str] = set()  # features met so far
        self._expect()

    def resume(self, head: bytes) -> None:
        """Lines of JSON need no header."""

    def decode(self, data: bytes, end: bool) -> Decoded:
        consumed = len(data) if end else data.rfind(b"\n") + 1
        lines = data[:consumed].split(b"\n")
        if not lines[-1]:
            lines.pop()
        if not self._layout.discover and max(map(len, lines), default=0) <= LONGEST_ROW:
            try:
                rows = list(map(self._decoder.decode, lines))
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                pass
            else:
                return assemble(self._table(rows), self._layout, Counter(), consumed)
        unfinished = end and not data.endswith(b"\n")
        return self._decode_one_by_one(lines, consumed, unfinished)

    def _expect(self) -> None:
        """Compile the shape seen so far: nothing decodes faster than a struct."""
        tree = _copy(self._tree)
        for *parents, last in self._extra:
            below: Any = tree
            for name in parents:
                below = below[name]
            below[last] = None
        shape, attributes = _compile(tree)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(shape)
        self._getters = {path: _getter(path, attributes) for path in self._names}
        self._extra_getters = {
            names: attrgetter(attributes[names]) for names in self._extra if names in attributes
        }

    def _table(self, rows: Sequence[Any]) -> Table:
        extra: dict[str, NDArray[np.bool_]] = {}
        for names, get in self._extra_getters.items():
            met = np.array([value is not ABSENT for value in map(get, rows)], dtype=np.bool_)
            if met.any():
                extra[self._extra[names]] = met | extra.get(self._extra[names], False)
        columns = {path: get(rows) for path, get in self._getters.items()}
        return Table(len(rows), columns, extra=extra)

    def _decode_one_by_one(self, lines: list[bytes], consumed: int, unfinished: bool) -> Decoded:
        rows: list[dict[str, Any]] = []
        rejected: Counter[str] = Counter()
        for number, line in enumerate(lines):
            if not (text := line.removeprefix(_BOM).strip()):
                continue
            try:
                rows.append(_object(text))
            except _Rejected as rejection:
                reason = str(rejection)
                cut = unfinished and number == len(lines) - 1 and reason in _CUT
                rejected["truncated" if cut else reason] += 1
        return assemble(self._table_of_objects(rows), self._layout, rejected, consumed)

    def _table_of_objects(self, rows: list[dict[str, Any]]) -> Table:
        columns: dict[str, list[object]] = {
            path: [row[path] if path in row else _descend(row, names) for row in rows]
            for path, names in self._names.items()
        }
        if self._layout.discover:
            self._discover(rows, columns)
            return Table(len(rows), columns)
        return Table(len(rows), columns, extra=self._extra_fields(rows))

    def _discover(self, rows: list[dict[str, Any]], columns: dict[str, list[object]]) -> None:
        for number, row in enumerate(rows):
            for path, value in _leaves(row, self._known):
                if path not in self._discovered:
                    if len(self._discovered) >= MOST_FEATURES:
                        continue
                    self._discovered.add(path)
                if path not in columns:
                    columns[path] = [ABSENT] * len(rows)
                columns[path][number] = value

    def _extra_fields(self, rows: list[dict[str, Any]]) -> dict[str, NDArray[np.bool_]]:
        extra: dict[str, NDArray[np.bool_]] = {}
        shape_changed = False
        for number, row in enumerate(rows):
            for names in _unknown(row, self._tree):
                if len(names) == 1 and names[0] in self._known:
                    self._tree[names[0]] = None  # a path as one name with dots in it
                    shape_changed = True
                    continue
                name = self._extra.get(names)
                if name is None:
                    name = extra_name(".".join(names), self._extra.values())
                    if name != OTHER_FIELDS:
                        self._extra[names] = name
                        shape_changed = True
                if name not in extra:
                    extra[name] = np.zeros(len(rows), dtype=np.bool_)
                extra[name][number] = True
        if shape_changed:
            self._expect()
        return extra


_CUT = ("malformed", "encoding")  # what may be wrong with the beginning of a good row


def _insert(tree: _Tree, names: _Names) -> None:
    *parents, last = names
    for name, following in zip(parents, names[1:], strict=True):
        if following.isdecimal():  # an index into a list is looked up later
            tree[name] = None
            return
        below = tree.setdefault(name, {})
        if below is None:
            return
        tree = below
    tree.setdefault(last, None)


def _copy(tree: _Tree) -> _Tree:
    return {name: None if below is None else _copy(below) for name, below in tree.items()}


def _compile(tree: _Tree) -> tuple[type, dict[_Names, str]]:
    """A struct of a tree's shape, and the dotted attribute of each of its values."""
    fields: list[tuple[str, Any, Any]] = []
    attributes: dict[_Names, str] = {}
    rename = {}
    for number, (name, below) in enumerate(tree.items()):
        if not _can_name_a_field(name):
            continue
        attribute = f"f{number}"
        rename[attribute] = name
        if below is None:
            fields.append((attribute, Any, ABSENT))
            attributes[(name,)] = attribute
        else:
            struct, inner = _compile(below)
            fields.append((attribute, struct, msgspec.field(default_factory=struct)))
            attributes.update({(name, *names): f"{attribute}.{a}" for names, a in inner.items()})
    struct = msgspec.defstruct(
        "Row", fields, rename=rename, forbid_unknown_fields=True, gc=False, kw_only=True
    )
    return struct, attributes


def _can_name_a_field(name: str) -> bool:
    """Whether a struct can have it; objects with other names are decoded one by one."""
    return not any(mark in '"\\' or mark < " " for mark in name)


def _getter(path: str, attributes: Mapping[_Names, str]) -> _Getter:
    nested = _nested_getter(tuple(path.split(".")), attributes)
    if "." not in path or (path,) not in attributes:
        return nested
    literal = attrgetter(attributes[(path,)])
    return lambda rows: [
        other if value is ABSENT else value
        for value, other in zip(map(literal, rows), nested(rows), strict=True)
    ]


def _nested_getter(names: _Names, attributes: Mapping[_Names, str]) -> _Getter:
    depth = next((d for d in range(len(names), 0, -1) if names[:d] in attributes), 0)
    if not depth:
        return lambda rows: [ABSENT] * len(rows)
    get = attrgetter(attributes[names[:depth]])
    rest = names[depth:]
    if not rest:
        return lambda rows: list(map(get, rows))
    return lambda rows: [_descend(value, rest) for value in map(get, rows)]


def _descend(value: object, names: Iterable[str]) -> object:
    for name in names:
        if isinstance(value, dict):
            value = value.get(name, ABSENT)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return ABSENT
    return value


def _unknown(row: dict[str, Any], tree: _Tree, parents: _Names = ()) -> Iterator[_Names]:
    """The names of values that are in no tree, each with its parents, which are."""
    for name, value in row.items():
        if name not in tree:
            yield (*parents, name)
        elif isinstance(value, dict) and (below := tree[name]) is not None:
            yield from _unknown(value, below, (*parents, name))


def _leaves(row: dict[str, Any], known: set[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted paths and values of what may be features."""
    for name, value in row.items():
        path = prefix + name
        if path in known or len(path) > LONGEST_NAME or isinstance(value, list):
            continue
        if isinstance(value, dict):
            yield from _leaves(value, known, path + ".")
        else:
            yield path, value


def _object(line: bytes) -> dict[str, Any]:
    if len(line) > LONGEST_ROW:
        raise _Rejected("too_large")
    try:
        row = msgspec.json.decode(line)
    except UnicodeError:
        raise _Rejected("encoding") from None
    except RecursionError:
        raise _Rejected("too_deep") from None
    except msgspec.DecodeError:
        row = _lenient_object(line)
    if not isinstance(row, dict):
        raise _Rejected("malformed")
    return row


def _lenient_object(line: bytes) -> Any:
    """What the standard library takes beyond the standard: NaN, Infinity, numbers of any size."""
    try:
        row = json.loads(line.decode(), parse_int=_integer)
        if b"\\u" in line:
            json.dumps(row, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except UnicodeError:
        raise _Rejected("encoding") from None
    except RecursionError:
        raise _Rejected("too_deep") from None
    except ValueError:
        raise _Rejected("malformed") from None
    return row


def _integer(digits: str) -> float:
    return int(digits) if len(digits) < 300 else float(digits)
