"""Exchanges that the proxy observed: a request and its response as frames of its buffer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ml_exporter.capture import Frame, Frames, field_pattern, read_frame, read_frames
from ml_exporter.formats.alike import Heads, Likeness, Likenesses, Numbers, likeness
from ml_exporter.formats.exchanges import Exchange, Invocation
from ml_exporter.formats.joined import joined
from ml_exporter.formats.messages import Message, Rejected
from ml_exporter.formats.protocols import finder, reader
from ml_exporter.formats.protocols.detection import detect
from ml_exporter.formats.rejections import Rejections
from ml_exporter.formats.rows import Decoded, Layout, Table, assemble
from ml_exporter.formats.slots import IS_COMPILED
from ml_exporter.formats.tabulation import Tabulator
from ml_exporter.formats.traces import trace_of

_REMEMBERED = 1024  # heads
_LONGEST_REMEMBERED = 2048  # bytes
_FIELD = re.compile(
    rb"\n(content-type|content-encoding|inference-header-content-length|x-request-id):[\t ]*+"
    rb"([^\r]*+)",
    re.IGNORECASE,
)


@dataclass(slots=True)
class _Head:
    """What the head of a message says of its body; and of a request, of which model it is."""

    path: str
    content_type: str
    content_encoding: str
    json_length: int | None
    id: str | None

    def message(self, body: bytes) -> Message:
        return Message(body, self.content_type, self.content_encoding, self.json_length)

    @property
    def is_of_text(self) -> bool:
        return not self.content_encoding and self.json_length is None


class Captured:
    """Decodes frames; `format` is the protocol that their bodies are in, or `auto`."""

    def __init__(self, layout: Layout, format: str, version_header: str) -> None:
        self._layout = layout
        self._find = finder(format, layout)
        self._read = reader(format, layout)
        self._rows = Tabulator(layout)
        self._version = field_pattern(version_header)
        self._known = Likenesses()

    def resume(self, head: bytes) -> None:
        """Frames need no header."""

    def decode(self, data: bytes, end: bool) -> Decoded:
        frames = read_frames(data)
        rejected = Rejections()
        heads, parts, others = Heads(), list[tuple[Table, Numbers]](), [*range(len(frames))]
        if IS_COMPILED and not self._layout.discover:  # then the columns are known
            heads = self._heads(frames)
            parts, others = self._known.select(frames, heads)
        if others or not parts:
            table, of_rows = self._decode_each(frames, others, rejected)
            parts.append((table, of_rows))
            if of_rows.size and heads.kinds:
                self._known.look_at(heads, of_rows.tolist(), lambda n: self._likeness(frames[n]))
        return assemble(joined(parts), self._rows.layout, rejected, len(data))

    def _heads(self, frames: Frames) -> Heads:
        heads, data = Heads(), frames.data
        for begin, body, answer, answer_body, _ in frames.bounds.tolist():
            head, answer_head = data[begin:body], data[answer:answer_body]
            asked, answered = _head(head), _head(answer_head)
            id = asked.id or answered.id
            heads.ids.append(id)
            if asked.is_of_text and answered.is_of_text:
                version = self._version_of(answer_head, head)
                kind = (asked.path, asked.content_type, answered.content_type, not id, version)
                heads.kinds.append(kind)
            else:
                heads.kinds.append(None)
            if self._layout.trace is not None:
                heads.traces.append(trace_of(head))
        return heads

    def _decode_each(
        self, frames: Frames, numbers: Sequence[int], rejected: Rejections
    ) -> tuple[Table, Numbers]:
        """The rows of some exchanges, and the number of each row's exchange."""
        usable = list[int]()

        def invocations() -> Iterator[Invocation]:
            for number in numbers:
                frame = frames[number]
                bodies = frame.request_body, frame.response_body
                try:
                    invocation = self._read(self._exchange(frame))
                except Rejected as rejection:
                    rejected.reject(rejection.reason, b"\n".join(bodies), rows=rejection.rows)
                else:
                    invocation.written = bodies
                    usable.append(number)
                    yield invocation

        table, counts = self._rows.table(invocations(), rejected)
        return table, np.array(usable, np.intp).repeat(counts)

    def _exchange(self, frame: Frame) -> Exchange:
        one = exchange(frame)
        one.version = self._version_of(frame.response_head, frame.request_head)
        if self._layout.trace is not None:
            one.trace = trace_of(frame.request_head)
        return one

    def _likeness(self, frame: Frame) -> Likeness | None:
        one = self._exchange(frame)
        return likeness(one, self._find(one).FREE, self._read, self._rows)

    def _version_of(self, *heads: bytes) -> str | None:
        if self._layout.version is None:
            return None
        for head in heads:
            if found := self._version.search(head):
                return found[1].decode("latin-1").strip() or None
        return None


def exchange(frame: Frame) -> Exchange:
    """What a frame says."""
    asked, answered = _head(frame.request_head), _head(frame.response_head)
    return Exchange(
        id=asked.id or answered.id,
        time=frame.time,
        request=asked.message(frame.request_body),
        response=answered.message(frame.response_body),
        path=asked.path,
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


def _head(head: bytes) -> _Head:
    return _known_head(head) if len(head) <= _LONGEST_REMEMBERED else _read_head(head)


def _read_head(head: bytes) -> _Head:
    """The fields that are about a body; of several alike, the first."""
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(head):
        fields.setdefault(name.decode().lower(), value.decode("latin-1").strip())
    length = fields.get("inference-header-content-length", "")
    return _Head(
        path_of(head),
        fields.get("content-type", ""),
        fields.get("content-encoding", ""),
        int(length) if length.isdecimal() and len(length) < 10 else None,
        fields.get("x-request-id"),
    )


_known_head = lru_cache(_REMEMBERED)(_read_head)
