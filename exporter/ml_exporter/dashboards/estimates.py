"""Performance without labels: what is expected, what then came true, and whether to believe it."""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.dashboards.charts import Statement, band_panel, words_panel
from ml_exporter.dashboards.panels import (
    GREEN,
    GREY,
    ORANGE,
    RED,
    About,
    Column,
    Panel,
    Query,
    table_panel,
    timeseries_panel,
)
from ml_exporter.dashboards.performance import references
from ml_exporter.dashboards.selectors import MODEL, of_preferred_estimator
from ml_exporter.rules.estimation import INTERVALS

NO_ESTIMATE = "Needs a baseline with labels, and scores or features to estimate from"

_SIGNIFICANT = ((1, RED),)
_COURSES = (
    ("accuracy", "accuracy", "percentunit"),
    ("f1", "F1", "percentunit"),
    ("roc_auc", "ROC AUC", "percentunit"),
    ("average_precision", "average precision", "percentunit"),
    ("log_loss", "log loss", "none"),
    ("mean_absolute_error", "mean absolute error", "short"),
)


def estimates() -> Iterable[Panel]:
    yield _trust()
    yield _table()
    for name, title, unit in _COURSES:
        yield _course(name, title, unit)
    yield timeseries_panel(
        About(
            "Error of the estimates",
            "What the preferred estimator expected of the labelled predictions, less what came "
            "true of them. Around 0 it is to be believed; lasting above 0 it promises too much.",
            "none",
            width=12,
            height=8,
            decimals=3,
            no_value=NO_ESTIMATE,
        ),
        Query(
            of_preferred_estimator(f"model:estimation_error:${{window}}{{{MODEL}}}"),
            "{{monitor}} {{version}}",
        ),
        low=None,
    )
    yield timeseries_panel(
        About(
            "Drift of the calibration",
            "How far outcomes are from what the baseline's scores promise, over what chance "
            "explains. Above 1 (dashed) the same scores no longer mean the same: concept drift, "
            "which no estimate can see. It needs labels, so it comes as late as they do.",
            "none",
            width=12,
            height=8,
            decimals=2,
            steps=_SIGNIFICANT,
            no_value=NO_ESTIMATE,
        ),
        Query(f"max by (version) (model:calibration_drift:${{window}}{{{MODEL}}})", "{{version}}"),
        limits=True,
    )


def _trust() -> Panel:
    drift = f"max by (version) (model:calibration_drift:${{window}}{{{MODEL}}})"
    worse = f"model:estimated_shortfall:24h{{{MODEL}}}"
    estimated = f"group by (version) (model:preferred_estimator{{{MODEL}}})"
    return words_panel(
        About(
            "Can the estimate be trusted?",
            "Estimates take it for granted that scores (or regions) mean what they meant in the "
            "baseline. While labels say that they do, a drop that is expected will most likely "
            "come true; where labels say that they don't, wait for more of them.",
            width=8,
            height=8,
            no_value=NO_ESTIMATE,
        ),
        Statement(
            f"{drift} > 1",
            "{} times what chance explains: the estimate can't be trusted",
            RED,
        ),
        Statement(f"0 * ({drift} <= 1) + 1", "Outcomes agree with the estimate", GREEN),
        Statement(
            f"{estimated}\nunless on (version) {drift}", "No labels have tested it yet", GREY
        ),
        Statement(
            f"count by (version) (group by (version, monitor) ({worse}))",
            "{} figures expected to be worse than they may be",
            ORANGE,
        ),
    )


def _table() -> Panel:
    by = "version, monitor"

    def estimated(series: str) -> str:
        return of_preferred_estimator(f"{series}:${{window}}{{{MODEL}}}")

    realised = f"max by ({by}) (model:performance:${{window}}{{{MODEL}}})"
    expected = estimated("model:estimated_performance")
    return table_panel(
        About(
            "Expected and realised",
            "What figures of all predictions of the window are expected to be, and of those whose "
            "label came what was expected and what came true: the same rows, so that the error is "
            "the estimator's own. If expected is worse than expected of labelled, a drop is on its "
            "way.",
            width=16,
            height=8,
            decimals=3,
            no_value=NO_ESTIMATE,
        ),
        {"version": "Version", "monitor": "Figure"},
        Column("Expected", expected, "none", decimals=3),
        Column("Lower end", estimated("model:estimated_performance_lower"), "none", decimals=3),
        Column("Upper end", estimated("model:estimated_performance_upper"), "none", decimals=3),
        Column(
            "Expected of labelled",
            estimated("model:labelled_estimated_performance"),
            "none",
            decimals=3,
        ),
        Column("Realised", f"{realised}\nand on ({by})\n{expected}", "none", decimals=3),
        Column("Error", estimated("model:estimation_error"), "none", decimals=3),
    )


def _course(name: str, title: str, unit: str) -> Panel:
    def estimated(end: str = "") -> str:
        return f"model:estimated_{name}{end}:${{window}}{{{MODEL}}}"

    has_interval = name in INTERVALS
    about = About(
        f"Estimated and realised {title}",
        "What is expected of the window's predictions"
        f"{', with its 95 % interval in grey' if has_interval else ''}, and what labels that "
        "arrived in it said. The estimate is ahead by as long as labels take. Dashed are the "
        "baseline's figure and the thresholds.",
        unit,
        height=8,
        decimals=2,
        no_value=NO_ESTIMATE,
    )
    lines = (
        Query(f"max by (version) ({estimated()})", "estimated {{version}}"),
        Query(f"max by (version) (model:{name}:${{window}}{{{MODEL}}})", "realised {{version}}"),
        references(name),
    )
    if not has_interval:
        return timeseries_panel(about, *lines, references=True)
    return band_panel(
        about,
        *lines,
        lower=f"min({estimated('_lower')})",
        upper=f"max({estimated('_upper')})",
        high=1 if unit == "percentunit" else None,
    )
