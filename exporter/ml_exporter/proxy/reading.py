"""Whether a connection is read."""

from __future__ import annotations

import asyncio


class Reading:
    """A connection is read as long as there is no reason not to."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._reasons: set[str] = set()

    @property
    def is_held(self) -> bool:
        return bool(self._reasons)

    def hold(self, reason: str) -> None:
        if not self._reasons and not self._transport.is_closing():
            self._transport.pause_reading()
        self._reasons.add(reason)

    def release(self, reason: str) -> None:
        if reason in self._reasons:
            self._reasons.remove(reason)
            if not self._reasons and not self._transport.is_closing():
                self._transport.resume_reading()

    def release_all(self) -> None:
        self._reasons.clear()
        self._transport.resume_reading()
