"""The performance dashboard: how well a model does, how sure that is, and where it fails."""

from __future__ import annotations

from typing import Any

from ml_exporter.dashboards import health
from ml_exporter.dashboards.assembly import assemble, labels_variable, link_out, link_to, with_all
from ml_exporter.dashboards.attributions import attributions
from ml_exporter.dashboards.coming_labels import coming_labels
from ml_exporter.dashboards.curves import CLASSES, score_charts
from ml_exporter.dashboards.errors import errors
from ml_exporter.dashboards.estimates import estimates
from ml_exporter.dashboards.figures import figures
from ml_exporter.dashboards.judgement import verdict
from ml_exporter.dashboards.money import money
from ml_exporter.dashboards.segments import segments
from ml_exporter.dashboards.selectors import MODEL
from ml_exporter.dashboards.versions import versions
from ml_exporter.rules import Links

UID = "ml-exporter-performance"


def performance_dashboard(links: Links | None = None) -> dict[str, Any]:
    """The dashboard as the JSON that Grafana provisions."""
    links = links or Links()
    return assemble(
        "ML Exporter / Performance",
        UID,
        "How well a model in production does, with labels and without, and how sure that is.",
        (
            ("Verdict on $model", verdict()),
            ("Figures of $model over $window", figures()),
            ("Scores of $model over $window", score_charts()),
            ("Errors of $model over $window (numbers)", errors()),
            ("Segments of $model", segments()),
            ("Versions of $model", versions()),
            ("Without labels: $model over $window", estimates()),
            ("How labels of $model come", coming_labels()),
            ("Money that $model earned over $window", money()),
            ("What predictions of $model rest on", attributions()),
        ),
        (
            link_to("Overview", health.UID),
            link_out("Runbooks", links.runbooks, "doc"),
        ),
        (
            with_all(
                labels_variable("class", "Class", f"{CLASSES}{{{MODEL}}}").description(
                    "Which curves are drawn; binary models have one, of the positive class."
                ),
                ".+",
            ),
        ),
    )
