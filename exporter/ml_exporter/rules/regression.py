"""Figures of models that predict numbers, from what was summed over labelled predictions.

The twin is `ml_exporter.statistics.regression`, where it is said what intervals are made by. The
bins of errors, and the mean that deviations are from, are a baseline's: replicas may have different
ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ml_exporter.rules import counts
from ml_exporter.rules.counts import Counter
from ml_exporter.rules.groups import Group, Rule
from ml_exporter.rules.means import mean_figure
from ml_exporter.rules.promql import gauge, indent, join_replicas, without
from ml_exporter.rules.shares import SIGNS
from ml_exporter.rules.timing import WINDOWS, Timing, duration, span
from ml_exporter.statistics.regression import QUANTILES, ROUNDING, SPARSITY_STEPS
from ml_exporter.statistics.significance import Z_95

FIGURES = (
    *("mean_absolute_error", "root_mean_squared_error", "mean_absolute_percentage_error"),
    *("median_absolute_error", "p90_absolute_error"),
    *("bias", "overprediction", "underprediction"),
    *("r2", "explained_variance", "constant_root_mean_squared_error"),
)
"""Recorded as `model:NAME:WINDOW`."""
INTERVALS = (
    *("mean_absolute_error", "root_mean_squared_error", "mean_absolute_percentage_error"),
    *("median_absolute_error", "p90_absolute_error", "bias", "r2", "explained_variance"),
)
"""Those that have `model:NAME_lower:WINDOW` and `model:NAME_upper:WINDOW`."""

_SUMS: Mapping[str, str] = {
    "ml_absolute_error_total": "Sum of absolute errors",
    "ml_squared_error_total": "Sum of squared errors",
    "ml_squared_error_squared_total": "Sum of the squares of squared errors",
    "ml_absolute_percentage_error_total": "Sum of |error / truth|",
    "ml_absolute_percentage_error_squared_total": "Sum of the squares of |error / truth|",
    "ml_overprediction_total": "Sum of overpredictions",
    "ml_underprediction_total": "Sum of underpredictions",
    "ml_prediction_error_bucket": "Labelled predictions with an absolute error up to `le`",
    "ml_actual_deviation_total": "Sum of deviations of the truth, above and below,",
    "ml_actual_squared_deviation_total": "Sum of squared deviations of the truth",
}
# Without the rows behind them, sums are taken to be of all labelled predictions.
_LABELLED = "model:labelled_predictions:%s\nand\n"
COUNTERS = (
    Counter(
        "ml_prediction_errors_total",
        "model:prediction_errors",
        "Predictions with an error",
        f"{_LABELLED}ml_absolute_error_total:%s",
    ),
    Counter(
        "ml_percentage_error_rows_total",
        "model:percentage_error_rows",
        "Predictions with a percentage error",
        f"{_LABELLED}ml_absolute_percentage_error_total:%s",
    ),
    Counter(
        "ml_prediction_error_count",
        "ml_prediction_error_count",
        "Predictions with an error, by baseline,",
    ),
    *(Counter(name, name, what) for name, what in _SUMS.items()),
)


def groups(timing: Timing) -> Iterable[Group]:
    yield Group("ml-exporter-regression", duration(timing.minute), (_point(timing),))
    for window in WINDOWS:
        rules = (
            *counts.of_window(timing, COUNTERS, window),
            *_variance(timing, window),
            *_means(window),
            *_root_mean_squared_error(window),
            *_quantiles(window),
            *_explained(window),
        )
        yield Group(f"ml-exporter-regression-{window}", timing.interval(window), rules)


def _point(timing: Timing) -> Rule:
    return Rule(
        "baseline:mean_actual",
        "What the truth's deviations are measured from: its mean in the baseline, or 0.",
        join_replicas("max", gauge(timing, "ml_baseline_mean_actual")),
    )


def _by_baseline(window: str) -> str:
    """Predictions with an error, by baseline; all of them, where they aren't counted so."""
    counted = f"ml_prediction_error_count:{window}"
    every = f"model:prediction_errors:{window} unless ignoring (baseline_id) {counted}"
    return f"({counted} or ({every}))"


def _variance(timing: Timing, window: str) -> Iterable[Rule]:
    """Deviations from the mean of the window: about any one point they tell them."""
    rows, squared = _by_baseline(window), f"ml_actual_squared_deviation_total:{window}"
    above, below = (
        f'ml_actual_deviation_total:{window}{{direction="{direction}"}}'
        for direction in ("above", "below")
    )
    point = f"last_over_time(baseline:mean_actual[{span(timing.lengths[window])}])"
    yield Rule(
        f"baseline:mean_actual_shift:{window}",
        "By how much a baseline's mean is above the least of those that rows were counted by, over "
        f"{window}.",
        f"{point}\n- ignoring (baseline_id) group_left ()\n{without('min', 'baseline_id', point)}\n"
        f"or\n0 * {rows}",
    )
    shift = f"baseline:mean_actual_shift:{window}"
    yield Rule(
        f"baseline:actual_deviation:{window}",
        f"Sum of the truth's deviations from that mean, over {window}.",
        f"{above} - ignoring (direction) {below}",
    )
    deviation = f"baseline:actual_deviation:{window}"
    # From a point that is `shift` lower.
    squares = without(
        "sum",
        "baseline_id",
        f"{squared}\n+ 2 * {shift} * {deviation}\n+ {rows} * {shift} ^ 2",
    )
    total = without("sum", "baseline_id", f"{deviation}\n+ {rows} * {shift}")
    n = f"({without('sum', 'baseline_id', rows)} > 0)"
    about_mean = (
        f"{squares}\n- (\n{indent(total)}\n) ^ 2\n/ {n}\n> {ROUNDING!r} * (\n{indent(squares)}\n)"
    )
    yield Rule(
        f"model:actual_variance:{window}",
        f"Variance of the truth, absent where it is constant, over {window}.",
        f"(\n{indent(about_mean)}\n)\n/ {n}",
    )


def _means(window: str) -> Iterable[Rule]:
    rows, squared = f"model:prediction_errors:{window}", f"ml_squared_error_total:{window}"
    over, under = (f"ml_{name}_total:{window}" for name in ("overprediction", "underprediction"))
    percentage = "ml_absolute_percentage_error"
    for name, help, total, squares, n in (
        ("mean_absolute_error", "Mean absolute error", f"ml_absolute_error_total:{window}", squared,
         rows),
        ("mean_absolute_percentage_error", "Mean of |error / truth| where the truth isn't 0",
         f"{percentage}_total:{window}", f"{percentage}_squared_total:{window}",
         f"model:percentage_error_rows:{window}"),
        ("bias", "Mean of prediction less truth", f"({over} - {under})", squared, rows),
    ):  # fmt: skip
        yield from mean_figure(name, help, total, squares, n, window)
    for name, total in (("overprediction", over), ("underprediction", under)):
        yield Rule(
            f"model:{name}:{window}",
            f"Mean {name}, where a row without any counts 0. Over {window}.",
            f"{total} / ({rows} > 0)",
        )


def _end(name: str, end: str, window: str, expr: str) -> Rule:
    return Rule(
        f"model:{name}_{end}:{window}",
        f"{end.capitalize()} end of its 95 % interval, over {window}.",
        expr,
    )


def _of_squares(window: str, end: str) -> str:
    """An end of the interval of the mean squared error."""
    n, squared = f"model:prediction_errors:{window}", f"ml_squared_error_total:{window}"
    variance = (
        f"clamp_min(ml_squared_error_squared_total:{window} / {n} - ({squared} / {n}) ^ 2, 0)"
    )
    spread = f"{Z_95!r} * sqrt(\n  {variance}\n  / ({n} - 1 > 0)\n)"
    return f"clamp_min(\n  {squared} / {n}\n{indent(f'{SIGNS[end]} {spread}')},\n  0\n)"


def _root_mean_squared_error(window: str) -> Iterable[Rule]:
    name, n = "root_mean_squared_error", f"(model:prediction_errors:{window} > 0)"
    yield Rule(
        f"model:{name}:{window}",
        f"Root of the mean squared error. Over {window}.",
        f"sqrt(ml_squared_error_total:{window} / {n})",
    )
    for end in SIGNS:
        yield _end(name, end, window, f"sqrt({_of_squares(window, end)})")


def _quantiles(window: str) -> Iterable[Rule]:
    """Each baseline's rows have bins of their own: what they say is averaged by rows."""
    rows = f"({_by_baseline(window)} > 0)"
    for name, q in QUANTILES.items():
        step = SPARSITY_STEPS[q]
        middle, low, high = (
            f"histogram_quantile({of:g}, ml_prediction_error_bucket:{window})"
            for of in (q, q - step, q + step)
        )
        # One of any number of rows: the width of the interval goes with the root of it.
        factor = Z_95 * (q * (1 - q)) ** 0.5 / (2 * step)
        spread = f"{factor!r}\n* ({high}\n  - {low})\n/ sqrt{rows}"
        for end, help, expr in (
            ("", f"{q:.0%} of labelled predictions have an absolute error up to it.", middle),
            ("_lower", "Lower end of its 95 % interval,", f"clamp_min({middle}\n- {spread}, 0)"),
            ("_upper", "Upper end of its 95 % interval,", f"{middle}\n+ {spread}"),
        ):
            weighted = without("sum", "baseline_id", f"{rows}\n* (\n{indent(expr)}\n)")
            yield Rule(
                f"model:{name}{end}:{window}",
                f"{help} {'Over' if help.endswith('.') else 'over'} {window}.",
                f"{weighted}\n/ {without('sum', 'baseline_id', rows)}",
            )


def _explained(window: str) -> Iterable[Rule]:
    n, squared = f"model:prediction_errors:{window}", f"ml_squared_error_total:{window}"
    over, under = (f"ml_{name}_total:{window}" for name in ("overprediction", "underprediction"))
    # A mean over a mean: the truth's variance may be of fewer rows, as while a baseline is learned.
    truth = f"model:actual_variance:{window}"
    r2 = f"model:r2:{window}"
    yield Rule(
        r2,
        "R², the share of the truth's variance that predictions explain: a model at 0 or below is "
        f"no better than to always say the mean. Over {window}.",
        f"1 - {squared} / ({n} > 0) / {truth}",
    )
    spread = f"clamp_min(\n  {squared}\n  - ({over} - {under}) ^ 2 / {n},\n  0\n)"
    yield Rule(
        f"model:explained_variance:{window}",
        f"The same, less the bias: how much of the truth's variance errors lack. Over {window}.",
        f"1 - {spread}\n/ ({n} > 0) / {truth}",
    )
    yield from _explained_ends("r2", window)
    yield from _explained_ends("explained_variance", window)
    yield Rule(
        f"model:constant_root_mean_squared_error:{window}",
        "What it would be if the truth's mean were always predicted: a model that isn't better is "
        f"worth nothing. Over {window}.",
        f"sqrt({truth})",
    )


def _explained_ends(name: str, window: str) -> Iterable[Rule]:
    n, figure = f"model:prediction_errors:{window}", f"model:{name}:{window}"
    truth = f"model:actual_variance:{window}"
    for end, sign in SIGNS.items():
        variance = (
            f"4 * ({figure} > 0) * (1 - {figure}) ^ 2\n* ({n} - 2) ^ 2\n"
            f"/ (({n} ^ 2 - 1) * ({n} + 3))"
        )
        cohen = f"{figure}\n{sign} {Z_95!r} * sqrt(\n{indent(variance)}\n)"
        squares = _of_squares(window, {"lower": "upper", "upper": "lower"}[end])
        if name == "explained_variance":
            squares = f"clamp_min(\n{indent(squares)}\n  - model:bias:{window} ^ 2,\n  0\n)"
        fixed = f"1 - {squares}\n/ {truth}"
        yield _end(
            name,
            end,
            window,
            f"(\n{indent(f'clamp_max({cohen}, 1)')}\n  or\n{indent(fixed)}\n)\nand {n} > 2",
        )
