"""Connections without sockets: what a client and a model server would read from them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ml_exporter.capture import Capture, Frame, read_frame
from ml_exporter.proxy.client import Client
from ml_exporter.proxy.observation import Observer
from ml_exporter.proxy.routes import Routes
from ml_exporter.proxy.shared import Shared, Timeouts
from ml_exporter.proxy.upstream import Upstream

ADDED = b"X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n"


class Wire(asyncio.Transport):
    """Remembers what was written, and what became of the connection."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.7", 4711)})
        self.sent = b""
        self.is_read = True
        self.end = ""

    def write(self, data: Any) -> None:
        assert not self.end or self.end == "eof"
        self.sent += data

    def write_eof(self) -> None:
        self.end = self.end or "eof"

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        if self.end in ("", "eof"):
            self.end = "closed"

    def abort(self) -> None:
        self.end = "aborted"

    def is_closing(self) -> bool:
        return self.end in ("closed", "aborted")

    def pause_reading(self) -> None:
        assert self.is_read
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True


@dataclass
class Pair:
    """A client's connection and the one to the model server."""

    capture: Capture
    shared: Shared
    client: Client
    upstream: Upstream
    near: Wire = field(default_factory=Wire)
    far: Wire = field(default_factory=Wire)

    @property
    def frames(self) -> list[Frame]:
        frames, _ = self.capture.take(0, 1 << 30)
        return [read_frame(frame) for frame in frames]

    @property
    def observed(self) -> list[Frame]:
        """Those of exchanges that succeeded; of a failure there is no body."""
        return [frame for frame in self.frames if frame.status < 300]

    @property
    def requests(self) -> dict[tuple[str, int], int]:
        return self.capture.counts.requests(0)

    def asks(self, data: bytes, sizes: Sequence[int] = ()) -> None:
        for piece in cut(data, sizes):
            self.client.data_received(piece)

    def answers(self, data: bytes, sizes: Sequence[int] = ()) -> None:
        for piece in cut(data, sizes):
            self.upstream.data_received(piece)


def pair(capture: Capture, *, path: str | None = None, body_limit: int = 1 << 20) -> Pair:
    """A client that is connected; without a path, every one is the model's."""
    observer = Observer(capture, Routes([("credit", path)], capture.counts), body_limit=body_limit)
    shared = Shared(("192.0.2.9", 80), observer, Timeouts())
    client = Client(shared)
    made = Pair(capture, shared, client, Upstream(client))
    client.connection_made(made.near)
    made.upstream.connection_made(made.far)
    client.connected(made.upstream)
    return made


def cut(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Data in pieces of these sizes, and the rest."""
    pieces = []
    for size in sizes:
        if data[:size]:
            pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data] if data else pieces


def forwarded(request: bytes) -> bytes:
    """A request as the model server has it."""
    head, end, body = request.partition(b"\r\n\r\n")
    return head + b"\r\n" + ADDED + end[2:] + body
