"""Middleware of ASGI and WSGI applications: requests that predict, observed as they pass.

https://asgi.readthedocs.io/en/latest/specs/www.html
https://peps.python.org/pep-3333/
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from ml_exporter.client.monitor import Monitor

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]
WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
App = TypeVar("App")

BODY_LIMIT = 1 << 20  # bytes of a request or a response that are copied
_METHODS = ("POST", "PUT")
_TYPE, _ENCODING, _ID = "content-type", "content-encoding", "x-request-id"


class Copy:
    """The beginning of a body as it passes; all of it, unless it is larger than the limit."""

    def __init__(self, limit: int) -> None:
        self.left = limit
        self.pieces: list[bytes] = []

    def add(self, piece: bytes) -> None:
        self.left -= len(piece)
        if self.left >= 0:
            self.pieces.append(piece)
        else:
            self.pieces.clear()


class Passing:
    """One request that is being answered."""

    def __init__(self, observed: Observed, path: str, headers: Mapping[str, str]) -> None:
        self.request = Copy(observed.body_limit)
        self.response = Copy(observed.body_limit)
        self.status = 0
        self.response_headers: Mapping[str, str] = {}
        self._observed = observed
        self._path = path
        self._headers = headers
        self._time = time.time()

    def done(self) -> None:
        """The response has passed."""
        if not 200 <= self.status < 300:
            return
        monitor = self._observed.monitor
        if self.request.left < 0 or self.response.left < 0:
            monitor.dropped("too_large")
            return
        request, response = (
            (b"".join(copy.pieces), headers.get(_TYPE, ""), headers.get(_ENCODING, ""))
            for copy, headers in (
                (self.request, self._headers),
                (self.response, self.response_headers),
            )
        )
        id = self.response_headers.get(_ID) or self._headers.get(_ID)
        monitor.exchanged(self._observed.reading, (request, response, id, self._time, self._path))


class Observed:
    """Which requests are observed, and how they are read."""

    def __init__(
        self,
        monitor: Monitor,
        path: str | Sequence[str],
        fields: Mapping[str, object] | None,
        format: str,
        body_limit: int,
    ) -> None:
        """Raises ValueError."""
        paths = (path,) if isinstance(path, str) else tuple(path)
        if not paths or not all(one.startswith("/") for one in paths):
            raise ValueError(f"MonitorMiddleware: path: must begin with '/', unlike {path!r}")
        self._exact = {one for one in paths if not one.endswith("*")}
        self._prefixes = tuple(one[:-1] for one in paths if one.endswith("*"))
        self.monitor = monitor
        self.body_limit = body_limit
        self.reading = monitor.reading(fields, format)

    def passing(self, method: str, path: str, headers: Mapping[str, str]) -> Passing | None:
        """What to tell of a request; None where it doesn't predict."""
        if method in _METHODS and (path in self._exact or path.startswith(self._prefixes)):
            return Passing(self, path, headers)
        return None


class _Middleware(Generic[App]):
    """An application, and what of it is observed."""

    def __init__(
        self,
        app: App,
        monitor: Monitor,
        path: str | Sequence[str] = "/predict",
        fields: Mapping[str, object] | None = None,
        format: str = "json",
        body_limit: int = BODY_LIMIT,
    ) -> None:
        """Raises ValueError."""
        self._app = app
        self._observed = Observed(monitor, path, fields, format, body_limit)


class MonitorMiddleware(_Middleware[AsgiApp]):
    """An ASGI application whose predictions are observed.

    `path` is the path of requests that predict, or several; one that ends with `*` is all that
    begin so. `fields` and `format` say where in the bodies everything is, as they do in
    ml-exporter.yml: see docs/client.md. Bodies above `body_limit` bytes pass unobserved. When the
    application shuts down, what was observed is counted.
    """

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        passing = None
        if scope["type"] == "http":
            headers = _decoded(scope["headers"])
            passing = self._observed.passing(scope["method"], scope["path"], headers)
        if passing is None:
            await self._app(scope, receive, send)
            return

        async def receive_copying() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                passing.request.add(message.get("body", b""))
            return message

        async def send_copying(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                passing.status = message["status"]
                passing.response_headers = _decoded(message.get("headers", ()))
            elif message["type"] == "http.response.body":
                passing.response.add(message.get("body", b""))
                if not message.get("more_body"):
                    passing.done()

        await self._app(scope, receive_copying, send_copying)

    async def _live(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        is_ending = False

        async def receive_noting() -> Message:
            nonlocal is_ending
            message = await receive()
            is_ending = message["type"] == "lifespan.shutdown"
            return message

        try:
            await self._app(scope, receive_noting, send)
        finally:
            if is_ending:
                self._observed.monitor.hand_over()


class MonitorWsgiMiddleware(_Middleware[WsgiApp]):
    """A WSGI application whose predictions are observed; the arguments are MonitorMiddleware's."""

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        headers = {
            _TYPE: environ.get("CONTENT_TYPE", ""),
            _ENCODING: environ.get("HTTP_CONTENT_ENCODING", ""),
            _ID: environ.get("HTTP_X_REQUEST_ID", ""),
        }
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        passing = self._observed.passing(environ["REQUEST_METHOD"], path, headers)
        if passing is None:
            return self._app(environ, start_response)

        def start_copying(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            passing.status = int(status[:3])
            passing.response_headers = {name.lower(): value for name, value in headers}
            write = start_response(status, headers, *rest)

            def write_copying(piece: bytes) -> None:
                write(piece)
                passing.response.add(piece)

            return write_copying

        copied = {**environ, "wsgi.input": _Input(environ["wsgi.input"], passing.request)}
        return _Response(self._app(copied, start_copying), passing)


class _Input:
    """The body of a request, copied as it is read: it has what PEP 3333 asks for, and no more."""

    def __init__(self, input: Any, copy: Copy) -> None:
        self._input = input
        self._copy = copy

    def read(self, *size: int) -> bytes:
        return self._copied(self._input.read(*size))

    def readline(self, *size: int) -> bytes:
        return self._copied(self._input.readline(*size))

    def readlines(self, *hint: int) -> list[bytes]:
        return [self._copied(line) for line in self._input.readlines(*hint)]

    def __iter__(self) -> Iterator[bytes]:
        return map(self._copied, self._input)

    def _copied(self, piece: bytes) -> bytes:
        self._copy.add(piece)
        return piece


class _Response:
    """The body of a response, copied as it is sent."""

    def __init__(self, pieces: Iterable[bytes], passing: Passing) -> None:
        self._pieces = pieces
        self._passing = passing

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            yield piece
            self._passing.response.add(piece)
        self._passing.done()

    def close(self) -> None:
        if close := getattr(self._pieces, "close", None):
            close()


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    wanted = (_TYPE.encode(), _ENCODING.encode(), _ID.encode())
    return {
        name.lower().decode("latin-1"): value.decode("latin-1")
        for name, value in headers
        if name.lower() in wanted
    }
