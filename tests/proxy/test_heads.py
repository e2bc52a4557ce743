"""Requests that two servers could understand in two ways, and what becomes of the others."""

import pytest

from ml_exporter.proxy.heads import (
    CHUNKED,
    LARGEST_HEAD,
    UNTIL_CLOSE,
    BadMessage,
    check_unfinished,
    request_head,
    response_head,
)


def request(*lines: bytes, first: bytes = b"POST /predict HTTP/1.1") -> bytes:
    return b"\r\n".join([first, *lines, b"", b""])


HOST = b"Host: model"

# From the published lists of request smuggling, and RFC 9112, section 11.2.
SMUGGLED = {
    "two lengths": request(HOST, b"Content-Length: 5", b"Content-Length: 6"),
    "one length twice": request(HOST, b"Content-Length: 5", b"Content-Length: 5"),
    "a list of lengths": request(HOST, b"Content-Length: 5, 5"),
    "a length with a sign": request(HOST, b"Content-Length: +5"),
    "a negative length": request(HOST, b"Content-Length: -5"),
    "a hexadecimal length": request(HOST, b"Content-Length: 0x5"),
    "a length with a space in it": request(HOST, b"Content-Length: 1 0"),
    "an empty length": request(HOST, b"Content-Length:"),
    "a length beyond all bounds": request(HOST, b"Content-Length: " + b"9" * 30),
    "a length in other digits": request(HOST, "Content-Length: ٥".encode()),
    "a length under another spelling": request(HOST, b"Content_Length: 5"),
    "CL.TE": request(HOST, b"Content-Length: 6", b"Transfer-Encoding: chunked"),
    "TE.CL": request(HOST, b"Transfer-Encoding: chunked", b"Content-Length: 6"),
    "TE.TE": request(HOST, b"Transfer-Encoding: chunked", b"Transfer-Encoding: x"),
    "chunked twice": request(HOST, b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "chunked after another": request(HOST, b"Transfer-Encoding: gzip, chunked"),
    "chunked before another": request(HOST, b"Transfer-Encoding: chunked, identity"),
    "identity": request(HOST, b"Transfer-Encoding: identity"),
    "a coding in quotes": request(HOST, b'Transfer-Encoding: "chunked"'),
    "a vertical tab before chunked": request(HOST, b"Transfer-Encoding: \x0bchunked"),
    "a coding under another spelling": request(HOST, b"Transfer_Encoding: chunked"),
    "a space before the colon": request(HOST, b"Transfer-Encoding : chunked"),
    "a tab before the colon": request(HOST, b"Content-Length\t: 5"),
    "a space before the name": request(HOST, b" Transfer-Encoding: chunked"),
    "obs-fold": request(HOST, b"Transfer-Encoding:", b" chunked"),
    "obs-fold in the first field": request(b" x: y", HOST),
    "chunked in HTTP/1.0": request(HOST, b"Transfer-Encoding: chunked", first=b"POST / HTTP/1.0"),
    "a bare line feed between fields": request(HOST, b"A: b\nContent-Length: 5"),
    "a bare carriage return in a value": request(HOST, b"A: b\rContent-Length: 5"),
    "a nul in a value": request(HOST, b"A: b\0"),
    "a field without a name": request(HOST, b": 5"),
    "a field without a colon": request(HOST, b"Content-Length 5"),
    "a name with a bracket": request(HOST, b"Content(Length: 5"),
    "no host": request(b"A: b"),
    "two hosts": request(HOST, b"Host: other"),
    "a host with a user": request(b"Host: a@b"),
    "a host with a path": request(b"Host: model/admin"),
    "a host with a space": request(b"Host: model other"),
    "absolute form": request(HOST, first=b"GET http://169.254.169.254/latest HTTP/1.1"),
    "absolute form of another scheme": request(HOST, first=b"GET file:///etc/passwd HTTP/1.1"),
    "authority form": request(HOST, first=b"CONNECT db:5432 HTTP/1.1"),
    "a connection to a path": request(HOST, first=b"CONNECT /predict HTTP/1.1"),
    "a target without a slash": request(HOST, first=b"GET @evil/ HTTP/1.1"),
    "a star": request(HOST, first=b"GET * HTTP/1.1"),
    "two spaces": request(HOST, first=b"GET  / HTTP/1.1"),
    "a tab for a space": request(HOST, first=b"GET\t/ HTTP/1.1"),
    "a space in the target": request(HOST, first=b"GET /a b HTTP/1.1"),
    "no version": request(HOST, first=b"GET /"),
    "HTTP/2 without TLS": request(first=b"PRI * HTTP/2.0"),
    "HTTP/1.2": request(HOST, first=b"GET / HTTP/1.2"),
    "a version in small letters": request(HOST, first=b"GET / http/1.1"),
    "a method with a colon": request(HOST, first=b"GE:T / HTTP/1.1"),
}


@pytest.mark.parametrize("head", SMUGGLED.values(), ids=SMUGGLED)
def test_what_could_be_understood_in_two_ways_is_refused(head: bytes) -> None:
    with pytest.raises(BadMessage) as refused:
        request_head(head)
    assert refused.value.status == 400


def test_a_head_beyond_all_bounds_is_refused() -> None:
    with pytest.raises(BadMessage) as refused:
        request_head(request(HOST, b"A: " + b"b" * LARGEST_HEAD))
    assert refused.value.status == 431


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\nHost: a\n\n", b"GET / HTTP/1.1\r\nA: \0"])
def test_what_can_t_become_a_head_is_not_waited_for(data: bytes) -> None:
    with pytest.raises(BadMessage):
        check_unfinished(data)


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        ([], 0),
        ([b"Content-Length: 17"], 17),
        ([b"content-length:17 \t"], 17),
        ([b"Transfer-Encoding: Chunked"], CHUNKED),
    ],
)
def test_the_length_of_a_request(fields: list[bytes], length: int) -> None:
    assert request_head(request(HOST, *fields)).length == length


@pytest.mark.parametrize(
    ("first", "fields", "closes"),
    [
        (b"GET / HTTP/1.1", [], False),
        (b"GET / HTTP/1.1", [b"Connection: close"], True),
        (b"GET / HTTP/1.1", [b"Connection: Keep-Alive"], False),
        (b"GET / HTTP/1.0", [], True),
        (b"GET / HTTP/1.0", [b"Connection: keep-alive"], False),
    ],
)
def test_whether_a_client_goes_on(first: bytes, fields: list[bytes], closes: bool) -> None:
    assert request_head(request(HOST, *fields, first=first)).closes == closes


def test_a_request_is_forwarded_as_it_is() -> None:
    head = request(b"hOST:  model:80 ", b"Content-length: 2", b"X-\xe9: \xff", b"Connection: close")
    head = head.replace(b"X-\xe9", b"X-e")
    assert request_head(head).forwarded + b"\r\n" == head


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ([b"Keep-Alive: timeout=5", b"A: b"], [b"A: b"]),
        ([b"Proxy-Authorization: secret", b"Proxy-Connection: close"], []),
        (
            [b"Connection: keep-alive, x-hop", b"X-Hop: 1", b"A: b"],
            [b"A: b", b"Connection: keep-alive"],
        ),
        ([b"Connection: host", b"A: b"], [b"A: b", b"Connection: keep-alive"]),
        (
            [b"Connection: close, content-length", b"Content-Length: 5"],
            [b"Content-Length: 5", b"Connection: close"],
        ),
        (
            [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAA"],
            [b"Connection: keep-alive"],
        ),
        (
            [b"Connection: keep-alive, Upgrade", b"Upgrade: websocket"],
            [b"Upgrade: websocket", b"Connection: upgrade"],
        ),
        ([b"Upgrade: websocket", b"Keep-Alive: 1"], []),
        ([b"X-Forwarded-For: 198.51.100.1"], []),
    ],
)
def test_what_concerns_one_connection_only_is_not_forwarded(
    fields: list[bytes], left: list[bytes]
) -> None:
    head = request_head(request(HOST, *fields))
    assert head.forwarded == request(HOST, *left)[:-2]


def test_who_came_before() -> None:
    head = request_head(
        request(HOST, b"X-Forwarded-For: 198.51.100.1", b"x-forwarded-for: 198.51.100.2 ")
    )
    assert head.forwarded_for == b"198.51.100.1, 198.51.100.2"


@pytest.mark.parametrize(
    ("head", "status", "length"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", 200, 3),
        (b"HTTP/1.1 200\r\ncontent-length: 3\r\nContent-Length: 3\r\n\r\n", 200, 3),
        (b"HTTP/1.1 503 \r\nTransfer-Encoding: chunked\r\n\r\n", 503, CHUNKED),
        (b"HTTP/1.0 200 OK\r\n\r\n", 200, UNTIL_CLOSE),
    ],
)
def test_the_length_of_an_answer(head: bytes, status: int, length: int) -> None:
    read = response_head(head)
    assert (read.status, read.length, read.forwarded) == (status, length, head)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 999 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
    ],
)
def test_answers_that_can_t_be_told_apart(head: bytes) -> None:
    with pytest.raises(BadMessage):
        response_head(head)
