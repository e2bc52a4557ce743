"""The tables of rules and alerts in docs/rules.md and docs/alerts.md."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ml_exporter.rules.files import rule_files
from ml_exporter.rules.groups import Alert, Rule

_WINDOW = re.compile(r"(.+):(1m|1h|hour|24h|7d)$")


def rules_table() -> str:
    """A row a series: its name, its windows and what it is."""
    windows: dict[str, list[str]] = {}
    helps: dict[str, str] = {}
    for rule in _rules():
        if isinstance(rule, Rule):
            match = _WINDOW.match(rule.record)
            name, window = match.groups() if match else (rule.record, "")
            if window not in windows.setdefault(name, []):
                windows[name].append(window)
            helps.setdefault(name, _of_any_window(rule))
    rows = (
        f"| `{name}` | {', '.join(windows[name])} | {helps[name]} |" for name in sorted(windows)
    )
    return "\n".join(("| series | windows | is |", "| --- | --- | --- |", *rows)) + "\n"


def alerts_table() -> str:
    """A row an alert: its name, severities, delay and when it fires."""
    alerts: dict[str, list[Alert]] = {}
    for rule in _rules():
        if isinstance(rule, Alert):
            alerts.setdefault(rule.alert, []).append(rule)
    rows = (
        f"| [{name}](runbooks/{name}.md) | {', '.join(one.labels['severity'] for one in same)} "
        f"| {same[0].pending} | {same[0].help} |"
        for name, same in alerts.items()
    )
    header = ("| alert | severities | for | fires when |", "| --- | --- | --- | --- |")
    return "\n".join((*header, *rows)) + "\n"


def write_docs(folder: Path) -> list[Path]:
    """Renew the tables in the pages of a folder; returns their paths."""
    paths = []
    for name, table in (("rules", rules_table()), ("alerts", alerts_table())):
        path = folder / f"{name}.md"
        path.write_text(with_table(path.read_text(encoding="utf-8"), name, table), "utf-8")
        paths.append(path)
    return paths


def with_table(page: str, name: str, table: str) -> str:
    """A page with another table of that name; raises ValueError where it has none."""
    begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"expected {begin} ... {end} once")
    before, after = page.split(begin, maxsplit=1)[0], page.split(end)[1]
    return f"{before}{begin}\n{table}{end}{after}"


def _rules() -> Iterable[Rule | Alert]:
    return (rule for groups in rule_files().values() for group in groups for rule in group.rules)


def _of_any_window(rule: Rule) -> str:
    """Its help, which names the first of its windows and severities, for all of them."""
    text = re.sub(
        r"(?<! and)[,.]? ([Oo]ver|of the last) (1m|1h|hour|24h|7d)(?=[.:])", "", rule.help
    )
    for severity in ("warning", "critical"):
        text = text.replace(f" {severity} threshold", " threshold").replace(f" ({severity})", "")
    return text
