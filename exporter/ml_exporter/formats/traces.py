"""The trace that a request is part of, by the id that its headers have.

W3C Trace Context (https://www.w3.org/TR/trace-context/), B3 in one header or in several
(https://github.com/openzipkin/b3-propagation), and X-Request-Id, in this order.
"""

from __future__ import annotations

import re
from collections.abc import Callable

LONGEST_ID = 120  # characters: an exemplar has room for 128, of which 8 are `trace_id`

_LONGEST_FIELD = 250  # bytes
_VISIBLE = re.compile(rf"[!#-\[\]-~]{{1,{LONGEST_ID}}}")  # ASCII without quotes and backslashes
_HEXADECIMAL = re.compile(r"(?=.*[1-9a-f])(?:[0-9a-f]{32}|[0-9a-f]{16})", re.IGNORECASE)
_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


def trace_of(head: bytes) -> str | None:
    """The id in the head of a request; None where no header has one."""
    lowered = head.lower()
    for name, read in _READERS.items():
        start = lowered.find(name)
        if start >= 0:
            start += len(name)
            text = head[start : head.find(b"\r", start)].strip(b" \t")
            if len(text) <= _LONGEST_FIELD and (found := read(text.decode("latin-1"))):
                return found
    return None


def trace_id(value: object) -> str | None:
    """An id as a log has it: visible ASCII, and not too long for an exemplar."""
    return value if isinstance(value, str) and _VISIBLE.fullmatch(value) else None


def _of_parent(text: str) -> str | None:
    found = _PARENT.fullmatch(text)
    return _of_digits(found[1]) if found else None


def _of_digits(text: str) -> str | None:
    return text.lower() if _HEXADECIMAL.fullmatch(text) else None


_READERS: dict[bytes, Callable[[str], str | None]] = {
    b"\ntraceparent:": _of_parent,
    b"\nb3:": lambda text: _of_digits(text.partition("-")[0]),
    b"\nx-b3-traceid:": _of_digits,
    b"\nx-request-id:": trace_id,
}
