"""The connection to the model server that belongs to a client's: answers, as they come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol, cast

from ml_exporter.proxy.bodies import Body, Copy
from ml_exporter.proxy.heads import (
    END,
    LARGEST_HEAD,
    BadMessage,
    Fields,
    ResponseHead,
    response_head,
    with_fields,
)
from ml_exporter.proxy.lanes import Lane
from ml_exporter.proxy.observation import Exchange

_NO_BODY = (204, 304)


class Asker(Protocol):
    """Who has asked: a client's connection."""

    exchange: Exchange | None
    lane: Lane
    fields: Fields  # that are added to answers

    def write(self, data: bytes) -> None: ...

    def copy_of(self, exchange: Exchange) -> Copy | None: ...

    def tunnel(self) -> None: ...

    def answered(self, exchange: Exchange, *, closes: bool) -> None: ...

    def lost(self, error: Exception | None) -> None: ...

    def hold(self) -> None: ...

    def go_on(self) -> None: ...


class Upstream(asyncio.Protocol):
    """Passes on the answers to one exchange after the other."""

    def __init__(self, client: Asker) -> None:
        self._client = client
        self._lane = client.lane
        self._transport: asyncio.Transport
        self._waiting = b""  # the beginning of a head
        self._body: Body | None = None  # of the answer, until it is complete
        self._closes = False
        self._has_events = False
        self._is_opaque = False  # what comes can't be told apart any more: it is passed on
        self.write: Callable[[bytes], None]
        self.has_begun = False  # the client has some of the answer
        self.has_answered = False  # it has all of it, and the request isn't complete
        self.is_reused = False  # it has answered before

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.write = self._transport.write

    def data_received(self, data: bytes) -> None:
        client = self._client
        if self._lane.response(data):
            self.is_reused = True
            client.write(data)
            return
        if self._is_opaque:
            client.write(data)
            return
        exchange = client.exchange
        if exchange is None or self.has_answered:
            self.close()  # an answer that nobody asked for
            return
        if self._body is not None:
            self._answer_body(exchange, self._body, data)
        else:
            self._answer(exchange, self._waiting + data if self._waiting else data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        client, exchange = self._client, self._client.exchange
        if self._waiting and exchange is not None:  # a head that was cut off
            client.write(self._waiting)
            self.has_begun = True
        if exchange is not None and error is None and self._body and self._body.until_close:
            client.answered(exchange, closes=True)
        client.lost(error)

    def pause_writing(self) -> None:
        self._client.hold()

    def resume_writing(self) -> None:
        self._client.go_on()

    def _answer(self, exchange: Exchange, data: bytes) -> None:
        """Pass on an answer, from its head on."""
        end = data.find(END) + len(END)
        if end < len(END):
            self._waiting = data
            if len(data) > LARGEST_HEAD:
                self._pass_on(data)
            return
        self._waiting = b""
        try:
            head = response_head(data[:end])
        except BadMessage:
            self._pass_on(data)
            return
        client = self._client
        self.has_begun = True
        status = exchange.status = head.status
        if status < 200:
            self._interim(exchange, head, data[end:])
            return
        exchange.response_bytes = forwarded = head.forwarded
        if client.fields:
            forwarded = with_fields(forwarded, client.fields)
        length = head.length
        if exchange.request.method == b"HEAD" or status in _NO_BODY:
            length = 0
        self._closes = head.closes
        self._has_events = head.has_events
        rest = data[end:]
        if length == len(rest):
            client.write(forwarded + rest)
            exchange.response_body = rest
            self._complete(exchange)
            return
        client.write(forwarded)
        copy = client.copy_of(exchange)
        exchange.response_body = copy or b""
        self._body = Body(length, copy)
        if self._body.is_done:
            self._complete(exchange, rest)
        elif rest:
            self._answer_body(exchange, self._body, rest)

    def _answer_body(self, exchange: Exchange, body: Body, data: bytes) -> None:
        try:
            taken = body.take(data)
        except BadMessage:
            self._pass_on(data)
            return
        rest = data[taken:]
        self._client.write(data[:taken] if rest else data)
        # What keeps the connection alive until then is no event.
        if self._has_events and not exchange.first and b"data:" in data:
            exchange.first = time.perf_counter()
        if body.is_done:
            self._complete(exchange, rest)

    def _interim(self, exchange: Exchange, head: ResponseHead, rest: bytes) -> None:
        """Pass on what comes before the answer, or begin another protocol."""
        self._client.write(head.forwarded)
        if head.status != 101:
            self.has_begun = False
            if rest:
                self._answer(exchange, rest)
            return
        self._is_opaque = True
        if rest:
            self._client.write(rest)
        self._client.tunnel()

    def _complete(self, exchange: Exchange, rest: bytes = b"") -> None:
        """The answer is complete; what follows it, nobody asked for."""
        self._body = None
        closes = self._closes or bool(rest)
        self.is_reused = True
        self.has_answered = True
        self._client.answered(exchange, closes=closes)

    def expects_answer(self) -> None:
        """Another request is sent."""
        self.has_begun = self.has_answered = False

    def _pass_on(self, data: bytes) -> None:
        """What can't be told apart passes through as it is, and the connection ends with it."""
        self.has_begun = self._is_opaque = True
        self._body = None
        self._waiting = b""
        self._client.write(data)

    def hold(self) -> None:
        """The client doesn't take what the model server sends."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def go_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def end(self) -> None:
        """The client sends nothing more."""
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()
