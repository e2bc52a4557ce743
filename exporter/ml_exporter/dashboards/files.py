"""All dashboards, and writing them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_exporter.dashboards.assembly import to_text
from ml_exporter.dashboards.completions_dashboard import completions_dashboard
from ml_exporter.dashboards.drift_dashboard import drift_dashboard
from ml_exporter.dashboards.overview import overview
from ml_exporter.dashboards.performance_dashboard import performance_dashboard
from ml_exporter.rules import Links


def dashboards(links: Links | None = None) -> Mapping[str, dict[str, Any]]:
    """Dashboards by the name they have in docs."""
    return {
        "overview": overview(links),
        "performance": performance_dashboard(links),
        "drift": drift_dashboard(links),
        "completions": completions_dashboard(links),
    }


def write_dashboards(folder: Path, links: Links | None = None) -> list[Path]:
    """Write all dashboards into a folder, which is made; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for built in dashboards(links).values():
        path = folder / f"{built['uid']}.json"
        path.write_text(to_text(built), encoding="utf-8")
        paths.append(path)
    return paths
