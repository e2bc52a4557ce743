"""Heads of HTTP/1.1 messages, as strict as they must be to be forwarded.

https://www.rfc-editor.org/rfc/rfc9112: what two servers could understand in two ways is refused,
for that is how requests are smuggled.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

LARGEST_HEAD = 64 << 10  # bytes
END = b"\r\n\r\n"

Fields = tuple[tuple[bytes, bytes], ...]  # names and values

# Of a body: bytes, or one of these.
CHUNKED, UNTIL_CLOSE = -1, -2

_REMEMBERED = 1024  # heads: clients and servers repeat theirs
_LONGEST_REMEMBERED = 2048  # bytes

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_FIELDS = rb"(?:" + _TOKEN + rb"++:[\t\x20-\x7e\x80-\xff]*+\r\n)*+\r\n"
_REQUEST = re.compile(rb"(" + _TOKEN + rb"{1,32}+) ([!-~\x80-\xff]++) HTTP/1\.([01])\r\n" + _FIELDS)
_RESPONSE = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: [^\r\n]*+)?\r\n" + _FIELDS)
# The fields that say where a message ends and what becomes of its connection, in lower case. A
# gateway that turns fields into variables can't tell a hyphen from an underscore.
_ABOUT = re.compile(
    rb"\n(host|content[-_]length|transfer[-_]encoding|connection|keep-alive|upgrade|http2-settings"
    rb"|proxy-[a-z-]++|x-forwarded-for|x-forwarded-proto):[\t ]*+([^\r]*+)"
)
_EVENTS = re.compile(rb"\ncontent-type:[\t ]*+text/event-stream\b", re.IGNORECASE)
_NO_HEAD = re.compile(rb"(?<!\r)\n|\0")
_LENGTH = re.compile(rb"\d{1,18}")
_HOST = re.compile(rb"[-\w.~%!$&'()*+,;=\[\]:]*+")
_FRAMING = (b"host", b"content-length", b"transfer-encoding")
_HOPS = (b"keep-alive", b"proxy-connection", b"proxy-authorization")


class BadMessage(Exception):
    """A message that can't be forwarded: the status of the answer, and why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request line and fields."""

    method: bytes
    target: bytes
    length: int  # bytes of the body, or CHUNKED
    closes: bool  # the client wants no other exchange on the connection
    upgrades: bool  # the client asks to speak another protocol from here on
    has_proto: bool  # somebody in front said how the client came to it
    forwarded_for: bytes  # who the request came by so far, as a list
    forwarded: bytes  # what goes to the model server, up to the fields that a proxy adds


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """A status line and fields."""

    status: int
    length: int  # bytes, CHUNKED or UNTIL_CLOSE, where there is a body
    closes: bool
    forwarded: bytes  # what goes to the client
    has_events: bool = False  # its body is server-sent events


def request_head(head: bytes) -> RequestHead:
    """Read a head with its empty line; raises BadMessage."""
    return _request(head) if len(head) <= _LONGEST_REMEMBERED else _request.__wrapped__(head)


def response_head(head: bytes) -> ResponseHead:
    """Read a head with its empty line; raises BadMessage."""
    return _response(head) if len(head) <= _LONGEST_REMEMBERED else _response.__wrapped__(head)


def with_fields(head: bytes, fields: Fields) -> bytes:
    """An answer's head, and of some fields those that it hasn't."""
    is_long = len(head) > _LONGEST_REMEMBERED
    return _with_fields.__wrapped__(head, fields) if is_long else _with_fields(head, fields)


@lru_cache(_REMEMBERED)
def _with_fields(head: bytes, fields: Fields) -> bytes:
    names = {line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:]}
    more = [b"%b: %b\r\n" % one for one in fields if one[0].lower() not in names]
    return b"".join((head[:-2], *more, b"\r\n"))


def check_unfinished(data: bytes | bytearray, seen: int = 0) -> None:
    """Raises BadMessage where what is there, of which so much was seen, can't become a head."""
    if len(data) > LARGEST_HEAD:
        raise BadMessage(431, "the request's head is too large")
    if _NO_HEAD.search(data, seen):
        raise BadMessage(400, "a line of the request's head ends without a carriage return")


@lru_cache(_REMEMBERED)
def _request(head: bytes) -> RequestHead:
    if len(head) > LARGEST_HEAD:
        raise BadMessage(431, "the request's head is too large")
    line = _REQUEST.fullmatch(head)
    if line is None:
        raise BadMessage(400, "the request's head is malformed")
    method, target, minor = line.groups()
    if method == b"CONNECT" or not (target[:1] == b"/" or (method, target) == (b"OPTIONS", b"*")):
        raise BadMessage(400, "the request's target is no path")
    about = _ABOUT.findall(head.lower())
    hosts = _values(about, b"host")
    if len(hosts) > 1 or (not hosts and minor == b"1"):
        raise BadMessage(400, "the request must name one host")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise BadMessage(400, "the request's host is malformed")
    length = _framing(about, minor)
    options = _options(about)
    protocols = _values(about, b"upgrade")
    # Over h2c nothing could be observed, nor what it asks for be checked.
    upgrades = b"upgrade" in options and bool(protocols) and not any(b"h2c" in p for p in protocols)
    dropped = {*_HOPS, b"x-forwarded-for", *options}.difference(_FRAMING, [b"upgrade"])
    if not upgrades:
        dropped |= {b"upgrade", b"http2-settings"}
    names = {name for name, _ in about}
    closes = b"close" in options or (minor == b"0" and b"keep-alive" not in options)
    forwarded = head[:-2]
    if options - {b"close", b"keep-alive"} or len(options) > 1:
        said = b"upgrade" if upgrades else b"close" if closes else b"keep-alive"
        forwarded = _without(forwarded, dropped | {b"connection"})
        forwarded += b"Connection: %b\r\n" % said
    elif names & dropped:
        forwarded = _without(forwarded, dropped)
    return RequestHead(
        method,
        target,
        length,
        closes,
        upgrades,
        has_proto=b"x-forwarded-proto" in names,
        forwarded_for=b", ".join(_values(about, b"x-forwarded-for")),
        forwarded=forwarded,
    )


@lru_cache(_REMEMBERED)
def _response(head: bytes) -> ResponseHead:
    line = _RESPONSE.fullmatch(head)
    if line is None:
        raise BadMessage(502, "the model server's answer is malformed")
    about = _ABOUT.findall(head.lower())
    status = int(line[2])
    encodings = _values(about, b"transfer-encoding")
    lengths = set(_values(about, b"content-length"))
    if encodings:
        if encodings != [b"chunked"] or lengths:
            raise BadMessage(502, "the model server's answer has two lengths")
        length = CHUNKED
    elif len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        raise BadMessage(502, "the model server's answer has no proper length")
    else:
        length = int(lengths.pop()) if lengths else UNTIL_CLOSE
    options = _options(about)
    closes = b"close" in options or (line[1] == b"0" and b"keep-alive" not in options)
    dropped = options - {b"close", b"keep-alive", b"upgrade", *_FRAMING}
    forwarded = _without(head[:-2], dropped) + b"\r\n"
    return ResponseHead(status, length, closes, forwarded, _has_events(head))


def _has_events(head: bytes) -> bool:
    return _EVENTS.search(head) is not None


def _framing(about: list[tuple[bytes, bytes]], minor: bytes) -> int:
    """The length of a request's body."""
    encodings = _values(about, b"transfer-encoding")
    lengths = _values(about, b"content-length")
    if any(name in (b"content_length", b"transfer_encoding") for name, _ in about):
        raise BadMessage(400, "the request has a second length, spelt otherwise")
    if encodings:
        if lengths:
            raise BadMessage(400, "the request has both a length and a transfer coding")
        if encodings != [b"chunked"] or minor == b"0":
            raise BadMessage(400, "the request's transfer coding isn't chunked")
        return CHUNKED
    if not lengths:
        return 0
    if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise BadMessage(400, "the request's length is malformed")
    return int(lengths[0])


def _options(about: list[tuple[bytes, bytes]]) -> set[bytes]:
    """What is said of the connection."""
    values = _values(about, b"connection")
    return {one for value in values for one in map(bytes.strip, value.split(b",")) if one}


def _values(about: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """The values of all fields of a name, without the white space around them."""
    return [value.rstrip() for one, value in about if one == name]


def _without(head: bytes, names: set[bytes]) -> bytes:
    """A head without the fields of some names, which are in lower case."""
    if not names:
        return head
    lines = head.split(b"\r\n")
    return b"\r\n".join(
        [lines[0], *(line for line in lines[1:] if line.partition(b":")[0].lower() not in names)]
    )
