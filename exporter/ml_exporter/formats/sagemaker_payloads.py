"""What a SageMaker endpoint was sent and answered, as rows: CSV, JSON, or JSON Lines.

https://docs.aws.amazon.com/sagemaker/latest/dg/cdf-inference.html
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from ml_exporter.columns import ABSENT
from ml_exporter.formats.exchanges import NO_TABLE, Rows
from ml_exporter.formats.messages import Message, Rejected, json_value
from ml_exporter.formats.protocols import mlflow
from ml_exporter.formats.protocols.tables import (
    base64_bytes,
    check_cells,
    check_rows,
    instances,
    named_columns,
    value_of_text,
)

_NUMBERS = msgspec.json.Decoder(list[int | float])
_JSON = ("application/json", "application/jsonlines", "application/x-jsonlines", "text/json")
_CSV = ("text/csv", "text/plain")

_Kind = Literal["csv", "json"]
_Cells = list[object]


class Payload(msgspec.Struct, frozen=True):
    """A request, a response, or ground truth, as it was captured."""

    data: str | int | float | None = None
    encoding: str | None = None  # CSV, JSON or BASE64
    observedContentType: str | None = None

    def text(self) -> str | None:
        """What was sent, or None where that is no text; raises Rejected."""
        text = "" if self.data is None else str(self.data)
        if self._encoding == "BASE64":
            content = base64_bytes(text)
            try:
                text = content.decode()
            except UnicodeError:
                if self._media_type in (*_JSON, *_CSV):
                    raise Rejected("encoding") from None
                return None
        text = text.strip("\r\n \ufeff")
        return text if text.strip() else ""  # a form feed alone is no row of CSV either

    def kind(self, text: str) -> _Kind | None:
        """How to read the text; what nobody knows is None."""
        looks_like: _Kind = "json" if text[:1] in ("[", "{") else "csv"
        if self._encoding == "JSON":
            return "json"
        if self._encoding == "CSV" or self._media_type in (*_CSV, ""):
            return looks_like  # some servers say text/csv of `[0.1, 0.9]`
        return "json" if self._media_type in _JSON else None

    @property
    def _encoding(self) -> str:
        return (self.encoding or "").upper()

    @property
    def _media_type(self) -> str:
        return (self.observedContentType or "").partition(";")[0].strip().lower()


def inputs_of(payload: Payload | None, features: Sequence[str]) -> Rows:
    """The rows of a request; raises Rejected. Columns without names have places.

    A first line of CSV that has the names of all features is a header.
    """
    text = payload.text() if payload is not None else None
    if payload is None or not text:
        return NO_TABLE
    match payload.kind(text):
        case "csv":
            rows = _csv_rows(text)
            if rows and isinstance(rows[0][0], str) and _is_header(rows[0], features):
                names = map(str, rows[0])
                return named_columns(dict(zip(names, _columns(rows[1:], rows[0]), strict=True)))
            return _placed(rows)
        case "json":
            return _json_inputs(_documents(text))
    return NO_TABLE


def outputs_of(payload: Payload | None, rows: int | None) -> Rows:
    """The rows of a response, `rows` of them where it can be read so; raises Rejected."""
    text = payload.text() if payload is not None else None
    if payload is None or not text:
        return NO_TABLE
    match payload.kind(text):
        case "csv":
            outputs = _placed(_csv_rows(text))
        case "json":
            outputs = _json_outputs(_documents(text), rows)
        case _:
            return NO_TABLE
    if rows is not None and outputs.rows == 1 < rows == len(outputs.places):
        return Rows(rows, places=[[value for (value,) in outputs.places]])
    return outputs


def labels_of(payload: Payload, name: str) -> Sequence[object]:
    """The labels of ground truth: one a line of CSV, or those of a JSON document."""
    text = payload.text()
    kind = payload.kind(text) if text is not None else None
    if text is None or kind is None:
        raise Rejected("malformed")
    if kind == "csv":
        rows = _csv_rows(text) or [[None]]
        if len(rows[0]) > 1:
            raise Rejected("ragged_row", len(rows))
        return [label for (label,) in rows]
    labels: _Cells = []
    for document in _documents(text):
        labels += document if isinstance(document, list) else [document]
    check_rows(len(labels))
    return [_label(label, name) for label in labels]


def _csv_rows(text: str) -> list[_Cells]:
    """Rows of equally many fields."""
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
    check_rows(len(lines))
    try:
        rows: list[_Cells] = [list(_NUMBERS.decode(f"[{line}]")) for line in lines]
    except msgspec.DecodeError:
        rows = _rows_of_text(text)
    if len(set(map(len, rows))) > 1:
        raise Rejected("ragged_row", len(rows))
    return rows


def _rows_of_text(text: str) -> list[_Cells]:
    lines = (line + "\n" for line in text.replace("\r\n", "\n").split("\n"))
    reader = csv.reader(lines, strict=True, skipinitialspace=True)
    try:
        return [list(map(value_of_text, row)) for row in reader if row]
    except csv.Error:
        raise Rejected("malformed") from None


def _is_header(row: _Cells, features: Sequence[str]) -> bool:
    return bool(features) and set(features) <= set(map(str, row))


def _placed(rows: list[_Cells]) -> Rows:
    return Rows(len(rows), places=_columns(rows, rows[0]) if rows else ())


def _columns(rows: list[_Cells], like: _Cells) -> Sequence[_Cells]:
    check_cells(len(rows), len(like))
    return list(map(list, zip(*rows, strict=True))) if rows else [[] for _ in like]


def _documents(text: str) -> list[Any]:
    """The JSON documents of a text: one, or one a line."""
    try:
        return [json_value(text.encode())]
    except Rejected as rejection:
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) < 2 or rejection.reason != "malformed":
            raise
    check_rows(len(lines))
    return [json_value(line.encode()) for line in lines]


def _json_inputs(documents: list[Any]) -> Rows:
    if len(documents) > 1:
        return _table(documents)
    match documents[0]:
        case {"instances": list(rows)}:
            return _table(rows)
        case {"features": [[*_], *_] as rows}:
            return _table(rows)
        case (
            {"dataframe_split": _} | {"dataframe_records": _} | {"inputs": dict() | list()} as body
        ):
            return mlflow.inputs(Message(json.dumps(body).encode()))
        case dict(body) if "features" not in body and _are_columns(body, None):
            return named_columns(body)
        case list(rows) if any(isinstance(row, list | dict) for row in rows):
            return _table(rows)
        case row:
            return _table([row])


def _json_outputs(documents: list[Any], rows: int | None) -> Rows:
    if len(documents) > 1:
        return _table(documents)
    match documents[0]:
        case {"predictions": list(predictions), **others}:
            table = _table(predictions)
            beside: dict[str, Sequence[object]] = {
                str(name): values
                for name, values in others.items()
                if isinstance(values, list) and len(values) == table.rows
            }
            return Rows(table.rows, {**table.columns, **beside}, table.places)
        case dict(body) if rows is not None and _are_columns(body, rows):
            return named_columns(body)
        case list(predictions):
            return _table(predictions)
        case prediction:
            return _table([prediction])


def _are_columns(body: dict[str, Any], rows: int | None) -> bool:
    """Whether an object is a table, written column by column."""
    lengths = {len(values) if isinstance(values, list) else -1 for values in body.values()}
    return len(lengths) == 1 and -1 not in lengths and rows in (None, *lengths)


def _table(rows: list[Any]) -> Rows:
    check_rows(len(rows))
    found = [_features(row) for row in rows]
    if any(row is ABSENT for row in found):
        return NO_TABLE
    if len({len(row) if isinstance(row, list) else -1 for row in found}) > 1:
        raise Rejected("ragged_row", len(rows))
    return instances(found)


def _features(row: Any) -> Any:
    """A row without what it is wrapped in; ABSENT where it is a sparse vector."""
    match row:
        case {"data": {"features": features}} | {"features": features}:
            pass
        case _:
            return row
    match features:
        case {"keys": _, "values": _}:
            return ABSENT
        case {"values": list(values)}:
            return values
    return features


def _label(value: Any, name: str) -> object:
    if not isinstance(value, dict):
        return value
    if name in value or len(value) != 1:
        return value.get(name, ABSENT)
    return next(iter(value.values()))
