"""The server on real sockets."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress

import pytest
from flask import Flask

from ml_exporter.access import Gate
from ml_exporter.config.roles import Access
from ml_exporter.config.units import parse_address
from ml_exporter.families import Family
from ml_exporter.publication import Publication
from ml_exporter.web import server as web_server
from ml_exporter.web.app import Door, create_app
from ml_exporter.web.server import ListenError, WebServer
from tests.support import get, wait_until

Serve = Callable[..., WebServer]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":10058", ("", 10058)),
        ("127.0.0.1:10058", ("127.0.0.1", 10058)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:10058", ("::1", 10058)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),
    ],
)
def test_an_address(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "10058", "localhost", "localhost:", ":http", ":65536", ":²"])
def test_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="it looks like ':10058'"):
        parse_address(text)


@pytest.fixture
def publication() -> Publication:
    publication = Publication(60)
    values = Family("values_total", "Values.", "counter", ["bin"])
    for bin in range(50_000):
        values.add(f"{bin:0>120}")  # in all, more than a connection takes on its way
    publication.publish([values])
    return publication


@pytest.fixture
def app(publication: Publication) -> Flask:
    return create_app(publication, Door(Gate(Access(), {}), {}), is_ready=lambda: True, reload=list)


@pytest.fixture
def serve(app: Flask) -> Iterator[Serve]:
    with ExitStack() as ends:

        def serve(address: str = "127.0.0.1:0") -> WebServer:
            server = WebServer(app, address, None)
            server.start()
            ends.callback(server.stop)
            return server

        yield serve


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("address", [":0", "localhost:0", "0.0.0.0:0"])
def test_listens(serve: Serve, address: str, host: str) -> None:
    assert get(f"http://{host}:{serve(address).port}/-/healthy") == (200, "healthy\n")


def test_listens_on_ipv6_too(serve: Serve) -> None:
    server = serve(":0")
    with socket.socket(socket.AF_INET6) as client:
        try:
            client.connect(("::1", server.port))
        except OSError as error:
            pytest.skip(f"no IPv6 here: {error}")
        client.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_a_port_that_is_taken(serve: Serve, app: Flask, host: str) -> None:
    port = serve("127.0.0.1:0").port
    with pytest.raises(ListenError) as raised:
        WebServer(app, f"{host}:{port}", None)
    assert str(raised.value) == f"can't listen on {host}:{port}: address already in use"


def test_a_host_that_is_not_ours(app: Flask) -> None:
    with pytest.raises(ListenError, match=r"can't listen on 192\.0\.2\.1:0: cannot assign"):
        WebServer(app, "192.0.2.1:0", None)


def test_a_whole_scrape_is_seen(serve: Serve, publication: Publication) -> None:
    url = f"http://127.0.0.1:{serve().port}/metrics"
    for _ in range(2):
        assert not publication.has_been_seen(1)
        status, text = get(url)
        assert (status, text.count("\n")) == (200, 50_002)
    wait_until(lambda: publication.has_been_seen(1))


def test_a_scrape_that_breaks_off_is_not_seen(serve: Serve, publication: Publication) -> None:
    server = serve()
    for _ in range(2):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.connect(("127.0.0.1", server.port))
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")
    url = f"http://127.0.0.1:{server.port}/metrics"
    get(url)
    assert not publication.has_been_seen(1)
    get(url)
    wait_until(lambda: publication.has_been_seen(1))


def test_what_was_asked_is_answered_before_it_stops(app: Flask) -> None:
    server = WebServer(app, "127.0.0.1:0", None)
    server.start()
    with socket.create_connection(("127.0.0.1", server.port)) as idle:
        assert get(f"http://127.0.0.1:{server.port}/-/ready")[0] == 200
        server.stop()
        assert idle.recv(1) == b""
    assert get(f"http://127.0.0.1:{server.port}/-/ready")[0] == 0


def test_a_head_beyond_all_bounds_is_refused(serve: Serve) -> None:
    port = serve().port
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n")
        with suppress(ConnectionError):
            for _ in range(2000):
                client.sendall(b"X-More: " + b"a" * 1000 + b"\r\n")
        client.settimeout(10)
        with suppress(ConnectionError):
            assert client.recv(100).startswith(b"HTTP/1.1 413 ")
    assert get(f"http://127.0.0.1:{port}/-/healthy")[0] == 200


@pytest.mark.parametrize(("size", "status"), [(4 << 20, 404), (9 << 20, 404), (17 << 20, 413)])
def test_who_sends_in_vain_gets_the_answer(serve: Serve, size: int, status: int) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", serve().port, timeout=30)) as client:
        client.request("POST", "/nowhere", bytes(size), {"Connection": "close"})
        assert client.getresponse().status == status


@pytest.fixture
def drip() -> Iterator[Callable[[int, bytes], socket.socket]]:
    """A client that says something to a port, and then a letter every now and then."""
    done = threading.Event()
    with ExitStack() as clients:
        clients.callback(done.set)

        def begin(port: int, beginning: bytes) -> socket.socket:
            client = clients.enter_context(socket.create_connection(("127.0.0.1", port), 30))

            def go_on() -> None:
                with suppress(OSError):
                    client.sendall(beginning)
                    while not done.wait(0.05):
                        client.sendall(b"a")

            threading.Thread(target=go_on, daemon=True).start()
            return client

        yield begin


@pytest.mark.parametrize("beginning", [b"G", b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nX-More: "])
def test_heads_that_drip_keep_nobody_waiting(
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    drip: Callable[[int, bytes], socket.socket],
    beginning: bytes,
) -> None:
    monkeypatch.setattr(web_server, "_HEAD_TIME", 0.2)
    port = serve().port
    for _ in range(20):  # more than there are threads
        drip(port, beginning)
    wait_until(lambda: get(f"http://127.0.0.1:{port}/-/healthy")[0] == 200)


def test_a_body_that_drips_is_not_waited_for(
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    drip: Callable[[int, bytes], socket.socket],
) -> None:
    monkeypatch.setattr(web_server, "_REQUEST_TIME", 0.2)
    head = b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    client = drip(serve().port, head)
    with suppress(ConnectionError):
        while client.recv(1000):
            pass
