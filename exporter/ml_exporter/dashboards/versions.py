"""Versions side by side: each against the champion, which has the most predictions."""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.dashboards.judgement import NO_LABELS
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
from ml_exporter.dashboards.selectors import CHOSEN
from ml_exporter.rules.degradation import LEAST_LABELLED
from ml_exporter.rules.versions import MATERIAL

ONE_VERSION = "Only one version has predictions, or no labels have come"

_FIGURES = ("accuracy", "precision", "recall", "f1", "roc_auc", "mean_absolute_error")


def versions() -> Iterable[Panel]:
    yield _side_by_side()
    yield timeseries_panel(
        About(
            "Gap to the champion",
            "By how much a version is worse than the champion, of whichever versions are chosen: "
            "points of accuracy, or (numbers) the growth of the mean absolute error. Below 0 it is "
            "better: promote it. Dashed is where VersionRegression warns, and pages.",
            "percentunit",
            width=12,
            height=8,
            decimals=1,
            steps=((MATERIAL["warning"], ORANGE), (MATERIAL["critical"], RED)),
            no_value=ONE_VERSION,
        ),
        Query(_of_version("model:version_gap:24h"), "{{version}}"),
        low=None,
        limits=True,
    )
    critical = f"max(model:performance_critical_value{{{CHOSEN}}})"
    yield timeseries_panel(
        About(
            "Standard errors to the champion",
            "How sure the gap is: above the needed number (dashed), at the configured rate of "
            "false alarms, it is not chance. Small canaries take long to get there; the gap alone "
            "means little until then.",
            "none",
            width=12,
            height=8,
            decimals=1,
            no_value=ONE_VERSION,
        ),
        Query(_of_version("model:version_z:24h"), "{{version}}"),
        Query(critical, "critical: needed"),
        low=None,
        references=True,
    )


def _of_version(series: str) -> str:
    return f"max by (version) ({series}{{{CHOSEN}}})"


def _side_by_side() -> Panel:
    known = f"group by (version) (model:predictions:24h{{{CHOSEN}}})"
    champion = f"group by (version) (model:champion:7d{{{CHOSEN}}})"
    return table_panel(
        About(
            "Versions side by side",
            "All versions over 24h, by arrival of the label, whichever are chosen. The champion "
            "has the most predictions; of the others it is said by how much they are worse, and "
            "how sure that is. The ends are of the accuracy's 95 % interval. Versions "
            f"with fewer than {LEAST_LABELLED} labels aren't judged.",
            width=24,
            height=8,
            decimals=3,
            no_value=NO_LABELS,
        ),
        {"version": "Version"},
        Column(
            "Is",
            f"{champion}\nor 0 * {known}",
            states={0: ("Challenger", GREY), 1: ("Champion", GREEN)},
            width=110,
        ),
        Column("Predictions", f"sum by (version) (model:predictions:24h{{{CHOSEN}}})"),
        Column("Labelled", f"sum by (version) (model:labelled_predictions:24h{{{CHOSEN}}})"),
        *(
            Column(
                name.replace("_", " ").capitalize() if name != "roc_auc" else "ROC AUC",
                _of_version(f"model:{name}:24h"),
                "none",
                decimals=3,
            )
            for name in _FIGURES
        ),
        Column("Lower end", _of_version("model:accuracy_lower:24h"), "none", decimals=3),
        Column("Upper end", _of_version("model:accuracy_upper:24h"), "none", decimals=3),
        Column("Worse by", _of_version("model:version_gap:24h"), "percentunit", decimals=1),
        Column("Standard errors", _of_version("model:version_z:24h"), "none", decimals=1),
        worst=("Predictions",),
    )
