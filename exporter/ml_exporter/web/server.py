"""The WSGI server that carries the application (Cheroot), with TLS where it is configured."""

from __future__ import annotations

import logging
import threading

from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server
from flask import Flask

from ml_exporter.access import Tls, ssl_context

log = logging.getLogger(__name__)

_THREADS = 8
_TIMEOUT = 10  # seconds that a client may keep a connection without a word


class ListenError(Exception):
    """An address that can't be listened on, and why."""


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of `:10058`, `127.0.0.1:10058` or `[::1]:10058`; raises ValueError."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is no address; it looks like ':10058' or '127.0.0.1:10058'")
    return host.removeprefix("[").removesuffix("]") or "0.0.0.0", int(port)


class _Server(Server):
    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        log.log(level, msg.strip() or "connection failed", exc_info=traceback)


class WebServer:
    """Serves an application from threads of its own until stopped."""

    def __init__(self, app: Flask, address: str, tls: Tls | None) -> None:
        """Binds the address; raises ListenError."""
        host, port = parse_address(address)
        self._server = _Server(
            (host, port), app, numthreads=_THREADS, timeout=_TIMEOUT, server_name="ml-exporter"
        )
        self._tls = tls
        if tls is not None:
            self._server.ssl_adapter = _adapter(tls)
        try:
            self._server.prepare()
        except OSError as error:
            raise ListenError(f"can't listen on {address}: {error}") from None
        self._thread = threading.Thread(target=self._server.serve, name="web", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.bind_addr[1])

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
