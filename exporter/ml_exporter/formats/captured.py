"""Exchanges that the proxy observed: a request and its response as frames of its buffer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from ml_exporter.capture import Frame, field_pattern, read_frame, split_frames
from ml_exporter.formats.exchanges import Exchange, Invocation, Tabulator
from ml_exporter.formats.messages import Message, Rejected
from ml_exporter.formats.protocols import reader
from ml_exporter.formats.protocols.detection import detect
from ml_exporter.formats.rejections import Rejections
from ml_exporter.formats.rows import Decoded, Layout
from ml_exporter.traces import trace_of

_REMEMBERED = 1024  # heads
_LONGEST_REMEMBERED = 2048  # bytes
_FIELD = re.compile(
    rb"\n(content-type|content-encoding|inference-header-content-length|x-request-id):[\t ]*+"
    rb"([^\r]*+)",
    re.IGNORECASE,
)


class Captured:
    """Decodes frames; `format` is the protocol that their bodies are in, or `auto`."""

    def __init__(self, layout: Layout, format: str, version_header: str) -> None:
        self._read = reader(format, layout)
        self._rows = Tabulator(layout)
        self._version = field_pattern(version_header)
        self._reads_versions = layout.version is not None
        self._reads_traces = layout.trace is not None

    def resume(self, head: bytes) -> None:
        """Frames need no header."""

    def decode(self, data: bytes, end: bool) -> Decoded:
        rejected = Rejections()
        invocations = self._invocations(split_frames(data), rejected)
        return self._rows.decode(invocations, rejected, len(data))

    def _invocations(self, frames: list[bytes], rejected: Rejections) -> Iterator[Invocation]:
        for frame in frames:
            read = read_frame(frame)
            try:
                one = exchange(read)
                if self._reads_versions:
                    one.version = self._version_of(read.response_head, read.request_head)
                if self._reads_traces:
                    one.trace = trace_of(read.request_head)
                invocation = self._read(one)
            except Rejected as rejection:
                bodies = b"\n".join((read.request_body, read.response_body))
                rejected.reject(rejection.reason, bodies, rows=rejection.rows)
                continue
            invocation.written = read.request_body, read.response_body
            yield invocation

    def _version_of(self, *heads: bytes) -> str | None:
        for head in heads:
            if found := self._version.search(head):
                return found[1].decode("latin-1").strip() or None
        return None


def exchange(frame: Frame) -> Exchange:
    """What a frame says."""
    asked, answered = _fields(frame.request_head), _fields(frame.response_head)
    return Exchange(
        id=asked.get("x-request-id") or answered.get("x-request-id"),
        time=frame.time,
        request=_message(frame.request_body, asked),
        response=_message(frame.response_body, answered),
        path=path_of(frame.request_head),
        duration=frame.upstream,
        first=frame.first or None,
    )


def protocol_of(frame: bytes) -> str:
    """What the bodies of a frame look like; raises ValueError where it is no frame."""
    return detect(exchange(read_frame(frame)))


def path_of(head: bytes) -> str:
    """The path of a request, as its first line has it."""
    target = head.split(b" ", 2)[1] if head.count(b" ", 0, head.find(b"\r")) > 1 else b""
    return target.decode("latin-1")


def _message(body: bytes, fields: dict[str, str]) -> Message:
    length = fields.get("inference-header-content-length", "")
    return Message(
        body,
        fields.get("content-type", ""),
        fields.get("content-encoding", ""),
        int(length) if length.isdecimal() and len(length) < 10 else None,
    )


def _fields(head: bytes) -> dict[str, str]:
    return _known(head) if len(head) <= _LONGEST_REMEMBERED else _known.__wrapped__(head)


@lru_cache(_REMEMBERED)
def _known(head: bytes) -> dict[str, str]:
    """The fields that are about a body; of several alike, the first."""
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(head):
        fields.setdefault(name.decode().lower(), value.decode("latin-1").strip())
    return fields
