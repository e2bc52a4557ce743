"""A model server that can't be reached, or not in time."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from ml_exporter.capture import Capture
from ml_exporter.proxy.client import Client
from ml_exporter.proxy.observation import Observer
from ml_exporter.proxy.routes import Routes
from ml_exporter.proxy.shared import Shared, Timeouts
from tests.proxy.wires import Wire, forwarded
from tests.support import free_port

POST = b"POST /predict HTTP/1.1\r\nHost: model\r\nContent-Length: 5\r\n\r\nhello"


def shared(capture: Capture, port: int, connect: float = 5.0) -> Shared:
    observer = Observer(capture, Routes([("m", None)], capture.counts), body_limit=100)
    return Shared(("127.0.0.1", port), observer, Timeouts(connect=connect))


def ask(of: Shared, then: Callable[[Client, Wire], Awaitable[None]]) -> Wire:
    """What a client sees that asks."""
    wire = Wire()

    async def run() -> None:
        client = Client(of)
        client.connection_made(wire)
        client.data_received(POST[:-1])
        assert not wire.is_read  # nothing more, until it is connected
        client.data_received(POST[-1:])
        await then(client, wire)
        client.connection_lost(None)

    asyncio.run(run())
    return wire


async def sent(client: Client, wire: Wire) -> None:
    while not wire.sent:
        await asyncio.sleep(0.01)


def test_nobody_listens(capture: Capture) -> None:
    wire = ask(shared(capture, free_port()), sent)
    assert wire.sent.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert wire.sent.endswith(b"\r\n\r\nthe model server can't be reached\n")
    assert capture.counts.requests(0) == {("POST", 502): 1}


def test_nobody_answers(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*arguments: object, **named: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", never)
    wire = ask(shared(capture, 1, connect=0.05), sent)
    assert wire.sent.startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    assert capture.counts.requests(0) == {("POST", 504): 1}


def test_a_client_that_leaves_meanwhile(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*arguments: object, **named: object) -> None:
        await asyncio.sleep(60)

    async def at_once(client: Client, wire: Wire) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", never)
    wire = ask(shared(capture, 1), at_once)
    assert wire.sent == b""
    assert capture.counts.requests(0) == {("POST", 499): 1}


def test_what_came_meanwhile_is_forwarded(capture: Capture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        of = shared(capture, listener.getsockname()[1])
        received = b""

        async def accepted(client: Client, wire: Wire) -> None:
            nonlocal received
            listener.setblocking(False)
            loop = asyncio.get_running_loop()
            connection, _ = await loop.sock_accept(listener)
            with connection:
                while len(received) < len(forwarded(POST)):
                    received += await loop.sock_recv(connection, 1000)
            assert wire.is_read

        ask(of, accepted)
    assert received == forwarded(POST)
