"""What nobody wants to be alerted of, and until when, as the configuration says it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ml_exporter.config.thresholds import EVERY_MONITOR, FIELD_MONITORS
from ml_exporter.config.yaml_nodes import Node, suggestion

KEYS = {"mute": ("fields", "monitors", "until")}


@dataclass(frozen=True)
class Mute:
    """These monitors of these fields; None: of whichever there are. At least one is given."""

    fields: tuple[str, ...] | None = None
    monitors: tuple[str, ...] | None = None
    until: float = math.inf  # seconds since 1970

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Monitor and field of each thing that is muted; "" stands for all."""
        for monitor in self.monitors or ("",):
            for field in self.fields or ("",):
                yield monitor, field


def read_mutes(node: Node, fields: Sequence[str] | None) -> tuple[Mute, ...]:
    """`fields` are the names that may be muted; None: not known before the baseline is."""
    return tuple(_mute(item, fields) for item in node.items())


def _mute(node: Node, known: Sequence[str] | None) -> Mute:
    section = node.mapping()
    section.check_keys(KEYS["mute"])
    fields = section.read("fields", lambda node: _names(node, known, "field"), None)
    monitors = section.read("monitors", lambda node: _names(node, EVERY_MONITOR, "monitor"), None)
    if fields is None and monitors is None and node.kind == "a mapping":
        node.error("must name fields or monitors; to mute all, silence the model in Alertmanager")
    if fields is not None and (of_model := set(monitors or ()) - set(FIELD_MONITORS)):
        node.error(f"{min(of_model)!r} is a figure of the whole model, not of a field")
    return Mute(fields, monitors, section.read("until", _moment, math.inf))


def _names(node: Node, known: Sequence[str] | None, what: str) -> tuple[str, ...]:
    names = tuple(item.text() for item in node.items())
    for item, name in zip(node.items(), names, strict=True):
        if name and known is not None and name not in known:
            item.error(f"unknown {what}{suggestion(name, known)}")
    if not names and node.kind == "a list":
        node.error(f"must have at least one {what}")
    return names


def _moment(node: Node) -> float:
    text = node.text()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        if text:
            node.error(f"must be a date such as 2026-12-01, or a time in ISO 8601, not {text!r}")
        return math.inf
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
