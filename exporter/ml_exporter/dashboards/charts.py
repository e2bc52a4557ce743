"""Kinds of panels for performance: curves, lines with an interval, and what is said in words."""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, stat, xychart
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard
from grafana_foundation_sdk.models.xychart import ScatterShow, SeriesMapping

from ml_exporter.dashboards.panels import (
    GREY,
    About,
    Panel,
    Query,
    begin,
    legend,
    option,
    refs_of,
    states_map,
    table_targets,
    target_of,
    timeseries_panel,
    tooltip,
    transformation,
)

REFERENCE = "reference"
"""What the names of curves begin with that are drawn dashed."""


@dataclass(frozen=True)
class Axis:
    title: str
    expr: str
    unit: str = "percentunit"
    high: float | None = None


@dataclass(frozen=True)
class Statement:
    """What is said where a query has a value: that value and `text`, which begins with `{}`.

    A text without braces is said where the value is 1.
    """

    expr: str
    text: str
    colour: str
    legend: str = "{{version}}"


def curves_panel(about: About, x: Axis, y: Axis, label: str, order: str) -> Panel:
    """A curve for each value of a label, whose points are joined by the values of `order`.

    The three queries have the same labels: the points of the curves.
    """
    names = {"x": "Value #A", "y": "Value #B", "order": "Value #C"}
    panel = (
        begin(xychart.Panel(), about)
        .color_scheme(builders.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC))
        .targets(table_targets((x.expr, y.expr, order)))
        .transformations(
            [
                transformation("merge"),
                transformation("sortBy", sort=[{"field": names["order"]}]),
                transformation(
                    "organize",
                    excludeByName={"Time": True, names["order"]: True},
                    indexByName={},
                    renameByName={},
                ),
                transformation(
                    "partitionByValues",
                    fields=[label],
                    keepFields=False,
                    naming={"asLabels": True},
                ),
            ]
        )
        .show(ScatterShow.POINTS_AND_LINES)
        .point_size(common.ScaleDimensionConfig().fixed(4).min(1).max(4))
        .line_width(1)
        .series_mapping(SeriesMapping.AUTO)
        .dims(xychart.XYDimensionConfig().frame(0).x(names["x"]))
        .tooltip(tooltip(options.TooltipDisplayMode.SINGLE, options.SortOrder.NONE))
        .legend(legend(options.LegendDisplayMode.LIST).calcs([]))
        .override_by_regexp(
            f"/{REFERENCE}/",
            [
                option("color", {"mode": "fixed", "fixedColor": GREY}),
                option("custom.lineStyle", {"fill": "dash", "dash": [8, 8]}),
            ],
        )
    )
    for query, axis in (("A", x), ("B", y)):
        properties = [
            option("custom.axisLabel", axis.title),
            option("unit", axis.unit),
            option("min", 0),
        ]
        if axis.high is not None:
            properties.append(option("max", axis.high))
        panel.override_by_regexp(f"/^Value #{query}/", properties)
    return panel


def band_panel(
    about: About,
    *lines: Query,
    lower: str,
    upper: str,
    low: float | None = 0,
    high: float | None = None,
) -> Panel:
    """Lines over time, and the range between two queries of one series each, in grey."""
    ends = {"lower": lower, "upper": upper}
    panel = timeseries_panel(
        about,
        *lines,
        *(Query(expr, name) for name, expr in ends.items()),
        low=low,
        high=high,
        references=True,
    )
    for name in ends:
        properties = [
            option("color", {"mode": "fixed", "fixedColor": GREY}),
            option("custom.lineWidth", 0),
            option("custom.hideFrom", {"legend": True, "tooltip": False, "viz": False}),
        ]
        if name == "upper":
            properties += [
                option("custom.fillBelowTo", "lower"),
                option("custom.fillOpacity", 20),
            ]
        panel.override_by_regexp(f"/^{name}$/", properties)
    return panel


def words_panel(about: About, *statements: Statement) -> Panel:
    """What is so now, in words: of statements, those whose query has a value."""
    refs = dict(refs_of(statements))
    panel = (
        begin(stat.Panel(), about)
        .targets(
            [target_of(ref, Query(one.expr, one.legend)).instant() for ref, one in refs.items()]
        )
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_mode(options.BigValueColorMode.VALUE)
        .graph_mode(options.BigValueGraphMode.NONE)
        .text_mode(options.BigValueTextMode.VALUE_AND_NAME)
        .text(common.VizTextDisplayOptions().title_size(14).value_size(20))
    )
    for ref, one in refs.items():
        panel.override_by_query(ref, _said(one))
    return panel


def _said(statement: Statement) -> list[dashboard.DynamicConfigValue]:
    colour = option("color", {"mode": "fixed", "fixedColor": statement.colour})
    number, braces, rest = statement.text.partition("{}")
    if braces:
        if number:
            raise ValueError(f"{statement.text!r}: the value is said first")
        return [colour, option("unit", f"suffix:{rest}")]
    return [colour, option("mappings", [states_map({1: (statement.text, statement.colour)})])]
