"""What passed through the proxy, as a source: the reading end of its buffer."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ml_exporter.capture import Capture, CaptureError, has_failed, model_of
from ml_exporter.sources.failed_requests import FailedRequests
from ml_exporter.sources.matching import source_id
from ml_exporter.sources.parts import Chunk, Part, Start, move
from ml_exporter.sources.request_exemplars import RequestExemplars
from ml_exporter.store.store import Position

_CHUNK = 1 << 20  # bytes
_MOST_CHUNKS = 16  # of other models' frames that one look passes over
_LOOK_EVERY = 1.0  # seconds
_REST = 0.25  # seconds in which less than a chunk may gather: a small step costs as much


class Attachment:
    """The buffer that this process reads, shared by the sources of all its models.

    It was inherited, or it is found at a path when the proxy has made it.
    """

    def __init__(
        self,
        capture: Capture | None = None,
        path: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._capture = capture
        self._path = path
        self._clock = clock
        self._looked_at = -_LOOK_EVERY
        self._counted: dict[object, int] = {}  # by reader, the offset up to which it has all
        self.exemplars: defaultdict[str, RequestExemplars] = defaultdict(RequestExemplars)
        self.failed: defaultdict[str, FailedRequests] = defaultdict(FailedRequests)
        self.error = ""  # why there is none
        self.is_ending = False  # what there is won't become more

    @property
    def exists(self) -> bool:
        """Whether there is a proxy at all."""
        return self._capture is not None or self._path is not None

    def current(self) -> Capture | None:
        """The buffer, if it is there."""
        now = self._clock()
        if self._path is None or now - self._looked_at < _LOOK_EVERY:
            return self._capture
        self._looked_at = now
        if self._capture is None or self._capture.was_replaced():
            try:
                self._capture = Capture.found(self._path)
                self.error = ""
            except CaptureError as error:
                self.error = str(error)
        return self._capture

    @property
    def waiting(self) -> int:
        """Bytes in the buffer that are not counted yet, or not saved."""
        capture = self._capture
        return 0 if capture is None else capture.written - capture.read_to

    @property
    def is_pressed(self) -> bool:
        """Whether what was counted should be saved, so that there is room for more."""
        capture = self._capture
        return capture is not None and self.waiting > capture.size // 2

    def is_worth_a_look(self, waiting: int, looked_at: float) -> bool:
        """Whether so many bytes that wait are enough for a step, or have waited long enough."""
        capture = self._capture
        enough = _CHUNK if capture is None else min(_CHUNK, capture.size // 8)
        return waiting >= enough or self.is_ending or self.now() - looked_at >= _REST

    def now(self) -> float:
        return self._clock()

    def keep(self, reader: object, offset: int) -> None:
        """A reader needs what is from an offset on."""
        self._counted[reader] = offset

    def leave(self, reader: object) -> None:
        self._counted.pop(reader, None)

    def release(self) -> None:
        """Make room of what all readers have counted; without any, of everything."""
        capture = self._capture
        if capture is not None:
            offset = min(self._counted.values(), default=capture.written)
            if offset > capture.read_to:
                capture.release(offset)


@dataclass(eq=False)
class CaptureSource:
    """The exchanges of one model, from those not yet counted on."""

    attachment: Attachment
    model: str
    positions: dict[str, Position]
    name: str = "proxy"
    start: Start = "start"  # whatever was observed is counted
    errors: dict[str, str] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)
    _capture: Capture | None = None
    _part: Part | None = None
    _place: int | None = None  # of the model, among the names in the buffer
    _told_to: int = 0  # the offset up to which failed requests are told of
    _moved_at: float = -_REST  # when something was last counted

    @property
    def source_id(self) -> str:
        capture = self.attachment.current()
        return source_id(f"proxy {capture.id}") if capture else "none"

    def look(self) -> None:
        """Take up the buffer, if there is another one."""
        capture = self.attachment.current()
        if capture is None or capture is self._capture:
            if self.attachment.error:
                self.errors["proxy"] = self.attachment.error
            return
        self._capture, self._place, self._told_to = capture, None, 0
        self.errors.clear()
        for key in list(self.positions):
            if key != capture.id:  # of a buffer that is gone
                del self.positions[key]
                self.moved.add(key)
        position = self.positions.get(capture.id, Position(capture.read_to))
        if not capture.read_to <= position.offset <= capture.written:
            position = Position(capture.read_to)
        self._part = Part(name=self.name, key=capture.id, position=position)
        self.attachment.keep(self, position.offset)

    def next(self) -> Chunk | None:
        self.look()
        capture, part = self._capture, self._part
        if capture is None or part is None:
            return None
        for _ in range(_MOST_CHUNKS):
            position = part.position
            waiting = capture.written - position.offset
            if not position.rows and not self.attachment.is_worth_a_look(waiting, self._moved_at):
                return None
            try:
                frames, after = capture.take(position.offset, position.length or _CHUNK)
            except ValueError as error:
                self.errors["proxy"] = str(error)
                move(self, part, Position(capture.written))
                return None
            if not frames:
                return None
            place = self._place_in(capture)
            mine = [frame for frame in frames if model_of(frame) == place]
            failed = [frame for frame in mine if has_failed(frame)]
            if failed:
                mine = [frame for frame in mine if not has_failed(frame)]
            if after > self._told_to:  # the same frames may come again
                self.attachment.failed[self.model].observe(failed)
                self._told_to = after
            if mine:
                self.attachment.exemplars[self.model].observe(mine)
                length = sum(map(len, frames))
                return Chunk(part, b"".join(mine), end=False, next_offset=after, length=length)
            self.advance(part, Position(after))
        return None

    def advance(self, part: Part, position: Position) -> Position:
        self._moved_at = self.attachment.now()
        return move(self, part, position)

    def committed(self) -> None:
        """Let the buffer make room of what was counted."""
        if self._part is not None:
            self.attachment.keep(self, self._part.position.offset)
            self.attachment.release()

    def give_up(self, part: Part, problem: str) -> None:
        """Frames have no header that could be wrong."""

    def lag(self) -> int:
        if self._capture is None or self._part is None:
            return 0
        return self._capture.written - self._part.position.offset

    def close(self) -> None:
        """The buffer is shared, and outlives this."""
        self.attachment.leave(self)

    def _place_in(self, capture: Capture) -> int | None:
        """The model's place, which it has before any frame is about it."""
        if self._place is None:
            names = capture.counts.names()
            self._place = names.index(self.model) if self.model in names else None
        return self._place
