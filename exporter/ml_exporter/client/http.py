"""A server of /metrics alone, in threads of the process that counts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Shown = Callable[[str], tuple[bytes, Callable[[], None]]]

_TIMEOUT = 10.0  # seconds that a client may keep a connection without a word


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD of /metrics."""

    timeout = _TIMEOUT
    server: _Server

    def do_GET(self) -> None:
        from ml_exporter.exposition import choose, compress

        if self.path.partition("?")[0] != "/metrics":
            self._answer(404, b"/metrics is here, and nothing else\n", {})
            return
        openmetrics, content_type = choose(self.headers.get("Accept"))
        try:
            body, seen = self.server.shown("openmetrics" if openmetrics else "text")
        except OSError as error:
            self._answer(503, f"{error}\n".encode(), {})
            return
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            body = compress(body)
            headers["Content-Encoding"] = "gzip"
        self._answer(200, body, headers)
        if self.command == "GET":
            seen()

    do_HEAD = do_GET

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "text/plain; charset=utf-8"} | headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are no news."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], shown: Shown) -> None:
        self.shown = shown
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news, either."""


class MetricsServer:
    """Serves until closed."""

    def __init__(self, address: str, port: int, shown: Shown) -> None:
        """Raises OSError where it can't listen there."""
        self._server = _Server((address, port), shown)
        self.port = int(self._server.server_address[1])
        thread = threading.Thread(
            target=self._server.serve_forever, name="ml-exporter-http", daemon=True
        )
        thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def abandon(self) -> None:
        """In a child that was forked: it is the parent's."""
        self._server.socket.close()
