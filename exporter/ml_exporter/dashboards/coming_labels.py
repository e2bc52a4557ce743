"""How labels come in: how late, of how many predictions, and what they say by day of prediction."""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.dashboards.panels import (
    About,
    Column,
    Panel,
    Query,
    bars_panel,
    table_panel,
    timeseries_panel,
)
from ml_exporter.dashboards.selectors import MODEL

NO_LABELS_JOINED = "No labels joined: the model's labels aren't configured, or none has come"


def coming_labels() -> Iterable[Panel]:
    yield timeseries_panel(
        About(
            "Label delay by quantile",
            "How long after the prediction its label came: half of them within the median. Figures "
            "are about predictions that are at least so old. Delays that grow are a pipeline of "
            "labels that is falling behind.",
            "s",
            no_value=NO_LABELS_JOINED,
        ),
        Query(
            f"max by (version, quantile) (model:label_delay_seconds:${{window}}{{{MODEL}}})",
            "{{quantile}} {{version}}",
        ),
    )
    yield timeseries_panel(
        About(
            "Label coverage",
            "Share of the predictions whose wait ended that got a label. Those that never get one "
            "are seldom like the rest: below a half, figures may be about another population.",
            "percentunit",
            decimals=1,
            no_value=NO_LABELS_JOINED,
        ),
        Query(f"max by (version) (model:label_coverage:${{window}}{{{MODEL}}})", "{{version}}"),
        high=1,
    )
    yield timeseries_panel(
        About(
            "Labels of the window by result",
            "What became of labels. `unmatched` ones have an id that no prediction had; "
            "`corrected` ones contradict a label that was counted, and change no figure.",
            no_value=NO_LABELS_JOINED,
        ),
        Query(f"sum by (result) (ml_labels_total:${{window}}{{{MODEL}}})", "{{result}}"),
        stacked=True,
    )
    yield _figures_by_day()
    yield _days()


def _mean_of_day(figure: str) -> str:
    """Over versions, by labelled predictions."""
    labelled = f"cohort:labelled_predictions{{{MODEL}}}"
    return (
        f"sum by (day) (cohort:{figure}{{{MODEL}}} * {labelled})\n"
        f"/ (sum by (day) ({labelled} and cohort:{figure}{{{MODEL}}}) > 0)"
    )


def _figures_by_day() -> Panel:
    coverage = (
        f"sum by (day) (cohort:labelled_predictions{{{MODEL}}})\n"
        f"/ (sum by (day) (cohort:predictions{{{MODEL}}}) > 0)"
    )
    return bars_panel(
        About(
            "Accuracy by day of prediction",
            "Of the predictions made on a day (UTC), how many are correct, and how many have a "
            "label yet. It shows what a look by arrival hides: the day on which the model began to "
            "fail. Days with little coverage are still filling in.",
            "percentunit",
            width=12,
            height=9,
            decimals=1,
            no_value=NO_LABELS_JOINED,
        ),
        "day",
        None,
        Column("Accuracy", _mean_of_day("accuracy")),
        Column("Coverage", coverage),
    )


def _days() -> Panel:
    def of_day(name: str) -> str:
        return f"max by (version, day) (cohort:{name}{{{MODEL}}})"

    return table_panel(
        About(
            "Days of prediction",
            "The same by version, with the ends of the accuracy's 95 % interval, the latest day "
            "first. A day whose interval is below those of the days before is worse than chance "
            "makes a day. Days older than 35 are withdrawn.",
            width=12,
            height=9,
            decimals=3,
            no_value=NO_LABELS_JOINED,
        ),
        {"day": "Day", "version": "Version"},
        Column("Predictions", f"sum by (version, day) (cohort:predictions{{{MODEL}}})"),
        Column("Coverage", of_day("coverage"), "percentunit", decimals=0),
        Column("Accuracy", of_day("accuracy"), "none", decimals=3),
        Column("Lower end", of_day("accuracy_lower"), "none", decimals=3),
        Column("Upper end", of_day("accuracy_upper"), "none", decimals=3),
        Column("Precision", of_day("precision"), "none", decimals=3),
        Column("Recall", of_day("recall"), "none", decimals=3),
        Column("Mean absolute error", of_day("mean_absolute_error"), "none", decimals=3),
        worst=("Day",),
    )
