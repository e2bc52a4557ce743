"""Lines about requests that failed, for the log of predictions worth a look."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache

from ml_exporter.columns import LONGEST_NAME
from ml_exporter.config.line_log import REDACTED, found_in
from ml_exporter.config.patterns import Pattern
from ml_exporter.monitors.notable import time_text
from ml_exporter.sources.failed_requests import FailedRequest

REASON = "failed_request"


def failure_lines(
    failed: Iterable[FailedRequest], model: str, version: str, redact: tuple[str, ...]
) -> list[bytes]:
    """A line about each; a path in which one of the patterns `redact` is found isn't told."""
    patterns = _patterns(redact)
    return [_line(one, {"model": model, "version": version}, patterns) for one in failed]


def _line(one: FailedRequest, about: dict[str, str], redact: Sequence[Pattern]) -> bytes:
    line: dict[str, object] = {"time": time_text(one.time), **about}
    if one.trace is not None:
        line["trace_id"] = one.trace
    path = one.path[:LONGEST_NAME]
    line |= {
        "reasons": REASON,
        "code": one.code,
        "method": one.method,
        "path": REDACTED if any(pattern.matches(path) for pattern in redact) else path,
        "seconds": round(one.duration, 6),
    }
    return json.dumps(line).encode() + b"\n"


@lru_cache
def _patterns(redact: tuple[str, ...]) -> tuple[Pattern, ...]:
    return tuple(map(found_in, redact))
