"""YAML nodes that know their place in the file: typed readers that collect every error.

A reader never raises: it notes the error in the document and returns a placeholder, so that one
pass finds all errors; `Document.check` raises them before anyone sees a placeholder.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from ml_exporter.config.units import parse_duration, parse_size

Choice = TypeVar("Choice", bound=str)
Value = TypeVar("Value")
Default = TypeVar("Default")
Parsed = TypeVar("Parsed")

_TAG = "tag:yaml.org,2002:"
_KINDS = {
    "map": "a mapping",
    "seq": "a list",
    "null": "nothing",
    "bool": "a boolean",
    "int": "a number",
    "float": "a number",
}
_MERGE = f"{_TAG}merge"
# As YAML 1.1 has them, and Prometheus.
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}

_VARIABLE = re.compile(r"\$\{(?:([A-Za-z_]\w*)\})?", re.ASCII)
_PLAIN_KEY = re.compile(r"[\w-]+")
_INTEGER = re.compile(r"[+-]?(0|[1-9]\d*(_\d+)*)", re.ASCII)
# `1e-3` is text in YAML 1.1 and a number to everyone else.
_NUMBER = re.compile(r"[+-]?(\d+(_\d+)*\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class RawNode(Protocol):
    """What a node of PyYAML has. Whoever has values of their own need not have PyYAML."""

    id: str  # "scalar", "sequence" or "mapping"
    tag: str
    value: Any  # text, a list of nodes, or of pairs of them
    style: str | None  # of a scalar: its quotes
    start_mark: Any  # with a `line`, from 0


class ConfigError(Exception):
    """Every error of a file, each as `FILE:LINE: KEY: text`."""

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = list(errors)


def suggestion(word: str, known: Sequence[str]) -> str:
    """The end of an error about an unknown word: the nearest known one, or all of a few."""
    nearest = difflib.get_close_matches(word, known, n=1, cutoff=0.6 if len(known) < 20 else 0)
    if nearest:
        return f"; did you mean {nearest[0]!r}?"
    return f"; known: {', '.join(known)}"


@dataclass
class Document:
    """One file: its name as the user gave it, and what was found in it."""

    name: str
    environment: Mapping[str, str] | None = None  # for `${VAR}`; None: a dollar is a dollar
    problems: list[tuple[int, str]] = field(default_factory=list)
    remarks: list[tuple[int, str]] = field(default_factory=list)

    def message(self, line: int, key: str, text: str) -> str:
        return ": ".join(part for part in (f"{self.name}:{line}", key, text) if part)

    def notes(self) -> tuple[str, ...]:
        return tuple(text for _, text in sorted(self.remarks, key=lambda remark: remark[0]))

    def check(self) -> None:
        """Raise ConfigError, with the errors in the order of their lines, if there are any."""
        if self.problems:
            raise ConfigError([t for _, t in sorted(self.problems, key=lambda error: error[0])])


@dataclass(frozen=True)
class Node:
    """A value of the file, with its key path and line; `raw` is None where it is missing."""

    document: Document
    key: str  # such as models[0].fields.prediction
    line: int
    raw: RawNode | None

    @property
    def kind(self) -> str:
        """What it is, in words: `a mapping`, `a list`, `a string`, ..."""
        if self.raw is None:
            return "nothing"
        return _KINDS.get(self.raw.tag.removeprefix(_TAG), "a string")

    def error(self, text: str) -> None:
        self.document.problems.append((self.line, self.document.message(self.line, self.key, text)))

    def note(self, text: str) -> None:
        self.document.remarks.append((self.line, self.document.message(self.line, self.key, text)))

    def mapping(self) -> Section:
        if self._expect("mapping", "map", "a mapping"):
            return Section(self, _entries(self))
        return Section(replace(self, raw=None), {})

    def items(self) -> list[Node]:
        """The items of a list."""
        if not self._expect("sequence", "seq", "a list") or self.raw is None:
            return []
        return [
            Node(self.document, f"{self.key}[{i}]", item.start_mark.line + 1, item)
            for i, item in enumerate(self.raw.value)
        ]

    def text(self) -> str:
        """A string that is not empty; a number or boolean stands for its own text."""
        _, text = self._scalar("a string")
        return text

    def choice(self, choices: Sequence[Choice]) -> Choice | None:
        """One of the choices; None after an error."""
        _, text = self._scalar("a string")
        for choice in choices:
            if text == choice:
                return choice
        if text:
            self.error(f"unknown value {text!r}{suggestion(text, choices)}")
        return None

    def boolean(self) -> bool:
        tag, text = self._scalar("true or false")
        if tag == "bool" and text.lower() in _BOOLEANS:
            return _BOOLEANS[text.lower()]
        if text:
            self.error(f"must be true or false, not {self._describe(text)}")
        return False

    def integer(self, low: int, high: int = 10**9) -> int:
        """A whole number from `low` to `high`, both included."""
        _, text = self._scalar("a whole number")
        if text and (self._is_quoted() or not _INTEGER.fullmatch(text)):
            self.error(f"must be a whole number, not {self._describe(text)}")
        elif text and (len(text) > 18 or not low <= int(text) <= high):
            self.error(f"must be from {low} to {high}")
        elif text:
            return int(text)
        return low

    def number(self, above: float = -math.inf, below: float = math.inf) -> float:
        """A finite number between the bounds, both excluded."""
        tag, text = self._scalar("a number")
        is_special = tag == "float" and text.lower().lstrip("+-") in (".inf", ".nan")
        if text and not is_special and (self._is_quoted() or not _NUMBER.fullmatch(text)):
            self.error(f"must be a number, not {self._describe(text)}")
        elif text and (is_special or not math.isfinite(float(text))):
            self.error("must be a finite number")
        elif text and not above < float(text) < below:
            self.error(f"must be between {above:g} and {below:g}")
        elif text:
            return float(text)
        return 0.0

    def duration(self) -> float:
        """Seconds of a Prometheus duration."""
        _, text = self._scalar("a duration such as 30d, 1h30m or 10s")
        return self.parsed(parse_duration, text, 0.0)

    def size(self) -> int:
        """Bytes of a size; at least one."""
        _, text = self._scalar("a size such as 64MiB")
        size = self.parsed(parse_size, text, 1)
        if size < 1:
            self.error("must be more than nothing")
        return size

    def class_name(self) -> str:
        """The name that this class has in the series: see `batch.category_name`.

        `yes` and `no` are booleans of YAML 1.1 and, in a log, text: they stay as written.
        """
        tag, text = self._scalar("the name of a class")
        if tag == "bool" and text.lower() in ("true", "false"):
            return text.lower()
        if tag == "int" and len(text) < 300 and _INTEGER.fullmatch(text):
            return str(int(text))
        if tag == "float" and _NUMBER.fullmatch(text) and math.isfinite(value := float(text)):
            return str(int(value)) if value.is_integer() and abs(value) < 1e16 else repr(value)
        return f"\\{text}" if text.startswith("<") else text

    def parsed(self, parse: Callable[[str], Parsed], text: str, placeholder: Parsed) -> Parsed:
        """What a text of this node is, by a function that raises ValueError where it is none."""
        try:
            return parse(text) if text else placeholder
        except ValueError as error:
            self.error(str(error))
            return placeholder

    def _expect(self, id: str, tag: str, wanted: str) -> bool:
        if self.raw is None:
            return False
        if self.raw.id == id and self.raw.tag == _TAG + tag:
            return True
        self.error(self._stranger() or f"must be {wanted}, not {self.kind}")
        return False

    def _stranger(self) -> str | None:
        """A tag of the user's own, such as `!env`: it would change the meaning if we knew it."""
        tag = self.raw.tag if self.raw is not None else ""
        name = tag.removeprefix(_TAG)
        if name in _KINDS or (tag.startswith(_TAG) and name in ("str", "timestamp", "value")):
            return None
        return f"unknown tag {tag!r}"

    def _is_quoted(self) -> bool:
        return self.raw is not None and self.raw.id == "scalar" and self.raw.style is not None

    def _describe(self, text: str) -> str:
        return f"the string {text!r}" if self._is_quoted() else repr(text)

    def _scalar(self, wanted: str) -> tuple[str, str]:
        """Tag and text of a scalar, its variables replaced; ("", "") after an error."""
        node = self.raw
        if node is None:
            return "", ""
        if node.id != "scalar" or node.tag == f"{_TAG}null" or self._stranger():
            self.error(self._stranger() or f"must be {wanted}, not {self.kind}")
            return "", ""
        tag, text = node.tag, str(node.value)
        if self.document.environment is not None and "${" in text:
            expanded = self._expand(text, self.document.environment)
            if expanded is None:
                return "", ""
            text = expanded
            if not self._is_quoted():
                tag = _implicit_tag(text)
        if not text:
            self.error("must not be empty")
        elif "\0" in text or not _is_unicode(text):
            self.error("must be text that UTF-8 can write, without NUL")
        else:
            return tag.removeprefix(_TAG), text
        return "", ""

    def _expand(self, text: str, environment: Mapping[str, str]) -> str | None:
        failed = False

        def value(match: re.Match[str]) -> str:
            nonlocal failed
            name = match[1]
            if name in environment:
                return environment[name]
            failed = True
            if name:
                self.error(f"the environment variable {name} is not set")
            else:
                self.error("'${' must be followed by the name of a variable and '}'")
            return ""

        expanded = _VARIABLE.sub(value, text)
        return None if failed else expanded


@dataclass(frozen=True)
class Section:
    """A mapping: for each name its key and its value, in the order of the file."""

    node: Node
    entries: Mapping[str, tuple[Node, Node]]

    def __iter__(self) -> Iterator[tuple[Node, Node]]:
        return iter(self.entries.values())

    def get(self, name: str) -> Node | None:
        """The value; None where it is absent or null."""
        if name not in self.entries or self.entries[name][1].kind == "nothing":
            return None
        return self.entries[name][1]

    def require(self, name: str) -> Node:
        """The value; a missing one is an error here and silent when it is read."""
        if (value := self.get(name)) is not None:
            return value
        missing = Node(self.node.document, _join(self.node.key, name), self.node.line, None)
        if self.node.raw is not None:
            missing.error("is required")
        return missing

    def read(self, name: str, reader: Callable[[Node], Value], default: Default) -> Value | Default:
        """What the reader makes of a value, or the default where it is absent or null."""
        value = self.get(name)
        return default if value is None else reader(value)

    def check_keys(
        self,
        known: Sequence[str],
        refused: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """An error for each unknown key, and for each refused one, with why."""
        for name, (key, _) in self.entries.items():
            if name in refused:
                key.error(f"is not supported: {refused[name]}")
            elif name not in known:
                key.error(f"unknown key{suggestion(name, known)}")


def _entries(node: Node) -> dict[str, tuple[Node, Node]]:
    entries: dict[str, tuple[Node, Node]] = {}
    # Merges can form long chains, and cycles; what is nearer wins.
    seen: set[int] = set()
    stack = [node.raw]
    while stack:
        mapping = stack.pop()
        assert mapping is not None
        if id(mapping) not in seen:
            seen.add(id(mapping))
            own, merged = _own_entries(node, mapping)
            entries |= {name: entry for name, entry in own.items() if name not in entries}
            stack.extend(reversed(merged))
    return entries


def _own_entries(
    node: Node, mapping: RawNode
) -> tuple[dict[str, tuple[Node, Node]], list[RawNode]]:
    """The entries that stand in the mapping itself, and the mappings to merge into it."""
    own: dict[str, tuple[Node, Node]] = {}
    merged: list[RawNode] = []
    for key, value in mapping.value:
        line = key.start_mark.line + 1
        if key.id != "scalar":
            Node(node.document, node.key, line, key).error("a key must be text")
            continue
        path = _join(node.key, key.value)
        entry = Node(node.document, path, line, key), Node(node.document, path, line, value)
        if key.tag == _MERGE:
            merged += _to_merge(entry[1])
        elif key.value in own:
            entry[0].error(f"duplicate key; the first is on line {own[key.value][0].line}")
        else:
            own[key.value] = entry
    return own, merged


def _to_merge(node: Node) -> list[RawNode]:
    """What a merge key (`<<`) names: a mapping, or a list of them."""
    assert node.raw is not None
    values = node.raw.value if node.raw.id == "sequence" else [node.raw]
    mappings = [value for value in values if value.id == "mapping"]
    if len(mappings) < len(values):
        node.error("must be a mapping to merge, or a list of them")
    return list(mappings)


def _join(key: str, name: str) -> str:
    if not _PLAIN_KEY.fullmatch(name):
        return f"{key}[{json.dumps(name, ensure_ascii=True)}]"
    return f"{key}.{name}" if key else name


def _implicit_tag(text: str) -> str:
    """The tag that YAML gives a plain scalar."""
    import yaml  # whoever has no file needs none

    resolver: Any = yaml.resolver.Resolver()  # untyped
    return str(resolver.resolve(yaml.ScalarNode, text, (True, False)))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
