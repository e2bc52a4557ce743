"""Writes the files that are made from code: rules, dashboards, and tables in the docs."""

import re
from pathlib import Path

from ml_exporter.dashboards.docs import panels_as_tables
from ml_exporter.dashboards.files import dashboards, write_dashboards
from ml_exporter.rules import write_rules
from ml_exporter.rules.docs import write_docs

ROOT = Path(__file__).resolve().parent.parent


def replace_between_markers(text: str, name: str, generated: str) -> str:
    """A Markdown text whose part called `name` is what was generated for it."""
    begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    whole, count = pattern.subn(lambda _: f"{begin}\n{generated}\n{end}", text)
    if count != 1:
        raise ValueError(f"expected {begin} ... {end} once")
    return whole


def dashboards_page(text: str) -> str:
    """docs/dashboards.md with the present panels in it."""
    for name, dashboard in dashboards().items():
        text = replace_between_markers(text, name, panels_as_tables(dashboard))
    return text


def main() -> None:
    paths = [
        *write_rules(ROOT / "prometheus/rules"),
        *write_docs(ROOT / "docs"),
        *write_dashboards(ROOT / "grafana/dashboards"),
    ]
    page = ROOT / "docs/dashboards.md"
    page.write_text(dashboards_page(page.read_text()))
    for path in (*paths, page):
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
