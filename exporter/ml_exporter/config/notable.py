"""Predictions worth a look: which they are, and what a log may say of them, by configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ml_exporter.config.line_log import read_patterns
from ml_exporter.config.yaml_nodes import Node, suggestion

KEYS: dict[str, tuple[str, ...]] = {"notable": ("margin", "values", "redact")}


@dataclass(frozen=True)
class Notable:
    """What is worth a look in one model, and what of its rows may be written.

    Names in `values` are those of features, `prediction`, `score` and `id`.
    """

    margin: float | None = None  # between the two best scores; below it confidence is low
    values: tuple[str, ...] = ()
    redact: tuple[str, ...] = ()  # patterns: a value in which one is found isn't written


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
        redact=section.read("redact", read_patterns, ()),
    )


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
