"""Kafka messages as lines of a log, one each."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import msgspec

_BINARY = "ce_"  # before the name of an attribute, in the headers of an event in binary mode
_DATA = ("data", "data_base64")

Header = tuple[str, bytes | str | None]


def line(value: bytes) -> bytes:
    """A message's value with the end of a line, or nothing where it has nothing to count.

    JSON has line ends between its tokens alone, where a space means the same.
    """
    if b"\n" in value:
        value = value.replace(b"\n", b" ").strip()
    return value + b"\n" if value and not value.isspace() else b""


def event_line(value: bytes, headers: Iterable[Header]) -> bytes:
    """A CloudEvent in structured mode, whichever mode the message is in.

    In binary mode the attributes are headers, with `ce_` before their names; Seldon writes them
    without. https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
    """
    texts = {name.lower(): _text(text) for name, text in headers}
    content_type = texts.pop("content-type", "")
    event: dict[str, Any] = {
        name.removeprefix(_BINARY): text for name, text in texts.items() if name.startswith(_BINARY)
    }
    if not event and "type" in texts:
        event = texts
    if not event:
        return line(value)
    event = {name: text for name, text in event.items() if name not in _DATA}
    event.setdefault("specversion", "1.0")
    if content_type:
        event["datacontenttype"] = content_type
    if value:
        event |= _data(value, content_type)
    return msgspec.json.encode(event) + b"\n"


def _data(value: bytes, content_type: str) -> dict[str, Any]:
    """The data of an event: as JSON where it says that it is, and no other way round."""
    if "json" in content_type.partition(";")[0].lower():
        try:
            msgspec.json.decode(value, type=msgspec.Raw)
        except (msgspec.DecodeError, RecursionError):
            pass
        else:
            return {"data": msgspec.Raw(value.replace(b"\n", b" "))}
    return {"data_base64": base64.b64encode(value).decode()}


def _text(value: bytes | str | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""
