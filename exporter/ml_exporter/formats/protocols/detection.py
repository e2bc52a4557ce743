"""Which protocol an exchange speaks, from its URL or else from its bodies."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from ml_exporter.formats.exchanges import Exchange
from ml_exporter.formats.messages import Message, Rejected
from ml_exporter.formats.protocols.open_inference import split

_BY_PATH = [
    (re.compile(pattern), name)
    for pattern, name in (
        (r"/v2/models/.+/infer/?$", "open-inference"),
        (r"/v1/models/.+:(classify|regress)$", "tensorflow-serving"),
        (r"/api/v(0\.1|1\.0)/predictions/?$", "seldon"),
        (r"/invocations/?$", "mlflow"),
        (r"/predictions/[^/]+(/[^/]+)?/?$", "torchserve"),
        (r"/(chat/)?completions/?$", "openai"),
    )
]
_REMEMBERED = 1024  # paths
_LONGEST_REMEMBERED = 1024  # characters
_SELDON = ("strData", "jsonData", "binData", "customData")
_SELDON_DATA = ("ndarray", "tensor", "tftensor")
_DATAFRAMES = ("dataframe_split", "dataframe_records")


def detect(exchange: Exchange) -> str:
    """The name of a protocol; BentoML's, whose bodies may be anything, where none is known."""
    path = exchange.path.partition("?")[0]
    told = _by_path(path) if len(path) <= _LONGEST_REMEMBERED else _by_path.__wrapped__(path)
    if told is not None:
        return told
    request, response = _object(exchange.request), _object(exchange.response)
    for body in (request, response):
        if _has_tensors(body.get("inputs")) or _has_tensors(body.get("outputs")):
            return "open-inference"
        if _is_seldon(body):
            return "seldon"
    if isinstance(request.get("messages"), list) or isinstance(response.get("choices"), list):
        return "openai"
    if any(key in request for key in _DATAFRAMES):
        return "mlflow"
    if "examples" in request or "outputs" in response:
        return "tensorflow-serving"
    if "instances" in request:
        return "kserve-v1"
    if "inputs" in request:
        return "mlflow"
    return "kserve-v1" if "predictions" in response else "bentoml"


@lru_cache(_REMEMBERED)
def _by_path(path: str) -> str | None:
    return next((name for pattern, name in _BY_PATH if pattern.search(path)), None)


def _object(message: Message | None) -> dict[str, Any]:
    """A body's object; empty where it is something else."""
    if message is None:
        return {}
    try:
        body, _ = split(message)
    except Rejected:
        return {}
    return body if isinstance(body, dict) else {}


def _has_tensors(value: object) -> bool:
    return isinstance(value, list) and any(
        isinstance(one, dict) and {"name", "shape", "datatype"} <= one.keys() for one in value
    )


def _is_seldon(body: dict[str, Any]) -> bool:
    data = body.get("data")
    if isinstance(data, dict) and any(key in data for key in _SELDON_DATA):
        return True
    return any(key in body for key in _SELDON)
