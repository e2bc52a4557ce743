"""The top of the overview: which model is unwell, since when, and whether we can know."""

from __future__ import annotations

import math
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
    stat_panel,
    states_panel,
    table_panel,
)
from ml_exporter.dashboards.selectors import (
    CHOSEN,
    FLEET,
    MODEL,
    MODEL_KEYS,
    alerts,
    alerts_since,
    severities,
    state,
)
from ml_exporter.rules import Links
from ml_exporter.rules.integrity import REJECTED
from ml_exporter.rules.promql import indent

UID = "ml-exporter-overview"

_TARGET = "cluster, namespace, job, instance"
_ALERT_KEYS = "alertname, severity, cluster, namespace, job, model, version"

_OF_A_MODEL, _OF_MODEL = 'model!=""', 'model="$model"'

_UP = ((-math.inf, RED), (1e-9, ORANGE), (1, GREEN))
_AGE = ((3600, ORANGE), (86400, RED))
_LAG = ((60, ORANGE), (600, RED))
_REJECTED = ((REJECTED["warning"], ORANGE), (REJECTED["critical"], RED))


def _up(selector: str, by: str) -> str:
    """The share of targets that are up, of those that fed a model within a day."""
    return (
        f"avg by ({by}) (\n  last_over_time(ml_model_info{{{selector}}}[1d])\n"
        f"  * on ({_TARGET}) group_left () max by ({_TARGET}) (up{{{FLEET}}})\n)"
    )


def _age(selector: str, by: str) -> str:
    """Seconds since the last prediction, known for a day after an exporter went down."""
    last = f"last_over_time(ml_last_prediction_timestamp_seconds{{{selector}}}[1d])"
    return f"time() - max by ({by}) ({last})"


def _labelled(selector: str, by: str) -> str:
    return (
        f"sum by ({by}) (model:labelled_predictions:${{window}}{{{selector}}})\n"
        f"/ clamp_min(sum by ({by}) (model:predictions:${{window}}{{{selector}}}), 1)"
    )


def fleet(links: Links) -> Iterable[Panel]:
    """All models, whichever one is chosen."""
    known = f"model:info{{{FLEET}}}"
    yield table_panel(
        About(
            "Models",
            "Every model, the worst first, by its firing alerts; figures are of its worst version. "
            "Click a name to see that model below. A row without figures is one whose exporter "
            "can't be reached, or that had no traffic in the window.",
            width=24,
        ),
        {
            "model": "Model",
            "cluster": "Cluster",
            "namespace": "Namespace",
            "job": "Job",
        },
        Column("State", state(known, MODEL_KEYS, _OF_A_MODEL), states=STATES, width=90),
        Column(
            "Alerts",
            f"count by ({MODEL_KEYS}) ({alerts(_OF_A_MODEL)})\n"
            f"or 0 * group by ({MODEL_KEYS}) ({known})",
            steps=((1, ORANGE),),
            width=80,
        ),
        Column("Targets up", _up(FLEET, MODEL_KEYS), "percentunit", _UP, width=100),
        Column("Last prediction", _age(FLEET, MODEL_KEYS), "s", _AGE, decimals=0),
        Column(
            "Behind the log",
            f"max by ({MODEL_KEYS}) (ml_source_lag_seconds{{{FLEET}}})",
            "s",
            _LAG,
            decimals=0,
        ),
        Column(
            "Predictions per minute",
            f"sum by ({MODEL_KEYS}) (ml_predictions_total:1m{{{FLEET}}})",
        ),
        Column("Labelled", _labelled(FLEET, MODEL_KEYS), "percentunit", decimals=0),
        Column(
            "Accuracy",
            f"min by ({MODEL_KEYS}) (model:accuracy:${{window}}{{{FLEET}}})",
            "percentunit",
            decimals=1,
        ),
        Column(
            "Drifted fields",
            f"max by ({MODEL_KEYS}) (model:drifted_fields:${{window}}{{{FLEET}}})",
            steps=((1, ORANGE),),
        ),
        Column(
            "Rejected rows",
            f"max by ({MODEL_KEYS}) (model:rejected_ratio:${{window}}{{{FLEET}}})",
            "percentunit",
            _REJECTED,
            decimals=1,
        ),
        worst=("State", "Alerts"),
        links={
            "Model": (
                "Show this model",
                f"/d/{UID}?var-model=${{__data.fields.Model:percentencode}}&${{__url_time_range}}",
            )
        },
    )
    yield table_panel(
        About(
            "Firing alerts",
            "What is firing now for any model, and since when it was true. Click an alert for its "
            "runbook.",
            width=12,
            no_value="No alert is firing",
        ),
        {
            "severity": "Severity",
            "alertname": "Alert",
            "model": "Model",
            "version": "Version",
            "cluster": "Cluster",
            "namespace": "Namespace",
            "job": "Job",
        },
        Column(
            "Since",
            f"1000 * max by ({_ALERT_KEYS}) (\n{indent(alerts_since())}\n)",
            "dateTimeFromNow",
        ),
        worst=("Since",),
        links={"Alert": ("Runbook", links.runbook("${__data.fields.Alert}"))},
    )
    yield states_panel(
        About(
            "Alerts over time",
            "When which alert was firing. One that comes and goes together with another is often "
            "its consequence: broken values cause drift, and drift costs performance.",
            width=12,
            states={state: name for state, name in STATES.items() if state},
            no_value="No alert has fired",
        ),
        Query(
            f"max by (alertname, {MODEL_KEYS}, version) (\n{indent(severities())}\n)",
            "{{alertname}} {{model}} {{version}}",
        ),
    )


def model() -> Iterable[Panel]:
    """The chosen model, now."""
    yield stat_panel(
        About(
            "State",
            "The gravest alert that is firing for this model, of any version. Its runbook is "
            "linked from the table above.",
            states=STATES,
            width=4,
            height=4,
        ),
        Query(state(f"model:info{{{CHOSEN}}}", "model", _OF_MODEL), "state"),
    )
    yield stat_panel(
        About(
            "Exporter targets up",
            "The share of the scrape targets which fed this model within a day that can be "
            "scraped now. Below 100 %, rows are missing from all figures: look at the pods.",
            "percentunit",
            steps=_UP,
            width=4,
            height=4,
        ),
        Query(_up(MODEL, "model"), "up"),
    )
    yield stat_panel(
        About(
            "Last prediction",
            "How long ago the latest prediction was made, by its own timestamp. If it grows while "
            "the exporter is up, the model gets no traffic or its log isn't written.",
            "s",
            steps=_AGE,
            decimals=0,
            width=4,
            height=4,
        ),
        Query(_age(MODEL, "model"), "age"),
    )
    yield stat_panel(
        About(
            "Behind the log",
            "How long there have been bytes in the model's log that aren't counted yet. If it "
            "grows, the exporter can't keep up: see its own section below.",
            "s",
            steps=_LAG,
            decimals=0,
            width=4,
            height=4,
        ),
        Query(f"max(ml_source_lag_seconds{{{CHOSEN}}})", "lag"),
    )
    yield stat_panel(
        About(
            "Predictions per minute",
            "Rows that were accepted in the last minute, exactly, and over the time range. A "
            "sudden fall is an outage upstream, or rows that are rejected.",
            width=4,
            height=4,
        ),
        Query(f"sum(ml_predictions_total:1m{{{MODEL}}})", "predictions"),
        history=True,
    )
    yield stat_panel(
        About(
            "Labelled share",
            "Labels that arrived within the window, per prediction made within it. Labels of "
            "earlier predictions count too, so it can exceed 100 %. At 0, performance is unknown: "
            "look at drift.",
            "percentunit",
            decimals=0,
            width=4,
            height=4,
        ),
        Query(_labelled(MODEL, "model"), "labelled"),
    )
