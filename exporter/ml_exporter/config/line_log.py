"""Logs of lines that the exporter writes, by configuration: where, how many, and what never."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ml_exporter.config.patterns import Pattern, PatternError
from ml_exporter.config.yaml_nodes import Node, Section

REDACTED = "<redacted>"  # in place of what isn't told

_OF_BOTH = ("path", "rate", "size")
KEYS: dict[str, tuple[str, ...]] = {
    "notable_log": _OF_BOTH,
    "dead_letters": (*_OF_BOTH, "redact"),
}

_STDOUT = "-"
_ANYTHING = r"[\s\S]*"


@dataclass(frozen=True)
class LineLog:
    """Where lines are written, and how many."""

    path: Path | None  # absolute; None is standard output
    rate: float = 10.0  # lines a second, of each model
    size: int = 64 << 20  # bytes, at which the file is renamed and another one begun


@dataclass(frozen=True)
class DeadLetters(LineLog):
    """Where rejected rows are kept."""

    redact: tuple[str, ...] = ()  # patterns: a row in which one is found isn't written


def read_notable_log(node: Node, folder: Path) -> LineLog:
    section = node.mapping()
    section.check_keys(KEYS["notable_log"])
    return _line_log(section, folder)


def read_dead_letters(node: Node, folder: Path) -> DeadLetters:
    section = node.mapping()
    section.check_keys(KEYS["dead_letters"])
    log = _line_log(section, folder)
    redact = section.read("redact", read_patterns, ())
    return DeadLetters(log.path, log.rate, log.size, redact)


def read_patterns(node: Node) -> tuple[str, ...]:
    """Patterns of what isn't told."""
    patterns = tuple(item.text() for item in node.items())
    for item, pattern in zip(node.items(), patterns, strict=True):
        try:
            found_in(pattern)
        except PatternError as error:
            item.error(str(error))
    return patterns


def found_in(pattern: str) -> Pattern:
    """What all of a text matches in which a pattern is found; raises PatternError."""
    Pattern(pattern)
    return Pattern(f"{_ANYTHING}(?:{pattern}){_ANYTHING}")


def _line_log(section: Section, folder: Path) -> LineLog:
    path = section.require("path").text()
    return LineLog(
        path=None if path == _STDOUT else folder / path,
        rate=section.read("rate", lambda node: node.number(0), LineLog.rate),
        size=section.read("size", Node.size, LineLog.size),
    )
