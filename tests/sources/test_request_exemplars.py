from ml_exporter.capture import write_frame
from ml_exporter.sources.request_exemplars import RequestExemplars


def frame(trace: str, duration: float, upstream: float, time: float = 1.7e9) -> bytes:
    field = f"X-Request-Id: {trace}\r\n" if trace else ""
    head = f"POST / HTTP/1.1\r\nHost: model\r\n{field}\r\n".encode()
    return write_frame(0, 200, time, duration, upstream, 0.0, head, b"{}", b"", b"{}")


def test_each_bucket_has_its_latest_request() -> None:
    exemplars = RequestExemplars()
    exemplars.observe([frame("a", 0.003, 0.0015), frame("b", 0.004, 0.0005), frame("c", 40, 20)])
    before = exemplars.durations
    assert {place: one.trace for place, one in before.items()} == {2: "b", 14: "c"}
    assert {place: one.trace for place, one in exemplars.upstream.items()} == {
        1: "a",
        0: "b",
        13: "c",
    }
    exemplars.observe([frame("d", 0.003, 0.0005, time=1.7e9 + 1), frame("", 40, 20)])
    assert {place: one.trace for place, one in exemplars.durations.items()} == {2: "d", 14: "c"}
    assert exemplars.durations[2].time == 1.7e9 + 1
    assert before[2].trace == "b"  # what was shown stays as it was
