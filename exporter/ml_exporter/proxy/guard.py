"""Lets in those who have a password of the proxy's web configuration file."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from ml_exporter.access import Decision, Gate
from ml_exporter.capture import field_pattern
from ml_exporter.config.roles import Access

log = logging.getLogger(__name__)

_CREDENTIALS = field_pattern("authorization")
_MOST_KNOWN = 1024
_MOST_WAITING = 128  # logins; each takes a thread some 70 ms


class TooManyLogins(Exception):
    """So many wait that another one would wait for too long."""


class Guard:
    """Checks passwords in a thread, one at a time, and remembers what was right.

    What is wrong is never remembered: a flood of it keeps one thread busy, and requests with
    what was right before pass all the same.
    """

    def __init__(self, users: Mapping[str, bytes]) -> None:
        """`users` are their bcrypt hashes; there must be some."""
        self._gate = Gate(Access(), users)
        self._secret = os.urandom(32)
        self._known: set[bytes] = set()  # fingerprints of credentials
        self._thread = ThreadPoolExecutor(1, "login")
        self._waiting = 0

    def knows(self, head: bytes) -> bool:
        """Whether a request's credentials were right before."""
        return self._fingerprint(_credentials(head)) in self._known

    async def refusal(self, head: bytes) -> tuple[int, str] | None:
        """Status and text for a request that may not pass; None if it may."""
        try:
            if await self.lets_in(head):
                return None
        except TooManyLogins:
            return 503, "too many are logging in"
        except Exception:  # whoever can't be checked doesn't pass
            log.exception("a login could not be checked")
            return 503, "logins can't be checked"
        return 401, "a user and a password are needed"

    async def lets_in(self, head: bytes) -> bool:
        """Whether they are right; raises TooManyLogins."""
        given = _credentials(head)
        if not given:
            return False
        if self._waiting >= _MOST_WAITING:
            raise TooManyLogins
        self._waiting += 1
        try:
            fields = [("authorization", given.decode("latin-1"))]
            loop = asyncio.get_running_loop()
            decision = await loop.run_in_executor(
                self._thread, self._gate.decide, "scrape", "", fields
            )
        finally:
            self._waiting -= 1
        if decision is not Decision.ALLOW:
            return False
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known.add(self._fingerprint(given))
        return True

    def _fingerprint(self, given: bytes) -> bytes:
        """Whoever doesn't know the secret can't tell by the time it takes how near one was."""
        return hashlib.blake2b(given, key=self._secret, digest_size=32).digest()


def _credentials(head: bytes) -> bytes:
    """What a request has to show; nothing where it has several."""
    found = _CREDENTIALS.findall(head)
    given: bytes = found[0].strip() if len(found) == 1 else b""
    return given
