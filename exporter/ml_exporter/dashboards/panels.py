"""Kinds of panels: each has the data source, a unit, an explanation, and colours of one meaning."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from grafana_foundation_sdk.builders import (
    barchart,
    common,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
    xychart,
)
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

DATASOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")

GREEN, ORANGE, RED, GREY, NEUTRAL = "green", "orange", "red", "gray", "text"
STATES = {0: ("OK", GREEN), 1: ("Warning", ORANGE), 2: ("Critical", RED)}

NOT_YET = "Nothing recorded: no traffic in this window, or the rules don't run"

Panel = Builder[dashboard.Panel]
Steps = Sequence[tuple[float, str]]
States = Mapping[int, tuple[str, str]]

_REFERENCES = {"baseline": GREY, "warning": ORANGE, "critical": RED}

_Some = TypeVar(
    "_Some",
    barchart.Panel,
    stat.Panel,
    statetimeline.Panel,
    table.Panel,
    timeseries.Panel,
    xychart.Panel,
)


@dataclass(frozen=True)
class About:
    """What all panels have.

    `steps` are values from which on a colour holds, beginning with -infinity or, below them, green.
    """

    title: str
    description: str
    unit: str = "short"
    width: int = 8  # of 24
    height: int = 7
    steps: Steps = ()
    states: States | None = None
    decimals: int | None = None
    no_value: str = NOT_YET


@dataclass(frozen=True)
class Query:
    expr: str
    legend: str = "__auto"


@dataclass(frozen=True)
class Column:
    """A column of a table: a query with one value a row, and how values are shown."""

    title: str
    expr: str
    unit: str = "short"
    steps: Steps = ()
    states: States | None = None
    decimals: int | None = None
    width: int | None = None


def stat_panel(about: About, query: Query, *, history: bool = False) -> Panel:
    """One number a series, now; with `history` its course behind it."""
    target = target_of("A", query) if history else target_of("A", query).instant()
    return (
        begin(stat.Panel(), about)
        .with_target(target)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_mode(options.BigValueColorMode.VALUE)
        .graph_mode(options.BigValueGraphMode.AREA if history else options.BigValueGraphMode.NONE)
    )


def timeseries_panel(
    about: About,
    *queries: Query,
    low: float | None = 0,
    high: float | None = None,
    stacked: bool = False,
    limits: bool = False,
    references: bool = False,
) -> timeseries.Panel:
    """Lines over time.

    `limits` draws the steps of `about` as lines. With `references`, series whose legend begins
    with baseline, warning or critical are dashed, in that colour.
    """
    panel = (
        begin(timeseries.Panel(), about)
        .color_scheme(builders.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC))
        .draw_style(options.GraphDrawStyle.LINE)
        .line_width(1)
        .fill_opacity(30 if stacked else 0)
        .show_points(options.VisibilityMode.AUTO)
        .span_nulls(False)
        .tooltip(tooltip(options.TooltipDisplayMode.MULTI, options.SortOrder.DESCENDING))
        .legend(legend(options.LegendDisplayMode.TABLE).calcs(["lastNotNull", "max"]))
    )
    if low is not None:
        panel.min(low)
    if high is not None:
        panel.max(high)
    if stacked:
        panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL).group("A"))
    if limits:
        panel.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(options.GraphTresholdsStyleMode.DASHED)
        )
    for name, colour in _REFERENCES.items() if references else ():
        panel.override_by_regexp(
            f"/^{name}/",
            [
                option("color", {"mode": "fixed", "fixedColor": colour}),
                option("custom.lineStyle", {"fill": "dash", "dash": [8, 8]}),
            ],
        )
    return panel.targets([target_of(ref, query) for ref, query in refs_of(queries)])


def table_panel(
    about: About,
    keys: Mapping[str, str],
    *columns: Column,
    worst: Sequence[str] = (),
    links: Mapping[str, tuple[str, str]] | None = None,
) -> Panel:
    """A row for each set of values of the labels `keys`, which are given with their titles.

    `worst` are titles of columns, by whose greatest values rows are sorted; `links` are the text
    and address that a column's cells link to.
    """
    refs = dict(refs_of(columns))
    renamed = {f"Value #{ref}": column.title for ref, column in refs.items()}
    if len(refs) == 1:  # Grafana has no need then to tell values apart
        renamed = {"Value": columns[0].title}
    panel = (
        begin(table.Panel(), about)
        .targets(table_targets(column.expr for column in columns))
        .transformations(
            [
                transformation("merge"),
                transformation(
                    "organize",
                    excludeByName={"Time": True},
                    indexByName={
                        name: index for index, name in enumerate(("Time", *keys, *renamed))
                    },
                    renameByName={**keys, **renamed},
                ),
            ]
        )
        .sort_by([common.TableSortByFieldState().display_name(name).desc(True) for name in worst])
    )
    for column in columns:
        panel.override_by_name(column.title, _cell(column))
    for title, (text, url) in (links or {}).items():
        panel.override_by_name(title, [option("links", [{"title": text, "url": url}])])
    return panel


def table_targets(exprs: Iterable[str]) -> list[Builder[variants.Dataquery]]:
    """Queries for one table, of which each is a column."""
    return [
        target_of(ref, Query(expr)).instant().format(PromQueryFormat.TABLE)
        for ref, expr in refs_of([*exprs])
    ]


def matrix_panel(about: About, query: Query, row: str, column: str) -> Panel:
    """Values of a query as a table with a row and a column for each value of two labels."""
    return (
        begin(table.Panel(), about)
        .show_header(True)
        .targets(table_targets([query.expr]))
        .transformations(
            [
                transformation(
                    "groupingToMatrix", rowField=row, columnField=column, valueField="Value"
                )
            ]
        )
    )


def states_panel(about: About, query: Query) -> Panel:
    """Bands over time, a line for each series and a colour for each state."""
    return (
        begin(statetimeline.Panel(), about)
        .targets([target_of("A", query)])
        .show_value(options.VisibilityMode.NEVER)
        .merge_values(True)
        .row_height(0.8)
        .fill_opacity(80)
        .legend(legend(options.LegendDisplayMode.LIST))
    )


def bars_panel(about: About, label: str, order: str | None, *bars: Column) -> Panel:
    """Groups of bars, one for each value of a label, by the values of the query `order`.

    Without one they are in the order of the label's values.
    """
    columns = (*bars, Column("order", order)) if order else bars
    names = {f"Value #{ref}": column.title for ref, column in refs_of(columns)}
    hidden = [name for name, title in names.items() if title == "order"]
    if len(columns) == 1:
        names = {"Value": bars[0].title}
    return (
        begin(barchart.Panel(), about)
        .color_scheme(builders.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC))
        .targets(table_targets(column.expr for column in columns))
        .transformations(
            [
                transformation("merge"),
                transformation("sortBy", sort=[{"field": hidden[0] if order else label}]),
                transformation(
                    "organize",
                    excludeByName={"Time": True, **dict.fromkeys(hidden, True)},
                    indexByName={},
                    renameByName=names,
                ),
            ]
        )
        .x_field(label)
        .x_tick_label_spacing(0)
        .orientation(options.VizOrientation.VERTICAL)
        .show_value(options.VisibilityMode.NEVER)
        .group_width(0.8)
        .bar_width(0.95)
        .fill_opacity(80)
        .line_width(0)
        .min(0)
        .tooltip(tooltip(options.TooltipDisplayMode.MULTI, options.SortOrder.NONE))
        .legend(legend(options.LegendDisplayMode.LIST))
    )


def tooltip(mode: options.TooltipDisplayMode, sort: options.SortOrder) -> common.VizTooltipOptions:
    return common.VizTooltipOptions().mode(mode).sort(sort)


def legend(mode: options.LegendDisplayMode) -> common.VizLegendOptions:
    """A legend below the panel."""
    below = options.LegendPlacement.BOTTOM
    return common.VizLegendOptions().show_legend(True).display_mode(mode).placement(below)


def begin(panel: _Some, about: About) -> _Some:
    """What every kind of panel begins with."""
    panel.title(about.title).description(about.description).datasource(DATASOURCE)
    panel.span(about.width).height(about.height)
    panel.unit(about.unit).no_value(about.no_value).thresholds(_thresholds(about.steps))
    if about.decimals is not None:
        panel.decimals(about.decimals)
    if about.states is not None:
        panel.mappings([states_map(about.states)])
    return panel


def target_of(ref: str, query: Query) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .datasource(DATASOURCE)
        .editor_mode(QueryEditorMode.CODE)
        .expr(query.expr)
        .legend_format(query.legend)
        .range()
        .ref_id(ref)
    )


_T = TypeVar("_T")


def refs_of(items: Sequence[_T]) -> list[tuple[str, _T]]:
    """Queries are known by letters."""
    return [(chr(ord("A") + index), item) for index, item in enumerate(items)]


def _cell(column: Column) -> list[dashboard.DynamicConfigValue]:
    # A cell without a value isn't worth the sentence that a panel without data has.
    properties = [option("unit", column.unit), option("noValue", "-")]
    if column.steps or column.states:
        properties.append(option("custom.cellOptions", {"type": "color-text"}))
        properties.append(option("thresholds", _thresholds(column.steps).build()))
    if column.states is not None:
        properties.append(option("mappings", [states_map(column.states)]))
    if column.decimals is not None:
        properties.append(option("decimals", column.decimals))
    if column.width is not None:
        properties.append(option("custom.width", column.width))
    return properties


def _thresholds(steps: Steps) -> builders.ThresholdsConfig:
    if not steps or steps[0][0] != -math.inf:
        steps = ((-math.inf, GREEN if steps else NEUTRAL), *steps)
    return (
        builders.ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps(
            [
                dashboard.Threshold(value=None if value == -math.inf else value, color=colour)
                for value, colour in steps
            ]
        )
    )


def states_map(states: States) -> dashboard.ValueMap:
    return dashboard.ValueMap(
        {
            str(value): dashboard.ValueMappingResult(text=text, color=colour, index=index)
            for index, (value, (text, colour)) in enumerate(states.items())
        }
    )


def option(id: str, value: object) -> dashboard.DynamicConfigValue:
    return dashboard.DynamicConfigValue(id_val=id, value=value)


def transformation(id: str, **of: object) -> dashboard.DataTransformerConfig:
    return dashboard.DataTransformerConfig(id_val=id, options=of)
