"""The drift dashboard: what kind of change it is, since when, and what is merely unusual."""

from __future__ import annotations

from typing import Any

from ml_exporter.dashboards import health
from ml_exporter.dashboards.assembly import assemble, choice_variable, link_out, link_to
from ml_exporter.dashboards.changes import of_versions, rolling, weekly
from ml_exporter.dashboards.concept_drift import concept_drift
from ml_exporter.dashboards.signals import signals
from ml_exporter.rules import Links
from ml_exporter.rules.signals import SIGNALS

UID = "ml-exporter-drift"


def drift_dashboard(links: Links | None = None) -> dict[str, Any]:
    """The dashboard as the JSON that Grafana provisions."""
    links = links or Links()
    return assemble(
        "ML Exporter / Drift",
        UID,
        "What kind of change it is, what differs from the week before, and what is unusual.",
        (
            ("Kind of change of $model", concept_drift()),
            ("What is unusual of $model", signals()),
            ("$model against the week before", weekly()),
            ("$model against the seven days before", rolling()),
            ("Data of the versions of $model", of_versions()),
        ),
        (
            link_to("Overview", health.UID),
            link_out("Runbooks", links.runbooks, "doc"),
        ),
        (choice_variable("signal", "Signal", SIGNALS).description("Whose band is drawn."),),
    )
