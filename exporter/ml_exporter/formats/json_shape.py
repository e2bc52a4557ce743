"""What the scanner is told of a row of JSON: which names are wanted, and where their values go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ml_exporter.formats import _scanner
from ml_exporter.formats.json_objects import Names, Tree

_Entry = tuple[bytes, int, int, bool]


@dataclass
class _Node:
    """An object, or a list whose elements have their numbers for names."""

    slots: dict[str, int] = field(default_factory=dict)
    nodes: dict[str, _Node] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)  # names that are not wanted, and no surprise
    lenient: bool = False  # no name in it is a surprise


def shape(
    tree: Tree,
    paths: Mapping[Names, int],
    extra: Iterable[tuple[Names, int]],
    slots: int,
    others: int,
) -> _scanner.Shape:
    """The shape of rows: `paths` and `extra` are names with their slots.

    `tree` says what is known; `others` is the slot of what isn't, or -1 where it is unusual.
    """
    root = _Node()
    _know(root, tree)
    for names, slot in [*paths.items(), *extra]:
        node = root
        below: Tree | None = tree
        for name in names[:-1]:
            below = below.get(name) if below is not None else None
            node = node.nodes.setdefault(name, _Node())
            node.lenient = below is None
        node.slots[names[-1]] = slot
    used = [slot for node in _all(root) for slot in node.slots.values()]
    shared = {slot for slot in used if used.count(slot) > 1}
    nodes: list[tuple[bool, tuple[_Entry, ...]]] = []
    _flatten(root, shared, nodes)
    return _scanner.Shape(tuple(nodes), slots, others)


def _know(node: _Node, tree: Tree) -> None:
    for name, below in tree.items():
        node.known.add(name)
        if below is not None:
            _know(node.nodes.setdefault(name, _Node()), below)


def _all(node: _Node) -> Iterable[_Node]:
    yield node
    for below in node.nodes.values():
        yield from _all(below)


def _flatten(node: _Node, shared: set[int], nodes: list[tuple[bool, tuple[_Entry, ...]]]) -> int:
    """Number a node and those below it; each comes before its own."""
    number = len(nodes)
    nodes.append((False, ()))
    entries = []
    for name in dict.fromkeys([*node.slots, *node.nodes, *node.known]):
        slot = node.slots.get(name, -1)
        child = _flatten(node.nodes[name], shared, nodes) if name in node.nodes else -1
        entries.append((name.encode(), slot, child, slot in shared))
    nodes[number] = (node.lenient, tuple(entries))
    return number
