"""Durations, sizes and addresses as Prometheus and its users write them."""

from __future__ import annotations

import re

_HEADER = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DURATION = re.compile(
    r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII
)
_MILLISECONDS = (31_536_000_000, 604_800_000, 86_400_000, 3_600_000, 60_000, 1000, 1)
_SIZE = re.compile(r"(\d{1,15})(B|KiB|MiB|GiB)", re.ASCII)
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_LONGEST = (2**63 - 1) // 10**6  # milliseconds; Prometheus counts nanoseconds in 64 bits


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `1h30m`, `30d`, `500ms` or `0`; a year has 365 days.

    The format is that of `ParseDuration` in https://github.com/prometheus/common. Raises
    ValueError.
    """
    if text == "0":
        return 0.0
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise ValueError(f"{text!r} is not a duration such as 30d, 1h30m or 10s")
    milliseconds = 0
    for amount, unit in zip(match.groups(), _MILLISECONDS, strict=True):
        if amount is not None:
            # No more digits than the limit has: int() refuses thousands of them.
            milliseconds += unit * (int(amount) if len(amount) < 20 else _LONGEST + 1)
    if milliseconds > _LONGEST:
        raise ValueError(f"{text!r} is too long a duration")
    return milliseconds / 1000


def parse_size(text: str) -> int:
    """Bytes of a size such as `64MiB`, `1GiB` or `512KiB`; raises ValueError."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a size such as 512KiB, 64MiB or 1GiB")
    return int(match[1]) * _BYTES[match[2]]


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of `:10058`, `127.0.0.1:10058` or `[::1]:10058`; raises ValueError.

    The host of `:10058` is empty: every address of the machine.
    """
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{text!r} is no address; it looks like ':10058' or '127.0.0.1:10058'")
    return host.removeprefix("[").removesuffix("]"), int(port)


def parse_header(text: str) -> str:
    """The name of an HTTP header (RFC 9110, section 5.6.2); raises ValueError."""
    if not _HEADER.fullmatch(text):
        raise ValueError(f"{text!r} is no name of a header, such as 'X-Model-Name'")
    return text
