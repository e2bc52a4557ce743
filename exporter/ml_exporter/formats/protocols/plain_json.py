"""Plain JSON: paths that reach into the request and the response, whatever they look like."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ml_exporter.columns import ABSENT
from ml_exporter.formats.exchanges import LONGEST_PREFIX, MOST_COLUMNS, NO_TABLE, Rows
from ml_exporter.formats.free_values import ALL
from ml_exporter.formats.messages import Message, Rejected
from ml_exporter.formats.protocols.tables import DEEPEST, check_cells, check_rows
from ml_exporter.formats.rows import MOST_FEATURES, Layout

_MOST_LEFT = 1 << 20  # values of all leaves

REQUEST, RESPONSE = "request", "response"


class PlainJson:
    """Reads `request.NAME` and `response.NAME`; lists of one length are that many rows."""

    FREE = ALL

    def __init__(self, layout: Layout) -> None:
        split = [(path, path.split(".")) for path in layout.paths()]
        self._names = {
            side: [(path, names[1:]) for path, names in split if names[0] == side]
            for side in (REQUEST, RESPONSE)
        }
        self._discover = layout.discover

    def inputs(self, request: Message) -> Rows:
        body = request.json
        rows = self._rows(REQUEST, body)
        return _with_leaves(rows, _bounded(_leaves(REQUEST, body))) if self._discover else rows

    def outputs(self, response: Message) -> Rows:
        return self._rows(RESPONSE, response.json)

    def _rows(self, side: str, body: Any) -> Rows:
        found = {}
        for path, names in self._names[side]:
            if (value := _find(body, names)) is not ABSENT:
                found[path] = value
        if not found:
            return NO_TABLE
        lengths = {len(value) for value in found.values() if isinstance(value, list)}
        if len(lengths) > 1:
            raise Rejected("ragged_row", max(lengths))
        rows = lengths.pop() if lengths else 1
        check_rows(rows)
        check_cells(rows, len(found))
        return Rows(rows, {path: _repeated(value, rows) for path, value in found.items()})


def _find(value: Any, names: Iterable[str]) -> Any:
    """What is at a path. A list in its way is entered row by row, or by a number in the path.

    A number is a place within each row where the rows are lists themselves.
    """
    for name in names:
        if isinstance(value, dict):
            value = value.get(name, ABSENT)
        elif not isinstance(value, list):
            return ABSENT
        elif not name.isdecimal():
            if not all(isinstance(one, dict) for one in value):
                return ABSENT
            value = [one.get(name, ABSENT) for one in value]
        elif value and all(isinstance(one, list) for one in value):
            value = [one[int(name)] if int(name) < len(one) else ABSENT for one in value]
        else:
            value = value[int(name)] if int(name) < len(value) else ABSENT
    return value


def _leaves(path: str, value: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """All that is in a body, by its path: single values, and lists of them."""
    if depth > DEEPEST:
        raise Rejected("too_deep")
    if len(path) > LONGEST_PREFIX and isinstance(value, dict | list):
        raise Rejected("too_large")
    if isinstance(value, dict):
        for name, below in value.items():
            yield from _leaves(f"{path}.{name}", below, depth + 1)
    elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        names = dict.fromkeys(name for one in value for name in one)
        check_cells(len(value), len(names))
        for name in names:
            below = [one.get(name, ABSENT) for one in value]
            yield from _leaves(f"{path}.{name}", below, depth + 1)
    elif isinstance(value, list) and value and all(isinstance(one, list) for one in value):
        for place in range(min(MOST_FEATURES, *map(len, value))):
            yield from _leaves(f"{path}.{place}", [one[place] for one in value], depth + 1)
    else:
        yield path, value


def _bounded(leaves: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Leaves by their path, as many as a body may have: what is absent takes room, too."""
    found: dict[str, Any] = {}
    cells = 0
    for path, value in leaves:
        found[path] = value
        cells += len(value) if isinstance(value, list) else 1
        if cells > _MOST_LEFT or len(found) > MOST_COLUMNS:
            raise Rejected("too_large")
    return found


def _with_leaves(found: Rows, leaves: dict[str, Any]) -> Rows:
    """Add all that fits the rows; without any, lists that are all there is are the rows."""
    rows = found.rows
    if rows is None:
        lengths = {len(value) if isinstance(value, list) else 1 for value in leaves.values()}
        rows = lengths.pop() if len(lengths) == 1 else 1
    check_rows(rows)
    check_cells(rows, len(leaves))
    columns = {
        path: _repeated(value, rows)
        for path, value in leaves.items()
        if not isinstance(value, list) or len(value) == rows
    }
    return Rows(rows, {**columns, **found.columns})


def _repeated(value: Any, rows: int) -> list[Any]:
    return value if isinstance(value, list) else [value] * rows
