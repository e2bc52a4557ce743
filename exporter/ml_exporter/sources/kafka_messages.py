"""Kafka messages as lines of a log, one each."""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.formats import envelopes

_BINARY = "ce_"  # before the name of an attribute, in the headers of an event in binary mode

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
    attributes = {
        name.removeprefix(_BINARY): text for name, text in texts.items() if name.startswith(_BINARY)
    }
    if not attributes and "type" in texts:
        attributes = texts
    if not attributes:
        return line(value)
    attributes.setdefault("specversion", "1.0")
    content_type = content_type or attributes.get("datacontenttype", "")
    return envelopes.event_line(attributes, content_type, value) + b"\n"


def _text(value: bytes | str | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""
