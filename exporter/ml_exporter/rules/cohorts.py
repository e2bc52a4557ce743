"""Figures by the day of the prediction, filled in as labels arrive.

They are made of the counters as they are, which know their day: no window is needed.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules.groups import Group, Rule
from ml_exporter.rules.promql import gauge, join_replicas, positive_class, without
from ml_exporter.rules.shares import share, wilson
from ml_exporter.rules.timing import Timing, duration

_CELL = "actual, predicted, correct"


def groups(timing: Timing) -> Iterable[Group]:
    yield Group("ml-exporter-cohorts", duration(timing.slow), tuple(_rules(timing)))


def _rules(timing: Timing) -> Iterable[Rule]:
    def counted(name: str) -> str:
        return join_replicas("sum", gauge(timing, name))

    predictions, outcomes, labelled, accuracy = (
        f"cohort:{name}" for name in ("predictions", "outcomes", "labelled_predictions", "accuracy")
    )
    yield Rule(
        predictions,
        "Predictions of a UTC day.",
        counted("ml_cohort_predictions_total"),
    )
    yield Rule(
        outcomes,
        "Outcomes of a UTC day's predictions, by actual and predicted class.",
        counted("ml_cohort_outcomes_total"),
    )
    errors = "cohort:absolute_error"
    yield Rule(
        errors,
        "Sum of the absolute errors of a UTC day's predictions.",
        counted("ml_cohort_absolute_error_total"),
    )
    yield Rule(
        labelled,
        "Predictions of a UTC day whose label has come.",
        f"{without('sum', _CELL, outcomes)}\nor\n{counted('ml_cohort_labelled_predictions_total')}",
    )
    yield Rule(
        "cohort:coverage",
        "Share of a UTC day's predictions whose label has come.",
        f"{labelled} / ({predictions} > 0)",
    )
    hits = without("sum", _CELL, f'{outcomes}{{correct="true"}}')
    rows = without("sum", _CELL, outcomes)
    yield Rule(
        accuracy,
        "Share of a UTC day's labelled predictions that are correct.",
        share(hits, rows),
    )
    for end, name in (("lower", "Lower"), ("upper", "Upper")):
        yield Rule(
            f"cohort:accuracy_{end}",
            f"{name} end of the 95 % interval of a UTC day's accuracy (Wilson's).",
            wilson(end, f"({accuracy} * {labelled})", labelled),
        )
    for metric, help, side in (
        ("precision", "Of a UTC day's positive predictions, how many are right.", "predicted"),
        ("recall", "Of a UTC day's positive rows, how many were predicted to be.", "actual"),
    ):
        positive = positive_class(side)
        other = "actual" if side == "predicted" else "predicted"

        def of_positives(selector: str, other: str = other, positive: str = positive) -> str:
            ignored = f"day, {other}, correct, task, positive"
            return without(
                "sum", _CELL, f"cohort:outcomes{selector}\nand ignoring ({ignored})\n{positive}"
            )

        found, all_of_them = of_positives('{correct="true"}'), of_positives("")
        yield Rule(
            f"cohort:{metric}",
            help,
            share(found, all_of_them),
        )
    yield Rule(
        "cohort:mean_absolute_error",
        "Mean absolute error of a UTC day's labelled predictions.",
        f"{errors} / ({labelled} > 0)",
    )
    known, all_days = without("sum", "day", labelled), without("sum", "day", predictions)
    yield Rule(
        "model:cohort_coverage",
        "Share of the predictions of the last 35 days whose label has come.",
        f"{known} / ({all_days} > 0)",
    )
