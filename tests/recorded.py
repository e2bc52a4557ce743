"""What the recording rules record."""

from __future__ import annotations

from ml_exporter.rules import rule_files
from ml_exporter.rules.groups import Rule


def recorded() -> set[str]:
    """The names of all recorded series."""
    return {
        rule.record
        for groups in rule_files().values()
        for group in groups
        for rule in group.rules
        if isinstance(rule, Rule)
    }
