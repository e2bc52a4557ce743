"""Figures of scores, and the curves of their charts, from labelled rows counted by score bin.

The twin is `ml_exporter.statistics.scores`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules import counts
from ml_exporter.rules.binned_scores import MEANS, BinnedScores, baseline_ties
from ml_exporter.rules.counts import Counter
from ml_exporter.rules.groups import Group, Rule
from ml_exporter.rules.means import mean_figure
from ml_exporter.rules.promql import indent, with_label, without
from ml_exporter.rules.timing import WINDOWS, Timing, duration

FIGURES = (
    *("roc_auc", "gini", "average_precision"),
    *("log_loss", "brier_score", "expected_calibration_error"),
)
"""Recorded as `model:NAME:WINDOW`."""
INTERVALS = ("roc_auc", "gini", "average_precision", "log_loss", "brier_score")
"""Those that have `model:NAME_lower:WINDOW` and `model:NAME_upper:WINDOW`."""

COUNTERS = (
    Counter(
        "ml_labelled_score_values_total",
        "ml_labelled_score_values_total",
        "Labelled predictions, by score bin and by whether they are of the class,",
    ),
    Counter(
        "ml_labelled_score_bucket",
        "ml_labelled_score_bucket",
        "Labelled predictions with a score up to `le`, by whether they are of the class,",
    ),
    Counter(
        "ml_labelled_score_bin_sum_total",
        "ml_labelled_score_bin_sum_total",
        "Sum of the scores of labelled predictions, by bin,",
    ),
    Counter(
        "ml_scored_predictions_total",
        "model:scored_predictions",
        "Labelled predictions with usable scores",
        # Without them, sums of losses are taken to be of all labelled predictions.
        "model:labelled_predictions:%s\nand\n(ml_log_loss_total:%s or ml_brier_score_total:%s)",
    ),
    Counter("ml_log_loss_total", "ml_log_loss_total", "Sum of log losses"),
    Counter("ml_log_loss_squared_total", "ml_log_loss_squared_total", "Squared log losses"),
    Counter("ml_brier_score_total", "ml_brier_score_total", "Sum of Brier scores"),
    Counter("ml_brier_score_squared_total", "ml_brier_score_squared_total", "Squared Brier scores"),
    Counter(
        "ml_score_violations_total",
        "ml_score_violations_total",
        "Predictions with scores that can't be right, by kind,",
    ),
)

_MEANS = {**MEANS, "expected_calibration_error": "Expected calibration error"}


def groups(timing: Timing) -> Iterable[Group]:
    yield Group("ml-exporter-scores", duration(timing.minute), (baseline_ties(timing),))
    for window in WINDOWS:
        binned = _binned(window)
        rules = (
            *counts.of_window(timing, COUNTERS, window),
            *binned.by_baseline(),
            _calibration_error(binned),
            *binned.of_classes(_MEANS),
            *_of_models(binned),
            *_losses(window),
            *_gain(binned),
            *_calibration(binned),
        )
        yield Group(f"ml-exporter-scores-{window}", timing.interval(window), rules)


def _binned(window: str) -> BinnedScores:
    return BinnedScores(
        window,
        counter="ml_labelled_score_values_total",
        cumulative="ml_labelled_score_bucket",
        rows_of="Labelled predictions",
        by_le=True,
    )


def _up_to(window: str, actual: str = "") -> str:
    """Rows of a bin and of all below, by `le`."""
    selector = f'{{actual="{actual}"}}' if actual else ""
    return without("sum", "actual", f"ml_labelled_score_bucket:{window}{selector}")


def _calibration_error(of: BinnedScores) -> Rule:
    off = f"abs(\n  ml_labelled_score_bin_sum_total:{of.window}\n  - {of.in_bin('true')}\n)"
    return Rule(
        of.record("expected_calibration_error"),
        "Mean distance of the mean score of a bin from its share of the class, by the bins of one "
        f"baseline, over {of.window}.",
        f"{without('sum', 'bin', off)}\n/ {of.rows}",
    )


def _of_models(of: BinnedScores) -> Iterable[Rule]:
    window = of.window
    for metric, what in _MEANS.items():
        yield Rule(
            f"model:{metric}:{window}",
            f"{what}. Binary: of the positive class. Multiclass: the mean over the classes that "
            f"have it. Over {window}.",
            of.of_model(metric),
        )
    for end, what in (
        ("", "Gini coefficient of the ROC curve, twice the area less 1"),
        ("_lower", "Lower end of its 95 % interval"),
        ("_upper", "Upper end of its 95 % interval"),
    ):
        yield Rule(
            f"model:gini{end}:{window}",
            f"{what}, over {window}.",
            f"2 * model:roc_auc{end}:{window} - 1",
        )


def _losses(window: str) -> Iterable[Rule]:
    for metric, what in (("log_loss", "Log loss"), ("brier_score", "Brier score")):
        yield from mean_figure(
            metric,
            f"{what}: the mean over labelled predictions with usable scores",
            f"ml_{metric}_total:{window}",
            f"ml_{metric}_squared_total:{window}",
            f"model:scored_predictions:{window}",
            window,
        )


def _gain(of: BinnedScores) -> Iterable[Rule]:
    window, positives, negatives = of.window, of.positives, of.negatives

    def share_above(total: str, actual: str = "") -> str:
        """Share of rows above `le`, of all from -infinity on."""
        everything = with_label(f"0 * ({total} > 0) + 1", "le", "-Inf")
        up_to = f"{_up_to(window, actual)}\n/ ignoring (le) group_left () ({total} > 0)"
        return f"1 - (\n{indent(up_to)}\n)\nor\n{everything}"

    population, captured = f"gain:population:{window}", f"gain:captured:{window}"
    lift = f"gain:lift:{window}"
    for record, help, expr in (
        (population, "Share of labelled predictions with a score above `le`.",
         share_above(f"({positives} + {negatives})")),
        (captured, "Share of the class with a score above `le`: also the true-positive rate of the "
         "ROC curve, and recall.", share_above(positives, "true")),
        (lift, "How many times as many of those with a score above `le` are of the class, as of "
         "all.", f"{captured} / ({population} > 0)"),
        (f"curve:false_positive_rate:{window}",
         "Share of those not of the class with a score above `le`.",
         share_above(negatives, "false")),
        (f"curve:precision:{window}",
         "Share of the class among those with a score above `le`.",
         f"{lift}\n* ignoring (le) group_left ()\n({positives} / {of.rows})"),
    ):  # fmt: skip
        yield Rule(record, f"{help} Over {window}.", expr)


def _calibration(of: BinnedScores) -> Iterable[Rule]:
    window, rows = of.window, f"({of.in_bin()} > 0)"
    yield Rule(
        f"calibration:observed:{window}",
        f"Share of the class among those with a score in the bin, over {window}.",
        f"{of.in_bin('true')}\n/ {rows}",
    )
    yield Rule(
        f"calibration:mean_score:{window}",
        f"Mean score of those with a score in the bin, over {window}.",
        f"ml_labelled_score_bin_sum_total:{window}\n/ {rows}",
    )
