"""MLflow's scoring server: POST /invocations with a dataframe, tensors, or CSV.

https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally and
mlflow/pyfunc/scoring_server/__init__.py. Bare bodies are those of MLflow 1.
"""

from __future__ import annotations

import csv
import io
from typing import Any

from ml_exporter.formats.exchanges import NO_TABLE, Rows
from ml_exporter.formats.free_values import FreeValues
from ml_exporter.formats.messages import Message, Rejected
from ml_exporter.formats.protocols.tables import (
    an_answer,
    instances,
    named_columns,
    one_row,
    scalars,
    table,
    value_of_text,
)

_LANGUAGE_MODEL = ("messages", "prompt", "input")  # a body that has one of these isn't wrapped

FREE = FreeValues(
    within=[
        ("dataframe_split", "data"),
        *((name,) for name in ("dataframe_records", "instances", "inputs", "data", "predictions")),
        (None,),
    ]
)


def inputs(request: Message) -> Rows:
    if _is_csv(request):
        return _csv(request.text())
    match request.json:
        case {"dataframe_split": dict(split)}:
            return _split(split)
        case {"dataframe_records": list(rows)} | {"instances": list(rows)}:
            return instances(rows)
        case {"inputs": dict(columns)}:
            return named_columns(columns)
        case {"inputs": list(rows)}:
            return instances(rows)
        case dict(body) if not body.keys().isdisjoint(_LANGUAGE_MODEL):
            return NO_TABLE
        case {"data": list()} as split:
            return _split(split)
        case list(rows):
            return instances(rows)
    raise Rejected("malformed")


def outputs(response: Message) -> Rows:
    body = response.json
    if isinstance(body, list):
        return instances(body)
    body = an_answer(body)
    if "error_code" in body:
        raise Rejected("malformed")
    if "predictions" not in body:
        return one_row(body, scalars(body))
    predictions = body["predictions"]
    if isinstance(predictions, dict) and all(isinstance(v, list) for v in predictions.values()):
        return named_columns(predictions, scalars(body))
    return instances(predictions, scalars(body))


def _split(split: dict[str, Any]) -> Rows:
    rows = split.get("data")
    if not isinstance(rows, list):
        raise Rejected("malformed")
    return table(rows, split.get("columns"))


def _is_csv(request: Message) -> bool:
    """A log that kept no headers has CSV as what is no JSON, and more than a line."""
    if request.media_type:
        return request.media_type == "text/csv"
    return request.json_or_none() is None and b"\n" in request.content.rstrip()


def _csv(text: str) -> Rows:
    """Lines under a header, read as pandas does: what looks like a number is one."""
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        raise Rejected("malformed") from None
    header, *rows = [line for line in lines if line] or [[]]
    if any(len(row) != len(header) for row in rows):
        raise Rejected("ragged_row", len(rows))
    return table([list(map(value_of_text, row)) for row in rows], header)
