"""Figures of performance with their intervals: all in a table, and each over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ml_exporter.dashboards.charts import band_panel
from ml_exporter.dashboards.judgement import NO_LABELS
from ml_exporter.dashboards.panels import About, Column, Panel, Query, table_panel, timeseries_panel
from ml_exporter.dashboards.performance import classes, confusion_matrix, references
from ml_exporter.dashboards.selectors import MODEL

_OF_FIGURE = "version, monitor"
OF_CLASSES = "Only of models that predict classes, once labels have come"
OF_RANKS = "Only of models that rank classes or items, once labels have come"
OF_SCORES = "Only of models whose scores are read, once labels have come"


@dataclass(frozen=True)
class Figure:
    """A figure over time: what a look at it tells, and what it can be."""

    name: str
    title: str
    meaning: str
    unit: str = "percentunit"
    low: float | None = 0
    high: float | None = 1
    no_value: str = OF_CLASSES
    decimals: int = 1
    has_interval: bool = True


FIGURES = (
    Figure(
        "accuracy",
        "Accuracy",
        "Share of labelled predictions that are correct. Constant is what always saying the "
        "commonest class would have: a model below it is worthless.",
    ),
    Figure(
        "balanced_accuracy",
        "Balanced accuracy",
        "The mean of the classes' recall: as accuracy, if all classes were equally common. Half "
        "(of two classes) is chance. If it falls and accuracy doesn't, a rare class suffers.",
    ),
    Figure(
        "matthews_correlation",
        "Matthews correlation",
        "Correlation of actual and predicted class: 1 is perfect, 0 is chance, below 0 something "
        "is the wrong way round. The fairest single figure where classes are unequal.",
        "none",
        low=None,
        decimals=3,
    ),
    Figure(
        "f1",
        "F1",
        "The harmonic mean of precision and recall. If it falls, look which of the two did.",
    ),
    Figure(
        "precision",
        "Precision",
        "Of those predicted to be of the positive class, how many are. A fall means more false "
        "alarms.",
    ),
    Figure(
        "recall",
        "Recall",
        "Of those of the positive class, how many were predicted to be. A fall means more cases "
        "are missed.",
    ),
    Figure(
        "specificity",
        "Specificity",
        "Of those not of the positive class, how many were not predicted to be.",
    ),
    Figure(
        "negative_predictive_value",
        "Negative predictive value",
        "Of those not predicted to be of the positive class, how many are not: how far a no can be "
        "trusted.",
    ),
    Figure(
        "roc_auc",
        "Area under the ROC curve",
        "How likely a row of the class has a higher score than one that isn't of it: half is "
        "chance. It doesn't depend on the cut. If it holds while precision or recall falls, move "
        "the cut; if it falls, the model has lost its knowledge.",
        "none",
        no_value=OF_SCORES,
        decimals=3,
    ),
    Figure(
        "average_precision",
        "Average precision",
        "Area under the curve of precision and recall: the share of the class is chance. Where the "
        "class is rare it tells more than ROC AUC does.",
        "none",
        no_value=OF_SCORES,
        decimals=3,
    ),
    Figure(
        "log_loss",
        "Log loss",
        "Mean of -log(score of what came true), lower is better: it punishes being sure and "
        "wrong. A rise alone, with ROC AUC steady, is lost calibration.",
        "none",
        high=None,
        no_value=OF_SCORES,
        decimals=3,
    ),
    Figure(
        "brier_score",
        "Brier score",
        "Mean squared distance of scores from what came true, lower is better.",
        "none",
        high=None,
        no_value=OF_SCORES,
        decimals=3,
    ),
)

_RECIPROCAL_RANK = Figure(
    "mean_reciprocal_rank",
    "Mean reciprocal rank",
    "Mean of 1 / rank of the truth among classes or recommended items: 1 is always first.",
    "none",
    no_value=OF_RANKS,
    decimals=3,
)


def figures() -> Iterable[Panel]:
    yield _table()
    for figure in FIGURES:
        yield course(figure)
    yield classes()
    yield confusion_matrix()
    yield course(_RECIPROCAL_RANK, width=8)
    for name, title, meaning in (
        (
            "top_k_accuracy",
            "Accuracy among the first k",
            "How often the truth is among the k likeliest classes, or the k items recommended "
            "first (the hit rate).",
        ),
        (
            "ndcg",
            "Discounted gain among the first k",
            "NDCG@k: like the hit rate, but a truth that is further down counts less.",
        ),
    ):
        yield timeseries_panel(
            About(
                title,
                f"{meaning} If k = 1 falls and the others hold, the right answer is still near the "
                "top.",
                "percentunit",
                decimals=1,
                no_value=OF_RANKS,
            ),
            Query(
                f"max by (version, k) (model:{name}:${{window}}{{{MODEL}}})",
                "k = {{k}} {{version}}",
            ),
            high=1,
        )


def course(figure: Figure, width: int = 6) -> Panel:
    """A figure over time, beside the baseline's and thresholds, with its interval in grey."""

    def of(end: str) -> str:
        return f"model:{figure.name}{end}:${{window}}{{{MODEL}}}"

    lines = [Query(f"max by (version) ({of('')})", "{{version}}"), references(figure.name)]
    if figure.name == "accuracy":
        constant = f"model:constant_accuracy:${{window}}{{{MODEL}}}"
        lines.append(Query(f"max by (version) ({constant})", "constant {{version}}"))
    interval = "Grey is the 95 % interval (of all chosen versions together); dashed are"
    about = About(
        figure.title,
        f"{figure.meaning} {interval if figure.has_interval else 'Dashed are'} the baseline's "
        "figure and the thresholds.",
        figure.unit,
        width=width,
        decimals=figure.decimals,
        no_value=figure.no_value,
    )
    if not figure.has_interval:
        return timeseries_panel(about, *lines, low=figure.low, high=figure.high, references=True)
    return band_panel(
        about,
        *lines,
        lower=f"min({of('_lower')})",
        upper=f"max({of('_upper')})",
        low=figure.low,
        high=figure.high,
    )


def _table() -> Panel:
    def of_version(series: str) -> str:
        return f"max by ({_OF_FIGURE}) ({series})"

    def limit(severity: str) -> str:
        return of_version(f'model:threshold{{{MODEL},severity="{severity}"}}')

    now = of_version(f"model:performance:${{window}}{{{MODEL}}}")
    of_baseline = f'ml_baseline_performance{{{MODEL},class=""}}'
    labels = f"max by (version) (model:labelled_predictions:${{window}}{{{MODEL}}})"
    return table_panel(
        About(
            "Figures and how sure they are",
            "Each figure over the window and the ends of its 95 % interval, beside the baseline's "
            "and the thresholds. Rows behind are what the figure is a share of: precision rests on "
            "those predicted positive alone. An interval that holds the baseline's figure shows no "
            "change.",
            width=24,
            height=12,
            decimals=3,
            no_value=NO_LABELS,
        ),
        {"version": "Version", "monitor": "Figure"},
        Column("Now", now, "none", decimals=3),
        Column(
            "Lower end",
            of_version(f"model:performance_lower:${{window}}{{{MODEL}}}"),
            "none",
            decimals=3,
        ),
        Column(
            "Upper end",
            of_version(f"model:performance_upper:${{window}}{{{MODEL}}}"),
            "none",
            decimals=3,
        ),
        Column(
            "Baseline",
            of_version(f'label_replace({of_baseline}, "monitor", "$1", "metric", "(.*)")'),
            "none",
            decimals=3,
        ),
        Column("Warning", limit("warning"), "none", decimals=3),
        Column("Critical", limit("critical"), "none", decimals=3),
        Column(
            "Rows behind",
            f"{of_version(f'model:trials:${{window}}{{{MODEL}}}')}\n"
            f"or 0 * {now} + on (version) group_left ()\n{labels}",
        ),
    )
