"""JSON to be read by people: a value a line, indented."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

_LEAST_EXPONENT = -5  # of a float that is written without one

_text = json.JSONEncoder(ensure_ascii=False).encode


def indented(value: object, spaces: int) -> bytes:
    """Dicts and lists of text, numbers, booleans and None; NaN and infinity are null.

    A line end is at the end.
    """
    parts: list[str] = []
    _write(value, "\n", " " * spaces, parts.append)
    return "".join([*parts, "\n"]).encode()


def _write(value: object, line: str, step: str, add: Callable[[str], None]) -> None:
    """`line` is how a line begins where the value stands."""
    below = line + step
    if isinstance(value, float):
        add(_number(value))
    elif isinstance(value, dict) and value:
        start = "{" + below
        for name, one in value.items():
            add(f"{start}{_text(name)}: ")
            _write(one, below, step, add)
            start = "," + below
        add(line + "}")
    elif isinstance(value, list) and value:
        start = "[" + below
        for one in value:
            add(start)
            _write(one, below, step, add)
            start = "," + below
        add(line + "]")
    else:
        add(_text(value))


def _number(value: float) -> str:
    """The shortest that is read as the same, with no more of an exponent than it takes."""
    if not math.isfinite(value):
        return "null"
    mantissa, e, exponent = float.__repr__(value).partition("e")
    if not e:
        return mantissa
    power = int(exponent)
    if not _LEAST_EXPONENT <= power < 0:
        return f"{mantissa}e{power}"
    sign = "-" if value < 0 else ""
    return f"{sign}0.{'0' * (-power - 1)}{mantissa.removeprefix('-').replace('.', '')}"
