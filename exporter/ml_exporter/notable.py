"""Predictions worth a look: which they are, and what a log may say of them, by configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ml_exporter.patterns import Pattern, PatternError
from ml_exporter.yaml_nodes import Node, suggestion

KEYS: dict[str, tuple[str, ...]] = {
    "notable_log": ("path", "rate", "size"),
    "notable": ("margin", "values", "redact"),
}

_STDOUT = "-"
_ANYTHING = r"[\s\S]*"


@dataclass(frozen=True)
class NotableLog:
    """Where a line for each prediction worth a look is written."""

    path: Path | None  # absolute; None is standard output
    rate: float = 10.0  # lines a second, of each model
    size: int = 64 << 20  # bytes, at which the file is renamed and another one begun


@dataclass(frozen=True)
class Notable:
    """What is worth a look in one model, and what of its rows may be written.

    Names in `values` are those of features, `prediction`, `score` and `id`.
    """

    margin: float | None = None  # between the two best scores; below it confidence is low
    values: tuple[str, ...] = ()
    redact: tuple[str, ...] = ()  # patterns: a value in which one is found isn't written


def read_notable_log(node: Node, folder: Path) -> NotableLog:
    section = node.mapping()
    section.check_keys(KEYS["notable_log"])
    path = section.require("path").text()
    return NotableLog(
        path=None if path == _STDOUT else folder / path,
        rate=section.read("rate", lambda node: node.number(0), NotableLog.rate),
        size=section.read("size", Node.size, NotableLog.size),
    )


def read_notable(
    node: Node, fields: Sequence[str] | None, *, has_scores: bool, has_labels: bool
) -> Notable | None:
    """What a model says of it; None where it is false.

    `fields` are the names there are; None: not known before the baseline is.
    """
    if node.kind == "a boolean":
        if node.boolean():
            return Notable()
        return None
    section = node.mapping()
    section.check_keys(KEYS["notable"])
    margin = section.get("margin")
    if margin is not None and not has_scores:
        margin.error("needs 'fields.score'")
    known = None if fields is None else [*fields, *(["id"] if has_labels else [])]
    return Notable(
        margin=section.read("margin", lambda node: node.number(0, 1), None),
        values=section.read("values", lambda node: _values(node, known), ()),
        redact=section.read("redact", _patterns, ()),
    )


def found_in(pattern: str) -> Pattern:
    """What all of a text matches in which a pattern is found; raises PatternError."""
    Pattern(pattern)
    return Pattern(f"{_ANYTHING}(?:{pattern}){_ANYTHING}")


def _values(node: Node, known: Sequence[str] | None) -> tuple[str, ...]:
    names: list[str] = []
    for item in node.items():
        name = item.text()
        if name in names:
            item.error(f"{name!r} is already in the list")
        elif name and known is not None and name not in known:
            item.error(f"unknown field{suggestion(name, known)}")
        names.append(name)
    return tuple(names)


def _patterns(node: Node) -> tuple[str, ...]:
    patterns = tuple(item.text() for item in node.items())
    for item, pattern in zip(node.items(), patterns, strict=True):
        try:
            found_in(pattern)
        except PatternError as error:
            item.error(str(error))
    return patterns
