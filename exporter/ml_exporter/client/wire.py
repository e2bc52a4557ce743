"""Frames between the processes of an application, over a Unix socket: a kind, a length, a body."""

from __future__ import annotations

import json
import logging
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

log = logging.getLogger(__name__)

LINES, DROPPED, SCRAPE, ANSWER = range(1, 5)

_HEADER = struct.Struct(">BI")
_LARGEST = 64 << 20  # bytes of a frame: more than any exposition or lines have
_PATIENCE = 10.0  # seconds for the other side to take or give what it has to
_FAREWELL = 2.0  # seconds that peers have to find out that nobody counts there any more
_LONGEST_PATH = 100  # bytes; sockaddr_un has room for few more

Stream = Literal["predictions", "labels"]

# What is answered to a frame, if anything, and what is done when that was sent.
Answer = Callable[[int, bytes], tuple[bytes, Callable[[], None]] | None]


@dataclass
class Lines:
    """Whole lines of one stream of a model, which are to be counted."""

    model: str
    stream: Stream
    rows: int
    data: bytes


class WireError(OSError):
    """The other process is gone, or speaks another language."""


def socket_path(folder: Path) -> Path:
    """Where the processes that share a folder meet; raises ValueError for a folder too deep."""
    path = folder.absolute() / "socket"
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise ValueError(
            f"Monitor: state: {str(folder.absolute())!r} is too long for the socket in it;"
            f" use a folder of at most {_LONGEST_PATH - len('/socket')} bytes"
        )
    return path


def packed(lines: Lines) -> bytes:
    """Lines as the body of a frame: their description as a line of its own, first."""
    about = {"model": lines.model, "stream": lines.stream, "rows": lines.rows}
    return json.dumps(about).encode() + b"\n" + lines.data


def unpacked(body: bytes) -> Lines:
    """Raises ValueError, KeyError or TypeError for what no `packed` wrote."""
    about, _, data = body.partition(b"\n")
    said: dict[str, Any] = json.loads(about)
    if said["stream"] not in ("predictions", "labels"):
        raise ValueError(said["stream"])
    return Lines(str(said["model"]), said["stream"], int(said["rows"]), data)


def send(connection: socket.socket, kind: int, body: bytes) -> None:
    connection.sendall(_HEADER.pack(kind, len(body)) + body)


def receive(connection: socket.socket) -> tuple[int, bytes] | None:
    """The next frame; None where the other side has closed. Raises WireError."""
    header = _exactly(connection, _HEADER.size)
    if header is None:
        return None
    kind, length = _HEADER.unpack(header)
    if length > _LARGEST:
        raise WireError("a frame is too large")
    body = _exactly(connection, length)
    if body is None:
        raise WireError("a frame ends early")
    return kind, body


def _exactly(connection: socket.socket, length: int) -> bytes | None:
    data = bytearray()
    while len(data) < length:
        piece = connection.recv(min(length - len(data), 1 << 20))
        if not piece and not data:
            return None
        if not piece:
            raise WireError("a frame ends early")
        data += piece
    return bytes(data)


class Link:
    """What a process that doesn't count has of the one that does."""

    def __init__(self, path: Path) -> None:
        """Raises OSError where nobody counts there."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_PATIENCE)
        try:
            self._socket.connect(str(path))
        except BaseException:
            self._socket.close()
            raise

    @property
    def is_broken(self) -> bool:
        """Whether the other side has closed: it never says anything unasked."""
        poll = select.poll()  # `select.select` takes no descriptor above 1023
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def send(self, kind: int, body: bytes) -> None:
        """Raises OSError."""
        send(self._socket, kind, body)

    def ask(self, kind: int, body: bytes) -> bytes:
        """Raises OSError."""
        send(self._socket, kind, body)
        answer = receive(self._socket)
        if answer is None or answer[0] != ANSWER:
            raise WireError("no answer")
        return answer[1]

    def close(self) -> None:
        self._socket.close()


class Exchange:
    """Where the process that counts takes what the others send, in a thread for each of them."""

    def __init__(self, path: Path, answer: Answer) -> None:
        """Whatever is at the path is of a process that is gone. Raises OSError."""
        self._path = path
        self._answer = answer
        self._connections: set[socket.socket] = set()
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        os.chmod(path, 0o600)
        self._socket.listen(128)
        threading.Thread(target=self._accept, name="ml-exporter-accept", daemon=True).start()

    def close(self) -> None:
        """Take what is on its way, and nothing more: who sends soon finds out."""
        with suppress(OSError):
            self._accept_the_last()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in `accept`
        self._socket.close()
        self._shut(socket.SHUT_WR)
        deadline = time.monotonic() + _FAREWELL
        while self._connections and time.monotonic() < deadline:
            time.sleep(0.01)
        self._shut(socket.SHUT_RDWR)

    def _accept_the_last(self) -> None:
        """Close the door, and let in who stands before it: they may have sent already."""
        door = self._path.with_suffix(".closing")
        self._path.rename(door)
        try:
            with socket.socket(socket.AF_UNIX) as last:
                last.settimeout(_FAREWELL)
                last.connect(str(door))
                last.shutdown(socket.SHUT_WR)
                last.recv(1)  # ends when this one was accepted, and so all before it
        finally:
            door.unlink()

    def _shut(self, how: int) -> None:
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(how)

    def abandon(self) -> None:
        """In a child: it is the parent's."""
        self._socket.close()
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._connections.add(connection)
            serve = threading.Thread(
                target=self._serve, args=(connection,), name="ml-exporter-peer", daemon=True
            )
            serve.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            while (frame := receive(connection)) is not None:
                answer = self._answer(*frame)
                if answer is not None:
                    send(connection, ANSWER, answer[0])
                    answer[1]()
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.debug("a peer is gone", extra={"error": str(error)})
        finally:
            self._connections.discard(connection)
            connection.close()
