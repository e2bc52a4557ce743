"""What is committed is what the generator writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_exporter.rules import Timing, rule_files, write_rules
from ml_exporter.rules.docs import alerts_table, rules_table, with_table
from ml_exporter.rules.groups import Alert
from tests.support import ROOT

COMMITTED = ROOT / "prometheus/rules"


def test_rules_are_as_generated(tmp_path: Path) -> None:
    written = {path.name: path.read_text() for path in write_rules(tmp_path)}
    assert {path.name: path.read_text() for path in COMMITTED.glob("*.yml")} == written


@pytest.mark.parametrize(("name", "table"), [("rules", rules_table()), ("alerts", alerts_table())])
def test_tables_of_the_docs_are_as_generated(name: str, table: str) -> None:
    page = (ROOT / f"docs/{name}.md").read_text()
    assert with_table(page, name, table) == page


def test_no_group_is_slower_than_prometheus_remembers(tmp_path: Path) -> None:
    # An instant look-up reaches back five minutes.
    intervals = {group.interval for groups in rule_files().values() for group in groups}
    assert intervals <= {"1m", "2m"}


def test_shortened_rules_differ_in_their_windows_alone() -> None:
    def names(timing: Timing) -> list[str]:
        return [
            rule.alert if isinstance(rule, Alert) else rule.record
            for groups in rule_files(timing).values()
            for group in groups
            for rule in group.rules
        ]

    assert names(Timing.shortened(2)) == names(Timing())
