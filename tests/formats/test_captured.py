import gzip
import json
import struct
import zlib
from dataclasses import replace

import pytest

from ml_exporter.batch import PREDICTION, Field
from ml_exporter.capture import write_frame
from ml_exporter.config.source_settings import ProxySource
from ml_exporter.formats import Decoded, Layout, decoder
from ml_exporter.formats.rows import TRACE_OF_REQUEST

FEATURE = Field("feature", "age")
LAYOUT = Layout({PREDICTION: "prediction", FEATURE: "age"})


def frame(
    request: bytes,
    response: bytes,
    path: str = "/v1/models/credit:predict",
    fields: bytes = b"",
    answer_fields: bytes = b"",
) -> bytes:
    return write_frame(
        *(0, 200, 1.5e9, 0.1, 0.1, 0.0),
        f"POST {path} HTTP/1.1\r\nHost: a\r\n".encode() + fields + b"\r\n",
        request,
        b"HTTP/1.1 200 OK\r\n" + answer_fields + b"\r\n",
        response,
    )


def decode(*frames: bytes, format: str = "auto", layout: Layout = LAYOUT) -> Decoded:
    return decoder(format, layout, captured=ProxySource()).decode(b"".join(frames), False)


def values(decoded: Decoded) -> list[tuple[object, object]]:
    fields = decoded.batch.fields
    return list(zip(fields[FEATURE].values, fields[PREDICTION].values, strict=True))


def test_an_exchange_is_rows() -> None:
    decoded = decode(
        frame(b'{"instances": [{"age": 41}, {"age": 7}]}', b'{"predictions": [1, 0]}'),
        frame(b'{"instances": [{"age": 33}]}', b'{"predictions": [1]}'),
    )
    assert values(decoded) == [(41, 1), (7, 0), (33, 1)]
    assert decoded.batch.timestamps is not None
    assert decoded.batch.timestamps.tolist() == [1.5e9] * 3


@pytest.mark.parametrize(
    ("coding", "compress"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)]
)
def test_compressed_bodies(coding: bytes, compress) -> None:  # type: ignore[no-untyped-def]
    field = b"Content-Encoding: %b\r\n" % coding
    one = frame(
        compress(b'{"instances": [{"age": 41}]}'),
        compress(b'{"predictions": [1]}'),
        fields=field,
        answer_fields=field,
    )
    assert values(decode(one)) == [(41, 1)]


def test_tensors_in_binary() -> None:
    def message(key: str, name: str, datatype: str, data: bytes) -> tuple[bytes, bytes]:
        tensor = {
            **{"name": name, "shape": [2, 1], "datatype": datatype},
            "parameters": {"binary_data_size": len(data)},
        }
        head = json.dumps({"model_name": "credit", "model_version": "7", key: [tensor]}).encode()
        return head + data, b"inference-HEADER-content-length: %d\r\n" % len(head)

    asked, fields = message("inputs", "age", "FP32", struct.pack("<2f", 41, 7))
    answered, answer_fields = message("outputs", "prediction", "INT64", struct.pack("<2q", 1, 0))
    decoded = decode(
        frame(asked, answered, "/v2/models/credit/infer", fields, answer_fields),
        layout=replace(LAYOUT, version="model_version"),
    )
    assert values(decoded) == [(41, 1), (7, 0)]
    assert decoded.batch.versions == ["7", "7"]


@pytest.mark.parametrize(
    ("path", "fields", "answer_fields", "version"),
    [
        ("/v1/models/credit/versions/3:predict", b"", b"", "3"),
        ("/v1/models/credit:predict", b"X-Model-Version: 4\r\n", b"", "4"),
        ("/v1/models/credit:predict", b"X-Model-Version: 4\r\n", b"x-model-version: 5\r\n", "5"),
    ],
)
def test_the_version_is_in_the_path_or_a_field(
    path: str, fields: bytes, answer_fields: bytes, version: str
) -> None:
    one = frame(b'{"instances": [[1]]}', b'{"predictions": [1]}', path, fields, answer_fields)
    layout = replace(LAYOUT, version="model_version")
    assert decode(one, layout=layout).batch.versions == [version]


def test_the_id_of_a_request() -> None:
    one = frame(b'{"instances": [[1]]}', b'{"predictions": [1]}', fields=b"X-Request-Id: a1 \r\n")
    assert decode(one, layout=replace(LAYOUT, id="id")).batch.ids == ["a1"]


@pytest.mark.parametrize(
    ("request_body", "response_body", "reason"),
    [
        (b"{" * 5, b'{"predictions": [1]}', "malformed"),
        (b'{"instances": ' + b"[" * 100_000, b'{"predictions": [1]}', "too_deep"),
        (b'{"instances": [[1], [2]]}', b'{"predictions": [1, 2, 3]}', "ragged_row"),
        (b'{"instances": [[1]]}', b"\xff\xfe", "encoding"),
        (gzip.compress(b"0" * (10 << 20)), b'{"predictions": [1]}', "too_large"),
        (b'{"instances": 1}', b"", "malformed"),
    ],
)
def test_poison_is_rejected_and_the_next_one_counted(
    request_body: bytes, response_body: bytes, reason: str
) -> None:
    good = frame(b'{"instances": [{"age": 41}]}', b'{"predictions": [1]}')
    decoded = decode(frame(request_body, response_body), good)
    assert values(decoded) == [(41, 1)]
    assert set(decoded.rejected) == {reason}


def test_a_head_without_a_path() -> None:
    good = b'{"instances": [{"age": 41}]}', b'{"predictions": [1]}'
    one = write_frame(0, 200, 1.5e9, 0.1, 0.1, 0.0, b"", good[0], b"", good[1])
    assert values(decode(one)) == [(41, 1)]


def test_the_header_of_the_version_may_be_another() -> None:
    bodies = b'{"instances": [[1]]}', b'{"predictions": [1]}'
    one = frame(*bodies, fields=b"X-Model-Version: 4\r\nx-revision: 5\r\n")
    source = ProxySource(version_header="X-Revision")
    layout = replace(LAYOUT, version="model_version")
    decoded = decoder("auto", layout, captured=source).decode(one, False)
    assert decoded.batch.versions == ["5"]


def test_the_trace_of_a_request_where_it_is_asked_for() -> None:
    frames = [
        frame(
            b'{"instances": [{"age": 41}, {"age": 7}]}',
            b'{"predictions": [1, 0]}',
            fields=b"X-Request-Id: a-1\r\n",
        ),
        frame(b'{"instances": [{"age": 33}]}', b'{"predictions": [1]}'),
    ]
    assert decode(*frames).batch.traces is None
    of_headers = replace(LAYOUT, trace=TRACE_OF_REQUEST)
    assert decode(*frames, layout=of_headers).batch.traces == ["a-1", "a-1", None]
