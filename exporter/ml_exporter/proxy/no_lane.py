"""A lane that takes nothing, for where `_plain` isn't compiled: all exchanges go through Python."""

from __future__ import annotations

import math


class Recorder:
    """What an observer keeps in the memory of lanes."""

    def __init__(self, *memory: object, **settings: object) -> None:
        """As the compiled one is made, which counts and writes by itself."""
        self.routes: dict[bytes, int] = {}
        self.clock = 0.0
        self.allowed = math.inf
        self.failures = math.inf


class Lane:
    """One connection's plain exchange, of which there is none."""

    __slots__ = ()

    is_busy = False

    def request(self, data: bytes, peer: bytes, ending: bytes, recorder: Recorder, /) -> None:
        """No request is plain."""

    def response(self, data: bytes, /) -> bool:
        """No answer is one to a plain request."""
        return False

    def hand_over(self) -> tuple[bytes, int, float]:
        """Never called, as no request waits."""
        raise ValueError("no request waits")
