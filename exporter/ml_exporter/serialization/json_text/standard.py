"""JSON by Python's own module, as strictly as by msgspec."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from json import JSONDecodeError as NotJson
from typing import Any, NoReturn

__all__ = ["NotJson", "check_pairs", "decimals", "decode", "encode", "encoder", "integer", "size"]

_DIGITS = 300  # more than any float has


def decode(text: bytes) -> Any:
    """A value; raises NotJson, UnicodeError where it isn't UTF-8, and RecursionError."""
    value = _decoder.decode(text.decode())
    try:
        check_pairs(text, value)
    except UnicodeEncodeError:
        raise NotJson("half of a surrogate pair", "", 0) from None
    return value


def check_pairs(text: bytes, value: object) -> None:
    """Raises UnicodeError where a text in the value that was read has half of a surrogate pair."""
    if b"\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()


def integer(digits: str) -> float:
    """An int, but for one too large for anything."""
    return int(digits) if len(digits) < _DIGITS else float(digits)


def _whole(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:  # sys.get_int_max_str_digits()
        raise NotJson("number out of range", "", 0) from None


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise NotJson("number out of range", "", 0)
    return number


def _refuse(constant: str) -> NoReturn:
    raise NotJson(f"{constant} is no JSON", "", 0)


_decoder = json.JSONDecoder(parse_int=_whole, parse_float=_finite, parse_constant=_refuse)


def decimals(text: str) -> list[float | None]:
    """A list of numbers and nulls; raises NotJson where it is anything else."""
    values = _decoder.decode(text)
    if not isinstance(values, list) or not set(map(type, values)) <= {int, float, type(None)}:
        raise NotJson("not a list of numbers", "", 0)
    return values


def size(text: bytes) -> int:
    """How many items a list or an object has, whatever they are."""
    return len(json.loads(text.decode(), parse_int=integer))


def encode(value: object) -> bytes:
    """Without spaces; raises UnicodeError for half a surrogate pair."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def encoder(plain: Callable[[object], object]) -> Callable[[object], bytes]:
    """Writes what `plain` makes of values that JSON doesn't know.

    It raises TypeError or ValueError where it can't, as for NaN.
    """
    write = json.JSONEncoder(
        default=plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    ).encode
    return lambda value: write(value).encode()
