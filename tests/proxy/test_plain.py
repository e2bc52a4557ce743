"""What is forwarded in C is what Python would forward, count and copy; all else is left to it."""

import asyncio
import dataclasses
from pathlib import Path

import bcrypt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ml_exporter.capture import Capture, Frame
from ml_exporter.config.proxy_settings import ModelName
from ml_exporter.proxy._plain import Lane
from ml_exporter.proxy.guard import Guard
from ml_exporter.proxy.heads import END, request_head, response_head
from ml_exporter.proxy.names import Names
from ml_exporter.proxy.observation import Observer
from ml_exporter.proxy.routes import Routes
from tests.proxy.test_heads import SMUGGLED
from tests.proxy.wires import Pair, pair
from tests.sanitizers import run_sanitized
from tests.support import ROOT

SOURCE = ROOT / "exporter/ml_exporter/proxy/_plain.c"

PEER, ENDING = b"192.0.2.7", b"X-Forwarded-Proto: http\r\n\r\n"
PLAIN = b"POST /predict HTTP/1.1\r\nHost: model\r\nContent-Length: 5\r\n\r\nhello"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nworld"

names = st.sampled_from(
    [
        *(b"Host", b"HOST", b"Content-Length", b"content-length", b"Content_Length", b"Connection"),
        *(b"Transfer-Encoding", b"Transfer_encoding", b"Keep-Alive", b"Upgrade", b"HTTP2-Settings"),
        *(b"Proxy-Authorization", b"Proxy-x", b"Proxy", b"X-Forwarded-For", b"X-Forwarded-Proto"),
        *(b"Expect", b"A", b"a_b", b"X-Forwarded-Host", b"", b" A", b"A ", b"\xe9", b"Trailer"),
    ]
)
values = st.one_of(
    st.sampled_from(
        [
            *(b"model", b"a:1", b"a b", b"a@b", b"[::1]:80", b"", b"5", b" 5\t", b"5 ", b"+5"),
            *(b"0", b"05", b"5, 5", b"9" * 30, b"keep-alive", b"Keep-Alive", b"close", b"upgrade"),
            *(b"keep-alive, x", b"chunked", b"a\0", b"a\rb", b"a\nb", b"\tx", b"\x7f", b"\xff"),
        ]
    ),
    st.binary(max_size=6),
)
fields = st.lists(st.tuples(names, st.sampled_from([b":", b": ", b" : ", b""]), values), max_size=5)
lines = st.sampled_from(
    [
        *(
            b"POST /predict HTTP/1.1",
            b"PUT / HTTP/1.1",
            b"DELETE /a?b=c HTTP/1.1",
            b"GET / HTTP/1.1",
        ),
        *(
            b"POST * HTTP/1.1",
            b"POST http://a/ HTTP/1.1",
            b"POST /a b HTTP/1.1",
            b"post / HTTP/1.1",
        ),
        *(b"POST / HTTP/1.0", b"POST / HTTP/2.0", b"POST  / HTTP/1.1", b"POST /\xe9 HTTP/1.1"),
        *(
            b"HTTP/1.1 200 OK",
            b"HTTP/1.1 200",
            b"HTTP/1.1 204 No",
            b"HTTP/1.1 100 C",
            b"HTTP/1.0 200",
        ),
        *(b"HTTP/1.1 503 \xe9", b"HTTP/1.1 600 A", b"HTTP/1.1 20 OK", b"HTTP/1.1 200OK"),
    ]
)
bodies = st.sampled_from([b"", b"hello", b"hello!", PLAIN, ANSWER])


def message(
    line: bytes, fields: list[tuple[bytes, bytes, bytes]], end: bytes, body: bytes
) -> bytes:
    return b"\r\n".join([line, *(b"".join(field) for field in fields), end]) + body


messages = st.builds(message, lines, fields, st.sampled_from([b"\r\n", b"\n", b"\r", b""]), bodies)
usual = st.builds(
    lambda line, more, place, body: message(
        line,
        [
            *(*more[:place], (b"Host", b":", b"a"), (b"Content-Length", b":", b"%d" % len(body))),
            *more[place:],
        ],
        b"\r\n",
        body,
    ),
    lines,
    fields.map(lambda all: all[:2]),
    st.integers(0, 2),
    bodies,
)


@pytest.fixture(scope="module")
def observer() -> Observer:
    capture = Capture.create(1 << 20)
    made = Observer(capture, Routes([("credit", None)], capture.counts), body_limit=100)
    for target in (b"/predict", b"/", b"/a?b=c", b"/\xe9"):
        made.recorder.routes[target] = 0
    return made


@given(messages | usual)
@example(PLAIN)
@example(PLAIN.replace(b"Host", b"x-forwarded-for:\t192.0.2.1, FE80::1 \r\nHost"))
@example(PLAIN.replace(b"Host", b"X-Forwarded-For:\r\nX-Forwarded-Proto: https\r\nHost"))
@example(PLAIN + b"\r\n")
@example(PLAIN[:-1])
def test_plain_requests(observer: Observer, data: bytes) -> None:
    out = Lane().request(data, PEER, ENDING, observer.recorder)
    if out is None:
        return
    head, body = data[: data.find(END) + 4], data[data.find(END) + 4 :]
    read = request_head(head)
    assert (read.length, read.closes, read.upgrades) == (len(body), False, False)
    peers = b", ".join(filter(None, (read.forwarded_for, PEER)))
    added = b"X-Forwarded-For: %b\r\n%b" % (peers, b"\r\n" if read.has_proto else ENDING)
    assert out == read.forwarded + added + body


@given(messages | usual)
@example(ANSWER)
@example(ANSWER + b"\r\n")
@example(ANSWER[:-1])
def test_plain_answers(observer: Observer, data: bytes) -> None:
    lane = Lane()
    assert lane.request(PLAIN, PEER, ENDING, observer.recorder) is not None
    is_plain = lane.response(data)
    assert lane.is_busy is not is_plain
    if not is_plain:
        return
    head, body = data[: data.find(END) + 4], data[data.find(END) + 4 :]
    read = response_head(head)
    assert (read.length, read.closes, read.forwarded) == (len(body), False, head)
    assert 200 <= read.status < 600
    assert read.status not in (204, 304)


@pytest.mark.parametrize("head", SMUGGLED.values(), ids=SMUGGLED)
def test_nothing_that_is_refused_is_plain(observer: Observer, head: bytes) -> None:
    for body in (b"", b"hello", b"hello!", b"0\r\n\r\n"):
        assert Lane().request(head + body, PEER, ENDING, observer.recorder) is None


VIA = b"X-Forwarded-For: 192.0.2.1\r\n"
UNUSUAL = {
    "it reads": PLAIN.replace(b"POST", b"GET"),
    "it came by others, which say so twice": PLAIN.replace(b"Host", VIA * 2 + b"Host"),
    "it ends its connection": PLAIN.replace(b"Host", b"Connection: close\r\nHost"),
    "another follows": PLAIN * 2,
    "there is more to come": PLAIN[:-1],
    "nobody asked for its path": PLAIN.replace(b"/predict", b"/other"),
}


@pytest.mark.parametrize("data", UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_unusual_is_left_to_python(observer: Observer, data: bytes) -> None:
    assert Lane().request(PLAIN, PEER, ENDING, observer.recorder) is not None
    assert Lane().request(data, PEER, ENDING, observer.recorder) is None


def test_a_lane_holds_one_request_until_it_is_busy(observer: Observer) -> None:
    lane = Lane()
    assert not lane.response(ANSWER)
    lane.request(PLAIN, PEER, ENDING, observer.recorder)
    assert lane.request(PLAIN, PEER, ENDING, observer.recorder) is None
    data, head, _ = lane.hand_over()
    assert (data, data[head:], lane.is_busy) == (PLAIN, b"hello", False)
    assert not lane.response(ANSWER)
    with pytest.raises(ValueError, match="no request waits"):
        lane.hand_over()


def warm(capture: Capture, **options: int) -> Pair:
    """A pair that has seen the path: what asks for it can be plain from then on."""
    made = pair(capture, **options)
    made.asks(PLAIN)
    made.answers(ANSWER)
    return made


def untimed(frame: Frame) -> Frame:
    return dataclasses.replace(frame, time=0, duration=0, upstream=0)


@pytest.mark.parametrize("status", [200, 201, 302, 404, 503])
@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH", b"DELETE"])
def test_both_ways_come_to_the_same(capture: Capture, method: bytes, status: int) -> None:
    request = PLAIN.replace(b"POST", method)
    answer = ANSWER.replace(b"200", b"%d" % status)
    both = warm(capture)
    before = len(both.near.sent), len(both.far.sent), len(both.frames)
    both.asks(request)
    assert both.client.lane.is_busy
    both.answers(answer)
    assert not both.client.lane.is_busy
    in_c = both.near.sent[before[0] :], both.far.sent[before[1] :], both.frames[before[2] :]
    both.asks(request, [len(request) - 1])
    assert not both.client.lane.is_busy
    both.answers(answer)
    assert both.near.sent[before[0] :] == in_c[0] * 2
    assert both.far.sent[before[1] :] == in_c[1] * 2
    assert [*map(untimed, both.frames[before[2] :])] == [*map(untimed, in_c[2])] * 2
    durations, _ = capture.counts.durations(0)
    assert both.requests[method.decode(), status] == (
        3 if (method, status) == (b"POST", 200) else 2
    )
    assert durations[-2] == 3


def test_times_are_those_of_the_exchange(capture: Capture) -> None:
    both = warm(capture)
    both.asks(PLAIN)
    both.answers(ANSWER)
    by_python, in_c = both.frames
    assert by_python.time <= in_c.time < by_python.time + 60
    assert 0 < in_c.duration == in_c.upstream < 60


def test_an_answer_in_pieces_is_pythons(capture: Capture) -> None:
    both = warm(capture)
    both.asks(PLAIN)
    both.answers(ANSWER, [9, 40])
    assert both.near.sent == ANSWER * 2
    assert [*map(untimed, both.frames)] == [untimed(both.frames[0])] * 2
    both.asks(PLAIN)
    assert both.client.lane.is_busy


def test_a_request_behind_one_in_flight_waits(capture: Capture) -> None:
    both = warm(capture)
    sent = len(both.far.sent)
    both.asks(PLAIN)
    both.asks(PLAIN)
    assert both.far.sent[sent:].count(b"hello") == 1
    both.answers(ANSWER)
    assert both.far.sent[sent:].count(b"hello") == 2
    both.answers(ANSWER)
    assert both.near.sent == ANSWER * 3


def test_who_must_log_in_is_not_plain(capture: Capture) -> None:
    async def ask() -> None:
        both = warm(capture)
        both.shared.guard = Guard({"ada": bcrypt.hashpw(b"lovelace", bcrypt.gensalt(4))})
        sent, answered = both.far.sent, both.near.sent
        both.asks(PLAIN)
        assert not both.client.lane.is_busy
        while both.near.sent == answered:
            await asyncio.sleep(0.01)
        assert both.near.sent[len(answered) :].startswith(b"HTTP/1.1 401 ")
        assert both.far.sent == sent

    asyncio.run(ask())


def test_answers_that_get_fields_are_not_plain(capture: Capture) -> None:
    both = warm(capture)
    both.client.fields = ((b"X-Frame-Options", b"deny"),)
    both.asks(PLAIN)
    assert not both.client.lane.is_busy
    both.answers(ANSWER)
    assert both.near.sent[len(ANSWER) :] == ANSWER.replace(
        b"\r\n\r\n", b"\r\nX-Frame-Options: deny\r\n\r\n"
    )


def test_where_more_than_the_path_tells_the_model_nothing_is_plain(capture: Capture) -> None:
    names = Names(ModelName(header="X-Model"))
    routes = Routes([("credit", None)], capture.counts)
    observer = Observer(capture, routes, body_limit=100, names=names)
    head = PLAIN[:-5]
    observer.end(observer.begin(request_head(head), head), 200)
    assert Lane().request(PLAIN, PEER, ENDING, observer.recorder) is None


def test_long_targets_are_not_remembered(capture: Capture) -> None:
    both = pair(capture)
    for _ in range(2):
        both.asks(PLAIN.replace(b"/predict", b"/" + b"a" * 2000))
        assert not both.client.lane.is_busy
        both.answers(ANSWER)


def test_a_client_that_goes_away_is_counted(capture: Capture) -> None:
    both = warm(capture)
    both.asks(PLAIN)
    both.client.connection_lost(None)
    assert both.requests == {("POST", 200): 1, ("POST", 499): 1}
    assert both.far.end == "aborted"


def test_bodies_beyond_the_limit_and_a_full_buffer_are_counted(capture: Capture) -> None:
    both = warm(capture, body_limit=5)
    both.asks(PLAIN.replace(b"5\r\n\r\nhello", b"6\r\n\r\nhello!"))
    both.answers(ANSWER)
    assert capture.counts.dropped()["too_large"] == 1
    for _ in range(capture.size // 100):
        both.asks(PLAIN)
        both.answers(ANSWER)
    assert capture.counts.dropped()["buffer_full"] > 0
    assert capture.counts.dropped()["buffer_full"] + len(both.frames) == capture.size // 100 + 1


@pytest.mark.parametrize(("share", "rate", "least", "most"), [(0.25, None, 400, 600), (1, 9, 9, 9)])
def test_share_and_rate(
    capture: Capture, share: float, rate: float | None, least: int, most: int
) -> None:
    routes = Routes([("credit", None)], capture.counts)
    observer = Observer(capture, routes, body_limit=100, share=share, rate=rate)
    observer.recorder.routes[b"/predict"] = 0
    lane = Lane()
    for _ in range(2000):
        assert lane.request(PLAIN, PEER, ENDING, observer.recorder) is not None
        assert lane.response(ANSWER)
    assert least <= len(capture.take(0, 1 << 30)[0]) <= most
    assert capture.counts.requests(0) == {("POST", 200): 2000}


def test_few_requests_that_failed_are_told_of_a_second(capture: Capture) -> None:
    both = warm(capture)
    answer = ANSWER.replace(b"200", b"500")
    for _ in range(15):
        both.asks(PLAIN)
        both.answers(answer)
    failed = [frame for frame in both.frames if frame.status == 500]
    assert len(failed) == 10
    assert {(one.request_body, one.response_head, one.response_body) for one in failed} == {
        (b"", b"", b"")
    }
    assert all(one.request_head == PLAIN.removesuffix(b"hello") for one in failed)
    assert both.requests["POST", 500] == 15


FUZZ = """
import random
import sys

sys.path.insert(0, sys.argv[1])
import _plain

random.seed(int(sys.argv[2]))
SEEDS = [
    b"PUT /a HTTP/1.1\\r\\nHost:\\r\\nContent-Length: 3\\r\\nX-Forwarded-For: b\\r\\n\\r\\n123",
    b"HTTP/1.1 200 OK\\r\\nContent-Type: text/plain\\r\\nContent-Length: 5\\r\\n\\r\\nhello",
]
memories = [memoryview(bytearray(size)) for size in (64, 4096, 1 << 16)]
recorder = _plain.Recorder(
    memories[0].cast("Q"), 3, 4, memories[1], memories[2].cast("Q"), layout=(16, 4034, 4000),
    buckets=(0.1, 1.0), methods=(0, 1000, 2000, 3000), body_limit=100, share=0.5,
)
recorder.routes[b"/a"] = 0
accepted = 0
for _ in range(100_000):
    request, answer = (bytearray(one) for one in SEEDS)
    for one in (request, answer):
        for _ in range(random.choice((0, 0, 1, 3))):
            place = random.randrange(len(one) + 1)
            one[place : place + random.choice((0, 1, 9))] = random.choice(
                (b"", b":", b" ", b"\\r\\n", b"\\0", b"content-length: 9", bytes(one[:place]))
            )
        del one[random.choice((len(one), len(one), random.randrange(len(one) + 1))) :]
    lane = _plain.Lane()
    if lane.request(bytes(request), b"a", b"X: y\\r\\n\\r\\n", recorder) is not None:
        accepted += 1
        if not lane.response(bytes(answer)) and random.random() < 0.5:
            lane.hand_over()
    if random.random() < 0.1:
        memories[0].cast("Q")[4] = memories[0].cast("Q")[3]
print("done" if accepted else "nothing was accepted")
"""


def test_no_bytes_make_it_leave_its_bounds(tmp_path: Path) -> None:
    """Built with the sanitizers for addresses and undefined behaviour, which stop the process."""
    # Python's own allocator would hide where an object ends.
    run_sanitized(SOURCE, FUZZ, tmp_path, str(tmp_path), "1", PYTHONMALLOC="malloc")
