"""promtool runs every test of prometheus/tests/, on the Prometheus of today and on an older one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from ml_exporter.rules import rule_files
from ml_exporter.rules.groups import Alert
from tests.support import ROOT, find_tool

TESTS = sorted((ROOT / "prometheus/tests").glob("*.yml"))
PROMTOOLS = ("promtool", "prometheus-2.42/promtool")
RULES = [r for groups in rule_files().values() for group in groups for r in group.rules]
CASES = [(promtool, test.name) for promtool in PROMTOOLS for test in TESTS]

Result = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def results() -> Iterator[dict[tuple[str, str], Future[Result]]]:
    """All runs, two at a time: promtool evaluates days minute by minute."""

    def run(promtool: str, test: str) -> Result:
        command = [find_tool(promtool), "test", "rules", test]
        return subprocess.run(
            command, cwd=ROOT / "prometheus/tests", capture_output=True, text=True, check=False
        )

    with ThreadPoolExecutor(2) as pool:
        yield {case: pool.submit(run, *case) for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=":".join)
def test_passes(case: tuple[str, str], results: dict[tuple[str, str], Future[Result]]) -> None:
    result = results[case].result()
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("promtool", PROMTOOLS)
def test_rules_are_accepted(promtool: str) -> None:
    files = sorted(map(str, (ROOT / "prometheus/rules").glob("*.yml")))
    command = [find_tool(promtool), "check", "rules", *files]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_alert_is_tested() -> None:
    tested = "".join(test.read_text() for test in TESTS)
    alerts = {rule.alert for rule in RULES if isinstance(rule, Alert)}
    assert {name for name in alerts if f"alertname: {name}" not in tested} == set()
