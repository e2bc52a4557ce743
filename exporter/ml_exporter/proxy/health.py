"""Probes of the proxy: whether it lives, and whether it is ready for requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ml_exporter.proxy.answers import answer

_TIMEOUT = 5.0  # seconds that a prober has to ask


class Health:
    """Answers `/-/healthy` and `/-/ready` on a listener of their own."""

    def __init__(self, why_not_ready: Callable[[], Awaitable[str]]) -> None:
        """`why_not_ready` tells what is missing; nothing where nothing is."""
        self._why_not_ready = why_not_ready

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, and close."""
        try:
            async with asyncio.timeout(_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._answer(head))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
        status, text = await self._say(method, rest.partition(b" ")[0])
        return answer(status, text, head_only=method == b"HEAD")

    async def _say(self, method: bytes, target: bytes) -> tuple[int, str]:
        if method not in (b"GET", b"HEAD"):
            return 405, "ask with GET"
        match target.partition(b"?")[0]:
            case b"/-/healthy":
                return 200, "healthy"
            case b"/-/ready":
                why = await self._why_not_ready()
                return (503, why) if why else (200, "ready")
        return 404, "there are /-/healthy and /-/ready"
