"""Lines of JSON that are exchanges: a request and its response, in the words of a protocol."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from ml_exporter.columns import category_name
from ml_exporter.formats.exchanges import Exchange, Invocation
from ml_exporter.formats.lines import Line, lines_of
from ml_exporter.formats.messages import Message, Rejected, json_value
from ml_exporter.formats.protocols import reader
from ml_exporter.formats.protocols.tables import base64_bytes
from ml_exporter.formats.rejections import Rejections
from ml_exporter.formats.rows import LONGEST_ROW, Decoded, Layout
from ml_exporter.formats.tabulation import Tabulator
from ml_exporter.statistics.bins import INVALID, MISSING, OTHER

_NOTHING = b"null"


class _Line(msgspec.Struct, gc=False):
    id: Any = None
    time: Any = None
    request: msgspec.Raw = msgspec.Raw(_NOTHING)
    response: msgspec.Raw = msgspec.Raw(_NOTHING)
    model: Any = None
    version: Any = None
    path: str | None = None


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    """A body that is no text, and what its headers say of it."""

    base64: str
    content_type: str = ""
    content_encoding: str = ""
    json_length: int | None = None


_line = msgspec.json.Decoder(_Line)
_body = msgspec.json.Decoder(_Body)
_text = msgspec.json.Decoder(str)


class ExchangeLines:
    """Decodes lines such as `{"id": "a1", "request": {...}, "response": {...}}`.

    A body is a JSON value, the text of one, or an object with its `base64` (see `_Body`).
    """

    def __init__(self, layout: Layout, format: str) -> None:
        self._read = reader(format, layout)
        self._rows = Tabulator(layout)

    def resume(self, head: bytes) -> None:
        """Lines of JSON need no header."""

    def decode(self, data: bytes, end: bool) -> Decoded:
        lines, consumed = lines_of(data, end)
        rejected = Rejections()
        return self._rows.decode(self._invocations(lines, rejected), rejected, consumed)

    def _invocations(self, lines: Iterable[Line], rejected: Rejections) -> Iterator[Invocation]:
        for line in lines:
            try:
                one = exchange(line.text)
            except Rejected as rejection:
                line.reject(rejected, rejection.reason, rejection.rows)
                continue
            try:
                invocation = self._read(one)
            except Rejected as rejection:
                whole = line._replace(is_cut=False)  # as it could be read
                whole.reject(rejected, rejection.reason, rejection.rows)
                continue
            invocation.written, invocation.start = (line.text,), line.start
            yield invocation


def exchange(line: bytes) -> Exchange:
    """What a line says; raises Rejected."""
    if len(line) > LONGEST_ROW:
        raise Rejected("too_large")
    try:
        read = _line.decode(line)
        request, response = _message(bytes(read.request)), _message(bytes(read.response))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _lenient_exchange(line)
    return _exchange(read, request, response)


def _lenient_exchange(line: bytes) -> Exchange:
    """The same of a line that is no strict JSON, or no such object; raises Rejected."""
    value = json_value(line)
    if not isinstance(value, dict):
        raise Rejected("malformed")
    request, response = (
        _message(_written(value.pop(key, None))) for key in ("request", "response")
    )
    try:
        read = msgspec.convert(value, _Line)
    except msgspec.ValidationError:
        raise Rejected("malformed") from None
    return _exchange(read, request, response)


def _exchange(read: _Line, request: Message | None, response: Message | None) -> Exchange:
    return Exchange(
        id=_name(read.id),
        time=read.time,
        request=request,
        response=response,
        model=_name(read.model),
        version=_name(read.version),
        path=read.path or "",
    )


def _message(raw: bytes) -> Message | None:
    """A body as the line has it."""
    if raw == _NOTHING:
        return None
    if raw.startswith(b'"'):
        return Message(_text.decode(raw).encode())
    if raw.startswith(b"{") and b'"base64"' in raw:
        try:
            body = _body.decode(raw)
        except msgspec.ValidationError:
            return Message(raw)  # it is JSON that has a `base64` of its own
        content = base64_bytes(body.base64)
        return Message(content, body.content_type, body.content_encoding, body.json_length)
    return Message(raw)


def _written(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise Rejected("too_deep") from None


def _name(value: object) -> str | None:
    if isinstance(value, str):
        return value or None
    name = category_name(value)
    return None if name in (MISSING, INVALID, OTHER) else name
