"""JSON Lines: one object a line, flat or nested.

https://jsonlines.org/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_exporter.columns import ABSENT
from ml_exporter.formats.json_objects import (
    Names,
    Tree,
    insert,
    leaves,
    object_of,
    unknown,
    value_at,
)
from ml_exporter.formats.lines import Line, lines_of, whole
from ml_exporter.formats.messages import Rejected
from ml_exporter.formats.rejections import Rejections
from ml_exporter.formats.rows import (
    MOST_EXTRA_FIELDS,
    MOST_FEATURES,
    OTHER_FIELDS,
    Decoded,
    Layout,
    Table,
    assemble,
    extra_name,
)
from ml_exporter.formats.slots import Slots, shape


class JsonLines:
    """Decodes lines of the shape seen so far at full speed, and any other one by one."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._paths: dict[str, Names] = {path: tuple(path.split(".")) for path in layout.paths()}
        self._known = {*self._paths, *layout.known}
        self._tree: Tree = {}
        for names in sorted((tuple(path.split(".")) for path in self._known), key=len):
            insert(self._tree, names)
        self._literal: set[str] = set()  # paths met as one name with dots in it
        self._extra: dict[Names, str] = {}  # unknown fields met so far
        self._discovered: set[str] = set()  # features met so far
        self._expect()

    def resume(self, head: bytes) -> None:
        """Lines of JSON need no header."""

    def decode(self, data: bytes, end: bool) -> Decoded:
        rejected = Rejections()
        if self._layout.discover:
            lines, consumed = lines_of(data, end)
            objects = (self._object(line, rejected) for line in lines)
            table = self._table_of_objects([row for row in objects if row is not None])
        else:
            consumed = whole(data, end)
            table = self._table(data, consumed, rejected)
        return assemble(table, self._layout, rejected, consumed)

    def _expect(self) -> None:
        """Tell the scanner of the shape seen so far."""
        slot_of = {path: slot for slot, path in enumerate(self._paths)}
        paths = {names: slot_of[path] for path, names in self._paths.items()}
        paths |= {(path,): slot_of[path] for path in self._literal}
        self._extra_slots = {
            name: len(slot_of) + number
            for number, name in enumerate([*dict.fromkeys(self._extra.values()), OTHER_FIELDS])
        }
        extra = [(names, self._extra_slots[name]) for names, name in self._extra.items()]
        is_full = len(self._extra_slots) > MOST_EXTRA_FIELDS
        others = self._extra_slots[OTHER_FIELDS] if is_full else -1
        # There is room for more, so that what is met on the way has its place, too.
        self._slots = len(slot_of) + MOST_EXTRA_FIELDS + 1
        self._shape = shape(self._tree, paths, extra, self._slots, others)

    def _table(self, data: bytes, stop: int, rejected: Rejections) -> Table:
        """The rows of the lines before `stop`."""
        slots = Slots(data, self._slots, text=False)
        extra: dict[str, list[int]] = {}  # rows that the scanner left out
        offset = 0
        while (offset := slots.scan_json(self._shape, offset, stop)) < stop:
            after = data.find(b"\n", offset, stop) + 1 or stop
            if (row := self._object(Line.of(data[offset:after], offset), rejected)) is not None:
                for name in self._unknown(row):
                    extra.setdefault(name, []).append(slots.rows)
                slots.add([value_at(row, path, names) for path, names in self._paths.items()])
            offset = after
        columns = {path: slots.column(slot) for slot, path in enumerate(self._paths)}
        masks: dict[str, NDArray[np.bool_]] = {}
        for name, slot in self._extra_slots.items():
            met = slots.met(slot)
            met[extra.get(name, [])] = True
            if met.any():
                masks[name] = met
        return Table(slots.rows, columns, extra=masks)

    def _object(self, line: Line, rejected: Rejections) -> dict[str, Any] | None:
        """The object of a line; None if there is none, or it is rejected."""
        try:
            return object_of(line.text) if line.text else None
        except Rejected as rejection:
            line.reject(rejected, rejection.reason)
            return None

    def _table_of_objects(self, rows: list[dict[str, Any]]) -> Table:
        columns: dict[str, list[object]] = {
            path: [value_at(row, path, names) for row in rows]
            for path, names in self._paths.items()
        }
        if self._layout.discover:
            self._discover(rows, columns)
            return Table(len(rows), columns)
        return Table(len(rows), columns, extra=self._extra_fields(rows))

    def _discover(self, rows: list[dict[str, Any]], columns: dict[str, list[object]]) -> None:
        for number, row in enumerate(rows):
            for path, value in leaves(row, self._known):
                if path not in self._discovered:
                    if len(self._discovered) >= MOST_FEATURES:
                        continue
                    self._discovered.add(path)
                if path not in columns:
                    columns[path] = [ABSENT] * len(rows)
                columns[path][number] = value

    def _extra_fields(self, rows: Sequence[dict[str, Any]]) -> dict[str, NDArray[np.bool_]]:
        extra: dict[str, NDArray[np.bool_]] = {}
        for number, row in enumerate(rows):
            for name in self._unknown(row):
                if name not in extra:
                    extra[name] = np.zeros(len(rows), dtype=np.bool_)
                extra[name][number] = True
        return extra

    def _unknown(self, row: dict[str, Any]) -> list[str]:
        """What the unknown fields of a row are called; from now on they are expected."""
        found = []
        is_new = False
        for names in unknown(row, self._tree):
            if len(names) == 1 and names[0] in self._known:
                self._tree[names[0]] = None
                self._literal.add(names[0])
                is_new = True
                continue
            name = self._extra.get(names)
            if name is None:
                name = extra_name(".".join(names), self._extra.values())
                if name != OTHER_FIELDS:
                    self._extra[names] = name
                    is_new = True
            found.append(name)
        if is_new:
            self._expect()
        return found
