"""BentoML: an object of the API's parameters, answered with its bare return value.

https://docs.bentoml.com/en/latest/build-with-bentoml/services.html
Services of version 1.1 take the value of their only parameter bare.
"""

from __future__ import annotations

from ml_exporter.formats.exchanges import NO_TABLE, Rows
from ml_exporter.formats.free_values import ALL_BUT_ERRORS
from ml_exporter.formats.messages import Message
from ml_exporter.formats.protocols.tables import an_answer, instances, named_columns, one_row

FREE = ALL_BUT_ERRORS


def inputs(request: Message) -> Rows:
    """A body that is no JSON, such as an image or a form, is no table."""
    body = request.json_or_none()
    if body is None:
        return NO_TABLE
    if isinstance(body, dict) and len(body) == 1:
        match next(iter(body.values())):
            case dict(parameter):
                return one_row(parameter)
            case [dict(), *_] as rows:
                return instances(rows)
    return _rows(body)


def outputs(response: Message) -> Rows:
    body = response.json_or_none()
    if body is None:
        return one_row(response.text())
    return _rows(an_answer(body) if isinstance(body, dict) else body)


def _rows(value: object) -> Rows:
    """A list is one row an item, and so are lists of one length; any other value is one row."""
    if not isinstance(value, dict):
        return instances(value)
    lengths = {len(one) if isinstance(one, list) else None for one in value.values()}
    if len(lengths) == 1 and None not in lengths:
        return named_columns(value)
    return one_row(value)
