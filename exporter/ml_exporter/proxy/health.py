"""The proxy's own answers: whether it lives, and whether it is ready for requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

_TIMEOUT = 5.0  # seconds that a prober has to ask
_LONGEST = 8192  # bytes of its request's head


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
        target = rest.partition(b" ")[0]
        if method not in (b"GET", b"HEAD"):
            return _response(405, "Method Not Allowed", "ask with GET", method)
        match target.partition(b"?")[0]:
            case b"/-/healthy":
                return _response(200, "OK", "healthy", method)
            case b"/-/ready":
                why = await self._why_not_ready()
                if why:
                    return _response(503, "Service Unavailable", why, method)
                return _response(200, "OK", "ready", method)
        return _response(404, "Not Found", "there are /-/healthy and /-/ready", method)


def _response(status: int, reason: str, text: str, method: bytes) -> bytes:
    body = f"{text}\n".encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode()
    return head if method == b"HEAD" else head + body
