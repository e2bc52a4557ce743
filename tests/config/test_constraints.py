"""How constraints are configured; tests/config/bad_configs has what is wrong in whole files."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_exporter.config.constraints import Constraint, read_constraints
from ml_exporter.config.yaml_file import read_yaml
from ml_exporter.config.yaml_nodes import ConfigError


def read(folder: Path, text: str, fields: list[str] | None) -> tuple[Constraint, ...]:
    path = folder / "constraints.yml"
    path.write_text(text)
    node = read_yaml(str(path), {})
    assert node is not None
    constraints = read_constraints(node, fields)
    node.document.check()
    return constraints


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", []),
        ("age: {min: 18, max: 120}", [Constraint("age", 18, 120)]),
        ("age: {min: 0, max: 0}", [Constraint("age", 0, 0)]),
        ("age: {min: -1e-3}", [Constraint("age", min=-0.001)]),
        ("age: {min: null, max: 3}", [Constraint("age", max=3)]),
        (
            "country: {values: [DE, 1.0, true, yes, '01', <x>]}",
            [Constraint("country", values=frozenset({"DE", "1", "true", "yes", "01", "\\<x>"}))],
        ),
        ("iban: {pattern: '[A-Z]{2}[0-9]+'}", [Constraint("iban", pattern="[A-Z]{2}[0-9]+")]),
        ("income: {required: true}", [Constraint("income", required=True)]),
        ("income: {required: false}", [Constraint("income")]),
        (
            "end: {at_least: start, below: limit}",
            [Constraint("end", comparisons=(("at_least", "start"), ("below", "limit")))],
        ),
        ("a: {unique: true}", [Constraint("a", unique=True)]),
        ("b: {max: 1}\na: {max: 2}", [Constraint("b", max=1), Constraint("a", max=2)]),
    ],
)
def test_configured(tmp_path: Path, text: str, expected: list[Constraint]) -> None:
    assert list(read(tmp_path, text, None)) == expected


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("age: {min: 3}", None),
        ("aeg: {min: 3}", "1: aeg: unknown field; did you mean 'age'?"),
        ("age: {mni: 3}", "1: age.mni: unknown key; did you mean 'min'?"),
        ("age: {min: 3,\n  max: 2}", "1: age.min: 3 is above 'max', which is 2"),
        ("age: {min: .inf}", "1: age.min: must be a finite number"),
        ("age: {required: very}", "1: age.required: must be true or false, not 'very'"),
        ("age: {values: 3}", "1: age.values: must be a list, not a number"),
        ("age: {values: [%s]}" % ("x" * 201), "1: age.values[0]: must have at most 200 characters"),
        ("age: {pattern: '*'}", "1: age.pattern: is no regular expression: nothing to repeat at"),
        ("age: {at_most: [zip]}", "1: age.at_most: must be a string, not a list"),
        ("age: {at_most: age}", "1: age.at_most: is the field itself; name another one"),
        ("age: {above: zpi}", "1: age.above: unknown field; did you mean 'zip'?"),
        ("age: {unique: very}", "1: age.unique: must be true or false, not 'very'"),
        ("[age]", "1: must be a mapping, not a list"),
    ],
)
def test_errors_say_where_and_what(tmp_path: Path, text: str, error: str | None) -> None:
    fields = ["age", "zip", "prediction"]
    if error is None:
        assert read(tmp_path, text, fields)
        return
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, fields)
    (found,) = caught.value.errors
    assert found.removeprefix(f"{tmp_path}/constraints.yml:").startswith(error)


def test_a_constraint_knows_its_parts() -> None:
    one = Constraint("a", min=0, required=True, comparisons=(("above", "b"), ("at_most", "b")))
    assert one.names == ("min", "required", "above", "at_most")
    assert one.fields == ("a", "b")
