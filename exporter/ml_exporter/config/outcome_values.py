"""What outcomes are worth in money, and the part of the configuration that says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ml_exporter.config.yaml_nodes import Node, Section

OF_BINARY = ("true_positive", "false_positive", "true_negative", "false_negative")
OF_REGRESSION = ("overprediction", "underprediction")
OF_MULTICLASS = ("cells",)

_BY_TASK: Mapping[str, tuple[str, ...]] = {
    "binary": OF_BINARY,
    "multiclass": OF_MULTICLASS,
    "regression": OF_REGRESSION,
}
KEYS = {"outcome_values": ("currency", *OF_BINARY, *OF_MULTICLASS, *OF_REGRESSION)}

_LONGEST_CURRENCY = 20  # characters
_ABSURD = 1e15  # no outcome is worth so much


@dataclass(frozen=True)
class OutcomeValues:
    """Prices of outcomes: a gain is positive, a loss negative, and what isn't named is worth 0."""

    currency: str
    values: Mapping[str, float] = field(default_factory=dict)  # see OF_BINARY, OF_REGRESSION
    cells: Mapping[tuple[str, str], float] = field(default_factory=dict)  # (actual, predicted)
    positive: str | None = None  # binary: the positive class


def read_outcome_values(node: Node, task: str | None, positive: str | None) -> OutcomeValues:
    """`task` is None where it is wrong itself."""
    section = node.mapping()
    section.check_keys(KEYS["outcome_values"])
    currency = _currency(section.require("currency"))
    known = _BY_TASK.get(task or "", ())
    for key, _ in section if known else ():
        name = key.text()
        if name != "currency" and name in KEYS["outcome_values"] and name not in known:
            key.error(f"is no outcome of a {task} model; known: {', '.join(known)}")
    values = {
        name: _price(value)
        for name in (*OF_BINARY, *OF_REGRESSION)
        if (value := section.get(name)) is not None
    }
    cells = section.read("cells", _cells, {})
    if section.node.raw is not None and known and not section.entries.keys() - {"currency"}:
        node.error(f"must price an outcome: {', '.join(known)}")
    return OutcomeValues(currency, values, cells, positive)


def _currency(node: Node) -> str:
    text = node.text()
    if len(text) > _LONGEST_CURRENCY:
        node.error("must be a name such as EUR, of 20 characters at most")
    return text


def _price(node: Node) -> float:
    return node.number(above=-_ABSURD, below=_ABSURD)


def _cells(node: Node) -> Mapping[tuple[str, str], float]:
    """The price of each actual class's predictions, by the class that was predicted."""
    cells: dict[tuple[str, str], float] = {}
    for actual, row in _any(node.mapping(), "an actual class"):
        for predicted, value in _any(row.mapping(), "a predicted class"):
            cells[actual.class_name(), predicted.class_name()] = _price(value)
    return cells


def _any(section: Section, what: str) -> Section:
    if section.node.raw is not None and not section.entries:
        section.node.error(f"must name {what}")
    return section
