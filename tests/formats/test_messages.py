import gzip
import zlib

import pytest

from ml_exporter.formats.messages import LARGEST_BODY, Message, Rejected, json_value


def reason(read):
    with pytest.raises(Rejected) as rejection:
        read()
    return rejection.value.reason


def gzipped(data):
    return gzip.compress(data, mtime=0)  # a case has the same name in each run


def raw_deflate(data):
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b'{"a": 1}', ""),
        (b'{"a": 1}', "identity"),
        (gzipped(b'{"a": 1}'), "gzip"),
        (gzipped(b'{"a": 1}'), "X-GZip"),
        (gzipped(b'{"a": 1}'), ""),  # the log kept no headers
        (zlib.compress(b'{"a": 1}'), "deflate"),
        (raw_deflate(b'{"a": 1}'), "deflate"),
        (gzipped(zlib.compress(b'{"a": 1}')), "deflate, gzip"),
    ],
)
def test_encodings(body, encoding):
    assert Message(body, content_encoding=encoding).json == {"a": 1}


@pytest.mark.parametrize(
    ("body", "encoding", "expected"),
    [
        (b"{}", "br", "encoding"),
        (b"{}", "gzip", "encoding"),
        (b"{}", "deflate", "encoding"),
        (gzipped(b'{"a": 1}' * 9)[:-9], "gzip", "encoding"),
        (b" " * (LARGEST_BODY + 1), "", "too_large"),
        (gzipped(b" " * (LARGEST_BODY + 1)), "gzip", "too_large"),
        (gzipped(b" " * (1 << 20)), "gzip", "too_large"),  # a thousandfold
    ],
)
def test_bodies_that_are_not_decoded(body, encoding, expected):
    assert reason(lambda: Message(body, content_encoding=encoding).content) == expected


def test_short_bodies_may_have_any_ratio():
    assert Message(gzipped(b" " * 60_000), content_encoding="gzip").content == b" " * 60_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"[NaN, Infinity, -Infinity]", "[nan, inf, -inf]"),
        (b"9" * 30, "9" * 30),
        (b"[NaN, 1" + b"0" * 400 + b"]", "[nan, inf]"),
        (b"\xef\xbb\xbf1", "1"),
        (b'{"a": 1, "a": 2}', "{'a': 2}"),
    ],
)
def test_json_beyond_the_standard(text, expected):
    assert repr(json_value(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "malformed"),
        (b"{", "malformed"),
        (b"{} {}", "malformed"),
        (b'"\xff"', "encoding"),
        (b'"\\ud800"', "encoding"),
        (b"[" * 100_000, "too_deep"),
        (b"[NaN," + b"[" * 100_000, "too_deep"),
    ],
)
def test_what_is_no_json(text, expected):
    assert reason(lambda: json_value(text)) == expected


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"5.0", "", 5.0),
        (b"Accepted", "", None),
        (b"\x89PNG", "image/png", None),
        (b"--b\r\nContent-Disposition: form-data", "multipart/form-data", None),
    ],
)
def test_what_may_be_no_json(body, content_type, expected):
    assert Message(body, content_type).json_or_none() == expected


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"Accepted", "application/json; charset=utf-8"), (b'{"a": ', ""), (b"[1, 2", "text/plain")],
)
def test_what_should_have_been_json(body, content_type):
    assert reason(Message(body, content_type).json_or_none) == "malformed"


def test_media_type():
    assert Message(b"", "Application/JSON; charset=utf-8").media_type == "application/json"
    assert Message(b"").media_type == ""
