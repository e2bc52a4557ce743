"""The overview: for whoever is paged at night, from the state of all models down to one field."""

from __future__ import annotations

from typing import Any

from ml_exporter.dashboards import health
from ml_exporter.dashboards.assembly import assemble, labels_variable, link_out, link_to
from ml_exporter.dashboards.completions_dashboard import UID as COMPLETIONS
from ml_exporter.dashboards.drift import drift
from ml_exporter.dashboards.drift_dashboard import UID as DRIFT
from ml_exporter.dashboards.health import UID
from ml_exporter.dashboards.integrity import integrity
from ml_exporter.dashboards.operation import exporter, requests, traffic
from ml_exporter.dashboards.performance import performance
from ml_exporter.dashboards.performance_dashboard import UID as PERFORMANCE
from ml_exporter.dashboards.selectors import MODEL
from ml_exporter.rules import Links


def overview(
    links: Links | None = None, exporter_url: str = "http://localhost:10058"
) -> dict[str, Any]:
    """The dashboard as the JSON that Grafana provisions.

    `exporter_url` is where a browser finds the exporter's own page.
    """
    links = links or Links()
    return assemble(
        "ML Exporter overview",
        UID,
        "Performance, drift and data integrity of models in production.",
        (
            ("All models", health.fleet(links)),
            ("$model now", health.model()),
            ("Performance of $model over $window", performance()),
            ("Drift of $model over $window", drift()),
            ("Data integrity of $model over $window", integrity()),
            ("Traffic and labels of $model", traffic()),
            ("Requests for $model", requests()),
            ("Exporter", exporter()),
        ),
        (
            link_to("Performance", PERFORMANCE),
            link_to("Drift", DRIFT),
            link_to("Completions", COMPLETIONS),
            link_out("Runbooks", links.runbooks, "doc"),
            link_out("Exporter", exporter_url, "external link"),
        ),
        (
            labels_variable("role", "Role", f"ml_field_baseline_rows{{{MODEL}}}"),
            labels_variable("field", "Field", f'ml_field_baseline_rows{{{MODEL},role="$role"}}'),
        ),
    )
