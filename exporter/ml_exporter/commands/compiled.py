"""The parts that are in C: each has another in Python, which is slower, where it isn't compiled."""

from __future__ import annotations

import logging
from importlib import import_module

log = logging.getLogger(__name__)

_PARTS = ("formats._scanner", "formats._pages", "statistics._counting", "proxy._plain")


def missing() -> list[str]:
    """The parts that can't be imported."""
    return [part for part in _PARTS if not _is_there(part)]


def warn_of_missing() -> None:
    """Log which parts are missing, and how to have them."""
    if parts := missing():
        log.warning(
            "parts in C are not compiled: all works, but slower; to have them, install a C compiler"
            " and Python's headers, and then ml-exporter anew",
            extra={"parts": ", ".join(parts)},
        )


def _is_there(part: str) -> bool:
    try:
        import_module(f"ml_exporter.{part}")
    except ImportError:
        return False
    return True
