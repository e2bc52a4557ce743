"""One CloudEvent, from JSON or from headers, with its data as it was sent.

https://github.com/cloudevents/spec: the core specification 1.0.2, its JSON event format and its
HTTP protocol binding.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from ml_exporter.formats.messages import Message, Rejected, json_value

_JSON = "application/json"
_LENGTH = "inference-header-content-length"
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ATTRIBUTE = re.compile(r"[a-z0-9]+")
_RESERVED = ("data", "data_base64")
_LOGGED = {  # what an attribute is called in the records of KServe's logger
    "id": "id",
    "reqType": "type",
    "occurrenceTime": "time",
    "contentType": "datacontenttype",
    "inferenceService": "inferenceservicename",
    "namespace": "namespace",
    "component": "component",
    "endpoint": "endpoint",
    "metadata": "metadata",
}
_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Event:
    """A CloudEvent: its attributes, extensions among them, and its data."""

    attributes: Mapping[str, object]
    data: Message | None = None

    def text(self, name: str) -> str:
        """An attribute that is a text, or nothing."""
        value = self.attributes.get(name)
        return value if isinstance(value, str) else ""

    @property
    def id(self) -> str:
        return self.text("id")

    @property
    def type(self) -> str:
        return self.text("type")

    @property
    def time(self) -> str | None:
        return self.text("time") or None


def event_of(line: bytes) -> Event:
    """The event that a JSON object is; raises Rejected.

    It is in the JSON event format, or what KServe's logger writes to a blob store. It may have
    no id.
    """
    try:
        fields = {name: bytes(raw) for name, raw in _RAW.decode(line).items()}
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        value = json_value(line)  # as lenient, and as exact about what is wrong, as it can be
        if not isinstance(value, dict):
            raise Rejected("malformed") from None
        fields = {name: json.dumps(one).encode() for name, one in value.items()}
    if "specversion" not in fields and "reqType" in fields:
        return _logged(fields)
    values = {name: json_value(raw) for name, raw in fields.items() if name not in _RESERVED}
    attributes = {name: value for name, value in values.items() if value is not None}
    event = _event(attributes)
    content_type = str(attributes.get("datacontenttype", ""))
    if fields.get("data_base64", b"null") != b"null":
        body = _bytes_of(json_value(fields["data_base64"]))
    elif "data" not in fields:
        return event
    elif content_type and not is_json(content_type):
        text = json_value(fields["data"])
        body = text.encode() if isinstance(text, str) else fields["data"]
    else:
        body = fields["data"]
        content_type = content_type or _JSON
    return replace(event, data=_message(body, content_type, attributes))


def event_line(attributes: Mapping[str, str], content_type: str, data: bytes) -> bytes:
    """An event in binary mode as one line of JSON; `attributes` may be any texts.

    `event_of` gives it back, or rejects it for what is wrong with it.
    """
    envelope: dict[str, object] = {
        name: value
        for name, value in attributes.items()
        if name not in (*_RESERVED, "datacontenttype")
    }
    if content_type:
        envelope["datacontenttype"] = content_type
    if not data:
        return msgspec.json.encode(envelope)
    if is_json(content_type) and _is_value(data):
        start = msgspec.json.encode(envelope)[:-1]
        comma = b"," if envelope else b""
        return start + comma + b'"data":' + one_line(data.strip()) + b"}"
    envelope["data_base64"] = base64.b64encode(data).decode()
    return msgspec.json.encode(envelope)


def attributes_of(headers: Mapping[str, str]) -> dict[str, str]:
    """The attributes in the headers of a binary HTTP message; raises Rejected."""
    found = {}
    for header, value in headers.items():
        name = header.lower().removeprefix("ce-")
        if len(name) < len(header) and _ATTRIBUTE.fullmatch(name):
            found[name] = _header_text(value)
    return found


def is_json(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type.endswith(("/json", "+json"))


def one_line(document: bytes) -> bytes:
    """A JSON document without line ends, which are between its values only."""
    return document.replace(b"\r", b" ").replace(b"\n", b" ")


def _event(attributes: Mapping[str, object]) -> Event:
    event = Event(attributes)
    if attributes.get("specversion") != "1.0" or not event.type:
        raise Rejected("malformed")
    return event


def _logged(fields: Mapping[str, bytes]) -> Event:
    """A record of KServe's logger: kserve/kserve, pkg/logger/marshaller_json.go."""
    values = {name: json_value(fields[name]) for name in (*_LOGGED, "bytes") if name in fields}
    event = Event({_LOGGED[name]: value for name, value in values.items() if name in _LOGGED})
    if not event.type:
        raise Rejected("malformed")
    body = _bytes_of(values.get("bytes") or "")
    content_type = event.text("datacontenttype")
    return replace(event, data=_message(body, content_type, event.attributes))


def _message(body: bytes, content_type: str, attributes: Mapping[str, object]) -> Message:
    return Message(body, content_type, json_length=_json_length(attributes.get("metadata")))


def _json_length(metadata: Any) -> int | None:
    """What a header of the payload says of its binary part, where the logger kept it."""
    if isinstance(metadata, str):
        try:
            metadata = json_value(metadata.encode())
        except Rejected:
            return None
    if not isinstance(metadata, dict):
        return None
    for name, value in metadata.items():
        if name.lower() == _LENGTH:
            first = value[0] if isinstance(value, list) and value else value
            is_length = isinstance(first, str) and first.isdecimal() and len(first) < 10
            return int(first) if is_length else None
    return None


def _bytes_of(text: object) -> bytes:
    try:
        return base64.b64decode(text if isinstance(text, str) else "!", validate=True)
    except (binascii.Error, ValueError):
        raise Rejected("malformed") from None


def _is_value(data: bytes) -> bool:
    try:
        json_value(data)
    except Rejected:
        return False
    return True


def _header_text(value: str) -> str:
    """HTTP protocol binding, section 3.1.3.2; what isn't encoded at all is taken as UTF-8."""
    if quoted := _QUOTED.fullmatch(value):
        value = re.sub(r"\\(.)", r"\1", quoted[1])
    try:
        return unquote_to_bytes(value.encode("latin-1")).decode()
    except UnicodeError:
        raise Rejected("encoding") from None
