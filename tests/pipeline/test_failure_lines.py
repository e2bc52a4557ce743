"""What the log says of a request that failed, letter for letter."""

import pytest

from ml_exporter.pipeline.failure_lines import failure_lines
from ml_exporter.sources.failed_requests import FailedRequest

ONE = FailedRequest("POST", 503, "/v1/models/credit:predict", 1.7e9, 0.25, "t-1")


@pytest.mark.parametrize(
    ("failed", "redact", "line"),
    [
        (
            ONE,
            (),
            b'{"time": "2023-11-14T22:13:20.000Z", "model": "credit", "version": "3",'
            b' "trace_id": "t-1", "reasons": "failed_request", "code": 503, "method": "POST",'
            b' "path": "/v1/models/credit:predict", "seconds": 0.25}\n',
        ),
        (
            FailedRequest("<other>", 502, "/users/12345678", 1.7e9, 1 / 3, None),
            ("[0-9]{8,}",),
            b'{"time": "2023-11-14T22:13:20.000Z", "model": "credit", "version": "3",'
            b' "reasons": "failed_request", "code": 502, "method": "<other>",'
            b' "path": "<redacted>", "seconds": 0.333333}\n',
        ),
    ],
)
def test_a_line_has_no_payload(failed: FailedRequest, redact: tuple[str, ...], line: bytes) -> None:
    assert failure_lines([failed], "credit", "3", redact) == [line]


def test_a_long_path_is_cut() -> None:
    long = FailedRequest("POST", 500, "/" + "a" * 5000, 1.7e9, 0.1, None)
    (line,) = failure_lines([long], "credit", "3", ())
    assert len(line) < 500
