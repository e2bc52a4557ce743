"""Performance on the overview: figures against baseline and thresholds, and what they rest on."""

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
    matrix_panel,
    table_panel,
    timeseries_panel,
)
from ml_exporter.dashboards.selectors import MODEL
from ml_exporter.rules.degradation import LEAST_LABELLED
from ml_exporter.rules.performance import METRICS

_FIGURE = "version, monitor"
_MEANINGS = {
    "accuracy": "Share of labelled predictions that are correct.",
    "precision": "Of those predicted to be of the positive class, how many are. A fall means more "
    "false alarms.",
    "recall": "Of those of the positive class, how many were predicted to be. A fall means more "
    "cases are missed.",
    "specificity": "Of those not of the positive class, how many were not predicted to be.",
    "f1": "The harmonic mean of precision and recall.",
}


def performance() -> Iterable[Panel]:
    yield _figures()
    yield _versions()
    for metric in METRICS:
        yield _course(metric)
    yield timeseries_panel(
        About(
            "Labels behind the figures",
            "Labelled predictions in the window. Figures that rest on fewer than "
            f"{LEAST_LABELLED} (the dashed line) are noise, and don't alert.",
            steps=((-math.inf, RED), (LEAST_LABELLED, GREEN)),
        ),
        Query(
            f"sum by (version) (model:labelled_predictions:${{window}}{{{MODEL}}})", "{{version}}"
        ),
        limits=True,
    )
    yield classes()
    yield confusion_matrix()


def _figures() -> Panel:
    def of_version(series: str) -> str:
        return f"max by ({_FIGURE}) ({series})"

    now = of_version(f"model:performance:${{window}}{{{MODEL}}}")
    of_baseline = f'ml_baseline_performance{{{MODEL},class=""}}'
    baseline = of_version(f'label_replace({of_baseline}, "monitor", "$1", "metric", "(.*)")')
    limits = {
        severity: f'model:threshold{{{MODEL},severity="{severity}"}}'
        for severity in ("warning", "critical")
    }
    above_figure = f"> bool on ({_FIGURE}) group_left () {now}"
    return table_panel(
        About(
            "Figures against their thresholds",
            "Each figure over the window, beside the baseline's and the thresholds. Binary models: "
            "of the positive class; multiclass: the mean over classes. The window is by arrival of "
            "the label. Below a threshold, look at drift and integrity for the cause.",
            width=12,
            height=8,
            decimals=3,
        ),
        {"version": "Version", "monitor": "Figure"},
        Column(
            "State",
            f"max by ({_FIGURE}) (\n"
            f"  2 * ({limits['critical']}\n    {above_figure})\n"
            f"  or {limits['warning']}\n    {above_figure}\n)",
            states=STATES,
            width=90,
        ),
        Column("Now", now, "none", decimals=3),
        Column("Baseline", baseline, "none", decimals=3),
        Column(
            "Change",
            f"{now} - {baseline}",
            "none",
            steps=((-math.inf, RED), (-0.1, ORANGE), (-0.05, GREEN)),
            decimals=3,
        ),
        Column("Warning below", of_version(limits["warning"]), "none", decimals=3),
        Column("Critical below", of_version(limits["critical"]), "none", decimals=3),
        worst=("State",),
    )


def _versions() -> Panel:
    baseline = "version, baseline_id, state"
    return table_panel(
        About(
            "Versions",
            "Versions of the model, the baseline each is judged by, and the window's rows. Two "
            "baselines for one version mean that replicas were given different files.",
            width=12,
            height=8,
        ),
        {"version": "Version", "baseline_id": "Baseline", "state": "Baseline is"},
        *(
            Column(
                title,
                f"sum by (version) (model:{metric}:${{window}}{{{MODEL}}})\n"
                f"* on (version) group_right ()\n"
                f"group by ({baseline}) (ml_baseline_info{{{MODEL}}})",
            )
            for title, metric in (
                ("Predictions", "predictions"),
                ("Labelled", "labelled_predictions"),
            )
        ),
        worst=("Predictions",),
    )


def _course(metric: str) -> Panel:
    return timeseries_panel(
        About(
            metric.capitalize(),
            f"{_MEANINGS[metric]} Over the window, by arrival of the label; dashed are the "
            "baseline's figure and the thresholds. A step at a release is the version's; a slow "
            "fall is drift.",
            "percentunit",
            decimals=1,
        ),
        Query(f"max by (version) (model:{metric}:${{window}}{{{MODEL}}})", "{{version}}"),
        references(metric),
        low=None,
        high=1,
        references=True,
    )


def references(metric: str) -> Query:
    """The baseline's figure and the thresholds, to be drawn beside a figure."""
    of_baseline = f'ml_baseline_performance{{{MODEL},metric="{metric}",class=""}}'
    limit = f'model:threshold{{{MODEL},monitor="{metric}"}}'
    return Query(
        f'label_replace(max by (version) ({of_baseline}), "line", "baseline", "", "")\n'
        f"or label_replace(\n  max by (version, severity) ({limit}),\n"
        '  "line", "$1", "severity", "(.*)"\n)',
        "{{line}} {{version}}",
    )


def classes() -> Panel:
    return table_panel(
        About(
            "Classes",
            "The figures of each class over the window, and how many labelled predictions are of "
            "it (support). A class with few of them moves by chance.",
            width=12,
            height=8,
        ),
        {"version": "Version", "class": "Class"},
        Column("Support", f"sum by (version, class) (class:support:${{window}}{{{MODEL}}})"),
        *(
            Column(
                metric.capitalize(),
                f"max by (version, class) (class:{metric}:${{window}}{{{MODEL}}})",
                "none",
                decimals=3,
            )
            for metric in METRICS[1:]
        ),
        worst=("Support",),
    )


def confusion_matrix() -> Panel:
    return matrix_panel(
        About(
            "Confusion matrix",
            "Labelled predictions of the window: a row for each actual class, a column for each "
            "predicted one. It says which mistakes a falling figure consists of.",
            width=12,
            height=8,
        ),
        Query(f"sum by (actual, predicted) (ml_outcomes_total:${{window}}{{{MODEL}}})"),
        row="actual",
        column="predicted",
    )
