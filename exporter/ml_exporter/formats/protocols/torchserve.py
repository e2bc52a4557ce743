"""TorchServe: any body, which is one sample, and whatever the handler makes of it.

https://github.com/pytorch/serve/blob/master/docs/inference_api.md
With the KServe envelope bodies have `instances` and `predictions`.
"""

from __future__ import annotations

from ml_exporter.formats.exchanges import Rows
from ml_exporter.formats.free_values import NONE
from ml_exporter.formats.messages import Message, Rejected
from ml_exporter.formats.protocols.tables import an_answer, instances, one_row, scalars

FREE = NONE


def inputs(request: Message) -> Rows:
    """A body that is no JSON, such as an image or a form, is a row of which nothing is known."""
    body = request.json_or_none()
    if isinstance(body, dict) and isinstance(body.get("instances"), list):
        return instances(body["instances"], scalars(body))
    return Rows(1) if body is None else _sample(body)


def outputs(response: Message) -> Rows:
    """A text that isn't quoted is a value, too."""
    body = response.json_or_none()
    if body is None:
        return one_row(response.text())
    if isinstance(body, dict):
        if body.keys() == {"code", "type", "message"}:  # an error of the server
            raise Rejected("malformed")
        if isinstance(an_answer(body).get("predictions"), list):
            return instances(body["predictions"], scalars(body))
    return _sample(body)


def _sample(value: object) -> Rows:
    match value:
        case [dict(only)] | dict(only):
            return one_row(only, scalars(only))
    return one_row(value)
