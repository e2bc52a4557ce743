"""Figures of models' performance over each window, and all of them under one name.

The twin is `ml_exporter.statistics.performance`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules import (
    best_constant,
    classes,
    classification,
    counts,
    intervals,
    ranks,
    regression,
    schema,
    scores,
)
from ml_exporter.rules.degradation import JUDGED_WINDOWS
from ml_exporter.rules.groups import Group, Rule
from ml_exporter.rules.integrity import constraint_violation_ratio, row_shares
from ml_exporter.rules.promql import gauge, indent, join_replicas, union
from ml_exporter.rules.timing import WINDOWS, Timing, duration

METRICS = ("accuracy", "precision", "recall", "specificity", "f1")

# Figures that are recorded by other groups as `model:NAME:WINDOW`, and those of them that have
# `model:NAME_lower:WINDOW` and `model:NAME_upper:WINDOW`.
_OTHER_FIGURES = (*scores.FIGURES, *ranks.FIGURES, *regression.FIGURES)
_OTHER_INTERVALS = (*scores.INTERVALS, *ranks.INTERVALS, *regression.INTERVALS)

INTERVALS = (*intervals.INTERVALS, *_OTHER_INTERVALS)
"""Names of all figures that have an interval."""


def groups(timing: Timing) -> Iterable[Group]:
    yield Group("ml-exporter-models", duration(timing.minute), (_model_info(timing),))
    for window in WINDOWS:
        rules = (
            *counts.of_window(timing, counts.MODEL_COUNTERS, window),
            *([counts.unseen_rows(timing)] if window == "1h" else []),
            *classes.counts(window),
            *classes.figures(window),
            *classification.rules(window),
            *(best_constant.rules(window) if window in JUDGED_WINDOWS else ()),
            *_all_figures(window),
            *intervals.rules(window),
            *_other_intervals(window),
            *row_shares(window),
            constraint_violation_ratio(window),
            schema.violation_ratio(window),
            *(schema.change() if window == "1h" else ()),
        )
        yield Group(f"ml-exporter-models-{window}", timing.interval(window), rules)


def _model_info(timing: Timing) -> Rule:
    """One of a model, though replicas say several, as while another task is rolled out."""
    of = "task, positive"
    remembered = f"{gauge(timing, 'ml_model_info')}\nunless ignoring ({of})\nml_model_info"
    replicas = join_replicas("count", f"ml_model_info\nor (\n{indent(remembered)}\n)")
    return Rule(
        "model:info",
        "1 for each model, its task and its positive class: what most of its replicas say.",
        f"sgn(topk without ({of}) (\n  1,\n{indent(replicas)}\n))",
    )


def _all_figures(window: str) -> Iterable[Rule]:
    figures = (*classification.FIGURES, *_OTHER_FIGURES)
    yield Rule(
        f"model:performance:{window}",
        f"All figures of performance under one name, by `monitor`. Over {window}.",
        union({name: f"model:{name}:{window}" for name in figures}, "monitor"),
    )


def _other_intervals(window: str) -> Iterable[Rule]:
    for end, capital in intervals.ENDS.items():
        for name in _OTHER_INTERVALS:
            yield Rule(
                f"model:performance_{end}:{window}",
                f"{capital} end for {name}. Over {window}.",
                f"model:{name}_{end}:{window}",
                {"monitor": name},
            )
