"""TensorFlow Serving's REST API: predict by rows or by columns, classify, regress.

https://www.tensorflow.org/tfx/serving/api_rest
NaN and Infinity are legal in its JSON; bytes are `{"b64": "..."}`.
"""

from __future__ import annotations

from typing import Any

from ml_exporter.formats.exchanges import Rows
from ml_exporter.formats.free_values import FreeValues
from ml_exporter.formats.messages import Message, Rejected
from ml_exporter.formats.protocols.tables import an_object, instances, named_columns, scalars
from ml_exporter.formats.tabulation import PREDICTION

FREE = FreeValues(
    within=[(name,) for name in ("instances", "inputs", "examples", "predictions", "outputs")]
)


def inputs(request: Message) -> Rows:
    body = an_object(request.json)
    about = scalars(body)
    if "instances" in body:
        return instances(body["instances"], about)
    if "inputs" in body:
        return _columns(body["inputs"], about)
    match body:
        case {"examples": list(examples)} if all(isinstance(one, dict) for one in examples):
            context = body.get("context", {})
            if isinstance(context, dict):
                return instances([context | example for example in examples], about)
    raise Rejected("malformed")


def outputs(response: Message) -> Rows:
    body = an_object(response.json)
    about = scalars(body)
    if "predictions" in body:
        return instances(body["predictions"], about)
    if "outputs" in body:
        return _columns(body["outputs"], about)
    # The API's page names it `result`, and shows `results`.
    results = body.get("result", body.get("results"))
    if not isinstance(results, list):
        raise Rejected("malformed")
    if results and all(map(_are_classes, results)):
        return instances([_classes(one) for one in results], about)
    return instances(results, about)


def _columns(value: object, about: dict[str, object]) -> Rows:
    return named_columns(value, about) if isinstance(value, dict) else instances(value, about)


def _are_classes(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list)
        and len(pair) == 2
        and isinstance(pair[0], str)
        and isinstance(pair[1], int | float)
        for pair in value
    )


def _classes(pairs: list[tuple[str, float]]) -> dict[str, object]:
    """The score of each class by its label, and the class of the highest one.

    A model without labels has empty ones; its classes are known by their number.
    """
    labels = [label or str(number) for number, (label, _) in enumerate(pairs)]
    found: dict[str, object] = dict(zip(labels, (score for _, score in pairs), strict=True))
    if pairs:
        best = max(range(len(pairs)), key=lambda number: pairs[number][1])
        found[PREDICTION] = labels[best]
    return found
