"""KServe's V1 protocol: instances and predictions.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol
Vertex AI's `predict` is the same with more around it.
"""

from __future__ import annotations

from ml_exporter.formats.exchanges import Rows
from ml_exporter.formats.free_values import FreeValues
from ml_exporter.formats.messages import Message, Rejected
from ml_exporter.formats.protocols.tables import an_answer, an_object, instances, one_row, scalars

FREE = FreeValues(within=[("instances",), ("inputs",), ("predictions",)])


def inputs(request: Message) -> Rows:
    body = an_object(request.json)
    for key in ("instances", "inputs"):
        if isinstance(body.get(key), list):
            return instances(body[key], scalars(body))
    raise Rejected("malformed")


def outputs(response: Message) -> Rows:
    """A server may answer with an object of its own; that is one row."""
    body = an_answer(response.json)
    if "predictions" in body:
        return instances(body["predictions"], scalars(body))
    return one_row(body, scalars(body))
