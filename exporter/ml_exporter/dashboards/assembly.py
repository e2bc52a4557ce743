"""What all dashboards have: variables, annotations, links, and the JSON that Grafana provisions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from ml_exporter.dashboards.panels import DATASOURCE, RED, Panel
from ml_exporter.dashboards.selectors import CHOSEN, FLEET, MODEL, alerts
from ml_exporter.rules.timing import WINDOWS

Variable = Builder[dashboard.VariableModel]
Row = tuple[str, Iterable[Panel]]

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

# From it on, an XY chart draws curves of many frames, in a format that the SDK hasn't got.
_XY_CHART_VERSION = "11.1.0"


def assemble(
    title: str,
    uid: str,
    description: str,
    rows: Iterable[Row],
    links: Iterable[builders.DashboardLink],
    variables: Sequence[Variable] = (),
) -> dict[str, Any]:
    """A dashboard as JSON; `variables` are its own, after those that all have."""
    builder = (
        builders.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["machine-learning", "ml-exporter"])
        .readonly()
        .timezone("browser")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .time("now-24h", "now")
        .refresh("1m")
    )
    for link in links:
        builder.link(link)
    for variable in (*_common_variables(), *variables):
        builder.with_variable(variable)
    for annotation in _annotations():
        builder.annotation(annotation)
    for row, panels in rows:
        builder.with_row(builders.Row(row))
        for panel in panels:
            builder.with_panel(panel)
    built = builder.build()
    built.schema_version = _SCHEMA_VERSION
    for number, one in enumerate(built.panels or (), 1):
        one.id_val = number
    return _complete(json.loads(json.dumps(built, cls=JSONEncoder)))


def to_text(built: dict[str, Any]) -> str:
    """The same dashboard is the same bytes."""
    return json.dumps(built, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def link_out(title: str, url: str, icon: str) -> builders.DashboardLink:
    return _link(title, url, icon).target_blank(True)


def link_to(title: str, uid: str) -> builders.DashboardLink:
    """To another dashboard, about what is chosen here."""
    return _link(title, f"/d/{uid}", "dashboard").include_vars(True).keep_time(True)


def labels_variable(name: str, title: str, series: str) -> builders.QueryVariable:
    """A variable of all values that a label of some series had in the time range."""
    return (
        builders.QueryVariable(name)
        .label(title)
        .datasource(DATASOURCE)
        .query(f"label_values({series}, {name})")
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    )


def with_all(variable: builders.QueryVariable, regex: str) -> builders.QueryVariable:
    """Any number of values, at first all; `regex` is what all are."""
    everything = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])
    return variable.multi(True).include_all(True).all_value(regex).current(everything)


def choice_variable(
    name: str, title: str, values: Sequence[str], first: str | None = None
) -> builders.CustomVariable:
    """A variable of given values; at first it is the one that is named, or the first of them."""
    first = first or values[0]
    return (
        builders.CustomVariable(name)
        .label(title)
        .values(",".join(values))
        .options([_option(value, selected=value == first) for value in values])
        .current(_option(first, selected=True))
    )


def _complete(built: dict[str, Any]) -> dict[str, Any]:
    """Adds what the SDK's types leave out, and leaves out what they add to no purpose."""
    for variable in built["templating"]["list"]:
        for key in ("id", "auto", "auto_count", "auto_min"):
            variable.pop(key, None)
    for annotation in built["annotations"]["list"]:
        annotation.update(_ANNOTATION_TEXTS[annotation["name"]])
    for panel in built["panels"]:
        if panel["type"] == "xychart":
            _draw_all_frames(panel)
    return {"id": None, **built}


def _draw_all_frames(chart: dict[str, Any]) -> None:
    """Grafana would migrate the SDK's options to these, but with the first frame alone.

    https://github.com/grafana/grafana/blob/main/public/app/plugins/panel/xychart/panelcfg.cue
    """
    options = chart["options"]
    x = options.pop("dims")["x"]
    options["mapping"] = options.pop("seriesMapping")
    options["series"] = [{"x": {"matcher": {"id": "byName", "options": x}}}]
    chart["pluginVersion"] = _XY_CHART_VERSION


def _link(title: str, url: str, icon: str) -> builders.DashboardLink:
    return (
        builders.DashboardLink(title)
        .type(dashboard.DashboardLinkType.LINK)
        .url(url)
        .icon(icon)
        .tooltip(title)
    )


def _common_variables() -> list[Variable]:
    return [
        builders.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        with_all(labels_variable("job", "Job", "ml_model_info"), ".+"),
        with_all(labels_variable("namespace", "Namespace", 'ml_model_info{job=~"$job"}'), ".*"),
        labels_variable("model", "Model", f"ml_model_info{{{FLEET}}}"),
        with_all(labels_variable("version", "Version", f"ml_model_info{{{CHOSEN}}}"), ".*"),
        choice_variable("window", "Window", WINDOWS, first="24h").description(
            "What figures are about; alerts of performance and drift look at 24h."
        ),
    ]


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
