"""Figures of scores as they are expected to be without labels.

They are made of expected counts as those of `ml_exporter.rules.scores` are of labelled ones; the
twin is `ml_exporter.statistics.scores`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ml_exporter.rules import counts
from ml_exporter.rules.binned_scores import MEANS, BinnedScores
from ml_exporter.rules.counts import Counter
from ml_exporter.rules.groups import Group, Rule
from ml_exporter.rules.promql import union, without
from ml_exporter.rules.shares import SIGNS
from ml_exporter.rules.timing import WINDOWS, Timing
from ml_exporter.statistics.significance import Z_95

AREAS = ("roc_auc", "gini", "average_precision")
LOSSES = ("log_loss", "brier_score")
FIGURES = (*AREAS, *LOSSES)
"""Names of the figures; all have an interval."""

COUNTERS = (
    Counter(
        "ml_estimated_score_values_total",
        "ml_estimated_score_values_total",
        "Predictions, by score bin and by whether they are expected to be of the class,",
    ),
    Counter(
        "ml_estimated_score_cumulative_total",
        "ml_estimated_score_cumulative_total",
        "Predictions with a score up to a bin, by whether they are expected to be of the class,",
    ),
    *(
        Counter(f"ml_{of}_{name}_total", f"ml_{of}_{name}_total", f"{what}, {rows}, by estimator,")
        for of, rows in (
            ("estimated", "of all predictions"),
            ("labelled_estimated", "of predictions whose label came"),
        )
        for name, what in (
            ("scored_predictions", "Predictions with usable scores that an estimator counted"),
            ("log_loss", "Expected log losses"),
            ("log_loss_squared", "Expected squares of the log loss"),
            ("brier_score", "Expected Brier scores"),
            ("brier_score_squared", "Expected squares of the Brier score"),
        )
    ),
)


def groups(timing: Timing) -> Iterable[Group]:
    for window in WINDOWS:
        binned = BinnedScores(
            window,
            counter="ml_estimated_score_values_total",
            cumulative="ml_estimated_score_cumulative_total",
            rows_of="Predictions, in expected parts,",
            prefix="estimated_",
        )
        rules = (
            *counts.of_window(timing, COUNTERS, window),
            *binned.by_baseline(),
            *binned.of_classes(MEANS),
            *_figures(binned),
        )
        yield Group(f"ml-exporter-estimated-scores-{window}", timing.interval(window), rules)


def _figures(binned: BinnedScores) -> Iterable[Rule]:
    window = binned.window
    yield Rule(
        f"model:estimated_performance:{window}",
        "Figures of scores as each estimator expects them, those of bins by the preferred one "
        f"alone, by `monitor` and `estimator`, over {window}.",
        union({**_areas(binned), **_losses("estimated", window)}, "monitor"),
    )
    yield Rule(
        f"model:labelled_estimated_performance:{window}",
        f"Losses of labelled predictions as each estimator expects them, over {window}.",
        union(_losses("labelled_estimated", window), "monitor"),
    )
    for end in SIGNS:
        yield Rule(
            f"model:estimated_performance_{end}:{window}",
            f"{end.capitalize()} end for figures of scores (Hanley & McNeil's; Boyd, Eng & Page's; "
            f"normal of losses, from the expected squares), over {window}.",
            union({**_areas(binned, end), **_ends_of_losses(end, window)}, "monitor"),
        )


def _areas(binned: BinnedScores, end: str = "") -> Mapping[str, str]:
    end = end and f"_{end}"
    auc = binned.of_model(f"roc_auc{end}")
    return {
        "roc_auc": auc,
        "gini": f"2 * {auc} - 1",
        "average_precision": binned.of_model(f"average_precision{end}"),
    }


def _sum(of: str, window: str, kind: str) -> str:
    return without("sum", "baseline_id", f"ml_{of}_{kind}_total:{window}")


def _losses(of: str, window: str) -> Mapping[str, str]:
    rows = _sum(of, window, "scored_predictions")
    return {name: f"{_sum(of, window, name)}\n/ ({rows} > 0)" for name in LOSSES}


def _ends_of_losses(end: str, window: str) -> Mapping[str, str]:
    rows = _sum("estimated", window, "scored_predictions")
    ends = {}
    for name in LOSSES:
        mean = f"{_sum('estimated', window, name)} / ({rows} > 1)"
        squares = _sum("estimated", window, f"{name}_squared")
        ends[name] = (
            f"{mean}\n{SIGNS[end]} {Z_95!r} * sqrt(\n"
            f"  clamp_min({squares} / {rows} - ({mean}) ^ 2, 0)\n  / ({rows} - 1)\n)"
        )
    return ends
