"""A request's or a response's body, decoded within bounds."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from typing import Any

from ml_exporter.columns import ABSENT
from ml_exporter.formats.lines import BOM
from ml_exporter.serialization import json_text

LARGEST_BODY = 8 << 20  # bytes, once it is decompressed
_MOST_CODINGS = 4  # one after the other
_ALWAYS_ALLOWED = 64 << 10  # bytes that a compressed body may have, however short it is
_GREATEST_RATIO = 100  # of a body to its compressed form
_GZIP = b"\x1f\x8b"


class Rejected(Exception):
    """What can't be read: one of the REASONS, and how many rows it costs as far as is known."""

    def __init__(self, reason: str, rows: int = 1) -> None:
        super().__init__(reason)
        self.reason = reason
        self.rows = rows


@dataclass(slots=True)
class Message:
    """A body as it was sent, and what its headers say of it."""

    body: bytes
    content_type: str = ""
    content_encoding: str = ""
    json_length: int | None = None  # bytes: Inference-Header-Content-Length
    # What a protocol is told by is read again by the protocol. (A cached_property has no slot.)
    _content: bytes | None = field(default=None, init=False, repr=False, compare=False)
    _json: Any = field(default=ABSENT, init=False, repr=False, compare=False)

    @property
    def media_type(self) -> str:
        """`application/json`, say, without parameters; empty where it isn't known."""
        return self.content_type.partition(";")[0].strip().lower()

    @property
    def content(self) -> bytes:
        """The body, decompressed; raises Rejected."""
        if self._content is None:
            self._content = self._decompressed()
        return self._content

    def _decompressed(self) -> bytes:
        content = self.body
        if self.content_encoding:
            names = self.content_encoding.lower().split(",")
            if len(names) > _MOST_CODINGS:
                raise Rejected("encoding")
            for name in reversed(names):
                content = _decompress(content, name.strip())
        if content.startswith(_GZIP):  # a log that kept no headers
            content = _decompress(content, "gzip")
        if len(content) > LARGEST_BODY:
            raise Rejected("too_large")
        return content

    @property
    def json(self) -> Any:
        """The body as a JSON value, which nobody changes; raises Rejected."""
        if self._json is ABSENT:
            self._json = json_value(self.content)
        return self._json

    def json_or_none(self) -> Any:
        """The same, but None for a body that neither says nor looks like it were JSON."""
        try:
            return self.json
        except Rejected as rejection:
            claimed = self.media_type.endswith("json") or self.content[:1] in (b"{", b"[")
            if claimed or rejection.reason not in ("malformed", "encoding"):
                raise
            return None

    def text(self) -> str:
        """The body as UTF-8; raises Rejected."""
        try:
            return self.content.decode("utf-8-sig")
        except UnicodeError:
            raise Rejected("encoding") from None


def json_value(text: bytes) -> Any:
    """A JSON value; NaN, Infinity and numbers of any size are read too. Raises Rejected."""
    try:
        return json_text.decode(text)
    except UnicodeError:
        raise Rejected("encoding") from None
    except RecursionError:
        raise Rejected("too_deep") from None
    except json_text.NotJson:
        return _lenient_value(text)


def _lenient_value(text: bytes) -> Any:
    try:
        value = json.loads(text.removeprefix(BOM).decode(), parse_int=json_text.integer)
        json_text.check_pairs(text, value)
    except UnicodeError:
        raise Rejected("encoding") from None
    except RecursionError:
        raise Rejected("too_deep") from None
    except ValueError:
        raise Rejected("malformed") from None
    return value


def _decompress(data: bytes, encoding: str) -> bytes:
    """RFC 9110, section 8.4.1; `deflate` without a zlib header, which is sent too, is read."""
    match encoding:
        case "" | "identity":
            return data
        case "gzip" | "x-gzip":
            return _inflate(data, 16 + zlib.MAX_WBITS)
        case "deflate":
            has_header = data[:1] == b"\x78" and int.from_bytes(data[:2]) % 31 == 0
            return _inflate(data, zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
    raise Rejected("encoding")


def _inflate(data: bytes, window: int) -> bytes:
    allowed = min(LARGEST_BODY, max(_ALWAYS_ALLOWED, _GREATEST_RATIO * len(data)))
    inflater = zlib.decompressobj(window)
    try:
        content = inflater.decompress(data, allowed + 1)
    except zlib.error:
        raise Rejected("encoding") from None
    if len(content) > allowed:
        raise Rejected("too_large")
    if not inflater.eof:
        raise Rejected("encoding")
    return content
