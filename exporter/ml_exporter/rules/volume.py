"""Sudden changes of how many predictions there are, against the same hour of earlier days.

The twin is `ml_exporter.statistics.volume`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules.annotations import ABOUT_VERSIONS, NAME, Builder, each, number
from ml_exporter.rules.groups import Alert, Group, Rule
from ml_exporter.rules.promql import indent, union, without
from ml_exporter.rules.timing import Timing, duration
from ml_exporter.statistics.volume import DAYS, FACTOR, LEAST_Z

_NOW = "model:all_predictions:1h"
_AROUND = (0, 1, -1)  # hours


def groups(timing: Timing) -> Iterable[Group]:
    yield Group("ml-exporter-volume", duration(timing.minute), tuple(_rules(timing)))


def _rules(timing: Timing) -> Iterable[Rule]:
    yield Rule(
        _NOW,
        "Predictions of all versions, over 1h.",
        without("sum", "version", "model:predictions:1h"),
    )
    yield Rule(
        "model:earlier_predictions:1h",
        "Predictions of the same hour, by `days` before.",
        union({str(days): _ago(timing, days) for days in DAYS}, "days"),
    )
    of_a_week = 'model:earlier_predictions:1h{days="7"}'
    for name, aggregate, other, sign in (
        ("lower", "min", "least", ">"),
        ("upper", "max", "greatest", "<"),
    ):
        of_day = f"model:earlier_predictions_{other}:1h"
        yield Rule(
            of_day,
            f"The {other} of the predictions of the same hour and the ones before and after, by "
            "`days` before.",
            union(
                {
                    str(days): without(
                        aggregate,
                        "around",
                        union({str(by): _ago(timing, days, by) for by in _AROUND}, "around"),
                    )
                    for days in DAYS
                },
                "days",
            ),
        )
        first = without(aggregate, "days", of_day)
        of_first, beyond = (
            f"{of_day}\n{comparison} ignoring (days) group_left ()\n{first}"
            for comparison in ("==", sign)
        )
        yield Rule(
            f"model:usual_predictions_{name}:1h",
            f"The second {other} of these days, where they reach back a week.",
            f"(\n{indent(first)}\n  and\n{indent(without('count', 'days', of_first))} > 1\n"
            f"  or\n{indent(without(aggregate, 'days', beyond))}\n)\n"
            f"and ignoring (days)\n{of_a_week}",
        )
    yield Rule(
        "model:usual_predictions:1h",
        "The median of the predictions of the same hour on earlier days, where they reach back a "
        "week.",
        f"quantile without (days) (0.5, model:earlier_predictions:1h)\n"
        f"and ignoring (days)\n{of_a_week}",
    )
    lower, upper = (f"model:usual_predictions_{end}:1h" for end in ("lower", "upper"))
    yield Rule(
        "model:volume_change:1h",
        "Predictions over what is usual, where they are less than half of the second least of "
        "earlier days, or more than twice the second greatest, and by more than chance.",
        f"(\n"
        f"  ({_NOW} > 0) < {lower} / {FACTOR:g}\n"
        f"  and {lower} - {_NOW} > {LEAST_Z:g} * sqrt({lower})\n"
        f"  or\n"
        f"  ({_NOW} > 0) > {upper} * {FACTOR:g}\n"
        f"  and {_NOW} - {upper} > {LEAST_Z:g} * sqrt({upper})\n"
        f")\n/ (model:usual_predictions:1h > 0)",
    )


def _ago(timing: Timing, days: int, hours: int = 0) -> str:
    before = days * timing.lengths["24h"] + hours * timing.lengths["1h"]
    return f"{_NOW} offset {duration(before)}"


def alerts(build: Builder, severity: str) -> Iterable[Alert]:
    if severity == "critical":
        return
    usual = each("model:usual_predictions:1h{%s}", number("%.0f"))
    now = each(f"{_NOW}{{%s}}", number("%.0f"))
    yield build.alert(
        "PredictionVolumeChanged",
        severity,
        "model:volume_change:1h",
        help="A model, all versions together, has had less than half as many predictions in the "
        "last hour as in the same hour of all earlier days but one, or more than twice as many; "
        "there is a week of them to compare with.",
        summary=f"{NAME}: {{{{ $value | humanizePercentage }}}} of the usual predictions",
        description=f"{ABOUT_VERSIONS}{now} predictions in the last hour. The median of the same "
        f"hour on the last seven days, and two weeks ago, is {usual}.",
    )
