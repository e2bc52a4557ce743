"""The Open Inference Protocol, V2: named tensors, in JSON or in binary after it.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
and, of Triton, docs/protocol/extension_binary_data.md: little-endian, row-major, without padding.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np

from ml_exporter.formats.exchanges import Rows
from ml_exporter.formats.free_values import FreeValues
from ml_exporter.formats.messages import Message, Rejected, json_value
from ml_exporter.formats.protocols.tables import (
    DEEPEST,
    MOST_CELLS,
    Columns,
    an_object,
    check_cells,
    check_names,
    check_rows,
    scalars,
    text_if_it_is,
)
from ml_exporter.formats.rows import MOST_FEATURES

_TYPES = {
    **{
        f"{kind.upper()}{bits}": f"<{kind[0]}{bits // 8}"
        for kind in ("int", "uint")
        for bits in (8, 16, 32, 64)
    },
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    "BF16": "<u2",
    "BOOL": "|u1",
}

FREE = FreeValues(
    within=[("inputs", None, "data"), ("outputs", None, "data")],
    said=[("id",)],
)


def inputs(request: Message) -> Rows:
    return _rows(request, "inputs")


def outputs(response: Message) -> Rows:
    return _rows(response, "outputs")


def _rows(message: Message, side: str) -> Rows:
    head, tail = split(message)
    body = an_object(head)
    tensors = body.get(side)
    if not isinstance(tensors, list) or not all(isinstance(one, dict) for one in tensors):
        raise Rejected("malformed")
    columns: Columns = {}
    rows: int | None = None
    lengths = set()
    for tensor in tensors:
        shape = _shape(tensor)
        rows = shape[0] if shape else 1
        lengths.add(rows)
        check_rows(rows)
        width = math.prod(shape[1:])
        check_cells(rows, len(columns) + width)
        name = str(tensor.get("name", ""))
        if width <= MOST_FEATURES:
            check_names(max(rows, 1), name if width > 1 else "", len(columns) + width)
        size = _parameter(tensor, "binary_data_size")
        if size is None:
            _add_values(columns, name, rows, width, _flat(tensor.get("data")))
        else:
            _add_bytes(columns, name, rows, width, str(tensor.get("datatype")), tail[:size])
            tail = tail[size:]
    if len(lengths) > 1:
        raise Rejected("ragged_row", max(lengths))
    if tail.strip():
        raise Rejected("malformed", max(rows or 1, 1))
    places = tuple(columns.values()) if len(tensors) == 1 else ()
    return Rows(rows, columns, places, scalars(body))


def split(message: Message) -> tuple[Any, bytes]:
    """The JSON of a body, and the tensors that follow it in binary."""
    content = message.content
    if message.json_length is not None:
        if not 0 <= message.json_length <= len(content):
            raise Rejected("malformed")
        return json_value(content[: message.json_length]), content[message.json_length :]
    try:
        return message.json, b""
    except Rejected:
        # Of a log that kept no headers; a byte is a character here, so that places agree.
        try:
            _, end = json.JSONDecoder().raw_decode(content.decode("latin-1"))
        except (ValueError, RecursionError):
            end = 0
        if not end:
            raise
    return json_value(content[:end]), content[end:]


def _shape(tensor: dict[str, Any]) -> list[int]:
    shape = tensor.get("shape")
    if not isinstance(shape, list) or len(shape) > DEEPEST:
        raise Rejected("malformed")
    if not set(map(type, shape)) <= {int} or (
        shape and not 0 <= min(shape) <= max(shape) <= MOST_CELLS
    ):
        raise Rejected("malformed")
    return shape


def _parameter(tensor: dict[str, Any], name: str) -> int | None:
    parameters = tensor.get("parameters")
    size = parameters.get(name) if isinstance(parameters, dict) else None
    if size is not None and (type(size) is not int or size < 0):
        raise Rejected("malformed")
    return size


def _flat(data: object) -> list[Any]:
    """Values that may be nested as the shape says, or flat."""
    if not isinstance(data, list):
        raise Rejected("malformed")
    for _ in range(DEEPEST):
        kinds = set(map(type, data))
        if list not in kinds:
            if dict in kinds:
                raise Rejected("malformed")
            return data
        if kinds != {list}:
            raise Rejected("malformed")
        data = list(chain.from_iterable(data))
    raise Rejected("too_deep")


def _add_values(columns: Columns, name: str, rows: int, width: int, values: list[Any]) -> None:
    """Add a tensor of `rows` times `width` values in row-major order."""
    if len(values) != rows * width:
        raise Rejected("malformed", max(rows, 1))
    if width == 1:
        columns[name] = values
    elif width <= MOST_FEATURES:
        for place in range(width):
            columns[f"{name}.{place}"] = values[place::width]
    else:
        columns[name] = [values[row * width : (row + 1) * width] for row in range(rows)]


def _add_bytes(
    columns: Columns, name: str, rows: int, width: int, datatype: str, data: bytes
) -> None:
    if datatype == "BYTES":
        _add_values(columns, name, rows, width, list(_texts(data)))
        return
    if datatype not in _TYPES or len(data) != rows * width * np.dtype(_TYPES[datatype]).itemsize:
        raise Rejected("malformed", max(rows, 1))
    values = np.frombuffer(data, _TYPES[datatype])
    if datatype == "BOOL":
        values = values != 0
    elif datatype == "BF16":  # the upper half of a 32-bit float
        values = (values.astype("<u4") << 16).view("<f4")
    if width == 1:
        columns[name] = values.tolist()
    elif width <= MOST_FEATURES:
        for place, column in enumerate(values.reshape(rows, width).T.tolist()):
            columns[f"{name}.{place}"] = column
    else:
        columns[name] = values.reshape(rows, width).tolist()


def _texts(data: bytes) -> Iterator[str | bytes]:
    """Elements of BYTES: a length in four bytes, and so many bytes."""
    start = 0
    while start < len(data):
        end = start + 4 + int.from_bytes(data[start : start + 4], "little")
        if end > len(data) or len(data) - start < 4:
            raise Rejected("malformed")
        yield text_if_it_is(data[start + 4 : end])
        start = end
