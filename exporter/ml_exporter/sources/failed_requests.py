"""Requests that failed, as the proxy tells of them: what was asked, when, and in which trace."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ml_exporter.capture import read_frame
from ml_exporter.families import Exemplar
from ml_exporter.formats.traces import trace_of
from ml_exporter.request_counts import METHODS, Request

_MOST_KEPT = 100  # until somebody takes them


@dataclass(frozen=True)
class FailedRequest:
    """A request that was answered with 5xx, by the model server or by the proxy."""

    method: str  # one of METHODS
    code: int
    path: str  # without its query
    time: float  # seconds since 1970, when it came
    duration: float  # seconds, as the client saw it
    trace: str | None


class FailedRequests:
    """Of one model: the latest of each method and status that has a trace, and the last ones."""

    def __init__(self) -> None:
        self.exemplars: Mapping[Request, Exemplar] = {}
        self._last: deque[FailedRequest] = deque(maxlen=_MOST_KEPT)

    def observe(self, frames: Sequence[bytes]) -> None:
        """Look at frames of requests that failed."""
        for frame in frames:
            one = _read(frame)
            self._last.append(one)
            if one.trace is not None:
                exemplar = Exemplar(one.trace, 1.0, one.time)
                self.exemplars = {**self.exemplars, (one.method, one.code): exemplar}

    def take(self) -> list[FailedRequest]:
        """The last ones that nobody has taken."""
        taken = [*self._last]
        self._last.clear()
        return taken


def _read(data: bytes) -> FailedRequest:
    frame = read_frame(data)
    method, _, rest = frame.request_head.partition(b" ")
    target = rest.partition(b" ")[0]
    name = method.decode("latin-1")
    return FailedRequest(
        method=name if name in METHODS else METHODS[-1],
        code=frame.status,
        path=target.partition(b"?")[0].decode("latin-1"),
        time=frame.time,
        duration=frame.duration,
        trace=trace_of(frame.request_head),
    )
