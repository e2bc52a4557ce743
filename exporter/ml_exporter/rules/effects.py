"""How large a change of each field is: distances between a window's bins and the baseline's.

The twin is `ml_exporter.statistics.effects`, which names the sources of the formulas.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules.drift import (
    BASELINE,
    BASELINE_ENTROPY,
    BASELINE_RATIO,
    BASELINE_ROWS,
    RANKED_ROWS,
    VALUES,
)
from ml_exporter.rules.groups import Rule
from ml_exporter.rules.promql import gauge, indent, join_replicas, union, without
from ml_exporter.rules.shares import times_its_log
from ml_exporter.rules.timing import Timing
from ml_exporter.statistics.effects import DIGITS, ROBUST

DISTANCE = "field:baseline_distance"
RANKED_RATIO = "field:baseline_ranked_ratio"


def baseline(timing: Timing) -> Iterable[Rule]:
    """What the effects need of the baseline, besides what `drift.baseline` records."""
    yield Rule(
        DISTANCE,
        "From a number's bin to the next one, in standard deviations of the baseline.",
        join_replicas("max", gauge(timing, "ml_field_baseline_distance")),
    )
    yield Rule(
        RANKED_RATIO,
        "Share of the bin among the baseline's values in bins that have a rank, by its place.",
        f"{BASELINE}\n/ ignoring (bin) group_left () {RANKED_ROWS}\n"
        f"* ignoring (block, place) group_right () ({DISTANCE} >= bool 0)",
    )


def effects(window: str) -> Iterable[Rule]:
    """Effects of a window, from its values, `field:rows`, `field:ranked_rows`, `field:entropy`."""
    values, rows = f"{VALUES}:{window}", f"field:rows:{window}"
    ranked = f"field:ranked_rows:{window}"
    excess = f"field:excess:{window}"
    yield Rule(
        excess,
        f"By how much the bin's share of the rows is above the baseline's, over {window}.",
        f"{values}\n/ ignoring (bin) group_left () {rows}\n- {BASELINE_RATIO}",
    )
    yield _js_distance(excess, window)
    yield Rule(
        f"field:total_variation:{window}",
        f"Share of the rows that are in other bins than the baseline's, over {window}.",
        f"0.5 * {without('sum', 'bin', f'abs({excess})')}",
    )
    yield Rule(
        f"field:l_infinity:{window}",
        f"The greatest difference of a bin's share from the baseline's, over {window}.",
        without("max", "bin", f"abs({excess})"),
    )
    ranked_excess = f"field:ranked_excess:{window}"
    yield Rule(
        ranked_excess,
        "By how much the bin's share of the values that have a rank is above the baseline's, over "
        f"{window}.",
        f"{values}\n/ ignoring (bin) group_left () {ranked}\n"
        f"- ignoring (block, place) group_right () {RANKED_RATIO}",
    )
    of_block = f"field:ranked_excess_of_block:{window}"
    yield Rule(
        of_block,
        f"The sum of it over the bins of a block, over {window}.",
        without("sum", "bin, place", ranked_excess),
    )
    cumulative = f"field:cumulative_excess:{window}"
    yield Rule(
        cumulative,
        f"The sum of it over all bins up to one, by its place, over {window}.",
        _cumulative(ranked_excess, of_block),
    )
    yield Rule(
        f"field:ks:{window}",
        "Kolmogorov-Smirnov distance from the baseline: the greatest difference of cumulative "
        f"shares, over {window}.",
        without("max", "block, place", f"abs({cumulative})"),
    )
    yield Rule(
        f"field:wasserstein:{window}",
        "By how many of the baseline's standard deviations a value has moved, in the mean, over "
        f"{window}.",
        without("sum", "block, place", f"abs({cumulative}) * ignoring (bin) {DISTANCE}")
        + f"\nand\n{without('sum', 'bin, block, place', DISTANCE)} > 0",
    )
    for effect, of_window, of_baseline in (
        ("l_infinity", rows, BASELINE_ROWS),
        ("ks", ranked, RANKED_ROWS),
    ):
        yield Rule(
            f"field:{effect}_robust:{window}",
            f"{effect} less what samples of that size differ by anyway (as in Deequ), over "
            f"{window}.",
            f"clamp_min(\n  field:{effect}:{window}\n"
            f"  - {ROBUST} * sqrt(1 / {of_window} + 1 / {of_baseline}),\n  0\n)",
        )


def _js_distance(excess: str, window: str) -> Rule:
    """The entropy of both shares' mean, less the mean of their entropies; its root.

    `H((p + q) / 2)` is `1 - sum((p + q) * log2(p + q)) / 2`.
    """
    both = without("sum", "bin", times_its_log(f"({excess} + 2 * {BASELINE_RATIO})"))
    return Rule(
        f"field:js_distance:{window}",
        f"Jensen-Shannon distance from the baseline, over {window}.",
        f"sqrt(clamp_min(\n  1 - 0.5 * (\n{indent(both, 4)}\n"
        f"    + field:entropy:{window} + {BASELINE_ENTROPY}\n  ),\n  0\n))",
    )


def _cumulative(excess: str, of_block: str) -> str:
    """The excess of all bins up to each.

    First up to each place within a block, then what the blocks before have. Labels can't be
    compared, so that each sum selects its bins by the digits they may have.
    """
    within = union(
        {
            digit: without("sum", "bin, place", f'{excess}{{place=~"[{DIGITS[: number + 1]}]"}}')
            for number, digit in enumerate(DIGITS)
        },
        "place",
    )
    up_to = union(
        {
            digit: without("sum", "block", f'{of_block}{{block=~"[{DIGITS[: number + 1]}]"}}')
            for number, digit in enumerate(DIGITS)
        },
        "block",
    )
    before = f"(\n{indent(up_to)}\n)\n- {of_block}"
    return f"(\n{indent(within)}\n)\n+ ignoring (place) group_left ()\n(\n{indent(before)}\n)"
