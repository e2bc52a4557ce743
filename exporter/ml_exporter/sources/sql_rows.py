"""Rows of a database as lines of JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal

import msgspec

# A line that is rejected as what isn't UTF-8: nothing can be said of a row that can't be read.
UNREADABLE = b"\xff\n"

Kind = Literal["json", "boolean", ""]  # what a value is that a driver gives as text or number


def line(names: Sequence[str], kinds: Sequence[Kind], row: Sequence[Any]) -> bytes:
    """A row as an object. Times are ISO 8601, decimals numbers, bytes Base64, JSON nested.

    NaN and infinite numbers are text, as JSON has none: they count as invalid, not as missing.
    """
    values = {
        name: _plain(value, kind) for name, kind, value in zip(names, kinds, row, strict=True)
    }
    try:
        return _encoder.encode(values) + b"\n"
    except UnicodeError:
        return UNREADABLE
    except (OverflowError, RecursionError, TypeError, ValueError):
        pass
    try:  # whole numbers beyond 64 bits
        return json.dumps(values, default=_text).encode() + b"\n"
    except (RecursionError, TypeError, ValueError):
        return UNREADABLE


def _plain(value: Any, kind: Kind) -> Any:
    match value:
        case float() | Decimal() if not math.isfinite(value):
            return str(float(value))
        case timedelta():
            return value.total_seconds()
        case str() | bytes() if kind == "json":
            return _nested(value)
        case int() if kind == "boolean" and value in (0, 1):
            return bool(value)
    return value


def _nested(value: str | bytes) -> Any:
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return value


def _text(value: Any) -> Any:
    """What JSON has no form for: a range, an address, a shape."""
    return float(value) if isinstance(value, Decimal) else str(value)


_encoder = msgspec.json.Encoder(enc_hook=_text, decimal_format="number")
