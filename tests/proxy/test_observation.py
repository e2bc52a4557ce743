import pytest

from ml_exporter.capture import Capture, read_frame
from ml_exporter.proxy.heads import request_head
from ml_exporter.proxy.observation import Observer
from ml_exporter.proxy.routes import Routes

HEAD = b"POST /v1/models/credit:predict HTTP/1.1\r\nHost: model\r\n\r\n"


def observe(observer: Observer, times: int, status: int = 200) -> None:
    for _ in range(times):
        observer.end(observer.begin(request_head(HEAD), HEAD), status)


def seen(capture: Capture) -> int:
    return len(capture.take(0, 1 << 30)[0])


@pytest.fixture
def routes(capture: Capture) -> Routes:
    return Routes([("credit", None)], capture.counts)


def test_a_share_is_observed_and_all_are_counted(capture: Capture, routes: Routes) -> None:
    observe(Observer(capture, routes, body_limit=100, share=0.25), 2000)
    assert 400 < seen(capture) < 600
    assert capture.counts.requests(0) == {("POST", 200): 2000}
    assert set(capture.counts.dropped().values()) == {0}


def test_a_rate_is_kept_each_second(capture: Capture, routes: Routes) -> None:
    observer = Observer(capture, routes, body_limit=100, rate=10)
    observe(observer, 25)
    assert (seen(capture), capture.counts.dropped()["rate"]) == (10, 15)
    observer.tick()
    observe(observer, 25)
    assert (seen(capture), capture.counts.dropped()["rate"]) == (20, 30)


def test_of_requests_that_failed_only_heads_are_told_and_few_a_second(
    capture: Capture, routes: Routes
) -> None:
    observer = Observer(capture, routes, body_limit=100, share=0)
    for status in (200, 404, 499):
        observe(observer, 5, status)
    assert seen(capture) == 0
    observe(observer, 25, status=502)
    assert seen(capture) == 10
    observer.tick()
    exchange = observer.begin(request_head(HEAD), HEAD)
    exchange.request_body, exchange.response_bytes = b"secret", b"HTTP/1.1 500 \r\n\r\n"
    exchange.response_body = b"secret"
    observer.end(exchange, 500)
    frame = read_frame(capture.take(0, 1 << 30)[0][-1])
    assert (frame.status, frame.request_head) == (500, HEAD)
    assert frame.request_body == frame.response_head == frame.response_body == b""
    assert set(capture.counts.dropped().values()) == {0}
    assert capture.counts.requests(0)["POST", 502] == 25


def test_a_model_that_is_found_exists_once_it_has_answered(capture: Capture) -> None:
    observer = Observer(capture, Routes(None, capture.counts), body_limit=100)
    observe(observer, 5, status=404)
    assert capture.counts.names() == []
    observe(observer, 2)
    observe(observer, 3, status=500)
    assert capture.counts.names() == ["credit"]
    assert capture.counts.requests(0) == {("POST", 200): 2, ("POST", 500): 3}
