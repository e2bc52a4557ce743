"""A dashboard as the docs describe it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_exporter.dashboards.queries import panels


def panels_as_tables(dashboard: Mapping[str, Any]) -> str:
    """What each panel shows, in Markdown: a table for each row of the dashboard."""
    lines: list[str] = []
    for panel in panels(dashboard):
        if panel["type"] == "row":
            lines += ["", f"### {_title(panel)}", "", "| panel | shows |", "| --- | --- |"]
        else:
            lines.append(f"| {_title(panel)} | {panel['description']} |")
    return "\n".join([*lines, ""])


def _title(panel: Mapping[str, Any]) -> str:
    title = str(panel["title"]).replace("$", "the ")
    return title[0].upper() + title[1:]
