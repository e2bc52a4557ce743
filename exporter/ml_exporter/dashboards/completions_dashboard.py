"""The dashboard of language models: why answers end, how soon they come, and what they take."""

from __future__ import annotations

from typing import Any

from ml_exporter.dashboards import health
from ml_exporter.dashboards.assembly import assemble, link_out, link_to
from ml_exporter.dashboards.completions import answers, speed, tokens
from ml_exporter.rules import Links

UID = "ml-exporter-completions"


def completions_dashboard(links: Links | None = None) -> dict[str, Any]:
    """The dashboard as the JSON that Grafana provisions."""
    links = links or Links()
    return assemble(
        "ML Exporter / Completions",
        UID,
        "Language models: why answers end, how soon they come, and how many tokens they take.",
        (
            ("Answers of $model over $window", answers()),
            ("Speed of $model over $window", speed()),
            ("Tokens of $model over $window", tokens()),
        ),
        (
            link_to("Overview", health.UID),
            link_out("Runbooks", links.runbooks, "doc"),
        ),
    )
