"""How large a change of each field is: distances between a window's bins and the baseline's.

The twin is `ml_exporter.statistics.effects`, which names the sources of the formulas.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules.drift import BASELINE, BASELINE_ROWS, RANKED_ROWS, VALUES
from ml_exporter.rules.groups import Rule
from ml_exporter.rules.promql import gauge, indent, join_replicas, union, without
from ml_exporter.rules.timing import Timing
from ml_exporter.statistics.effects import DIGITS, ROBUST

DISTANCE = "field:baseline_distance"
RANKED_RATIO = "field:baseline_ranked_ratio"
ENTROPY = "field:baseline_entropy"


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
    yield Rule(
        ENTROPY,
        "Entropy of the bins of the baseline, in bits.",
        f"log2({BASELINE_ROWS})\n"
        f"- {without('sum', 'bin', _times_its_log(BASELINE))} / {BASELINE_ROWS}",
    )


def effects(window: str) -> Iterable[Rule]:
    """Effects of a window, from its values, `field:rows` and `field:ranked_rows`."""
    values, rows = f"{VALUES}:{window}", f"field:rows:{window}"
    ranked = f"field:ranked_rows:{window}"
    # As many rows as would be in the bin if nothing had changed.
    expected = f"{BASELINE} * ignoring (bin) group_left () ({rows} / {BASELINE_ROWS})"
    moved = f"abs(\n  {values}\n  - {expected}\n)"
    yield _js_distance(values, rows, expected, window)
    yield Rule(
        f"field:total_variation:{window}",
        f"Share of the rows that are in other bins than the baseline's, over {window}.",
        f"0.5 * {without('sum', 'bin', moved)} / {rows}",
    )
    yield Rule(
        f"field:l_infinity:{window}",
        f"The greatest difference of a bin's share from the baseline's, over {window}.",
        f"{without('max', 'bin', moved)} / {rows}",
    )
    excess = f"field:ranked_excess:{window}"
    yield Rule(
        excess,
        "By how much the bin's share of the values that have a rank is above the baseline's, over "
        f"{window}.",
        f"{values}\n/ ignoring (bin) group_left () {ranked}\n"
        f"- ignoring (block, place) group_right () {RANKED_RATIO}",
    )
    yield Rule(
        f"field:ranked_excess_of_block:{window}",
        f"The sum of it over the bins of a block, over {window}.",
        without("sum", "bin, place", excess),
    )
    cumulative = f"abs(\n{indent(_cumulative(window))}\n)"
    yield Rule(
        f"field:ks:{window}",
        "Kolmogorov-Smirnov distance from the baseline: the greatest difference of cumulative "
        f"shares, over {window}.",
        without("max", "block, place", cumulative),
    )
    yield Rule(
        f"field:wasserstein:{window}",
        "By how many of the baseline's standard deviations a value has moved, in the mean, over "
        f"{window}.",
        without("sum", "block, place", f"{cumulative}\n* ignoring (bin) {DISTANCE}")
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


def _js_distance(values: str, rows: str, expected: str, window: str) -> Rule:
    both = f"({values} + {expected})"
    terms = f"{_times_its_log(values)}\n- {_times_its_log(both)}"
    return Rule(
        f"field:js_distance:{window}",
        f"Jensen-Shannon distance from the baseline, over {window}.",
        f"sqrt(clamp_min(\n  1 + 0.5 * (\n"
        f"{indent(without('sum', 'bin', terms), 4)} / {rows}\n"
        f"    + log2({rows})\n    - {ENTROPY}\n  ),\n  0\n))",
    )


def _times_its_log(count: str) -> str:
    """`x log2 x`, 0 where x is 0."""
    return f"{count} * log2(clamp_min({count}, 1e-9))"


def _cumulative(window: str) -> str:
    """`field:ranked_excess` summed up to each bin, by block and place.

    First up to each place within a block, then what the blocks before have. Labels can't be
    compared, so that each sum selects its bins by the digits they may have. A sum up to a
    place beyond a block's last is the block's own: its greatest is not changed by it.
    """
    within = union(
        {
            digit: without(
                "sum",
                "bin, place",
                f'field:ranked_excess:{window}{{place=~"[{DIGITS[: number + 1]}]"}}',
            )
            for number, digit in enumerate(DIGITS)
        },
        "place",
    )
    of_block = f"field:ranked_excess_of_block:{window}"
    before = union(
        {
            digit: without("sum", "block", f'{of_block}{{block=~"[{DIGITS[:number]}]"}}')
            for number, digit in enumerate(DIGITS)
            if number
        },
        "block",
    )
    return (
        f"(\n{indent(within)}\n)\n+ ignoring (place) group_left ()\n"
        f'(\n  0 * {of_block}{{block="0"}}\n  or\n{indent(before)}\n)'
    )
