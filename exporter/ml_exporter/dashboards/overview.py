"""The overview: for whoever is paged at night, from the state of all models down to one field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from ml_exporter.dashboards import health
from ml_exporter.dashboards.drift import drift
from ml_exporter.dashboards.health import UID
from ml_exporter.dashboards.integrity import integrity
from ml_exporter.dashboards.operation import exporter, traffic
from ml_exporter.dashboards.panels import DATASOURCE, RED
from ml_exporter.dashboards.performance import performance
from ml_exporter.dashboards.selectors import CHOSEN, FLEET, MODEL, alerts
from ml_exporter.rules import Links
from ml_exporter.rules.timing import WINDOWS

# The last version of this format of dashboards; the SDK writes the number of its own release.
_SCHEMA_VERSION = 42

# What Prometheus annotations have, and the SDK's type has not.
_ANNOTATION_TEXTS = {
    "Firing alerts": {"titleFormat": "{{alertname}}", "textFormat": "{{severity}} {{version}}"},
    "New version or baseline": {
        "titleFormat": "New version or baseline",
        "textFormat": "version {{version}}, baseline {{baseline_id}}",
    },
}


def overview(
    links: Links | None = None, exporter_url: str = "http://localhost:10058"
) -> dict[str, Any]:
    """The dashboard as the JSON that Grafana provisions.

    `exporter_url` is where a browser finds the exporter's own page.
    """
    links = links or Links()
    builder = (
        builders.Dashboard("ML Exporter overview")
        .uid(UID)
        .description("Performance, drift and data integrity of models in production.")
        .tags(["machine-learning", "ml-exporter"])
        .readonly()
        .timezone("browser")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .time("now-24h", "now")
        .refresh("1m")
        .link(_link("Runbooks", links.runbooks, "doc"))
        .link(_link("Exporter", exporter_url, "external link"))
    )
    for variable in _variables():
        builder.with_variable(variable)
    for annotation in _annotations():
        builder.annotation(annotation)
    for title, panels in (
        ("All models", health.fleet(links)),
        ("$model now", health.model()),
        ("Performance of $model over $window", performance()),
        ("Drift of $model over $window", drift()),
        ("Data integrity of $model over $window", integrity()),
        ("Traffic and labels of $model", traffic()),
        ("Exporter", exporter()),
    ):
        builder.with_row(builders.Row(title))
        for panel in panels:
            builder.with_panel(panel)
    built = builder.build()
    built.schema_version = _SCHEMA_VERSION
    for number, one in enumerate(built.panels or (), 1):
        one.id_val = number
    return _complete(json.loads(json.dumps(built, cls=JSONEncoder)))


def write_dashboards(folder: Path, links: Links | None = None) -> list[Path]:
    """Write all dashboards into a folder, which is made; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{UID}.json"
    path.write_text(to_text(overview(links)), encoding="utf-8")
    return [path]


def to_text(built: dict[str, Any]) -> str:
    """The same dashboard is the same bytes."""
    return json.dumps(built, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _complete(built: dict[str, Any]) -> dict[str, Any]:
    """Adds what the SDK's types leave out, and leaves out what they add to no purpose."""
    for variable in built["templating"]["list"]:
        for key in ("id", "auto", "auto_count", "auto_min"):
            variable.pop(key)
    for annotation in built["annotations"]["list"]:
        annotation.update(_ANNOTATION_TEXTS[annotation["name"]])
    return {"id": None, **built}


def _link(title: str, url: str, icon: str) -> builders.DashboardLink:
    return (
        builders.DashboardLink(title)
        .type(dashboard.DashboardLinkType.LINK)
        .url(url)
        .icon(icon)
        .tooltip(title)
        .target_blank(True)
    )


def _variables() -> list[Builder[dashboard.VariableModel]]:
    return [
        builders.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        _with_all(_labels("job", "Job", "ml_model_info"), ".+"),
        _with_all(_labels("namespace", "Namespace", 'ml_model_info{job=~"$job"}'), ".*"),
        _labels("model", "Model", f"ml_model_info{{{FLEET}}}"),
        _with_all(_labels("version", "Version", f"ml_model_info{{{CHOSEN}}}"), ".*"),
        builders.CustomVariable("window")
        .label("Window")
        .description("What figures are about; alerts of performance and drift look at 24h.")
        .values(",".join(WINDOWS))
        .options([_option(window, selected=window == "24h") for window in WINDOWS])
        .current(_option("24h", selected=True)),
        _labels("role", "Role", f"ml_field_baseline_rows{{{MODEL}}}"),
        _labels("field", "Field", f'ml_field_baseline_rows{{{MODEL},role="$role"}}'),
    ]


def _labels(name: str, title: str, series: str) -> builders.QueryVariable:
    """A variable of all values that a label of some series had in the time range."""
    return (
        builders.QueryVariable(name)
        .label(title)
        .datasource(DATASOURCE)
        .query(f"label_values({series}, {name})")
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    )


def _with_all(variable: builders.QueryVariable, regex: str) -> builders.QueryVariable:
    """Any number of values, at first all; `regex` is what all are."""
    everything = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])
    return variable.multi(True).include_all(True).all_value(regex).current(everything)


def _option(value: str, *, selected: bool) -> dashboard.VariableOption:
    return dashboard.VariableOption(selected=selected, text=value, value=value)


def _annotations() -> list[builders.AnnotationQuery]:
    known = "group by (version, baseline_id)"
    info = f"ml_baseline_info{{{MODEL}}}"
    return [
        _annotation("Firing alerts", RED, alerts('model="$model"')),
        _annotation(
            "New version or baseline",
            "blue",
            f"{known} ({info})\nunless {known} (last_over_time({info}[1d] offset 10m))",
        ),
    ]


def _annotation(name: str, colour: str, expr: str) -> builders.AnnotationQuery:
    return (
        builders.AnnotationQuery()
        .name(name)
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color(colour)
        .expr(expr)
    )
