"""Figures of models and of their classes, from outcomes counted over a window.

The twin is `ml_exporter.statistics.performance`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules import counts
from ml_exporter.rules.groups import Group, Rule
from ml_exporter.rules.integrity import rejected_ratio
from ml_exporter.rules.promql import gauge, indent, join_replicas, union, without
from ml_exporter.rules.timing import WINDOWS, Timing, duration

METRICS = ("accuracy", "precision", "recall", "specificity", "f1")
Z_95 = 1.959963984540054  # the normal quantile of 97.5 %

_CELL = "actual, predicted, correct"  # labels of one cell of the confusion matrix


def groups(timing: Timing) -> Iterable[Group]:
    yield Group("ml-exporter-models", duration(timing.minute), (_model_info(timing),))
    for window in WINDOWS:
        rules = (
            *counts.of_window(timing, counts.MODEL_COUNTERS, window),
            *([counts.unseen_rows(timing)] if window == "1h" else []),
            *_class_counts(window),
            *_class_figures(window),
            *_model_figures(window),
            rejected_ratio(window),
        )
        yield Group(f"ml-exporter-models-{window}", timing.interval(window), rules)


def _model_info(timing: Timing) -> Rule:
    return Rule(
        "model:info",
        "1 for each model, its task and its positive class.",
        join_replicas("group", gauge(timing, "ml_model_info")),
    )


def _class_counts(window: str) -> Iterable[Rule]:
    outcomes = f"ml_outcomes_total:{window}"

    def by_class(label: str, selector: str = "") -> str:
        return without(
            "sum", _CELL, f'label_replace({outcomes}{selector}, "class", "$1", "{label}", "(.*)")'
        )

    actual, predicted = by_class("actual"), by_class("predicted")
    for record, help, counted in (
        ("support", "Labelled predictions that are of the class.", actual),
        ("predicted", "Labelled predictions that were predicted to be of the class.", predicted),
        (
            "true_positives",
            "Labelled predictions that are of the class and were predicted to be.",
            by_class("actual", '{correct="true"}'),
        ),
    ):
        # A class that only one side has counts 0 on the other.
        other = predicted if counted == actual else actual
        rest = f"or\n0 * {other}"
        if record == "true_positives":
            rest += f"\nor\n0 * {predicted}"
        yield Rule(f"class:{record}:{window}", f"{help} Over {window}.", f"{counted}\n{rest}")


def _class_figures(window: str) -> Iterable[Rule]:
    support, predicted = f"class:support:{window}", f"class:predicted:{window}"
    hits = f"class:true_positives:{window}"
    rows = without("sum", _CELL, f"ml_outcomes_total:{window}")
    negatives = f"({rows}\n  - ignoring (class) group_right\n  {support} > 0)"
    for metric, help, expr in (
        ("precision", "Of those predicted to be of the class, how many are.",
         f"{hits} / ({predicted} > 0)"),
        ("recall", "Of those of the class, how many were predicted to be.",
         f"{hits} / ({support} > 0)"),
        ("specificity", "Of those not of the class, how many were not predicted to be.",
         f"1 - ({predicted} - {hits})\n/ {negatives}"),
        ("f1", "The harmonic mean of precision and recall.",
         f"2 * {hits} / ({support} + {predicted} > 0)"),
    ):  # fmt: skip
        yield Rule(f"class:{metric}:{window}", f"{help} Over {window}.", expr)


def _model_figures(window: str) -> Iterable[Rule]:
    outcomes = f"ml_outcomes_total:{window}"
    rows = without("sum", _CELL, outcomes)
    hits = without("sum", _CELL, f'{outcomes}{{correct="true"}}')
    yield Rule(
        f"model:accuracy:{window}",
        f"Share of labelled predictions that are correct, over {window}.",
        f"(\n  {hits}\n  or\n  0 * {rows}\n)\n/ (\n  {rows} > 0\n)",
    )
    for metric in METRICS[1:]:
        yield Rule(
            f"model:{metric}:{window}",
            f"Binary: {metric} of the positive class. Multiclass: its mean over the classes that "
            f"occur or were predicted, where an undefined one counts 0. Over {window}.",
            _of_positive_class(f"class:{metric}:{window}")
            + "\nor\n"
            + _macro_average(metric, window),
        )
    yield Rule(
        f"model:performance:{window}",
        f"All of these figures under one name, by `monitor`, over {window}.",
        union({metric: f"model:{metric}:{window}" for metric in METRICS}, "monitor"),
    )
    yield Rule(
        f"model:accuracy_upper:{window}",
        f"Upper end of the 95 % interval of accuracy (Wilson's), over {window}.",
        _wilson_upper(f"model:accuracy:{window}", rows),
    )


def _of_positive_class(figure: str) -> str:
    positive = 'label_replace(model:info{task="binary"}, "class", "$1", "positive", "(.+)")'
    return without("max", "class", f"{figure}\nand ignoring (task, positive)\n{positive}")


def _macro_average(metric: str, window: str) -> str:
    support, predicted = f"class:support:{window}", f"class:predicted:{window}"
    occurring = f"({support} + {predicted} > 0)"
    mean = without("avg", "class", f"class:{metric}:{window} and {occurring}\nor\n0 * {occurring}")
    return f'{mean}\nand ignoring (task, positive)\nmodel:info{{task="multiclass"}}'


def _wilson_upper(share: str, rows: str) -> str:
    z2 = Z_95**2
    spread = f"{share} * (1 - {share}) / ({rows})\n+ {z2 / 4!r} / ({rows}) ^ 2"
    return (
        f"(\n  {share}\n  + {z2 / 2!r} / ({rows})\n"
        f"  + {Z_95!r} * sqrt(\n{indent(spread, 4)}\n  )\n)\n/ (1 + {z2!r} / ({rows}))"
    )
