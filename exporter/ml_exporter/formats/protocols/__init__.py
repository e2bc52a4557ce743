"""Inference protocols: what a request and its response look like on the wire, as rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from ml_exporter.formats.exchanges import NO_TABLE, Exchange, Invocation, Rows
from ml_exporter.formats.free_values import FreeValues
from ml_exporter.formats.messages import Message, Rejected
from ml_exporter.formats.protocols import (
    bentoml,
    kserve_v1,
    mlflow,
    open_inference,
    openai,
    seldon,
    tensorflow_serving,
    torchserve,
)
from ml_exporter.formats.protocols.detection import detect
from ml_exporter.formats.protocols.plain_json import PlainJson
from ml_exporter.formats.rows import Layout

__all__ = ["InferenceProtocol", "Reader", "finder", "reader"]

Reader = Callable[[Exchange], Invocation]


class InferenceProtocol(Protocol):
    """How a server is asked, and how it answers. Both raise Rejected for what isn't of it."""

    @property
    def FREE(self) -> FreeValues: ...

    def inputs(self, request: Message, /) -> Rows: ...

    def outputs(self, response: Message, /) -> Rows: ...


_PROTOCOLS: dict[str, InferenceProtocol] = {
    "kserve-v1": kserve_v1,
    "open-inference": open_inference,
    "tensorflow-serving": tensorflow_serving,
    "torchserve": torchserve,
    "mlflow": mlflow,
    "seldon": seldon,
    "bentoml": bentoml,
    "openai": openai,
}
_VERSION = re.compile(r"/versions/([^/:]+)|/predictions/[^/]+/([^/]+)/?$")


def reader(format: str, layout: Layout) -> Reader:
    """What turns exchanges of a format, `auto` and `json` among them, into rows.

    It raises Rejected for those that can't be.
    """
    find = finder(format, layout)
    return lambda exchange: _read(exchange, find(exchange))


def finder(format: str, layout: Layout) -> Callable[[Exchange], InferenceProtocol]:
    """What tells the protocol of an exchange of a format."""
    if format == "auto":
        return lambda exchange: _PROTOCOLS[detect(exchange)]
    protocol = PlainJson(layout) if format == "json" else _PROTOCOLS[format]
    return lambda exchange: protocol


def _read(exchange: Exchange, protocol: InferenceProtocol) -> Invocation:
    if exchange.request is exchange.response is None:
        raise Rejected("no_fields")
    inputs, rejection = _side(protocol.inputs, exchange.request)
    outputs, other = _side(protocol.outputs, exchange.response)
    if first := rejection or other:
        rows = max(inputs.rows or 1, outputs.rows or 1, first.rows)
        raise Rejected(first.reason, rows)
    return Invocation(
        *(exchange.id, exchange.time, _version(exchange), inputs, outputs),
        *(exchange.duration, exchange.first, exchange.trace),
    )


def _side(read: Callable[[Message], Rows], message: Message | None) -> tuple[Rows, Rejected | None]:
    if message is None:
        return NO_TABLE, None
    try:
        return read(message), None
    except Rejected as rejection:
        return NO_TABLE, rejection
    except RecursionError:
        return NO_TABLE, Rejected("too_deep")


def _version(exchange: Exchange) -> str | None:
    """The model's version, which a URL may tell too."""
    if exchange.version is not None or not exchange.path:
        return exchange.version
    found = _VERSION.search(exchange.path)
    return found and (found[1] or found[2])
