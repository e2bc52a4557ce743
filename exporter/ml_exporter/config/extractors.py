"""Extractors: what is watched of a text, a list or a time, and how the configuration says it."""

from __future__ import annotations

from typing import Literal, get_args

from ml_exporter.config.yaml_nodes import Node

Extractor = Literal["length", "words", "non_ascii", "items", "hour", "weekday"]
EXTRACTORS: tuple[Extractor, ...] = get_args(Extractor)
KEYS = {"extracted": EXTRACTORS}


def read_feature(node: Node) -> tuple[str, Extractor | None]:
    """The path of a feature, and what is taken of the value there; None: the value itself."""
    if node.kind != "a mapping":
        return node.text(), None
    section = node.mapping()
    section.check_keys(EXTRACTORS)
    said = [name for name in EXTRACTORS if name in section.entries]
    if len(said) != 1:
        if len(said) == len(section.entries):  # no key of them was an error already
            node.error(f"must have one of {', '.join(EXTRACTORS)}, with a path")
        return "", None
    return section.require(said[0]).text(), said[0]
