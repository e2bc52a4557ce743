"""What all connections of the proxy have in common."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ml_exporter.proxy.guard import Guard
from ml_exporter.proxy.heads import Fields
from ml_exporter.proxy.observation import Observer
from ml_exporter.proxy.upstream_tls import reason_of

if TYPE_CHECKING:
    from ml_exporter.proxy.client import Client

log = logging.getLogger(__name__)

_MOST_FAILURES = 10  # that are logged in a minute


@dataclass(slots=True)
class Timeouts:
    """Seconds."""

    head: float = 30.0  # for a client to send the head of its first request, or the rest of one
    body: float = 60.0  # between two pieces of a request's body
    connect: float = 5.0
    answer: float = 600.0  # for the model server to begin its answer


@dataclass(slots=True)
class Shared:
    """What all connections have in common; it may change while they last."""

    upstream: tuple[str, int]
    observer: Observer
    timeouts: Timeouts
    proto: bytes = b"http"
    guard: Guard | None = None  # who may ask; None: everybody
    fields: Fields = ()  # that are added to answers
    tls: ssl.SSLContext | None = None  # of connections to the model server
    server_name: str | None = None  # that its certificate must have; None: the host
    failures: set[str] = field(default_factory=set)  # of such connections, that the log has
    is_draining: bool = False
    connections: set[Client] = field(default_factory=set)

    def failed(self, error: Exception) -> None:
        """Say why the model server can't be reached; not again until `failures` is cleared."""
        reason = reason_of(error)
        if reason not in self.failures and len(self.failures) < _MOST_FAILURES:
            self.failures.add(reason)
            log.warning("the model server can't be reached", extra={"error": reason})
