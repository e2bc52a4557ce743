"""Figures of ranks, from what was summed over ranked predictions of a window.

What they are means of is in `ml_exporter.statistics.ranks`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules import counts
from ml_exporter.rules.counts import Counter
from ml_exporter.rules.groups import Group, Rule
from ml_exporter.rules.means import mean_figure
from ml_exporter.rules.timing import WINDOWS, Timing

FIGURES = ("mean_reciprocal_rank",)
"""Recorded as `model:NAME:WINDOW`; those of each k have a label `k`, and aren't among them."""
INTERVALS = ("mean_reciprocal_rank",)

COUNTERS = (
    Counter(
        "ml_ranked_predictions_total",
        "model:ranked_predictions",
        "Labelled predictions with a ranking",
    ),
    Counter(
        "ml_top_k_hits_total",
        "ml_top_k_hits_total",
        "Ranked predictions with the truth among the first k",
    ),
    Counter("ml_reciprocal_rank_total", "ml_reciprocal_rank_total", "Sum of reciprocal ranks"),
    Counter(
        "ml_reciprocal_rank_squared_total",
        "ml_reciprocal_rank_squared_total",
        "Squared reciprocal ranks",
    ),
    Counter("ml_discounted_gain_total", "ml_discounted_gain_total", "Sum of discounted gains"),
)


def groups(timing: Timing) -> Iterable[Group]:
    for window in WINDOWS:
        rules = (*counts.of_window(timing, COUNTERS, window), *_figures(window))
        yield Group(f"ml-exporter-ranks-{window}", timing.interval(window), rules)


def _figures(window: str) -> Iterable[Rule]:
    ranked = "model:ranked_predictions"
    for record, help, sums in (
        ("top_k_accuracy", "How often the truth is among the first k.", "ml_top_k_hits_total"),
        (
            "ndcg",
            "Mean discounted gain of the truth among the first k.",
            "ml_discounted_gain_total",
        ),
    ):
        yield Rule(
            f"model:{record}:{window}",
            f"{help} Over {window}.",
            f"{sums}:{window}\n/ ignoring (k) group_left ()\n({ranked}:{window} > 0)",
        )
    yield from mean_figure(
        "mean_reciprocal_rank",
        "Mean of 1 / rank of the truth",
        f"ml_reciprocal_rank_total:{window}",
        f"ml_reciprocal_rank_squared_total:{window}",
        f"{ranked}:{window}",
        window,
    )
