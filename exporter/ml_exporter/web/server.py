"""The WSGI server that carries the application (Cheroot), with TLS where it is configured."""

from __future__ import annotations

import logging
import re
import socket
import threading
from collections.abc import Sequence

from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server
from flask import Flask

from ml_exporter.access import Tls, ssl_context
from ml_exporter.units import parse_address

log = logging.getLogger(__name__)

_EVERYWHERE = ("::", "0.0.0.0")  # the first is IPv4 too; not every machine has IPv6
_ERRNO = re.compile(r"\[Errno -?\d+\]")
_LARGEST_BODY = 16 << 20  # bytes; what the application leaves unread is read here, at once
_THREADS = 8
_TIMEOUT = 10  # seconds that a client may keep a connection without a word
_STOP_TIMEOUT = 1  # seconds that such a client is waited for at the end


class ListenError(Exception):
    """An address that can't be listened on, and why."""


class _Server(Server):
    max_request_body_size = _LARGEST_BODY

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
        self._thread.start()

    def renew(self, tls: Tls | None) -> None:
        """Take up renewed certificates for connections from now on; raises OSError."""
        if tls is not None and self._tls is not None:
            self._server.ssl_adapter.context = ssl_context(tls)

    def stop(self) -> None:
        """Answer what was asked, and stop."""
        self._server.stop()
        self._thread.join()


def _adapter(tls: Tls) -> BuiltinSSLAdapter:
    adapter = BuiltinSSLAdapter(str(tls.cert_file), str(tls.key_file))
    adapter.context = ssl_context(tls)
    return adapter
