import pytest

from ml_exporter.capture import write_frame
from ml_exporter.families import Exemplar
from ml_exporter.sources.failed_requests import FailedRequest, FailedRequests


def frame(line: str, trace: str = "", code: int = 503, time: float = 1.7e9) -> bytes:
    field = f"X-Request-Id: {trace}\r\n" if trace else ""
    head = f"{line} HTTP/1.1\r\nHost: model\r\n{field}\r\n".encode("latin-1")
    return write_frame(0, code, time, 0.5, 0.25, 0.0, head, b"", b"", b"")


@pytest.mark.parametrize(
    ("line", "method", "path"),
    [
        ("POST /v1/models/credit:predict?key=secret", "POST", "/v1/models/credit:predict"),
        ("GET /", "GET", "/"),
        ("PURGE /a?b?c", "<other>", "/a"),
        ("POST /\xe9", "POST", "/\xe9"),
    ],
)
def test_a_request_is_told_of_by_its_line(line: str, method: str, path: str) -> None:
    failed = FailedRequests()
    failed.observe([frame(line, "t-1", 502)])
    assert failed.take() == [FailedRequest(method, 502, path, 1.7e9, 0.5, "t-1")]
    assert failed.take() == []


def test_each_method_and_status_has_its_latest_trace() -> None:
    failed = FailedRequests()
    failed.observe([frame("POST /", "a"), frame("POST /", "b", time=1.7e9 + 1), frame("POST /")])
    before = failed.exemplars
    failed.observe([frame("PUT /", "c", 500)])
    assert before == {("POST", 503): Exemplar("b", 1.0, 1.7e9 + 1)}
    assert failed.exemplars == {**before, ("PUT", 500): Exemplar("c", 1.0, 1.7e9)}


def test_what_nobody_takes_is_bounded() -> None:
    failed = FailedRequests()
    failed.observe([frame("POST /", str(number)) for number in range(250)])
    assert [one.trace for one in failed.take()] == [str(number) for number in range(150, 250)]
