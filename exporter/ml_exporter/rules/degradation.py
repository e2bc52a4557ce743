"""When a figure of performance is worse than it may be: significantly, and by enough to matter.

The twin is `ml_exporter.statistics.significance`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules.groups import Group, Rule
from ml_exporter.rules.mutes import unless_muted_monitors
from ml_exporter.rules.promql import gauge, indent, join_replicas
from ml_exporter.rules.shares import signed_root, yates
from ml_exporter.rules.timing import Timing, duration, span
from ml_exporter.statistics.figures import HIGHER_IS_BETTER, LOWER_IS_BETTER
from ml_exporter.statistics.significance import Z_95

LEAST_LABELLED = 100  # labelled predictions that a figure needs, to be judged
_STEADY = 0.25  # of a day's hours must have labels, for the day to be judged and not the week
JUDGED_WINDOWS = ("24h", "7d")
USUAL_CRITICAL_VALUE = 4.5  # where an exporter doesn't say its own

_HIGHER = "|".join(HIGHER_IS_BETTER)
_LOWER = "|".join(LOWER_IS_BETTER)


def groups(timing: Timing) -> Iterable[Group]:
    rules = (
        *_references(timing),
        *_judged(timing),
        *_distances(),
        *_shortfalls(),
    )
    yield Group("ml-exporter-degradation", duration(timing.slow), rules)


def _references(timing: Timing) -> Iterable[Rule]:
    def stricter(name: str) -> str:
        higher, lower = (
            join_replicas(
                aggregate,
                gauge(timing, f'{name}{{monitor=~"{monitors}",role="",field="",segment=""}}'),
            )
            for aggregate, monitors in (("max", _HIGHER), ("min", _LOWER))
        )
        return f"{higher}\nor\n{lower}"

    yield Rule(
        "model:threshold",
        "What a figure must not be worse than, by `monitor` and `severity`: the stricter of "
        "replicas.",
        unless_muted_monitors(stricter("ml_threshold")),
    )
    yield Rule(
        "model:threshold_reference",
        "What a figure must be significantly worse than, besides: the baseline's figure, or the "
        "threshold itself where that is configured.",
        f"{stricter('ml_threshold_reference')}\nor\nmodel:threshold",
    )
    rows = join_replicas("min", gauge(timing, "ml_threshold_reference_rows"))
    yield Rule(
        "model:threshold_reference_rows",
        "Labelled rows that the baseline's figure was measured on; absent where the threshold is "
        "its own reference.",
        rows,
    )
    critical = join_replicas("max", gauge(timing, "ml_performance_critical_value"))
    yield Rule(
        "model:performance_critical_value",
        "How many standard errors a figure must be worse than its reference, for a chance of "
        "`false_alarms` of one false alarm a week.",
        f"{critical}\nor\n0 * model:labelled_predictions:24h + {USUAL_CRITICAL_VALUE}",
    )


def _judged(timing: Timing) -> Iterable[Rule]:
    """The window that is judged, and its figures: a day that has hardly any labels is no sample."""
    hour, day = timing.lengths["1h"], timing.lengths["24h"]
    yield Rule(
        "model:labelled_hours:24h",
        "In how many hours of the last 24 labels came.",
        f"count_over_time(\n  (model:labelled_predictions:1h > 0)[{span(day)}:{duration(hour)}]\n)",
    )
    steady = (
        f"model:labelled_hours:24h >= {_STEADY * day / hour:g}\nor\n"
        # There may be no week yet.
        "(\n  model:labelled_predictions:24h\n  unless\n"
        "  model:labelled_predictions:7d > model:labelled_predictions:24h\n)"
    )
    of_day = f'label_replace(\n{indent(steady)},\n  "window", "24h", "", ""\n)'
    of_week = 'label_replace(model:labelled_predictions:7d, "window", "7d", "", "")'
    yield Rule(
        "model:judged_window",
        "1, by `window`: the shortest that holds the labels' own cadence. It is 7d where labels "
        "come in fewer than a quarter of the day's hours, as they do where they are loaded at "
        "night, and came before that day, too.",
        f"0 * (\n{indent(of_day)}\n  or ignoring (window)\n  {of_week}\n) + 1",
    )
    for what, help in (
        ("labelled_predictions", "Labelled predictions"),
        ("performance", "Figures, by `monitor`,"),
        ("performance_lower", "Lower ends of the figures' 95 % intervals, by `monitor`,"),
        ("performance_upper", "Upper ends of the figures' 95 % intervals, by `monitor`,"),
        ("successes", "Successes behind the figures that are shares, by `monitor`,"),
        ("trials", "Rows behind the figures that are shares, by `monitor`,"),
    ):
        windows = "\nor\n".join(
            f"model:{what}:{window}\nand ignoring (monitor, window)\n"
            f'model:judged_window{{window="{window}"}}'
            for window in JUDGED_WINDOWS
        )
        yield Rule(f"model:judged_{what}", f"{help} of the window that is judged.", windows)


def _distances() -> Iterable[Rule]:
    """By how many standard errors each figure is worse than its reference."""
    reference = "model:threshold_reference"
    # F1 is a function of Jaccard's index, which is a share.
    of_f1 = f'{reference}{{monitor="f1"}}'
    as_share = f'{reference}{{monitor!="f1"}}\nor\n{of_f1} / (2 - {of_f1})'
    of_monitor = "ignoring (severity) group_left ()"
    expected = "model:expected_successes"
    yield Rule(
        expected,
        "Successes that a share as good as the reference would have, by `monitor` and `severity`.",
        f"(\n{indent(as_share)}\n)\n* {of_monitor} model:judged_trials",
    )
    missing = f"({expected} - {of_monitor} model:judged_successes)"
    corrected = "model:corrected_successes"
    yield Rule(
        corrected,
        "Successes, half a row closer to what is expected (Yates's correction).",
        yates(expected, missing),
    )
    failures, expected_failures = (
        f"(-({part} - {of_monitor} model:judged_trials))" for part in (corrected, expected)
    )
    yield Rule(
        "model:share_z",
        "Signed root of the likelihood ratio of a share against its reference: positive if it is "
        "below, by `monitor` and `severity`.",
        signed_root(missing, (corrected, expected), (failures, expected_failures)),
    )
    width = "(model:judged_performance_upper - model:judged_performance_lower > 0)"
    distance = f"({reference} - {of_monitor} model:judged_performance)"
    below = f"model:share_z\nor\n{distance}\n/ {of_monitor} (\n  {width}\n  / {2 * Z_95!r}\n)"
    yield Rule(
        "model:below_reference_z",
        "By how many standard errors a figure is below its reference, by `monitor` and `severity`.",
        below,
    )
    worse = (
        f'model:below_reference_z{{monitor=~"{_HIGHER}"}}\nor\n'
        f'-model:below_reference_z{{monitor=~"{_LOWER}"}}'
    )
    growth = (
        "sqrt(\n  1 + model:judged_labelled_predictions\n"
        "  / ignoring (monitor, severity) group_right ()\n  model:threshold_reference_rows\n)"
    )
    yield Rule(
        "model:performance_z",
        "By how many standard errors a figure is worse than its reference, by `monitor` and "
        "`severity`; the reference has an error of its own where it was measured.",
        f"(\n{indent(worse)}\n)\n/ {growth}\nor\n{worse}",
    )


def _shortfalls() -> Iterable[Rule]:
    for severity in ("warning", "critical"):
        yield _shortfall(severity)


def beyond_threshold(figure: str, severity: str) -> str:
    """By how much a figure is worse than its threshold, by `monitor` and `severity`."""
    higher, lower = (
        f'model:threshold{{severity="{severity}",monitor=~"{"|".join(names)}"}}'
        for names in (HIGHER_IS_BETTER, LOWER_IS_BETTER)
    )
    of_higher = f"{higher}\n- ignoring (severity) group_left ()\n{figure}"
    of_lower = f"{figure}\n- ignoring (severity) group_right ()\n{lower}"
    return f"(\n{indent(of_higher)}\n  or\n{indent(of_lower)}\n)"


def _shortfall(severity: str) -> Rule:
    def worse(figure: str) -> str:
        return beyond_threshold(figure, severity)

    z = f'model:performance_z{{severity="{severity}"}}'
    significant = (
        f"{z}\n> ignoring (monitor, severity) group_left ()\nmodel:performance_critical_value"
    )
    enough = f"model:judged_labelled_predictions >= {LEAST_LABELLED}"
    return Rule(
        "model:shortfall",
        f"By how much a figure is worse than its {severity} threshold, by `monitor`, where it is "
        f"significantly worse than its reference and rests on {LEAST_LABELLED} labelled "
        "predictions, and the last hour doesn't say otherwise.",
        f"{worse('model:judged_performance')} > 0\n"
        f"and ignoring (monitor, severity)\n{enough}\n"
        # A figure that has no interval is judged by its threshold alone.
        f"unless (\n  {z}\n  unless\n{indent(significant)}\n)\n"
        f"unless ignoring (severity) (\n"
        f"{indent(worse('model:performance:1h'))} <= 0\n"
        f"  and ignoring (monitor, severity)\n"
        f"  model:labelled_predictions:1h >= {LEAST_LABELLED}\n)",
        {"severity": severity},
    )
