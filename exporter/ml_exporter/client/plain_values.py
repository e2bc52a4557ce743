"""Values of NumPy, pandas and the standard library as those that JSON knows."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from ml_exporter.serialization.json_text import integer

_MICROSECONDS_OF_A_DAY = 86_400 * 10**6


def plain(value: Any) -> Any:
    """What JSON knows in place of a value, perhaps within one; an object is of no type at all."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, datetime):  # also of pandas
        return _moment(value)
    if isinstance(value, Enum):
        return value.value
    if type(value) in _PLAIN:
        return _PLAIN[type(value)](value)
    for kind in (str, int, float):
        if isinstance(value, kind):  # a class of its own
            return kind(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
    return {}


def _moment(value: datetime | time) -> str:
    return value.isoformat().replace("+00:00", "Z")


def _number(value: Decimal) -> Any:
    """As JSON has it: an integer, or the nearest float."""
    text = str(value)
    return json.loads(text, parse_int=integer) if value.is_finite() else float(text)


def _duration(value: timedelta) -> str:
    """ISO 8601 in days and seconds: `-P1DT2.5S`."""
    total = value // timedelta(microseconds=1)
    days, rest = divmod(abs(total), _MICROSECONDS_OF_A_DAY)
    text = f"{days}D" if days or not rest else ""
    if rest:
        seconds, micros = divmod(rest, 10**6)
        text += f"T{seconds}" + (f".{micros:06}".rstrip("0") if micros else "") + "S"
    return f"{'-' if total < 0 else ''}P{text}"


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


_PLAIN: dict[type, Callable[[Any], Any]] = {
    Decimal: _number,
    date: date.isoformat,
    time: _moment,
    timedelta: _duration,
    UUID: str,
    bytes: _base64,
    bytearray: _base64,
    memoryview: _base64,
    set: list,
    frozenset: list,
}
