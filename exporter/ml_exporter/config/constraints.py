"""Constraints: what values of fields must be, and the part of the configuration that says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ml_exporter.columns import LONGEST_NAME
from ml_exporter.config.patterns import Pattern, PatternError
from ml_exporter.config.yaml_nodes import Node, Section, suggestion

COMPARISONS = ("above", "at_least", "below", "at_most")
KEYS = {"constraint": ("min", "max", "values", "pattern", "required", "unique", *COMPARISONS)}


@dataclass(frozen=True)
class Constraint:
    """What the values of one field must be; nothing is said of what is None or empty.

    `field` is the name of a feature, `prediction` or `score`; `values` are names of categories, as
    `batch.category_name` writes them. Missing values are right unless they are `required`.
    """

    field: str
    min: float | None = None
    max: float | None = None
    values: frozenset[str] = frozenset()
    pattern: str | None = None
    required: bool = False
    unique: bool = False
    comparisons: tuple[tuple[str, str], ...] = ()  # one of COMPARISONS, and the other field

    @property
    def names(self) -> tuple[str, ...]:
        """What is said of the field, by the keys of the configuration."""
        said = {
            "min": self.min is not None,
            "max": self.max is not None,
            "values": bool(self.values),
            "pattern": self.pattern is not None,
            "required": self.required,
            "unique": self.unique,
        }
        compared = (name for name, _ in self.comparisons)
        return (*(name for name, is_said in said.items() if is_said), *compared)

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field that is looked at, once."""
        return tuple(dict.fromkeys((self.field, *(other for _, other in self.comparisons))))


def read_constraints(node: Node, fields: Sequence[str] | None) -> tuple[Constraint, ...]:
    """`fields` are the names there are; None: not known before the baseline is."""
    return tuple(_constraint(key, value, fields) for key, value in node.mapping())


def _constraint(key: Node, node: Node, fields: Sequence[str] | None) -> Constraint:
    name = key.text()
    _check_known(key, name, fields)
    section = node.mapping()
    section.check_keys(KEYS["constraint"])
    if section.node.raw is not None and not section.entries:
        node.error(f"must constrain something: {', '.join(KEYS['constraint'])}")
    low, high = (section.read(end, Node.number, None) for end in ("min", "max"))
    if low is not None and high is not None and low > high:
        section.require("min").error(f"{low:g} is above 'max', which is {high:g}")
    return Constraint(
        name,
        low,
        high,
        section.read("values", _values, frozenset()),
        section.read("pattern", _pattern, None),
        section.read("required", Node.boolean, False),
        section.read("unique", Node.boolean, False),
        _comparisons(section, name, fields),
    )


def _check_known(node: Node, name: str, fields: Sequence[str] | None) -> None:
    if fields is not None and name and name not in fields:
        node.error(f"unknown field{suggestion(name, fields)}")


def _values(node: Node) -> frozenset[str]:
    names: set[str] = set()
    for item in node.items():
        name = item.class_name()
        if name in names:
            item.error(f"{name!r} is already in the list")
        elif len(name) > LONGEST_NAME:
            item.error(f"must have at most {LONGEST_NAME} characters")
        names.add(name)
    if not names and node.kind == "a list":
        node.error("must have at least one value")
    return frozenset(names)


def _pattern(node: Node) -> str | None:
    text = node.text()
    try:
        Pattern(text)
    except PatternError as error:
        node.error(str(error))
        return None
    return text


def _comparisons(
    section: Section, name: str, fields: Sequence[str] | None
) -> tuple[tuple[str, str], ...]:
    comparisons: list[tuple[str, str]] = []
    for comparison in COMPARISONS:
        node = section.get(comparison)
        if node is None:
            continue
        other = node.text()
        comparisons.append((comparison, other))
        _check_known(node, other, fields)
        if other and other == name:
            node.error("is the field itself; name another one")
    return tuple(comparisons)
