"""The body of a request as lines: the items that it holds, each as it was sent."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from itertools import islice

from ml_exporter.formats.envelopes import attributes_of, event_line, one_line
from ml_exporter.formats.messages import Rejected

LARGEST_BODY = 8 << 20  # bytes, compressed or not
MOST_ITEMS = 100_000  # of one body

JSON = "application/json"
LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines")
EVENT = "application/cloudevents+json"
EVENTS = "application/cloudevents-batch+json"
_EVENTS = "application/cloudevents"  # what every event format begins with

# It is to say where a value ends: what the value is doesn't matter.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)
_GAP = re.compile(r"[ \t\r\n]*")


class Refused(Exception):
    """A body that isn't taken: the HTTP status, why, and in how many seconds it may be."""

    def __init__(self, status: int, error: str, retry_after: int | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.retry_after = retry_after


def inflate(body: bytes, encoding: str) -> bytes:
    """A body as it was before it was compressed; raises Refused."""
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            return _gunzip(body)
    raise Refused(415, f"can't read Content-Encoding {encoding!r}; send gzip, or none")


def rows(body: bytes, content_type: str) -> list[bytes]:
    """The rows of a body of JSON or JSON Lines; raises Refused."""
    media_type = _media_type(content_type)
    if media_type == JSON:
        return _documents(body)
    if media_type in LINES:
        return _bounded([line.strip() for line in body.split(b"\n") if line.strip()])
    raise Refused(415, f"can't read Content-Type {media_type!r}; send {JSON} or {LINES[0]}")


def events(body: bytes, content_type: str, headers: Mapping[str, str]) -> list[bytes]:
    """The CloudEvents of a body, in any of the three modes; raises Refused.

    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
    """
    media_type = _media_type(content_type)
    if media_type in (EVENT, EVENTS):
        return _documents(body)
    if media_type.startswith(_EVENTS):
        raise Refused(415, f"can't read Content-Type {media_type!r}; send {EVENT} or {EVENTS}")
    try:
        attributes = attributes_of(headers)
    except Rejected:
        raise Refused(400, "a ce- header is not percent-encoded UTF-8") from None
    if not attributes and media_type in (JSON, *LINES):
        return rows(body, content_type)  # in structured mode, and only the type says otherwise
    if not attributes:
        raise Refused(400, f"the body has no ce- headers; send those, or {EVENT}")
    return [event_line(attributes, content_type, body)]


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _gunzip(body: bytes) -> bytes:
    """RFC 1952, of one member."""
    inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(body, LARGEST_BODY + 1)
    except zlib.error:
        raise Refused(400, "the body is not gzip, and Content-Encoding says so") from None
    if len(inflated) > LARGEST_BODY:
        raise Refused(413, f"the body is larger than {LARGEST_BODY >> 20} MiB")
    if not inflater.eof or inflater.unused_data:
        raise Refused(400, "the body is not one whole member of gzip")
    return inflated


def _documents(body: bytes) -> list[bytes]:
    """The elements of a JSON array, or the one document that a body is."""
    try:
        found = list(islice(_elements(body.decode("utf-8-sig")), MOST_ITEMS + 1))
    except UnicodeDecodeError:
        raise Refused(400, "the body is not UTF-8") from None
    except RecursionError:
        raise Refused(400, "the body is nested too deeply") from None
    except ValueError as error:
        raise Refused(400, f"the body is no JSON: {str(error).lower()}") from None
    return _bounded([one_line(document.encode()) for document in found])


def _elements(text: str) -> Iterator[str]:
    at = _after_gap(text, 0)
    if text[at : at + 1] == "[":
        at = _after_gap(text, at + 1)
        more = text[at : at + 1] != "]"
        while more:
            _, stop = _DECODER.raw_decode(text, at)
            yield text[at:stop]
            at = _after_gap(text, stop)
            if more := text[at : at + 1] == ",":
                at = _after_gap(text, at + 1)
        if text[at : at + 1] != "]":
            raise json.JSONDecodeError("expecting ',' or ']'", text, at)
        stop = at + 1
    else:
        _, stop = _DECODER.raw_decode(text, at)
        yield text[at:stop]
    if (at := _after_gap(text, stop)) < len(text):
        raise json.JSONDecodeError("extra data", text, at)


def _after_gap(text: str, at: int) -> int:
    gap = _GAP.match(text, at)
    return gap.end() if gap else at


def _bounded(items: list[bytes]) -> list[bytes]:
    if len(items) > MOST_ITEMS:
        raise Refused(413, f"the body has more than {MOST_ITEMS:,} items")
    return items
