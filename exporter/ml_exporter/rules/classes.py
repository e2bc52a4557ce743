"""Counts and figures of each class against the rest, from outcomes counted over a window.

The twin is `ml_exporter.statistics.performance`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules.groups import Rule
from ml_exporter.rules.promql import indent, without

CELL = "actual, predicted, correct"  # labels of one cell of the confusion matrix

_CORRECT = '{correct="true"}'
_UNTOLD = '{actual="<other>",predicted="<other>",correct="false"}'  # two classes of one name


def counts(window: str) -> Iterable[Rule]:
    """What all figures are made of: of each class, also where it counts nothing."""
    outcomes = f"ml_outcomes_total:{window}"
    support, predicted, hits = (
        f"class:{count}:{window}" for count in ("support", "predicted", "true_positives")
    )

    def by_class(label: str, selector: str = "") -> str:
        return without(
            "sum", CELL, f'label_replace({outcomes}{selector}, "class", "$1", "{label}", "(.*)")'
        )

    yield Rule(
        support,
        f"Labelled predictions that are of the class. Over {window}.",
        f"{by_class('actual')}\nor\n0 * {by_class('predicted')}",
    )
    yield Rule(
        predicted,
        f"Labelled predictions that were predicted to be of the class. Over {window}.",
        f"{by_class('predicted')}\nor\n0 * {support}",
    )
    yield Rule(
        hits,
        f"Labelled predictions that are of the class and were predicted to be. Over {window}.",
        f"{by_class('actual', _CORRECT)}\nor\n0 * {support}",
    )
    rows = without("sum", "class", support)
    yield Rule(
        f"class:true_negatives:{window}",
        "Labelled predictions that are not of the class and were not predicted to be. "
        f"Over {window}.",
        f"{rows}\n- ignoring (class) group_right ()\n({support} + {predicted} - {hits})\n"
        f"+ (\n{indent(by_class('actual', _UNTOLD))}\n  or\n  0 * {support}\n)",
    )


def figures(window: str) -> Iterable[Rule]:
    support, predicted, hits, rejected = (
        f"class:{count}:{window}"
        for count in ("support", "predicted", "true_positives", "true_negatives")
    )
    for metric, help, expr in (
        ("precision", "Of those predicted to be of the class, how many are.",
         f"{hits} / ({predicted} > 0)"),
        ("recall", "Of those of the class, how many were predicted to be.",
         f"{hits} / ({support} > 0)"),
        ("specificity", "Of those not of the class, how many were not predicted to be.",
         f"{rejected} / (({rows_but(support)}) > 0)"),
        ("f1", "The harmonic mean of precision and recall.",
         f"2 * {hits} / ({support} + {predicted} > 0)"),
    ):  # fmt: skip
        yield Rule(f"class:{metric}:{window}", f"{help} Over {window}.", expr)


def rows_but(count: str) -> str:
    """All rows of the model but those that a count of a class has."""
    window = count.rpartition(":")[2]
    rows = without("sum", "class", f"class:support:{window}")
    return f"{rows} - ignoring (class) group_right () {count}"
