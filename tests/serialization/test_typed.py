"""Dataclasses are read from JSON by their type hints, and written by their fields."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal

import pytest

from ml_exporter.serialization import typed
from ml_exporter.serialization.typed import Unfit

Role = Literal["feature", "label"] | Literal["score"]


@dataclass(frozen=True)
class Split:
    at: float
    among: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Everything:
    name: str
    rows: int = 0
    share: float = 1.0
    sure: bool = False
    role: Role | None = None
    edges: list[float] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    by_role: dict[Role, dict[str, float]] = field(default_factory=dict)
    loadings: dict[str, float | dict[str, float]] = field(default_factory=dict)
    value: str | float | None = None
    split: Split | None = None
    splits: list[Split] = field(default_factory=list)


def read(text: str) -> Everything:
    return typed.read(text.encode(), Everything)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"name": "x"}', Everything("x")),
        ('{"name": "x", "unknown": [1]}', Everything("x")),
        ('{"name": "x", "share": 2}', Everything("x", share=2.0)),
        ('{"name": "x", "rows": 9223372036854775807}', Everything("x", rows=2**63 - 1)),
        ('{"name": "x", "role": "score", "sure": true}', Everything("x", role="score", sure=True)),
        ('{"name": "x", "edges": [1, 2.5]}', Everything("x", edges=[1.0, 2.5])),
        ('{"name": "x", "counts": {"<é>": 5}}', Everything("x", counts={"<é>": 5})),
        (
            '{"name": "x", "by_role": {"label": {"1h": 0.5}}}',
            Everything("x", by_role={"label": {"1h": 0.5}}),
        ),
        (
            '{"name": "x", "loadings": {"a": 1, "b": {"c": 0.5}}}',
            Everything("x", loadings={"a": 1.0, "b": {"c": 0.5}}),
        ),
        ('{"name": "x", "value": "y"}', Everything("x", value="y")),
        ('{"name": "x", "value": 3}', Everything("x", value=3.0)),
        (
            '{"name": "x", "split": {"at": 1}, "splits": [{"at": 2, "among": ["a"]}]}',
            Everything("x", split=Split(1.0), splits=[Split(2.0, ["a"])]),
        ),
        ('{"name": "x", "name": "y"}', Everything("y")),
    ],
)
def test_what_fits(text: str, value: Everything) -> None:
    assert read(text) == value
    assert type(read(text).share) is float
    assert typed.convert(typed.plain(value), Everything) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "$: expected an object, got a list"),
        ("{}", "$.name: is missing"),
        ('{"name": 1}', "$.name: expected a text, got 1"),
        ('{"name": null}', "$.name: expected a text, got null"),
        ('{"name": "x", "rows": 1.0}', "$.rows: expected a whole number, got 1.0"),
        ('{"name": "x", "rows": true}', "$.rows: expected a whole number, got true"),
        ('{"name": "x", "rows": 9223372036854775808}', "$.rows: out of range"),
        ('{"name": "x", "share": "1"}', '$.share: expected a number, got "1"'),
        ('{"name": "x", "share": 1%s}' % ("0" * 309), "$.share: out of range"),
        ('{"name": "x", "sure": 1}', "$.sure: expected true or false, got 1"),
        (
            '{"name": "x", "role": "target"}',
            '$.role: expected "feature", "label" or "score", got "target"',
        ),
        ('{"name": "x", "role": 1}', '$.role: expected "feature", "label", "score" or null, got 1'),
        ('{"name": "x", "edges": [0, "x"]}', '$.edges[1]: expected a number, got "x"'),
        ('{"name": "x", "edges": {}}', "$.edges: expected a list, got an object"),
        (
            '{"name": "x", "counts": {"<é>": 0.5}}',
            '$.counts["<é>"]: expected a whole number, got 0.5',
        ),
        (
            '{"name": "x", "by_role": {"age": {}}}',
            '$.by_role["age"]: expected "feature", "label" or "score", got "age"',
        ),
        (
            '{"name": "x", "loadings": {"a": {"b": []}}}',
            '$.loadings["a"]["b"]: expected a number, got a list',
        ),
        (
            '{"name": "x", "loadings": {"a": "b"}}',
            '$.loadings["a"]: expected a number or an object, got "b"',
        ),
        ('{"name": "x", "value": []}', "$.value: expected a text, a number or null, got a list"),
        ('{"name": "x", "splits": [{"at": 1}, {}]}', "$.splits[1].at: is missing"),
        (
            '{"name": "x", "split": {"at": "%s"}}' % ("y" * 50),
            f'$.split.at: expected a number, got "{"y" * 39}...',
        ),
    ],
)
def test_what_does_not_fit(text: str, message: str) -> None:
    with pytest.raises(Unfit) as caught:
        read(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{", ValueError),
        ('{"name": "x", "share": NaN}', ValueError),
        ('{"name": "x", "share": 1e999}', ValueError),
        ('{"name": "\\ud800"}', ValueError),
        ("[" * 100_000, RecursionError),
    ],
)
def test_what_is_no_json(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(text)


def test_unions_are_told_in_their_own_order() -> None:
    @dataclass
    class Other:
        value: float | str | None  # equal to that of Everything

    for of, expected in (
        (Other, "a number, a text or null"),
        (Everything, "a text, a number or null"),
    ):
        with pytest.raises(Unfit, match=expected):
            typed.convert({"name": "x", "value": []}, of)


class TestWriting:
    def test_fields_are_in_their_order(self) -> None:
        value = Everything("x", 5, edges=[0.5], split=Split(0.0, ["a"]), counts={"b": 1})
        assert json.dumps(typed.plain(value)) == (
            '{"name": "x", "rows": 5, "edges": [0.5], "counts": {"b": 1}, '
            '"split": {"at": 0.0, "among": ["a"]}}'
        )

    def test_a_computed_number_is_written_though_it_is_the_default(self) -> None:
        assert typed.plain(Everything("x", share=Everything.share)) == {"name": "x"}
        computed = float("1")
        assert typed.plain(Everything("x", share=computed)) == {"name": "x", "share": 1.0}

    def test_lists_of_dataclasses(self) -> None:
        assert typed.plain([Split(1.0)]) == [{"at": 1.0}]
