"""Observations as lines of JSON, which are counted as those of a log are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ml_exporter.client import paths
from ml_exporter.client.plain_values import plain
from ml_exporter.client.wire import Lines, Stream
from ml_exporter.client.wrapping import Unnamed
from ml_exporter.config.config import Model, VersionField
from ml_exporter.formats.rows import LONGEST_ROW
from ml_exporter.serialization import json_text

_PIECE = 4 << 20  # bytes of lines that are handed on together


class Observation(NamedTuple):
    """One prediction as it was logged, or a table of several with a column for each of the rest."""

    features: Any
    prediction: Any
    score: Any = None
    id: Any = None
    label: Any = None
    version: Any = None
    time: Any = None
    attributions: Any = None
    ranked: Any = None


@dataclass
class Writer:
    """Writes what one model observed."""

    model: Model
    # Observations that no line could be made of, by what is wrong with them.
    unreadable: Counter[str] = field(default_factory=Counter)
    _names: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        # Several features may be of one value: the length of a text, and its words.
        self._names = list(dict.fromkeys((self.model.fields.features or {}).values()))
        self._attributed = list(self.model.fields.attributions)
        self._ranks = bool(self.model.fields.ranked)
        self._classes = list(self.model.fields.scores)
        self._joins = self.model.labels is not None
        self._versions = isinstance(self.model.version, VersionField)

    def write(self, observed: Iterable[tuple[bool, tuple[Any, ...]]]) -> list[Lines]:
        """The lines of observations, and whether each is a table of several."""
        rows: list[dict[str, Any]] = []
        labels: list[dict[str, Any]] = []
        for is_table, one in observed:
            try:
                found = list(self._rows(Observation(*one))) if is_table else [Observation(*one)]
                rows_of = [self._row(row) for row in found]
            except Exception as error:
                self._fail(error)
                continue
            rows += rows_of
            if self._joins:
                labels += [
                    _label(row.id, row.label, row.time) for row in found if row.label is not None
                ]
        return self._lines(("predictions", rows), ("labels", labels))

    def write_labels(self, labels: Iterable[tuple[Any, Any, Any]]) -> list[Lines]:
        """The lines of labels that came later: id, label and time of each."""
        return self._lines(("labels", [_label(*one) for one in labels]))

    def _lines(self, *streams: tuple[Stream, list[dict[str, Any]]]) -> list[Lines]:
        made = []
        for stream, rows in streams:
            piece: list[bytes] = []
            size = 0
            for data in self._encode(rows):
                if size + len(data) > _PIECE and piece:
                    made.append(Lines(self.model.name, stream, len(piece), b"".join(piece)))
                    piece, size = [], 0
                piece.append(data)
                size += len(data)
            if piece:
                made.append(Lines(self.model.name, stream, len(piece), b"".join(piece)))
        return made

    def _encode(self, rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
        for row in rows:
            try:
                data = line(row)
            except Exception as error:
                self._fail(error)
                continue
            # Of what is too large to be a row nobody need see the end.
            yield data if len(data) <= LONGEST_ROW else data[: LONGEST_ROW + 1] + b"\n"

    def _row(self, one: Observation) -> dict[str, Any]:
        row = _by_names(one.features, self._names, "features")
        row[paths.PREDICTION] = one.prediction
        row[paths.TIME] = one.time
        if self._classes and one.score is not None:
            row[paths.SCORE] = self._score(one.score)
        if self._attributed and one.attributions is not None:
            attributed = _by_names(one.attributions, self._attributed, "attributions")
            row[paths.ATTRIBUTIONS] = attributed
        if self._ranks and one.ranked is not None:
            row[paths.RANKED] = _listed(one.ranked)
        if self._joins:
            row[paths.ID] = one.id
        else:
            row[paths.LABEL] = one.label
        if self._versions and one.version is not None:
            row[paths.VERSION] = one.version
        return row

    def _score(self, score: Any) -> Any:
        if isinstance(score, Mapping):
            if self.model.task == "binary":
                return _by_name(score).get(self._classes[0])
            named = _by_name(score)
            return [named.get(name) for name in self._classes]
        return score

    def _rows(self, table: Observation) -> Iterator[Observation]:
        """The rows of a table, whose other columns are lists, or one value for all."""
        features, number = _table(table.features, self._names, "features")
        columns = [_column(values, number) for values in table[1:-2]]
        columns += [self._attributions(table.attributions, number), _column(table.ranked, number)]
        for values in zip(features, *columns, strict=True):
            yield Observation(*values)

    def _attributions(self, table: Any, number: int) -> Sequence[Any]:
        if table is None:
            return [None] * number
        rows, attributed = _table(table, self._attributed, "attributions")
        if attributed != number:
            raise ValueError(f"attributions of {attributed} rows for {number}")
        return [*rows]

    def _fail(self, error: Exception) -> None:
        self.unreadable[f"{type(error).__name__}: {error}"] += 1


def line(row: dict[str, Any]) -> bytes:
    """A row as a line of JSON, in which NaN is not null."""
    try:
        data = _encode(row)
        is_strict = b"null" not in data or data.count(b"null") <= list(row.values()).count(None)
    except (TypeError, ValueError, json_text.NotJson):
        is_strict = False
    return data + b"\n" if is_strict else _lenient_line(row)


def _lenient_line(row: dict[str, Any]) -> bytes:
    named = {str(name): value for name, value in row.items()}
    try:
        data = _lenient.encode(named).encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which whoever reads it rejects
        data = json.dumps(named, default=plain, skipkeys=True).encode()
    return data + b"\n"


_encode = json_text.encoder(plain)
_lenient = json.JSONEncoder(default=plain, skipkeys=True, ensure_ascii=False)


def _label(id: Any, label: Any, time: Any) -> dict[str, Any]:
    return {paths.ID: id, paths.LABEL: label, paths.TIME: time}


def _by_name(scores: Mapping[Any, Any]) -> dict[str, Any]:
    from ml_exporter.columns import category_name

    return {category_name(_scalar(name)): value for name, value in scores.items()}


def _scalar(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _by_names(values: Any, names: Sequence[str], argument: str) -> dict[str, Any]:
    """The values of one row by name; those that come without have `names`, in their order."""
    if isinstance(values, dict):
        return dict(values)
    if hasattr(values, "to_dict"):  # a Series of pandas
        return dict(values.to_dict())
    if isinstance(values, Mapping):
        return dict(values)
    listed = _listed(values)
    if len(listed) == 1 and isinstance(listed[0], list):
        listed = listed[0]
    return dict(zip(_named(len(listed), names, argument), listed, strict=True))


def _named(number: int, names: Sequence[str], argument: str) -> Sequence[str]:
    if len(names) != number:
        known = f"{len(names)} names" if names else "no names"
        raise ValueError(f"{number} values without names, and Monitor({argument}=...) has {known}")
    return names


def _table(table: Any, names: Sequence[str], argument: str) -> tuple[Iterable[Any], int]:
    """The rows of a table, and how many there are."""
    if isinstance(table, Unnamed):
        rows, known = _listed(table.table), _listed(table.names)
        return [dict(zip(known, row, strict=True)) for row in rows], len(rows)
    if hasattr(table, "columns"):  # a DataFrame
        return _of_columns({str(name): _present(table[name]) for name in table.columns})
    if isinstance(table, Mapping):
        return _of_columns({name: _present(values) for name, values in table.items()})
    rows = _listed(table)
    if rows and isinstance(rows[0], list | tuple):
        named = _named(len(rows[0]), names, argument)
        return [dict(zip(named, row, strict=True)) for row in rows], len(rows)
    return rows, len(rows)


def _listed(values: Any) -> list[Any]:
    for name in ("tolist", "to_list", "to_pylist"):
        if hasattr(values, name):
            return list(getattr(values, name)())
    return list(values)


def _present(column: Any) -> list[Any]:
    """A column of a DataFrame, whose NaN is how it says that there is nothing."""
    values = _listed(column)
    if hasattr(column, "isna"):
        return [
            None if gone else value
            for value, gone in zip(values, column.isna().tolist(), strict=True)
        ]
    return values


def _of_columns(columns: Mapping[str, list[Any]]) -> tuple[Iterable[dict[str, Any]], int]:
    names = list(columns)
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return rows, len(rows)


def _column(values: Any, number: int) -> Sequence[Any]:
    if values is None or isinstance(values, str | int | float):
        return [values] * number
    listed = _present(values)
    if len(listed) != number:
        raise ValueError(f"{len(listed)} values for {number} rows")
    return listed
