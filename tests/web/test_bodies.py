"""The body of a request, taken apart."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping

import pytest

from ml_exporter.formats.envelopes import event_of
from ml_exporter.web import bodies
from ml_exporter.web.bodies import EVENT, EVENTS, LARGEST_BODY, LINES, Refused

JSON = "application/json"
CE = {"Ce-Specversion": "1.0", "Ce-Type": "t", "Ce-Source": "/s", "Ce-Id": "1", "Host": "x"}


class TestRows:
    @pytest.mark.parametrize(
        ("body", "items"),
        [
            (b'{"a": 1}', [b'{"a": 1}']),
            (b'\xef\xbb\xbf {"a":\r\n 1}\n', [b'{"a":   1}']),
            (b"[]", []),
            (b" [ ] ", []),
            (b'[{"a": 1}, 5,"x,]" ,null]', [b'{"a": 1}', b"5", b'"x,]"', b"null"]),
            (b'[{"a": NaN},\n{"b":\n[1]}]', [b'{"a": NaN}', b'{"b": [1]}']),
            ('["é", "\\ud800"]'.encode(), ['"é"'.encode(), b'"\\ud800"']),
            (b"[" + b"9" * 5000 + b"]", [b"9" * 5000]),
        ],
    )
    def test_of_json(self, body: bytes, items: list[bytes]) -> None:
        assert bodies.rows(body, f"{JSON}; charset=utf-8") == items

    @pytest.mark.parametrize("content_type", LINES)
    @pytest.mark.parametrize(
        ("body", "items"),
        [
            (b"", []),
            (b'{"a": 1}', [b'{"a": 1}']),
            (b'{"a": 1}\r\n\n \n{"b": \xff\n', [b'{"a": 1}', b'{"b": \xff']),
        ],
    )
    def test_of_lines(self, content_type: str, body: bytes, items: list[bytes]) -> None:
        assert bodies.rows(body, content_type.upper()) == items

    @pytest.mark.parametrize(
        ("body", "error"),
        [
            (b"", "is no JSON: expecting value: line 1 column 1 (char 0)"),
            (b"[1, 2", "is no JSON: expecting ',' or ']': line 1 column 6 (char 5)"),
            (b"[1 2]", "is no JSON: expecting ',' or ']': line 1 column 4 (char 3)"),
            (b"[1,]", "is no JSON: expecting value: line 1 column 4 (char 3)"),
            (b"[1] 2", "is no JSON: extra data: line 1 column 5 (char 4)"),
            (b"{}\n{}", "is no JSON: extra data: line 2 column 1 (char 3)"),
            (b'{"a": "\xff"}', "is not UTF-8"),
            (b'{"a":' + b"[" * 100_000, "is nested too deeply"),
        ],
    )
    def test_that_are_no_json_are_refused(self, body: bytes, error: str) -> None:
        with pytest.raises(Refused) as refused:
            bodies.rows(body, JSON)
        assert (refused.value.status, refused.value.error) == (400, f"the body {error}")

    @pytest.mark.parametrize(
        "content_type", ["", "text/plain", "application/x-www-form-urlencoded"]
    )
    def test_of_another_type_are_refused(self, content_type: str) -> None:
        with pytest.raises(Refused, match="send application/json or application/x-ndjson"):
            bodies.rows(b"{}", content_type)

    @pytest.mark.parametrize(
        ("body", "content_type"), [(b"[1,1,1,1]", JSON), (b"1\n1\n1\n1", LINES[0])]
    )
    def test_are_bounded(
        self, body: bytes, content_type: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bodies, "MOST_ITEMS", 4)
        assert len(bodies.rows(body, content_type)) == 4
        monkeypatch.setattr(bodies, "MOST_ITEMS", 3)
        with pytest.raises(Refused, match="has more than 3 items"):
            bodies.rows(body, content_type)


class TestEvents:
    def test_in_binary_mode(self) -> None:
        (line,) = bodies.events(b'{"a":\n1}', JSON, CE)
        event = event_of(line)
        assert (event.id, event.type) == ("1", "t")
        assert event.data is not None
        assert event.data.json == {"a": 1}

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [(EVENT, b"{}"), (EVENTS, b"[{}]"), (JSON, b"[{}]"), (LINES[0], b"\n{}\n")],
    )
    def test_in_structured_mode(self, content_type: str, body: bytes) -> None:
        assert bodies.events(body, f"{content_type}; charset=UTF-8", {}) == [b"{}"]

    @pytest.mark.parametrize(
        ("content_type", "headers", "status", "error"),
        [
            ("application/cloudevents+avro", CE, 415, "send application/cloudevents+json or"),
            (JSON, {}, 400, "is no JSON"),
            ("text/plain", {}, 400, "has no ce- headers"),
            (JSON, {"Ce-Id": "%FF"}, 400, "not percent-encoded UTF-8"),
            (EVENT, {}, 400, "is no JSON"),
        ],
    )
    def test_that_are_none_are_refused(
        self, content_type: str, headers: Mapping[str, str], status: int, error: str
    ) -> None:
        with pytest.raises(Refused, match=re.escape(error)) as refused:
            bodies.events(b"", content_type, headers)
        assert refused.value.status == status


class TestCompression:
    @pytest.mark.parametrize("encoding", ["gzip", " GZIP ", "x-gzip"])
    def test_is_undone(self, encoding: str) -> None:
        assert bodies.inflate(gzip.compress(b"abc"), encoding) == b"abc"

    @pytest.mark.parametrize("encoding", ["", "identity"])
    def test_may_be_none(self, encoding: str) -> None:
        assert bodies.inflate(b"abc", encoding) == b"abc"

    @pytest.mark.parametrize(
        ("body", "encoding", "status", "error"),
        [
            (b"x", "br", 415, "can't read Content-Encoding 'br'; send gzip, or none"),
            (b"text", "gzip", 400, "the body is not gzip, and Content-Encoding says so"),
            (b"", "gzip", 400, "the body is not one whole member of gzip"),
            (gzip.compress(b"abc")[:-9], "gzip", 400, "the body is not one whole member of gzip"),
            (gzip.compress(b"") * 2, "gzip", 400, "the body is not one whole member of gzip"),
            (gzip.compress(bytes(LARGEST_BODY + 1)), "gzip", 413, "the body is larger than 8 MiB"),
        ],
        ids=["br", "text", "nothing", "cut short", "two", "bomb"],
    )
    def test_that_cannot_be_undone_is_refused(
        self, body: bytes, encoding: str, status: int, error: str
    ) -> None:
        with pytest.raises(Refused) as refused:
            bodies.inflate(body, encoding)
        assert (refused.value.status, refused.value.error) == (status, error)


def test_an_item_keeps_what_it_is() -> None:
    rows = [{"text": 'a\\"b\u2028\n', "n": [1.50, -0.0, 1e400]}, {"": None}]
    text = json.dumps(rows, indent=2)
    items = bodies.rows(text.encode(), JSON)
    assert [json.loads(item) for item in items] == rows
