"""One client's connection, which has one to the model server for itself: requests, as they come.

Exchanges follow each other: a request that comes while the last one isn't answered waits, and its
client isn't read. So no answer can be taken for that of another request. Bodies pass through as
they come; where one side is slow, the other is not read.

Most requests come whole, and so do their answers: these are left to a lane, which is in C, unless
something happens in between.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import cast

from ml_exporter.proxy.answers import answer
from ml_exporter.proxy.bodies import Body, Copy
from ml_exporter.proxy.guard import Guard
from ml_exporter.proxy.heads import END, BadMessage, RequestHead, check_unfinished, request_head
from ml_exporter.proxy.lanes import Lane
from ml_exporter.proxy.observation import ABORTED, Exchange
from ml_exporter.proxy.reading import Reading
from ml_exporter.proxy.shared import Shared
from ml_exporter.proxy.upstream import Upstream

_MOST_WAITING = 64 << 10  # bytes of requests that follow one without an answer
_LINGER = 2.0  # seconds that a client has to read an answer before the connection is gone


class Client(asyncio.Protocol):
    """The connection of a client."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.fields = shared.fields
        self._transport: asyncio.Transport
        self._reading: Reading
        self._upstream: Upstream | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._login: asyncio.Task[None] | None = None
        self._unsent = b""  # to the model server, until it is connected
        self._waiting = bytearray()  # the beginning of the next request, or more
        self._body: Body | None = None  # of the request, until it is complete
        self._is_tunnel = False
        self._is_deaf = False  # what else the client sends is of no interest
        self._is_tls = False
        self._has_ended = False  # the client sends nothing more
        self._peer = b"unknown"
        self._added = b""  # the fields that a proxy adds, and the end of the head
        self._ending = b""  # the last of them
        self._exchange: Exchange | None = None
        self.lane = Lane()
        self.since = 0.0  # when the client, or the model server, was last waited for

    @property
    def exchange(self) -> Exchange | None:
        """The request in flight, which is no longer the lane's for whoever looks at it."""
        if self.lane.is_busy:
            data, end, started = self.lane.hand_over()
            head = data[:end]
            exchange = self._shared.observer.begin(request_head(head), head)
            exchange.started = exchange.asked = self.since = started
            exchange.request_body = data[end:]
            self._exchange = exchange
        return self._exchange

    @exchange.setter
    def exchange(self, exchange: Exchange | None) -> None:
        self._exchange = exchange

    # What the client does

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._reading = Reading(self._transport)
        self._is_tls = transport.get_extra_info("sslcontext") is not None  # ends both ways at once
        peer = transport.get_extra_info("peername")
        if peer:
            self._peer = str(peer[0]).removeprefix("::ffff:").encode("latin-1", "replace")
        self._added = _added(self._peer, self._shared.proto)
        self._ending = b"X-Forwarded-Proto: %b\r\n\r\n" % self._shared.proto
        self.since = time.perf_counter()
        self._shared.connections.add(self)

    def data_received(self, data: bytes) -> None:
        upstream, shared = self._upstream, self._shared
        if (
            upstream is not None
            and self._exchange is None
            and not (self._waiting or self._is_deaf or shared.is_draining)
            and not (shared.guard or self.fields)
        ):
            out = self.lane.request(data, self._peer, self._ending, shared.observer.recorder)
            if out is not None:
                upstream.has_begun = upstream.has_answered = False
                upstream.write(out)
                return
        self._received(data)

    def _received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        if self.exchange is None:
            if self._waiting:
                self._more_of_head(data)
            else:
                self._request(data)
        elif self._is_tunnel:
            self._send(data)
        elif self._body is not None:
            self._request_body(self._body, data)
        else:
            self._wait_with(data)

    def eof_received(self) -> bool:
        self._has_ended = True
        if self._login is not None and not self._is_tls:
            return True
        if self._is_deaf or self.exchange is None or self._body is not None or self._is_tls:
            return False
        self._pass_on_end()  # it may still read the answer
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._shared.connections.discard(self)
        self._is_deaf = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._login is not None:
            self._login.cancel()
        if self._upstream is not None:
            if self._is_tunnel and error is None:
                self._upstream.close()
            else:
                self._upstream.abort()
        self._over(ABORTED, whole=False)

    def pause_writing(self) -> None:
        if self._upstream is not None:
            self._upstream.hold()

    def resume_writing(self) -> None:
        if self._upstream is not None:
            self._upstream.go_on()

    # Requests

    def _request(self, data: bytes) -> None:
        """Begin an exchange with the head that these bytes begin with, if it is there."""
        if data[:2] == b"\r\n":  # what some clients send after a body
            data = data[2:]
        end = data.find(END) + len(END)
        if end < len(END):
            self._wait_for_head(data)
            return
        head = data[:end]
        try:
            request = request_head(head)
        except BadMessage as problem:
            self.refuse(problem.status, str(problem))
            return
        guard = self._shared.guard
        if guard is not None and not guard.knows(head):
            self._log_in(guard, request, head, data)
            return
        exchange = self.exchange = self._shared.observer.begin(request, head)
        self.since = exchange.started
        if self._upstream is not None:
            self._upstream.expects_answer()
        out = request.forwarded + self._added_to(request)
        length = request.length
        if not length:
            rest = data[end:]
        elif 0 < length == len(data) - end:
            body = data[end:]
            out += body
            exchange.request_body = body
            rest = b""
        else:
            copy = self._shared.observer.copy(exchange)
            exchange.request_body = copy or b""
            self._body = Body(length, copy)
            self._send(out)
            if len(data) > end:
                self._request_body(self._body, data[end:])
            return
        self._send(out)
        if rest:
            self._wait_with(rest)

    def _log_in(self, guard: Guard, request: RequestHead, head: bytes, data: bytes) -> None:
        """Find out whether a request may pass. That takes a while, in which no more is read."""
        self._waiting = bytearray(data)
        self._reading.hold("login")
        checking = self._check_login(guard, request, head)
        self._login = asyncio.get_running_loop().create_task(checking)

    async def _check_login(self, guard: Guard, request: RequestHead, head: bytes) -> None:
        refusal = await guard.refusal(head)
        self._login = None
        if self._is_deaf:
            return
        self._reading.release("login")
        if refusal is None:
            self._take_up()
        else:
            self._waiting.clear()
            self.exchange = self._shared.observer.begin(request, head)
            if self._upstream is not None:
                self._upstream.expects_answer()
            self.refuse(*refusal)

    def _request_body(self, body: Body, data: bytes) -> None:
        try:
            taken = body.take(data)
        except BadMessage as problem:
            self.refuse(problem.status, str(problem))
            return
        self.since = time.perf_counter()
        rest = data[taken:]
        self._send(data[:taken] if rest else data)
        if not body.is_done:
            return
        self._body = None
        if self.exchange is not None:
            self.exchange.asked = time.perf_counter()
        if rest:
            self._wait_with(rest)
        if self._upstream is not None and self._upstream.has_answered:
            self._next()

    def _wait_with(self, data: bytes) -> None:
        """Keep the next request until this one has its answer."""
        self._waiting += data
        if len(self._waiting) > _MOST_WAITING:
            self._reading.hold("pipeline")

    def _wait_for_head(self, data: bytes) -> None:
        if not self._waiting:
            self.since = time.perf_counter()
        self._waiting = bytearray(data)
        try:
            check_unfinished(data)
        except BadMessage as problem:
            self.refuse(problem.status, str(problem))

    def _more_of_head(self, data: bytes) -> None:
        """Look only at what is new, or one byte at a time would cost the square of them."""
        seen = len(self._waiting)
        self._waiting += data
        if self._login is not None:
            return
        if self._waiting.find(END, max(seen - 3, 0)) < 0:
            try:
                check_unfinished(self._waiting, seen)
            except BadMessage as problem:
                self.refuse(problem.status, str(problem))
            return
        data = bytes(self._waiting)
        self._waiting.clear()
        self._request(data)

    def _added_to(self, request: RequestHead) -> bytes:
        if not request.forwarded_for and not request.has_proto:
            return self._added
        peer = self._peer
        if request.forwarded_for:
            peer = request.forwarded_for + b", " + peer
        return _added(peer, None if request.has_proto else self._shared.proto)

    # The model server's side

    def _send(self, data: bytes) -> None:
        upstream = self._upstream
        if upstream is not None:
            upstream.write(data)
            return
        self._unsent += data
        if self._connecting is None:
            self._reading.hold("connecting")
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        shared = self._shared
        host, port = shared.upstream
        name = (shared.server_name or host) if shared.tls is not None else None
        try:
            async with asyncio.timeout(shared.timeouts.connect):
                _, upstream = await loop.create_connection(
                    lambda: Upstream(self), host, port, ssl=shared.tls, server_hostname=name
                )
        except TimeoutError:
            self.refuse(504, "the model server can't be reached in time")
        except OSError as error:
            shared.failed(error)
            self.refuse(502, "the model server can't be reached")
        else:
            self.connected(upstream)
        finally:
            self._connecting = None
            self._reading.release("connecting")

    def connected(self, upstream: Upstream) -> None:
        """The model server can be written to."""
        self._upstream = upstream
        if self._is_deaf:
            upstream.abort()
            return
        if self._unsent:
            upstream.write(self._unsent)
            self._unsent = b""
        if self._has_ended:
            self._pass_on_end()

    def write(self, data: bytes) -> None:
        """Pass something on to the client."""
        self._transport.write(data)

    def copy_of(self, exchange: Exchange) -> Copy | None:
        """Where to copy an answer that comes in pieces."""
        return self._shared.observer.copy(exchange)

    def tunnel(self) -> None:
        """From here on both sides speak another protocol."""
        self._is_tunnel = True
        if self.exchange is not None:
            self._shared.observer.end(self.exchange, self.exchange.status)
            self.exchange.route = None  # it is counted
        if self._waiting:
            data = bytes(self._waiting)
            self._waiting.clear()
            self._send(data)
        self._reading.release("pipeline")

    def answered(self, exchange: Exchange, *, closes: bool) -> None:
        """The client has all of an answer."""
        if self._body is not None:
            if closes:
                # Who has answered and reads no more: the client needs time to see the answer.
                self._body = None
                self._over(exchange.status)
                self._linger()
            return
        self._over(exchange.status)
        if closes or exchange.request.closes or self._shared.is_draining:
            self.close()
        elif self._waiting:
            self._take_up()
        elif self._has_ended:
            self.close()

    def lost(self, error: Exception | None) -> None:
        """The model server's connection is gone."""
        upstream, self._upstream = self._upstream, None
        if isinstance(error, ssl.SSLError):
            self._shared.failed(error)
        if upstream is None or self._is_deaf:
            return
        exchange = self.exchange
        if exchange is None or self._is_tunnel:
            self.close()
        elif upstream.has_answered:
            self._over(exchange.status)
            self._linger()
        elif upstream.has_begun or upstream.is_reused:
            # As it would be without us: the client sees the answer cut off, or none, and knows
            # that it may try again on another connection.
            self._over(exchange.status or 502, whole=False)
            if error is None:
                self.close()
            else:
                self._transport.abort()
        else:
            self.refuse(502, "the model server closed the connection without an answer")

    def refuse(self, status: int, text: str) -> None:
        """Answer in place of the model server, and close."""
        upstream, self._upstream = self._upstream, None
        has_begun = self.exchange is not None and upstream is not None and upstream.has_begun
        if upstream is not None:
            upstream.abort()
        head_only = self.exchange is not None and self.exchange.request.method == b"HEAD"
        self._over(status, whole=False)
        if self._is_deaf:
            return
        if has_begun:  # nothing can be said in the middle of an answer
            self._transport.abort()
            return
        self._transport.write(answer(status, text, head_only=head_only, fields=self.fields))
        self._linger()

    # Ends

    def _next(self) -> None:
        """The request is complete, and its answer was before."""
        exchange = self.exchange
        if exchange is not None:
            self.answered(exchange, closes=False)

    def _take_up(self) -> None:
        data = bytes(self._waiting)
        self._waiting.clear()
        self._reading.release("pipeline")
        self._request(data)
        if self._has_ended and not self._is_deaf:
            if self.exchange is None or self._body is not None:
                self.close()  # the rest of the request will never come
            else:
                self._pass_on_end()

    def _pass_on_end(self) -> None:
        """Tell the model server that the client sends nothing more, once it has all there is."""
        if self._upstream is not None and not self._waiting and self._body is None:
            self._upstream.end()

    def _over(self, status: int, *, whole: bool = True) -> None:
        exchange, self.exchange = self.exchange, None
        self._body = None
        if exchange is not None:
            self._shared.observer.end(exchange, status, whole=whole)

    def _linger(self) -> None:
        """Close, but not before the client had time to read: unread bytes would reset it."""
        self._is_deaf = True
        self._waiting.clear()
        self._reading.release_all()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        if self._upstream is not None:
            self._upstream.close()
        asyncio.get_running_loop().call_later(_LINGER, self._transport.close)

    def close(self) -> None:
        """Close when all is sent."""
        self._is_deaf = True
        self._transport.close()
        if self._upstream is not None:
            self._upstream.close()

    def drain(self) -> None:
        """Close unless there is an exchange, which is to complete first."""
        if self.exchange is None and not self._waiting:
            self.close()

    def abort(self) -> None:
        self._transport.abort()

    def check(self, now: float) -> None:
        """Give up what takes too long."""
        exchange = self.exchange
        waited, timeouts = now - self.since, self._shared.timeouts
        if self._is_deaf or self._is_tunnel or self._connecting or self._login:
            return
        if exchange is None:
            if waited > timeouts.head and (self._waiting or self._upstream is None):
                if self._waiting:
                    self.refuse(408, "the request's head didn't come in time")
                else:
                    self.close()
        elif self._body is not None:
            if waited > timeouts.body and not self._reading.is_held:
                self.refuse(408, "the request's body didn't come in time")
        elif waited > timeouts.answer and self._upstream and not self._upstream.has_begun:
            self.refuse(504, "the model server didn't answer in time")

    def hold(self) -> None:
        """The model server doesn't take what the client sends."""
        self._reading.hold("upstream")

    def go_on(self) -> None:
        self.since = time.perf_counter()
        self._reading.release("upstream")


def _added(peer: bytes, proto: bytes | None) -> bytes:
    """The fields that a proxy adds, and the end of the head."""
    if proto is None:
        return b"X-Forwarded-For: %b\r\n\r\n" % peer
    return b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\n\r\n" % (peer, proto)
