"""promtool runs every test of prometheus/tests/, on the Prometheus of today and on an older one."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from ml_exporter.rules import rule_files
from ml_exporter.rules.groups import Alert
from tests.support import ROOT, find_tool

FOLDER = ROOT / "prometheus/tests"
PROMTOOLS = ("promtool", "prometheus-2.42/promtool")
_GROUPS = [group for groups in rule_files().values() for group in groups]
RULES = [rule for group in _GROUPS for rule in group.rules]
GROUPS = [group.name for group in _GROUPS]

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_NAMES = re.compile(r'__name__=~"([^"]*)"')

Yaml = Mapping[str, Any]
Result = subprocess.CompletedProcess[str]


class Case(NamedTuple):
    """One of the tests in a file."""

    file: str
    name: str
    content: Yaml  # the file with this test alone


@cache
def load(path: Path) -> Yaml:
    content: Yaml = yaml.load(path.read_text(), yaml.CSafeLoader)
    return content


def read_cases() -> Iterator[Case]:
    for path in sorted(FOLDER.glob("*.yml")):
        content = load(path)
        for test in content["tests"]:
            yield Case(path.name, test["name"], {**content, "tests": [test]})


CASES = list(read_cases())
RUNS = [(promtool, case) for promtool in PROMTOOLS for case in range(len(CASES))]


def needed(rules: Sequence[Yaml], test: Yaml) -> set[str]:
    """The names of the rules that a test asks for, and of all that those ask for in turn."""
    texts = {name_of(rule): "" for rule in rules}
    for rule in rules:
        texts[name_of(rule)] += "\n".join([rule["expr"], *rule.get("annotations", {}).values()])
    asked = [one["alertname"] for one in test.get("alert_rule_test", ())]
    asked += [one["expr"] for one in test.get("promql_expr_test", ())]
    found: set[str] = set()
    while asked:
        text = asked.pop()
        names = texts.keys() & set(_NAME.findall(text))
        for pattern in _NAMES.findall(text):
            names |= {name for name in texts if re.fullmatch(pattern, name)}
        asked += [texts[name] for name in names - found]
        found |= names
    return found


def name_of(rule: Yaml) -> str:
    name: str = rule.get("record") or rule["alert"]
    return name


def write(folder: Path, case: Case) -> Path:
    """A test with the rules that it needs: promtool evaluates all that there are each minute."""
    files = [load((FOLDER / file).resolve()) for file in case.content["rule_files"]]
    groups = [group for file in files for group in file["groups"]]
    names = needed([rule for group in groups for rule in group["rules"]], case.content["tests"][0])
    kept = [
        {**group, "rules": [rule for rule in group["rules"] if name_of(rule) in names]}
        for group in sorted(groups, key=lambda group: GROUPS.index(group["name"]))
    ]
    dump(folder / "rules.yml", {"groups": kept})
    # promtool's own order is random, and with it whether an alert sees this minute or the last.
    order = {"group_eval_order": [group["name"] for group in kept if group["rules"]]}
    return dump(folder / "test.yml", {**case.content, **order, "rule_files": ["rules.yml"]})


def dump(path: Path, content: Yaml) -> Path:
    path.write_text(yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def results(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[tuple[str, int], Future[Result]]]:
    """All runs, two at a time."""
    folders = [tmp_path_factory.mktemp("case") for _ in RUNS]

    def run(promtool: str, case: int) -> Result:
        test = write(folders[RUNS.index((promtool, case))], CASES[case])
        command = [find_tool(promtool), "test", "rules", test]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(2) as pool:
        yield {(promtool, case): pool.submit(run, promtool, case) for promtool, case in RUNS}


@pytest.mark.parametrize(
    "of", RUNS, ids=[f"{promtool}:{CASES[case].file}:{CASES[case].name}" for promtool, case in RUNS]
)
def test_passes(of: tuple[str, int], results: dict[tuple[str, int], Future[Result]]) -> None:
    result = results[of].result()
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("promtool", PROMTOOLS)
def test_rules_are_accepted(promtool: str) -> None:
    files = sorted(map(str, (ROOT / "prometheus/rules").glob("*.yml")))
    command = [find_tool(promtool), "check", "rules", *files]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_alert_is_tested() -> None:
    tested = "".join(test.read_text() for test in FOLDER.glob("*.yml"))
    alerts = {rule.alert for rule in RULES if isinstance(rule, Alert)}
    assert {name for name in alerts if f"alertname: {name}" not in tested} == set()
