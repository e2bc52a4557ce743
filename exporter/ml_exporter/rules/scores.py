"""Figures of scores, and the curves of their charts, from labelled rows counted by score bin.

Replicas with different baselines have different bins: each figure is made of each baseline's own
rows, and these are then averaged by rows. The ends of intervals are averaged likewise, over
baselines and over classes, as if all erred together: no interval is too narrow for it. The twin is
`ml_exporter.statistics.scores`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules import counts
from ml_exporter.rules.counts import Counter
from ml_exporter.rules.groups import Group, Rule
from ml_exporter.rules.means import mean_figure
from ml_exporter.rules.promql import indent, with_label, without
from ml_exporter.rules.shares import SIGNS
from ml_exporter.rules.timing import WINDOWS, Timing
from ml_exporter.statistics.significance import Z_95

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

_MEANS = {
    "roc_auc": "Area under the ROC curve",
    "roc_auc_lower": "Lower end of the 95 % interval of the area under the ROC curve",
    "roc_auc_upper": "Upper end of the 95 % interval of the area under the ROC curve",
    "average_precision": "Average precision",
    "average_precision_lower": "Lower end of the 95 % interval of average precision",
    "average_precision_upper": "Upper end of the 95 % interval of average precision",
    "expected_calibration_error": "Expected calibration error",
}
_TINY = "1e-9"


def groups(timing: Timing) -> Iterable[Group]:
    for window in WINDOWS:
        rules = (
            *counts.of_window(timing, COUNTERS, window),
            *_by_baseline(window),
            *_of_classes(window),
            *_of_models(window),
            *_losses(window),
            *_gain(window),
            *_calibration(window),
        )
        yield Group(f"ml-exporter-scores-{window}", timing.interval(window), rules)


def _in_bin(window: str, actual: str = "") -> str:
    """Rows of a bin, by `bin`; all of them, or those that are of the class or aren't."""
    selector = f'{{actual="{actual}"}}' if actual else ""
    return without("sum", "actual", f"ml_labelled_score_values_total:{window}{selector}")


def _up_to(window: str, actual: str = "") -> str:
    """Rows of a bin and of all below, by `le`."""
    selector = f'{{actual="{actual}"}}' if actual else ""
    return without("sum", "actual", f"ml_labelled_score_bucket:{window}{selector}")


def _up_to_bin(window: str, actual: str = "") -> str:
    """The same, by `bin`."""
    selector = f'{{actual="{actual}"}}' if actual else ""
    cumulative = f"ml_labelled_score_bucket:{window}{selector}"
    return without("sum", "actual, le", f'label_replace({cumulative}, "bin", "$1", "le", "(.+)")')


def _totals(window: str) -> tuple[str, str]:
    return f"score:positives:{window}", f"score:negatives:{window}"


def _rows(window: str) -> str:
    positives, negatives = _totals(window)
    return f"({positives} + {negatives} > 0)"


def _by_baseline(window: str) -> Iterable[Rule]:
    positives, negatives = _totals(window)
    for record, actual, which in ((positives, "true", "are"), (negatives, "false", "aren't")):
        yield Rule(
            record,
            f"Labelled predictions that {which} of the class and have a score, over {window}.",
            without("sum", "bin", _in_bin(window, actual)),
        )
    auc = f"score:roc_auc:{window}"
    below = f"{_up_to_bin(window, 'false')}\n- {_in_bin(window, 'false')} / 2"
    pairs = f"{_in_bin(window, 'true')}\n* (\n{indent(below)}\n)"
    yield Rule(
        auc,
        "Area under the ROC curve of a class, by the bins of one baseline: how likely a row of the "
        f"class has the higher score. Over {window}.",
        f"{without('sum', 'bin', pairs)}\n/ ({positives} * {negatives} > 0)",
    )
    variance = (
        f"(\n  {auc} * (1 - {auc})\n"
        f"  + ({positives} - 1) * ({auc} / (2 - {auc}) - {auc} ^ 2)\n"
        f"  + ({negatives} - 1) * (2 * {auc} ^ 2 / (1 + {auc}) - {auc} ^ 2)\n)\n"
        f"/ ({positives} * {negatives})"
    )
    spread = f"{Z_95!r} * sqrt(clamp_min(\n{indent(variance)},\n  0\n))"
    for end, clamp, sign, limit in (("lower", "clamp_min", "-", 0), ("upper", "clamp_max", "+", 1)):
        yield Rule(
            f"score:roc_auc_{end}:{window}",
            f"{end.capitalize()} end of that area's 95 % interval (Hanley & McNeil 1982), over "
            f"{window}.",
            f"{clamp}(\n  {auc}\n  {sign} {indent(spread).lstrip()},\n  {limit}\n)",
        )
    yield Rule(
        f"score:average_precision:{window}",
        f"Average precision of a class, by the bins of one baseline, over {window}.",
        f"{without('sum', 'bin', _precision_of_bins(window))}\n/ ({positives} > 0)",
    )
    precision = f"score:average_precision:{window}"
    odds = f"{precision}\n/ (1 - {precision} > 0)"
    error = f"sqrt({positives} * {precision} * (1 - {precision}) > 0)"
    for end, sign in SIGNS.items():
        yield Rule(
            f"score:average_precision_{end}:{window}",
            f"{end.capitalize()} end of its 95 % interval, on the scale of its logit (Boyd, Eng & "
            f"Page 2013), over {window}.",
            f"1 / (\n  1\n  + 1 / (\n{indent(odds, 4)}\n"
            f"    * exp({sign}{Z_95!r} / {error})\n  )\n)",
        )
    off = f"abs(\n  ml_labelled_score_bin_sum_total:{window}\n  - {_in_bin(window, 'true')}\n)"
    yield Rule(
        f"score:expected_calibration_error:{window}",
        "Mean distance of the mean score of a bin from its share of the class, by the bins of one "
        f"baseline, over {window}.",
        f"{without('sum', 'bin', off)}\n/ {_rows(window)}",
    )


def _precision_of_bins(window: str) -> str:
    """Rows of the class in each bin, times their mean precision on the way down through it.

    A bin has p of the class among n rows, and above it are A among B: the precision's mean is
    p/n + (A - B p/n) / n ln((B + n) / B).
    """
    positives, _ = _totals(window)

    def above(total: str, actual: str = "") -> str:
        up_to = _up_to_bin(window, actual)
        return f"(\n  {total}\n  - ignoring (bin) group_right ()\n{indent(up_to)}\n)"

    of_class, rows = _in_bin(window, "true"), f"({_in_bin(window)} > 0)"
    share = f"{of_class}\n/ {rows}"
    hits_above, all_above = above(positives, "true"), above(_rows(window))
    # Above the first rows there is nothing, and what the clamp makes finite has a factor of 0.
    return (
        f"{of_class}\n* (\n{indent(share)}\n"
        f"  + (\n{indent(hits_above, 4)}\n    - {indent(all_above, 4).lstrip()}\n"
        f"    * {indent(share, 4).lstrip()}\n  )\n"
        f"  / {rows}\n"
        f"  * ln(\n    1\n    + {rows}\n"
        f"    / clamp_min(\n{indent(all_above, 6)},\n      {_TINY}\n    )\n  )\n)"
    )


def _of_classes(window: str) -> Iterable[Rule]:
    rows = _rows(window)
    for metric, what in _MEANS.items():
        figure = f"score:{metric}:{window}"
        yield Rule(
            f"class:{metric}:{window}",
            f"{what} of a class against the rest, over {window}.",
            f"{without('sum', 'baseline_id', f'{figure} * {rows}')}\n"
            f"/ {without('sum', 'baseline_id', f'{rows} and {figure}')}",
        )


def _of_models(window: str) -> Iterable[Rule]:
    for metric, what in _MEANS.items():
        yield Rule(
            f"model:{metric}:{window}",
            f"{what}. Binary: of the positive class. Multiclass: the mean over the classes that "
            f"have it. Over {window}.",
            without("avg", "class", f"class:{metric}:{window}"),
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


def _gain(window: str) -> Iterable[Rule]:
    positives, negatives = _totals(window)

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
         f"{lift}\n* ignoring (le) group_left ()\n({positives} / {_rows(window)})"),
    ):  # fmt: skip
        yield Rule(record, f"{help} Over {window}.", expr)


def _calibration(window: str) -> Iterable[Rule]:
    rows = f"({_in_bin(window)} > 0)"
    yield Rule(
        f"calibration:observed:{window}",
        f"Share of the class among those with a score in the bin, over {window}.",
        f"{_in_bin(window, 'true')}\n/ {rows}",
    )
    yield Rule(
        f"calibration:mean_score:{window}",
        f"Mean score of those with a score in the bin, over {window}.",
        f"ml_labelled_score_bin_sum_total:{window}\n/ {rows}",
    )
