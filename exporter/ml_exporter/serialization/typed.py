"""Dataclasses as JSON: what a document holds is read by their type hints, and written by fields."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from ml_exporter.serialization.json_text import standard

Of = TypeVar("Of")

_GREATEST = 2**63 - 1
_LONGEST = 40  # characters of a value that an error shows


class Unfit(ValueError):
    """What doesn't fit, and where: `$.fields[3].edges[0]: expected a number, got "x"`."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.place = ""

    def __str__(self) -> str:
        return f"${self.place}: {self.problem}"

    def within(self, place: str) -> Unfit:
        """The same, seen from what it is part of."""
        self.place = place + self.place
        return self


def read(data: bytes, of: type[Of]) -> Of:
    """A document; raises Unfit, ValueError where it isn't JSON, and RecursionError."""
    return convert(standard.decode(data), of)


def convert(value: object, of: type[Of]) -> Of:
    """What `json` read, as a dataclass; raises Unfit. Names that this has no field for are let be.

    Fields may be texts, numbers, booleans, None, literals, lists, dicts, dataclasses, and unions of
    these that JSON tells apart.
    """
    hint: Any = of
    read: Of = _read(_kind(hint), value)
    return read


def plain(value: object) -> Any:
    """What `json` writes of a dataclass, and of lists and dicts of them.

    A field that is its default is left out: the very object, or an empty list or dict. (Files and
    the ids of baselines have a computed 0.0.)
    """
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if not dataclasses.is_dataclass(value):
        return value
    found: dict[str, Any] = {}
    of: Any = type(value)
    for name, default, factory in _defaults(of):
        one = getattr(value, name)
        if one is not default and (type(one) is not factory or one):
            found[name] = plain(one)
    return found


@cache
def _defaults(of: Any) -> list[tuple[str, object, object]]:
    """Each field with its default, and the type of an empty one."""
    return [(one.name, one.default, one.default_factory) for one in dataclasses.fields(of)]


class _Kind(NamedTuple):
    """What is expected: what is made of a value, by the type that `json` read it as."""

    names: Sequence[str]
    takes: Mapping[type, Callable[[Any], Any]]


def _read(kind: _Kind, value: object) -> Any:
    take = kind.takes.get(type(value))
    if take is None:
        raise _unfit(kind.names, value)
    return take(value)


def _unfit(names: Sequence[str], value: object) -> Unfit:
    *others, last = names
    expected = f"{', '.join(others)} or {last}" if others else last
    if isinstance(value, dict | list):
        got = "an object" if isinstance(value, dict) else "a list"
    else:
        text = json.dumps(value, ensure_ascii=False)
        got = text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
    return Unfit(f"expected {expected}, got {got}")


def _kind(hint: Any) -> _Kind:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    if origin is list:
        return _Kind(["a list"], {list: _list(_kind(arguments[0]))})
    if origin is dict:
        return _Kind(["an object"], {dict: _dict(*map(_kind, arguments))})
    if origin is Literal:
        return _literal(arguments)
    if origin in (Union, UnionType):
        return _union(arguments)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _Kind(["an object"], {dict: _object(hint)})
    raise TypeError(f"{hint} can't be read")


def _whole(value: int) -> int:
    if abs(value) > _GREATEST:
        raise Unfit("out of range")
    return value


def _float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise Unfit("out of range") from None


_SIMPLE = {
    str: _Kind(["a text"], {str: str}),
    bool: _Kind(["true or false"], {bool: bool}),
    int: _Kind(["a whole number"], {int: _whole}),
    float: _Kind(["a number"], {float: float, int: _float}),
    NoneType: _Kind(["null"], {NoneType: lambda value: value}),
}


def _literal(names: tuple[str, ...]) -> _Kind:
    known = frozenset(names)
    expected = [json.dumps(name) for name in names]

    def read(value: str) -> str:
        if value not in known:
            raise _unfit(expected, value)
        return value

    return _Kind(expected, {str: read})


def _union(hints: tuple[Any, ...]) -> _Kind:
    literals = [hint for hint in hints if get_origin(hint) is Literal]
    kinds = [_kind(hint) for hint in hints if hint not in literals]
    if literals:
        kinds.insert(0, _literal(tuple(name for hint in literals for name in get_args(hint))))
    takes = {type: take for kind in kinds for type, take in kind.takes.items()}
    return _Kind([name for kind in kinds for name in kind.names], takes)


def _list(kind: _Kind) -> Callable[[list[object]], list[Any]]:
    def read(values: list[object]) -> list[Any]:
        found: list[Any] = []
        try:
            for value in values:
                found.append(_read(kind, value))
        except Unfit as error:
            raise error.within(f"[{len(found)}]") from None
        return found

    return read


def _dict(names: _Kind, kind: _Kind) -> Callable[[dict[str, object]], dict[str, Any]]:
    def read(values: dict[str, object]) -> dict[str, Any]:
        found = {}
        for name, value in values.items():
            try:
                found[_read(names, name)] = _read(kind, value)
            except Unfit as error:
                raise error.within(f"[{json.dumps(name, ensure_ascii=False)}]") from None
        return found

    return read


@cache
def _object(of: Any) -> Callable[[dict[str, object]], Any]:
    hints = get_type_hints(of)
    missing = dataclasses.MISSING
    fields = [
        (one.name, _kind(hints[one.name]), one.default is missing is one.default_factory)
        for one in dataclasses.fields(of)
    ]

    def read(values: dict[str, object]) -> Any:
        found = {}
        for name, kind, is_required in fields:
            if name in values:
                try:
                    found[name] = _read(kind, values[name])
                except Unfit as error:
                    raise error.within(f".{name}") from None
            elif is_required:
                raise Unfit("is missing").within(f".{name}")
        return of(**found)

    return read
