"""What passes between a client and the model server, byte by byte."""

import asyncio
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_exporter.capture import Capture
from ml_exporter.proxy.client import Client
from tests.proxy.wires import Pair, Wire, forwarded, pair

POST = b"POST /predict HTTP/1.1\r\nHost: model\r\nContent-Length: 5\r\n\r\nhello"
GET = b"GET /predict HTTP/1.1\r\nHost: model\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nworld"
CHUNKED_REQUEST = (
    b"POST /stream HTTP/1.1\r\nHost: model\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n"
    b"3\r\nhel\r\n2\r\nlo\r\n0\r\nX: y\r\n\r\n"
)
CHUNKED_ANSWER = (
    b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nworld\r\n0\r\nX: y\r\n\r\n"
)

# What is asked, what is answered, and the status and bodies that are observed, if they are.
EXCHANGES: dict[str, tuple[bytes, bytes, tuple[int, bytes, bytes]]] = {
    "lengths": (POST, OK, (200, b"hello", b"world")),
    "chunks": (CHUNKED_REQUEST, CHUNKED_ANSWER, (201, b"hello", b"world")),
    "no bodies": (
        POST.replace(b"5", b"0")[:-5],
        b"HTTP/1.1 204 No Content\r\n\r\n",
        (204, b"", b""),
    ),
    "a length that a 204 must not have": (
        POST,
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        (204, b"hello", b""),
    ),
    "after 100 and 103": (
        POST.replace(b"Host", b"Expect: 100-continue\r\nHost"),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK,
        (200, b"hello", b"world"),
    ),
    "events": (
        POST,
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n",
        (200, b"hello", b"data: 1\n\ndata: 2\n\n"),
    ),
    "an error": (POST, OK.replace(b"200 OK", b"500 Oh"), (500, b"", b"")),
    "bodies that look like heads": (
        POST.replace(b"hello", OK).replace(b": 5", b": %d" % len(OK), 1),
        OK.replace(b"world", POST).replace(b": 5", b": %d" % len(POST), 1),
        (200, OK, POST),
    ),
}


@pytest.fixture
def wires(capture: Capture) -> Pair:
    return pair(capture)


@pytest.mark.parametrize(("asked", "answered", "seen"), EXCHANGES.values(), ids=EXCHANGES)
def test_bytes_pass_through_unchanged(
    asked: bytes, answered: bytes, seen: tuple[int, bytes, bytes], wires: Pair
) -> None:
    wires.asks(asked)
    assert wires.far.sent == forwarded(asked)
    wires.answers(answered)
    assert wires.near.sent == answered
    assert wires.requests == {("POST", seen[0]): 1}
    assert [(f.status, f.request_body, f.response_body) for f in wires.observed] == (
        [seen] if seen[0] < 300 else []
    )
    assert (wires.near.end, wires.far.end) == ("", "")


Sizes = st.lists(st.integers(1, 60), max_size=40)


@given(
    names=st.lists(st.sampled_from(sorted(EXCHANGES)), min_size=1, max_size=4),
    asking=Sizes,
    answering=Sizes,
)
def test_where_bytes_are_cut_makes_no_difference(
    names: list[str], asking: list[int], answering: list[int]
) -> None:
    """Requests come one after the other without waiting, and each has its own answer."""
    capture = Capture.create(1 << 20)
    wires = pair(capture)
    wires.asks(b"".join(EXCHANGES[name][0] for name in names), asking)
    expected = b""
    for name in names:
        expected += forwarded(EXCHANGES[name][0])
        assert wires.far.sent == expected  # the next one waits for this one's answer
        wires.answers(EXCHANGES[name][1], answering)
    assert wires.near.sent == b"".join(EXCHANGES[name][1] for name in names)
    seen = [EXCHANGES[name][2] for name in names]
    assert [(f.status, f.request_body, f.response_body) for f in wires.observed] == [
        one for one in seen if one[0] < 300
    ]
    assert sum(wires.requests.values()) == len(names)
    capture.close()


def test_what_only_reads_is_no_prediction(capture: Capture) -> None:
    wires = pair(capture, path="/predict")
    wires.asks(GET)
    wires.answers(OK)
    assert wires.requests == {("GET", 200): 1}
    assert wires.frames == []


@pytest.mark.parametrize(
    ("content_type", "pieces", "is_timed"),
    [
        (b"text/event-stream", [b": wait\n\n", b"data: a\n\n", b"data: b\n\n"], True),
        (b"Text/Event-Stream; charset=utf-8", [b"event: x\ndata: a\n\n"], True),
        (b"text/event-stream", [b": wait\n\n"], False),
        (b"text/plain", [b"data: a\n\n"], False),
    ],
)
def test_the_first_event_of_a_stream_is_timed(
    content_type: bytes, pieces: list[bytes], is_timed: bool, wires: Pair
) -> None:
    wires.asks(POST)
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
    wires.answers(answer % content_type)
    for piece in pieces:
        wires.answers(b"%x\r\n%b\r\n" % (len(piece), piece))
    wires.answers(b"0\r\n\r\n")
    (frame,) = wires.frames
    assert (0 < frame.first <= frame.upstream) if is_timed else frame.first == 0
    assert frame.response_body == b"".join(pieces)


def test_an_answer_to_head_has_no_body(wires: Pair) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    wires.asks(GET.replace(b"GET", b"HEAD") * 2)
    wires.answers(answer)
    wires.answers(answer)
    assert wires.near.sent == answer * 2
    assert wires.near.end == ""


def test_an_answer_that_lasts_until_the_end_of_its_connection(wires: Pair) -> None:
    wires.asks(POST)
    wires.answers(b"HTTP/1.1 200 OK\r\n\r\nwor")
    wires.answers(b"ld")
    assert wires.frames == []
    wires.upstream.connection_lost(None)
    assert wires.near.sent == b"HTTP/1.1 200 OK\r\n\r\nworld"
    assert wires.near.end == "closed"
    assert [frame.response_body for frame in wires.frames] == [b"world"]


def test_an_answer_may_come_before_the_request_is_complete(wires: Pair) -> None:
    wires.asks(POST[:-3])
    wires.answers(OK)
    assert wires.near.sent == OK
    assert wires.frames == []
    wires.asks(POST[-3:] + POST)  # and the next one
    assert wires.far.sent == forwarded(POST) * 2
    wires.answers(OK)
    assert wires.near.sent == OK * 2
    assert [frame.request_body for frame in wires.frames] == [b"hello", b"hello"]


def test_who_answers_early_and_closes_is_heard(wires: Pair, loop: None) -> None:
    wires.asks(POST[:-3])
    answer = OK.replace(b"200 OK", b"413 Too Large\r\nConnection: close")
    wires.answers(answer)
    wires.asks(POST[-3:])
    assert wires.near.sent == answer
    assert wires.near.end == "eof"  # unread bytes would reset what the client has yet to read
    assert wires.requests == {("POST", 413): 1}


def test_a_websocket_is_a_tunnel(wires: Pair) -> None:
    upgrade = GET[:-2] + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    wires.asks(upgrade + b"\x81\x05early")
    assert b"early" not in wires.far.sent
    switching = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02hi"
    wires.answers(switching)
    wires.asks(GET)
    wires.answers(OK)
    assert b"\r\nUpgrade: websocket\r\nConnection: upgrade\r\n" in wires.far.sent
    assert wires.far.sent.endswith(b"\r\n\r\n\x81\x05early" + GET)
    assert wires.near.sent == switching + OK
    assert wires.frames == []


def test_an_upgrade_that_is_declined_is_an_exchange(wires: Pair) -> None:
    wires.asks(GET[:-2] + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n" + POST)
    wires.answers(OK)
    assert wires.far.sent.endswith(forwarded(POST))
    wires.answers(OK)
    assert len(wires.frames) == 1


def test_forwarded_fields_are_added_to(wires: Pair) -> None:
    fields = b"X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: https\r\n\r\n"
    wires.asks(GET[:-2] + fields)
    assert wires.far.sent == (
        GET[:-2] + b"X-Forwarded-Proto: https\r\nX-Forwarded-For: 198.51.100.1, 192.0.2.7\r\n\r\n"
    )


def test_an_empty_line_before_a_request_is_passed_over(wires: Pair) -> None:
    wires.asks(b"\r\n" + GET)
    assert wires.far.sent == forwarded(GET)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (b"GET / HTTP/1.1\n\n", 400),
        (GET.replace(b"Host: model", b"Host: a\r\nHost: b"), 400),
        (GET.replace(b"/predict", b"http://169.254.169.254/"), 400),
        (POST.replace(b": 5", b": 5\r\nTransfer-Encoding: chunked"), 400),
        (b"GET / HTTP/1.1\r\nHost: " + b"a" * 70_000, 431),
        (CHUNKED_REQUEST.replace(b"3\r\nhel", b"3\r\nhello"), 400),
    ],
)
@pytest.mark.parametrize("before", [b"", GET])
def test_a_bad_request_is_refused(
    asked: bytes, status: int, before: bytes, wires: Pair, loop: None
) -> None:
    wires.asks(before + asked)
    if before:
        assert wires.far.sent == forwarded(GET)
        wires.answers(OK)
    sent = wires.near.sent.removeprefix(OK if before else b"")
    assert sent.startswith(b"HTTP/1.1 %d " % status)
    assert b"Connection: close" in sent
    assert wires.near.end == "eof"
    assert wires.far.end == "aborted"
    wires.asks(GET)  # what else comes is of no interest
    assert wires.far.sent.count(b"HTTP/1.1") <= 2


def test_a_head_that_drips_is_read_in_no_time(wires: Pair, loop: None) -> None:
    started = time.perf_counter()
    wires.asks(b"GET / HTTP/1.1\r\nHost: " + b"a" * 70_000, [1] * 70_000)
    assert wires.near.sent.startswith(b"HTTP/1.1 431 ")
    assert time.perf_counter() - started < 5


def test_whoever_asks_on_and_on_is_not_read(wires: Pair) -> None:
    wires.asks(POST)
    wires.asks(POST * 2000)
    assert not wires.near.is_read
    for _ in range(2001):
        wires.answers(OK)
    assert wires.near.is_read
    assert len(wires.near.sent) == 2001 * len(OK)


def test_a_slow_side_is_waited_for(wires: Pair) -> None:
    wires.asks(POST)
    wires.client.pause_writing()
    assert not wires.far.is_read
    wires.client.resume_writing()
    assert wires.far.is_read
    wires.upstream.pause_writing()
    assert not wires.near.is_read
    wires.upstream.resume_writing()
    assert wires.near.is_read


def test_a_client_that_goes_away(wires: Pair) -> None:
    wires.asks(POST)
    wires.client.connection_lost(None)
    assert wires.far.end == "aborted"
    assert wires.requests == {("POST", 499): 1}
    assert wires.frames == []


def test_a_client_that_has_said_all_still_hears(wires: Pair) -> None:
    wires.asks(POST)
    assert wires.client.eof_received()
    assert wires.far.end == "eof"
    wires.answers(OK)
    assert wires.near.sent == OK
    assert wires.near.end == "closed"
    assert len(wires.frames) == 1


def test_a_client_that_has_said_all_at_once_hears_all(wires: Pair) -> None:
    wires.asks(POST * 3)
    assert wires.client.eof_received()
    for number in range(3):
        assert wires.far.sent == forwarded(POST) * (number + 1)
        assert wires.far.end == ("eof" if number == 2 else "")
        wires.answers(OK)
    assert (wires.near.sent, wires.near.end) == (OK * 3, "closed")


@pytest.mark.parametrize("rest", [POST[:20], POST[:-1]])
def test_a_client_that_has_said_half_of_another_request(rest: bytes, wires: Pair) -> None:
    wires.asks(POST + rest)
    assert wires.client.eof_received()
    wires.answers(OK)
    assert (wires.near.sent, wires.near.end) == (OK, "closed")


@pytest.mark.parametrize("request_so_far", [b"", POST[:20], POST[:-1]])
def test_a_client_that_leaves_in_the_middle(request_so_far: bytes, wires: Pair) -> None:
    wires.asks(request_so_far)
    assert not wires.client.eof_received()


def test_a_model_server_that_closes_without_an_answer(wires: Pair, loop: None) -> None:
    wires.asks(POST)
    wires.upstream.connection_lost(None)
    assert wires.near.sent.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert wires.requests == {("POST", 502): 1}


def test_a_model_server_that_closes_a_connection_that_was_used_before(wires: Pair) -> None:
    """A client knows that it may try again, but not from a 502."""
    wires.asks(POST)
    wires.answers(OK)
    wires.asks(POST)
    wires.upstream.connection_lost(None)
    assert (wires.near.sent, wires.near.end) == (OK, "closed")


def test_a_model_server_that_dies_in_the_middle(wires: Pair) -> None:
    wires.asks(POST)
    wires.answers(OK[:-2])
    wires.upstream.connection_lost(ConnectionResetError())
    assert (wires.near.sent, wires.near.end) == (OK[:-2], "aborted")
    assert wires.frames == []


def test_an_idle_connection_ends_with_the_other(wires: Pair) -> None:
    wires.asks(POST)
    wires.answers(OK)
    wires.upstream.connection_lost(None)
    assert wires.near.end == "closed"


@pytest.mark.parametrize("asked", [POST.replace(b"Host", b"Connection: close\r\nHost"), POST])
def test_a_connection_ends_where_one_side_says_so(asked: bytes, wires: Pair) -> None:
    wires.asks(asked)
    wires.answers(OK if asked != POST else OK.replace(b"Content", b"Connection: close\r\nContent"))
    assert (wires.near.end, wires.far.end) == ("closed", "closed")


def test_an_answer_that_nobody_asked_for(wires: Pair) -> None:
    wires.asks(POST)
    wires.answers(OK + OK)
    assert wires.near.sent == OK
    assert wires.near.end == "closed"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\nContent-Length: 5\n\nworld\r\n\r\n",
        b"<html>what is HTTP?</html>\r\n\r\n",
        OK.replace(b"Content", b"Transfer-Encoding: chunked\r\nContent"),
        CHUNKED_ANSWER.replace(b"5\r\nworld", b"5\r\nworld!"),
    ],
)
def test_an_answer_that_can_t_be_told_apart_passes_through(answer: bytes, wires: Pair) -> None:
    wires.asks(POST)
    wires.answers(answer)
    wires.upstream.connection_lost(None)
    assert (wires.near.sent, wires.near.end) == (answer, "closed")
    assert wires.observed == []


def test_draining_lets_exchanges_complete(wires: Pair) -> None:
    wires.asks(POST)
    wires.shared.is_draining = True
    wires.client.drain()
    assert wires.near.end == ""
    wires.answers(OK)
    assert (wires.near.sent, wires.near.end) == (OK, "closed")


def test_draining_closes_what_is_idle(wires: Pair) -> None:
    wires.client.drain()
    assert wires.near.end == "closed"


@pytest.mark.parametrize(
    ("begin", "wait", "status"),
    [
        (lambda wires: wires.asks(POST[:20]), 31, b"408"),
        (lambda wires: wires.asks(POST[:-1]), 61, b"408"),
        (lambda wires: wires.asks(POST), 601, b"504"),
    ],
)
def test_what_takes_too_long_is_given_up(
    begin: Callable[[Pair], None], wait: float, status: bytes, wires: Pair, loop: None
) -> None:
    begin(wires)
    wires.client.check(time.perf_counter() + wait - 2)
    assert wires.near.sent == b""
    wires.client.check(time.perf_counter() + wait)
    assert wires.near.sent.startswith(b"HTTP/1.1 " + status)


def test_a_client_that_says_nothing_is_not_waited_for(wires: Pair) -> None:
    client, wire = Client(wires.shared), Wire()
    client.connection_made(wire)
    client.check(time.perf_counter() + 29)
    assert wire.end == ""
    client.check(time.perf_counter() + 31)
    assert wire.end == "closed"


def test_a_body_that_is_too_large_is_not_observed(capture: Capture) -> None:
    wires = pair(capture, body_limit=4)
    wires.asks(POST)
    wires.answers(OK)
    assert wires.near.sent == OK
    assert wires.frames == []
    assert capture.counts.dropped()["too_large"] == 1


def test_a_full_buffer_costs_copies_and_no_request(capture: Capture) -> None:
    wires = pair(capture)
    body = b"x" * 100_000
    asked = POST.replace(b": 5", b": 100000").replace(b"hello", body)
    for _ in range(20):
        wires.asks(asked)
        wires.answers(OK)
    assert wires.near.sent == OK * 20
    assert wires.requests == {("POST", 200): 20}
    assert len(wires.frames) + capture.counts.dropped()["buffer_full"] == 20
    assert capture.counts.dropped()["buffer_full"] > 0


def test_what_goes_wrong_in_observing_reaches_no_request(
    wires: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wires.capture, "put", lambda frame: 1 / 0)
    wires.asks(POST)
    wires.answers(OK)
    assert wires.near.sent == OK
    assert wires.capture.counts.dropped()["error"] == 1


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to happen later doesn't."""

    class Later:
        def call_later(self, delay: float, what: object) -> None: ...

    monkeypatch.setattr(asyncio, "get_running_loop", Later)
