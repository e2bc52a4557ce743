"""Every alert has a runbook, and its queries are about series that exist."""

import re
import subprocess
from pathlib import Path

import pytest

from ml_exporter.rules import rule_files
from ml_exporter.rules.groups import Alert
from tests.support import ROOT, find_tool

RUNBOOKS = {path.stem: path.read_text() for path in (ROOT / "docs/runbooks").glob("*.md")}
RULES = [r for groups in rule_files().values() for group in groups for r in group.rules]
RECORDED = {rule.record for rule in RULES if not isinstance(rule, Alert)}
EXPOSED = set(re.findall(r"^\| `(ml_\w+)`", (ROOT / "docs/series.md").read_text(), re.MULTILINE))
HEADINGS = ["Meaning", "Impact", "Diagnosis", "What to do", "Tuning"]


def queries(page: str) -> list[str]:
    return [
        re.sub(r"^ {3}", "", block, flags=re.MULTILINE)
        for block in re.findall(r"```promql\n(.*?)```", page, re.DOTALL)
    ]


def test_every_alert_has_one_and_none_is_left_over() -> None:
    assert RUNBOOKS.keys() == {rule.alert for rule in RULES if isinstance(rule, Alert)}


@pytest.mark.parametrize("name", RUNBOOKS)
def test_reads_as_the_others(name: str) -> None:
    page = RUNBOOKS[name]
    assert page.startswith(f"# {name}\n")
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == HEADINGS


@pytest.mark.parametrize("name", RUNBOOKS)
def test_series_of_its_queries_exist(name: str) -> None:
    for query in queries(RUNBOOKS[name]):
        recorded = set(re.findall(r"\b\w+:\w+(?::\w+)?", query))
        assert recorded <= RECORDED, query
        assert set(re.findall(r"\bml_\w+(?!\w*:)\b", query)) - _prefixes(recorded) <= EXPOSED, query


def test_queries_parse(tmp_path: Path) -> None:
    rules = ["groups:", "- name: queries", "  rules:"]
    for number, query in enumerate(q for page in RUNBOOKS.values() for q in queries(page)):
        rules += [f"  - record: query:{number}", "    expr: |-", *_indented(query)]
    file = tmp_path / "queries.yml"
    file.write_text("\n".join(rules) + "\n")
    command = [find_tool("promtool"), "check", "rules", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def _prefixes(recorded: set[str]) -> set[str]:
    return {name.partition(":")[0] for name in recorded}


def _indented(query: str) -> list[str]:
    return [f"      {line}" for line in query.splitlines()]
