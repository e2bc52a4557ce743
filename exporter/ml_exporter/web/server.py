"""The WSGI server that carries the application (Cheroot), with TLS where it is configured."""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from cheroot.server import HTTPConnection, HTTPRequest
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server
from flask import Flask

from ml_exporter.access import Tls, ssl_context
from ml_exporter.config.units import parse_address

log = logging.getLogger(__name__)

_EVERYWHERE = ("::", "0.0.0.0")  # the first is IPv4 too; not every machine has IPv6
_ERRNO = re.compile(r"\[Errno -?\d+\]")
_LARGEST_HEAD = 64 << 10  # bytes
_LARGEST_BODY = 16 << 20  # bytes; what the application leaves unread is read here, at once
_THREADS = 8
_TIMEOUT = 10  # seconds that a client may keep a connection without a word
_HEAD_TIME = 10.0  # seconds in which the head of a request must be there, however it drips
_REQUEST_TIME = 60.0  # seconds for all the rest of it, and its answer
_LOOK_EVERY = 0.5  # seconds
_MOST_DISCARDED = 256 << 20  # bytes that a client may still send when it has been refused
_PIECE = 64 << 10  # bytes of them at once
_SILENCE = 2.0  # seconds without any of them
_STOP_TIMEOUT = 1  # seconds that such a client is waited for at the end


class ListenError(Exception):
    """An address that can't be listened on, and why."""


class _Deadlines:
    """Ends connections that take too long: each keeps one of the few threads waiting."""

    def __init__(self) -> None:
        self._ends: dict[HTTPConnection, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="web-deadlines", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    @contextmanager
    def within(self, connection: HTTPConnection, seconds: float) -> Iterator[None]:
        self._ends[connection] = time.monotonic() + seconds
        try:
            yield
        finally:
            self._ends.pop(connection, None)

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY):
            now = time.monotonic()
            for connection, end in list(self._ends.items()):
                if now > end:
                    with suppress(OSError):
                        connection.socket.shutdown(socket.SHUT_RDWR)


class _Request(HTTPRequest):
    def parse_request(self) -> None:
        with self.server.deadlines.within(self.conn, _HEAD_TIME):
            super().parse_request()
        if not self.ready:
            self._hear_out()

    def respond(self) -> None:
        with self.server.deadlines.within(self.conn, _REQUEST_TIME):
            super().respond()
        if self.close_connection and not self._was_read():
            self._hear_out()

    def _was_read(self) -> bool:
        if self.chunked_read:
            return bool(self.rfile.closed)
        return getattr(self.rfile, "remaining", 1) == 0

    def _hear_out(self) -> None:
        """Read on after the answer: who closes on what is unread resets, and the answer is lost.

        https://www.rfc-editor.org/rfc/rfc9112#section-9.6
        """
        left = _MOST_DISCARDED
        with self.server.deadlines.within(self.conn, _REQUEST_TIME), suppress(OSError):
            self.conn.socket.settimeout(_SILENCE)
            self.conn.socket.shutdown(socket.SHUT_WR)
            while left > 0 and (piece := self.conn.rfile.read1(min(left, _PIECE))):
                left -= len(piece)


class _Connection(HTTPConnection):
    RequestHandlerClass = _Request


class _Server(Server):
    ConnectionClass = _Connection
    max_request_header_size = _LARGEST_HEAD
    max_request_body_size = _LARGEST_BODY
    deadlines: _Deadlines

    @staticmethod
    def bind_socket(socket_: socket.socket, bind_addr: tuple[str, int]) -> socket.socket:
        try:
            socket_.bind(bind_addr)
        except OSError:
            socket_.close()
            raise
        return socket_

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        log.log(level, msg.strip() or "connection failed", exc_info=traceback)


class WebServer:
    """Serves an application from threads of its own until stopped."""

    def __init__(self, app: Flask, address: str, tls: Tls | None) -> None:
        """Binds the address; raises ListenError."""
        host, port = parse_address(address)
        hosts = [host] if host else _EVERYWHERE
        self._server = _Server(
            (hosts[0], port),
            app,
            numthreads=_THREADS,
            timeout=_TIMEOUT,
            shutdown_timeout=_STOP_TIMEOUT,
            server_name="ml-exporter",
        )
        self._server.deadlines = _Deadlines()
        self._tls = tls
        if tls is not None:
            self._server.ssl_adapter = _adapter(tls)
        try:
            self._bind(hosts, port)
        except OSError as error:
            reason = _ERRNO.split(str(error))[-1].strip("() ").lower()
            raise ListenError(f"can't listen on {address}: {reason}") from None
        self._thread = threading.Thread(target=self._server.serve, name="web", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.bind_addr[1])

    def _bind(self, hosts: Sequence[str], port: int) -> None:
        """Listen on the first host that there is."""
        for host in hosts:
            self._server.bind_addr = (host, port)
            try:
                self._server.prepare()
                return
            except OSError:
                if host == hosts[-1]:
                    raise

    def start(self) -> None:
        self._server.deadlines.start()
        self._thread.start()

    def renew(self, tls: Tls | None) -> None:
        """Take up renewed certificates for connections from now on; raises OSError."""
        if tls is not None and self._tls is not None:
            self._server.ssl_adapter.context = ssl_context(tls)

    def stop(self) -> None:
        """Answer what was asked, and stop."""
        self._server.stop()
        self._server.deadlines.stop()
        self._thread.join()


def _adapter(tls: Tls) -> BuiltinSSLAdapter:
    adapter = BuiltinSSLAdapter(str(tls.cert_file), str(tls.key_file))
    adapter.context = ssl_context(tls)
    return adapter
