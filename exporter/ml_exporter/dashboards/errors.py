"""Performance of models that predict numbers: figures of their errors, and how errors spread."""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.dashboards.figures import Figure, course
from ml_exporter.dashboards.panels import About, Column, Panel, Query, bars_panel, timeseries_panel
from ml_exporter.dashboards.selectors import MODEL, union
from ml_exporter.rules.promql import indent

OF_NUMBERS = "Only of models that predict numbers, once labels have come"

_FIGURES = (
    Figure(
        "mean_absolute_error",
        "Mean absolute error",
        "How far predictions are from the truth, in the unit of the truth. A rise while the median "
        "holds comes from few very wrong rows.",
        "short",
        high=None,
        no_value=OF_NUMBERS,
        decimals=3,
    ),
    Figure(
        "root_mean_squared_error",
        "Root mean squared error",
        "As the mean absolute error, but large errors count more. If it rises alone, look at the "
        "largest errors.",
        "short",
        high=None,
        no_value=OF_NUMBERS,
        decimals=3,
    ),
    Figure(
        "mean_absolute_percentage_error",
        "Mean absolute percentage error",
        "Mean of the error as a share of the truth, without rows whose truth is 0. Truths near 0 "
        "dominate it.",
        high=None,
        no_value=OF_NUMBERS,
    ),
    Figure(
        "r2",
        "R²",
        "Share of the truth's variance that predictions explain: 1 is perfect, and at 0 or below "
        "always saying the mean is as good.",
        "none",
        low=None,
        no_value=OF_NUMBERS,
        decimals=3,
    ),
    Figure(
        "median_absolute_error",
        "Median absolute error",
        "Half of the errors are smaller: what a usual row's error is, whatever the outliers.",
        "short",
        high=None,
        no_value=OF_NUMBERS,
        decimals=3,
    ),
    Figure(
        "p90_absolute_error",
        "90th percentile of the absolute error",
        "One error in ten is larger. If it rises and the median holds, one kind of rows fails: "
        "look at segments.",
        "short",
        high=None,
        no_value=OF_NUMBERS,
        decimals=3,
    ),
    Figure(
        "bias",
        "Bias",
        "Mean of prediction less truth. Away from 0, with an interval that leaves 0 out, the model "
        "says too much (above) or too little (below) as a rule: the level of the truth has moved.",
        "short",
        low=None,
        high=None,
        no_value=OF_NUMBERS,
        decimals=3,
    ),
)


def errors() -> Iterable[Panel]:
    for figure in _FIGURES:
        yield course(figure)
    yield timeseries_panel(
        About(
            "Too much and too little",
            "Mean overprediction, and mean underprediction as a negative number. One that grows "
            "alone is a bias; both together are noise.",
            width=6,
            decimals=3,
            no_value=OF_NUMBERS,
        ),
        Query(_of("overprediction"), "too much {{version}}"),
        Query(f"-{_of('underprediction')}", "too little {{version}}"),
        low=None,
    )
    yield _explained()
    yield _spread()


def _of(figure: str) -> str:
    return f"max by (version) (model:{figure}:${{window}}{{{MODEL}}})"


def _explained() -> Panel:
    figures = union(
        {
            "explained variance": _of("explained_variance"),
            "R²": _of("r2"),
        },
        "figure",
    )
    return timeseries_panel(
        About(
            "Explained variance and R²",
            "Explained variance is R² less what a constant correction would mend. Where the two "
            "part, subtract the bias before you retrain.",
            "none",
            width=12,
            height=9,
            decimals=3,
            no_value=OF_NUMBERS,
        ),
        Query(figures, "{{figure}} {{version}}"),
        low=None,
    )


def _spread() -> Panel:
    rows = f"sum by (le) (ml_prediction_error_bucket:${{window}}{{{MODEL}}})"
    everything = f'sum (ml_prediction_error_bucket:${{window}}{{{MODEL},le="+Inf"}})'
    share = f"{rows}\n/ on () group_left ()\n({everything} > 0)"
    named = f'label_replace(\n{indent(share)},\n  "error", "$1", "le", "(.+)"\n)'
    by_edge = f"max by (error) (\n{indent(named)}\n)"
    return bars_panel(
        About(
            "Errors up to",
            "Share of labelled predictions whose absolute error is at most the edge. In the "
            "baseline the bars rise in equal steps: where they start low now, usual rows got "
            "worse; where they stay below 100 %, there are larger errors than it had.",
            "percentunit",
            width=12,
            height=9,
            no_value=OF_NUMBERS,
        ),
        "error",
        by_edge,
        Column("Now", by_edge),
    )
