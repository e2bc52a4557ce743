"""Segments: where a model fails, what explains its drop, and whether it is fair."""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.dashboards.panels import (
    GREEN,
    ORANGE,
    RED,
    STATES,
    About,
    Column,
    Panel,
    Query,
    table_panel,
    timeseries_panel,
)
from ml_exporter.dashboards.selectors import MODEL
from ml_exporter.rules.segments import LEAST_LABELLED
from ml_exporter.statistics.fairness import LEAST_ROWS

NO_SEGMENTS = "No segments: see segments in the configuration; regions need a baseline with labels"
NOT_PROTECTED = "No field of segments is marked as protected, or no two segments have enough rows"

_OF_SEGMENT = "version, segment_field, segment"
_OF_FIELD = "version, segment_field"
_SIGNIFICANT = ((2, ORANGE), (4.5, RED))
_MOST = 5


def segments() -> Iterable[Panel]:
    yield _worst()
    gap = f"segment:performance_gap:${{window}}{{{MODEL}}}"
    enough = f"segment:labelled_predictions:${{window}}{{{MODEL}}} >= {LEAST_LABELLED}"
    at_end = (
        f"{gap} @ end()\n"
        f"  and segment:labelled_predictions:${{window}}{{{MODEL}}} @ end() >= {LEAST_LABELLED}"
    )
    yield timeseries_panel(
        About(
            f"Gap of the {_MOST} worst segments",
            "By how much each is worse than all segments of its field together: points of "
            "accuracy, or (numbers) the growth of the mean absolute error. A gap that was always "
            "there is a hard segment; one that opens has broken.",
            "percentunit",
            width=12,
            height=9,
            decimals=1,
            no_value=NO_SEGMENTS,
        ),
        Query(
            f"max by ({_OF_SEGMENT}) ({gap} and {enough})\n"
            f"and on (segment_field, segment)\n"
            f"topk({_MOST}, max by (segment_field, segment) ({at_end}))",
            "{{segment_field}} {{segment}} {{version}}",
        ),
        low=None,
    )
    yield timeseries_panel(
        About(
            "Predictions by segment",
            "How traffic spreads over segments, the ten largest. A figure of the whole model can "
            "move because a hard segment grew, while every segment holds.",
            width=12,
            height=9,
            no_value=NO_SEGMENTS,
        ),
        Query(
            "topk(10, sum by (segment_field, segment) "
            f"(segment:predictions:${{window}}{{{MODEL}}}))",
            "{{segment_field}} {{segment}}",
        ),
    )
    yield _fairness()
    yield _protected()


def _worst() -> Panel:
    def of_segment(series: str) -> str:
        return f"max by ({_OF_SEGMENT}) ({series}{{{MODEL}}})"

    figures = " or ".join(
        of_segment(f"segment:{name}:24h") for name in ("accuracy", "mean_absolute_error")
    )
    short = {
        severity: f'segment:shortfall{{{MODEL},severity="{severity}"}}'
        for severity in ("warning", "critical")
    }
    return table_panel(
        About(
            "Segments, the worst first",
            "Each segment over 24h against its own baseline (the model's where it has none). Its "
            "share in the drop says what to mend first: near 100 %, the model is fine elsewhere; "
            "spread evenly, look at the model or the whole feed. Regions are found by themselves. "
            f"Under {LEAST_LABELLED} labels, or 2 standard errors, it may be chance.",
            width=24,
            height=10,
            decimals=3,
            no_value=NO_SEGMENTS,
        ),
        {"version": "Version", "segment_field": "Segments of", "segment": "Segment"},
        Column(
            "State",
            f"max by ({_OF_SEGMENT}) (\n"
            f"  2 * ({short['critical']} > bool 0)\n"
            f"  or ignoring (severity) ({short['warning']} > bool 0)\n"
            f"  or ignoring (severity) 0 * segment:labelled_predictions:24h{{{MODEL}}}\n)",
            states=STATES,
            width=90,
        ),
        Column("Figure", figures, "none", decimals=3),
        Column("Lower end", of_segment("segment:accuracy_lower:24h"), "none", decimals=3),
        Column("Upper end", of_segment("segment:accuracy_upper:24h"), "none", decimals=3),
        Column("Expected", of_segment("segment:reference"), "none", decimals=3),
        Column("Worse by", of_segment("segment:drop:24h"), "percentunit", decimals=1),
        Column(
            "Standard errors", of_segment("segment:drop_z:24h"), "none", _SIGNIFICANT, decimals=1
        ),
        Column(
            "Share in the drop", of_segment("segment:drop_share:24h"), "percentunit", decimals=0
        ),
        Column(
            "Gap to the rest", of_segment("segment:performance_gap:24h"), "percentunit", decimals=1
        ),
        Column("Predictions", of_segment("segment:predictions:24h")),
        Column("Labelled", of_segment("segment:labelled_predictions:24h")),
        worst=("State", "Share in the drop"),
    )


def _fairness() -> Panel:
    def of_field(name: str) -> str:
        return f"max by ({_OF_FIELD}) (model:{name}:${{window}}{{{MODEL}}})"

    return table_panel(
        About(
            "Fairness of protected fields",
            "How differently the model treats segments of a protected field. Parity: the greatest "
            "difference of positive rates. Disparate impact: the least rate over the greatest; "
            "below 80 % is the four-fifths rule of US law. Opportunity: the greatest difference of "
            f"recall. Segments under {LEAST_ROWS} rows don't count.",
            width=12,
            height=9,
            decimals=3,
            no_value=NOT_PROTECTED,
        ),
        {"version": "Version", "segment_field": "Segments of"},
        Column(
            "Parity difference",
            of_field("statistical_parity_difference"),
            "none",
            ((0.1, ORANGE), (0.2, RED)),
            decimals=3,
        ),
        Column(
            "Disparate impact",
            f"min by ({_OF_FIELD}) (model:disparate_impact:${{window}}{{{MODEL}}})",
            "percentunit",
            ((0, RED), (0.8, GREEN)),
            decimals=0,
        ),
        Column(
            "Opportunity difference",
            of_field("equal_opportunity_difference"),
            "none",
            ((0.1, ORANGE), (0.2, RED)),
            decimals=3,
        ),
    )


def _protected() -> Panel:
    def of_segment(name: str) -> str:
        return f"max by ({_OF_SEGMENT}) (segment:{name}:${{window}}{{{MODEL}}})"

    return table_panel(
        About(
            "Segments of protected fields",
            "Positive rate and recall of each segment: which of them is treated otherwise. A lower "
            "rate at equal recall may be the world's; lower recall is the model's.",
            width=12,
            height=9,
            decimals=3,
            no_value=NOT_PROTECTED,
        ),
        {"version": "Version", "segment_field": "Segments of", "segment": "Segment"},
        Column("Positive rate", of_segment("positive_rate"), "percentunit", decimals=1),
        Column("Recall", of_segment("recall"), "percentunit", decimals=1),
        worst=("Positive rate",),
    )
