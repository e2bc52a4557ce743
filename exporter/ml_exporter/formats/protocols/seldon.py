"""Seldon Core's V1 protocol: a message with `data`, as request and as response alike.

https://docs.seldon.io/projects/seldon-core/en/latest/reference/apis/external-prediction.html:
its prediction.proto, as JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ml_exporter.formats.exchanges import NO_TABLE, Rows
from ml_exporter.formats.free_values import FreeValues
from ml_exporter.formats.messages import Message, Rejected
from ml_exporter.formats.protocols.tables import (
    DEEPEST,
    MOST_CELLS,
    an_object,
    base64_bytes,
    instances,
    one_row,
    table,
    text_if_it_is,
)

_TENSOR_TYPES = {
    "DT_FLOAT": "<f4",
    "DT_DOUBLE": "<f8",
    "DT_INT8": "|i1",
    "DT_INT16": "<i2",
    "DT_INT32": "<i4",
    "DT_INT64": "<i8",
    "DT_UINT8": "|u1",
    "DT_BOOL": "|b1",
}
_TENSOR_VALUES = ("floatVal", "doubleVal", "intVal", "int64Val", "boolVal", "stringVal")

FREE = FreeValues(
    within=[("data", "ndarray"), ("data", "tensor", "values"), ("jsonData",), ("strData",)],
    said=[("meta", "puid")],
)


def inputs(request: Message) -> Rows:
    return _rows(an_object(request.json))


def outputs(response: Message) -> Rows:
    return _rows(an_object(response.json))


def _rows(body: dict[str, Any]) -> Rows:
    about = _about(body.get("meta"))
    data = body.get("data")
    if isinstance(data, dict):
        return table(_values(data), data.get("names"), about)
    if "strData" in body:
        return one_row(body["strData"], about)
    if "jsonData" in body:
        value = body["jsonData"]
        return instances(value, about) if isinstance(value, list) else one_row(value, about)
    if "binData" in body or "customData" in body:
        return NO_TABLE
    raise Rejected("malformed")  # a failure, which has but a status


def _values(data: Mapping[str, Any]) -> list[Any]:
    match data:
        case {"ndarray": list(values)}:
            return values
        case {"tensor": {"shape": list(shape), "values": list(values)}}:
            return _reshaped(values, shape)
        case {"tftensor": dict(tensor)}:
            return _tftensor(tensor)
    raise Rejected("malformed")


def _tftensor(tensor: Mapping[str, Any]) -> list[Any]:
    """A TensorProto of TensorFlow as JSON, where 64-bit integers are texts and bytes base64."""
    try:
        shape = [int(one["size"]) for one in tensor["tensorShape"].get("dim", [])]
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        raise Rejected("malformed") from None
    datatype = tensor.get("dtype")
    if "tensorContent" in tensor:
        content = base64_bytes(tensor["tensorContent"])
        if (
            datatype not in _TENSOR_TYPES
            or len(content) % np.dtype(_TENSOR_TYPES[datatype]).itemsize
        ):
            raise Rejected("malformed")
        return _reshaped(np.frombuffer(content, _TENSOR_TYPES[datatype]).tolist(), shape)
    for name in _TENSOR_VALUES:
        if isinstance(values := tensor.get(name), list):
            break
    else:
        raise Rejected("malformed")
    if name == "stringVal":
        values = [text_if_it_is(base64_bytes(value)) for value in values]
    elif name == "int64Val":
        try:
            values = [int(value) for value in values]
        except (OverflowError, TypeError, ValueError):
            raise Rejected("malformed") from None
    return _reshaped(values, shape)


def _reshaped(values: list[Any], shape: list[Any]) -> list[Any]:
    """Rows of values in row-major order, each flat; of one dimension each is a value."""
    if len(shape) > DEEPEST or not all(
        isinstance(size, int | float) and 0 <= size <= MOST_CELLS for size in shape
    ):
        raise Rejected("malformed")
    sizes = [int(size) for size in shape]
    if len(values) != math.prod(sizes):
        raise Rejected("malformed")
    if len(sizes) < 2:
        return values
    width = math.prod(sizes[1:])
    return [values[start : start + width] for start in range(0, len(values), width or 1)]


def _about(meta: object) -> dict[str, object]:
    if not isinstance(meta, dict):
        return {}
    tags = meta.get("tags")
    found = {"meta.puid": meta.get("puid"), "id": meta.get("puid")}
    if isinstance(tags, dict):
        found |= {f"meta.tags.{name}": value for name, value in tags.items()}
    return found
