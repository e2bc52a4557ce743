"""CloudEvents as the specification writes them, and as loggers do."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from ml_exporter.formats.envelopes import attributes_of, event_line, event_of
from ml_exporter.formats.messages import Rejected

COMMON = {
    "specversion": "1.0",
    "type": "com.example.someevent",
    "source": "/mycontext",
    "time": "2018-04-05T17:31:00Z",
    "comexampleextension1": "value",
}
HEADERS = {f"ce-{name}": value for name, value in COMMON.items()}

# The examples of the JSON event format, section 3.2: each in structured mode, and in binary mode
# its id, content type and body.
EXAMPLES = {
    "binary": (
        {
            "id": "A234-1234-1234",
            "datacontenttype": "application/vnd.apache.thrift.binary",
            "data_base64": base64.b64encode(b"\x80\x01\0\1").decode(),
        },
        ("A234-1234-1234", "application/vnd.apache.thrift.binary", b"\x80\x01\0\1"),
    ),
    "text": (
        {
            "id": "B234-1234-1234",
            "unsetextension": None,
            "datacontenttype": "application/xml",
            "data": '<much wow="xml"/>',
        },
        ("B234-1234-1234", "application/xml", b'<much wow="xml"/>'),
    ),
    "object": (
        {
            "subject": None,
            "id": "C234-1234-1234",
            "datacontenttype": "application/json",
            "data": {"appinfoA": "abc", "appinfoB": 123, "appinfoC": True},
        },
        (
            "C234-1234-1234",
            "application/json",
            b'{\n  "appinfoA" : "abc",\n  "appinfoB" : 123,\n  "appinfoC" : true\n}',
        ),
    ),
    "string": (
        {"subject": None, "id": "D234-1234-1234", "data": "I'm just a string"},
        ("D234-1234-1234", "application/json", b'"I\'m just a string"'),
    ),
}


def line(**values: Any) -> bytes:
    return json.dumps(COMMON | values).encode()


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_modes_are_one(name: str) -> None:
    members, (id, content_type, body) = EXAMPLES[name]
    structured = event_of(line(**members))
    in_binary_mode = event_line(attributes_of(HEADERS | {"Ce-Id": id}), content_type, body)
    assert b"\n" not in in_binary_mode
    binary = event_of(in_binary_mode)
    for event in (structured, binary):
        assert (event.id, event.type, event.time) == (id, COMMON["type"], COMMON["time"])
        assert event.text("comexampleextension1") == "value"
        assert event.data is not None
        assert event.data.content_type == content_type
        if content_type == "application/json":
            assert event.data.json == json.loads(body)
        else:
            assert event.data.body == body


def test_an_event_may_have_no_data() -> None:
    assert event_of(line(id="1")).data is None
    assert event_of(event_line(COMMON | {"id": "1"}, "", b"")).data is None
    null = event_of(line(id="1", data=None)).data
    assert null is not None
    assert null.json is None


def test_what_it_has_no_text_for_is_none() -> None:
    event = event_of(line(id=5, time=None, number=5))
    assert (event.id, event.time, event.text("number"), event.text("unknown")) == ("", None, "", "")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"x": NaN}'),
        ("application/json", b'{"x": '),
        ("application/json", b"\xff"),
        ("application/problem+json; charset=utf-8", b'{"x":\r\n1}'),
        ("text/csv", b"a,b\n1,2\n"),
        ("", b"{}"),
    ],
)
def test_data_in_binary_mode_is_what_was_sent(content_type: str, body: bytes) -> None:
    text = event_line(COMMON | {"id": "1"}, content_type, body)
    assert b"\n" not in text
    data = event_of(text).data
    assert data is not None
    assert data.body.split() == body.split()


class TestHeaders:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("1234-1234-1234", "1234-1234-1234"),
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
            ("Euro%20%e2%82%ac", "Euro €"),
            ('"say \\"hi\\""', 'say "hi"'),
            ('{"a": ["b"]}', '{"a": ["b"]}'),
            ("ü".encode().decode("latin-1"), "ü"),  # bytes as WSGI gives them
            ("100%", "100%"),
        ],
    )
    def test_are_texts(self, value: str, text: str) -> None:
        assert attributes_of({"Ce-Subject": value}) == {"subject": text}

    @pytest.mark.parametrize("value", ["%C0%A0", "%FF", "\xfc"])
    def test_are_rejected_where_they_are_no_text(self, value: str) -> None:
        with pytest.raises(Rejected, match="encoding"):
            attributes_of({"Ce-Subject": value})

    def test_of_other_names_are_no_attributes(self) -> None:
        headers = {"Content-Type": "text/plain", "Ce-": "x", "Ce-A-B": "x", "Cerise": "x"}
        assert attributes_of(headers) == {}

    def test_do_not_stand_in_for_data(self) -> None:
        attributes = COMMON | {"id": "1", "data": "x", "datacontenttype": "x"}
        data = event_of(event_line(attributes, "text/plain", b"y")).data
        assert data is not None
        assert (data.content_type, data.body) == ("text/plain", b"y")


class TestKServe:
    """https://github.com/kserve/kserve/tree/master/pkg/logger"""

    RECORD: dict[str, Any] = {  # noqa: RUF012
        "url": {"Scheme": "s3", "Host": "bucket"},
        "bytes": base64.b64encode(b'{"instances": [[1]]}').decode(),
        "contentType": "application/json",
        "reqType": "org.kubeflow.serving.inference.request",
        "id": "4a9c",
        "sourceUri": {"Host": "localhost:9081"},
        "inferenceService": "credit",
        "namespace": "prod",
        "component": "predictor",
        "endpoint": "default",
        "metadata": {"X-Request-Id": ["7"]},
        "annotations": None,
        "certName": "",
        "tlsSkipVerify": False,
        "occurrenceTime": "2026-03-01T12:00:00.123456789Z",
    }

    def test_writes_records_to_a_blob_store(self) -> None:
        event = event_of(json.dumps(self.RECORD).encode())
        assert event.id == "4a9c"
        assert event.type == "org.kubeflow.serving.inference.request"
        assert event.time == "2026-03-01T12:00:00.123456789Z"
        assert event.text("inferenceservicename") == "credit"
        assert event.data is not None
        assert event.data.json == {"instances": [[1]]}

    @pytest.mark.parametrize("change", [{"reqType": ""}, {"bytes": "?"}, {"bytes": 5}])
    def test_is_rejected_where_it_is_none(self, change: dict[str, Any]) -> None:
        with pytest.raises(Rejected, match="malformed"):
            event_of(json.dumps(self.RECORD | change).encode())

    @pytest.mark.parametrize(
        ("metadata", "length"),
        [
            ('{"Inference-Header-Content-Length":["91"]}', 91),
            ({"inference-header-content-length": ["91"]}, 91),
            ('{"Inference-Header-Content-Length":"91"}', 91),
            ('{"Inference-Header-Content-Length":["-1"]}', None),
            ('{"Inference-Header-Content-Length":[]}', None),
            ('{"Host":["x"]}', None),
            ("{", None),
            ('{"Inference-Header-Content-Length":["' + "9" * 5000 + '"]}', None),
            ([], None),
            (5, None),
        ],
    )
    def test_keeps_the_length_of_what_is_no_json(
        self, metadata: object, length: int | None
    ) -> None:
        body = base64.b64encode(b"{}").decode()
        event = event_of(line(id="1", metadata=metadata, data_base64=body))
        assert event.data is not None
        assert event.data.json_length == length


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "malformed"),
        (b"5", "malformed"),
        (b"[]", "malformed"),
        (b"{}", "malformed"),
        (b'{"specversion":"1.0","id":"1","source":"/"}', "malformed"),
        (b'{"specversion":"0.3","id":"1","source":"/","type":"t"}', "malformed"),
        (b'{"specversion":1.0,"id":"1","source":"/","type":"t"}', "malformed"),
        (b'{"specversion":"1.0","id":"1","source":"/","type":5}', "malformed"),
        (line(id="1", data_base64="?"), "malformed"),
        (line(id="1", data_base64=5), "malformed"),
        (b'{"specversion":"1.0","type":"t","id":"\xff"}', "encoding"),
        (line(id="1", subject="\ud800"), "encoding"),
        (b'{"specversion":"1.0","type":"t","id":"1","a":' + b"[" * 100_000, "too_deep"),
    ],
)
def test_what_is_no_event_is_rejected(text: bytes, reason: str) -> None:
    with pytest.raises(Rejected) as rejection:
        event_of(text)
    assert rejection.value.reason == reason
