import pytest

from ml_exporter.formats.traces import LONGEST_ID, trace_id, trace_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("fields", "trace"),
    [
        ([f"traceparent: 00-{TRACE}-00f067aa0ba902b7-01"], TRACE),
        ([f"TraceParent:\t00-{TRACE}-00f067aa0ba902b7-00 "], TRACE),
        ([f"traceparent: 01-{TRACE}-00f067aa0ba902b7-00-more"], TRACE),
        ([f"traceparent: ff-{TRACE}-00f067aa0ba902b7-00"], None),
        ([f"traceparent: 00-{TRACE.upper()}-00f067aa0ba902b7-00"], None),
        ([f"traceparent: 00-{'0' * 32}-00f067aa0ba902b7-00"], None),
        ([f"traceparent: 00-{TRACE[:-1]}-00f067aa0ba902b7-00"], None),
        ([f"b3: {TRACE.upper()}-e457b5a2e4d86bd1-1"], TRACE),
        ([f"b3: {TRACE[:16]}-e457b5a2e4d86bd1"], TRACE[:16]),
        (["b3: 0"], None),
        ([f"X-B3-TraceId: {TRACE}", "X-B3-SpanId: e457b5a2e4d86bd1"], TRACE),
        (["X-Request-Id: order/17"], "order/17"),
        (["X-Request-Id: two words"], None),
        (['X-Request-Id: "quoted"'], None),
        ([f"X-Request-Id: {'a' * LONGEST_ID}"], "a" * LONGEST_ID),
        ([f"X-Request-Id: {'a' * (LONGEST_ID + 1)}"], None),
        (["X-Request-Id: first", f"traceparent: 00-{TRACE}-00f067aa0ba902b7-01"], TRACE),
        (["traceparent: nonsense", "X-Request-Id: order-17"], "order-17"),
        (["X-Request-Id: one", "X-Request-Id: other"], "one"),
        (["X-Not-traceparent: a", "Accept: */*"], None),
    ],
)
def test_the_trace_of_a_request(fields: list[str], trace: str | None) -> None:
    head = "\r\n".join(("POST / HTTP/1.1", *fields, "", "")).encode()
    assert trace_of(head) == trace


@pytest.mark.parametrize(
    ("value", "trace"),
    [
        ("a-1", "a-1"),
        ("", None),
        ("a b", None),
        ('a"', None),
        ("Ö", None),
        (17, None),
        (None, None),
    ],
)
def test_an_id_of_a_log(value: object, trace: str | None) -> None:
    assert trace_id(value) == trace
