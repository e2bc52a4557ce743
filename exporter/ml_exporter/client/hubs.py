"""The hubs of a process, one a state folder: found, closed at its end, and parted when it forks."""

from __future__ import annotations

import atexit
import os
import threading
from pathlib import Path

from ml_exporter.client.hub import Hub

_hubs: dict[str, Hub] = {}  # by the state's folder
_hubs_lock = threading.Lock()


def hub_of(state: Path | None, wait: float, limit: int) -> Hub:
    """The hub of a state folder; raises ValueError where it was made with other settings."""
    key = "" if state is None else str(state.absolute())
    with _hubs_lock:
        hub = _hubs.get(key)
        if hub is None or not hub.is_used:
            hub = _hubs[key] = Hub(state, wait, limit)
        elif (hub.wait, hub.limit) != (wait, limit):
            raise ValueError(
                "Monitor: first_scrape_wait and queue must be the same in all Monitors of one state"
            )
    return hub


def _close_all() -> None:
    for hub in list(_hubs.values()):
        hub.close()


def _before_fork() -> None:
    for hub in list(_hubs.values()):
        hub.before_fork()


def _after_fork() -> None:
    for hub in _hubs.values():
        hub.after_fork()


def _abandon_all() -> None:
    global _hubs_lock  # noqa: PLW0603 - another thread of the parent may have had it
    _hubs_lock = threading.Lock()
    for hub in _hubs.values():
        hub.abandon()


atexit.register(_close_all)
os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_abandon_all)
