"""How far the values of each field have moved from the baseline, and whether by chance.

The twin is `ml_exporter.statistics.drift`, which names the sources of the formulas.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.config.thresholds import EFFECTS
from ml_exporter.rules.groups import Rule
from ml_exporter.rules.promql import gauge, indent, join_replicas, union, without
from ml_exporter.rules.shares import Sample, entropy, g_statistic, log_ratios, psi
from ml_exporter.rules.timing import Timing
from ml_exporter.statistics.drift import LEAST_VARIANCE, STATISTICS

VALUES = "ml_field_values_total"  # with the window's name: values of the window, by bin
BASELINE = "field:baseline_count"
BASELINE_ROWS = "field:baseline_rows"
BASELINE_RATIO = "field:baseline_ratio"
BASELINE_ENTROPY = "field:baseline_entropy"
RANK = "field:baseline_rank"
RANKED_ROWS = "field:baseline_ranked_rows"
CATEGORIES = "field:baseline_category_count"


def baseline(timing: Timing) -> Iterable[Rule]:
    """What the statistics need of the baseline: gauges of the exporter and sums of them."""

    def joined(selector: str) -> str:
        return join_replicas("max", gauge(timing, selector))

    yield Rule(BASELINE_ROWS, "Rows of the baseline.", joined("ml_field_baseline_rows"))
    yield Rule(
        BASELINE_RATIO, "Share of the bin in the baseline.", joined("ml_field_baseline_ratio")
    )
    yield Rule(
        BASELINE,
        "Rows of the baseline, by bin.",
        f"{BASELINE_RATIO}\n* ignoring (bin) group_left ()\n{BASELINE_ROWS}",
    )
    yield Rule(
        BASELINE_ENTROPY,
        "Entropy of the bins of the baseline, in bits.",
        entropy(BASELINE, BASELINE_ROWS),
    )
    yield Rule("field:baseline_bins", "Bins of the field.", without("count", "bin", BASELINE))
    yield Rule(
        "field:baseline_smoothed_ratio",
        "Share of the bin in the baseline, with half a row added to each bin.",
        f"({BASELINE} + 0.5)\n/ ignoring (bin) group_left ()\n"
        f"({BASELINE_ROWS} + 0.5 * field:baseline_bins)",
    )
    yield Rule(RANK, "Mid-rank of the bin in the baseline.", joined("ml_field_baseline_rank"))
    yield Rule(
        RANKED_ROWS,
        "Rows of the baseline in bins that have a rank.",
        without("sum", "bin", f"{BASELINE} and {RANK}"),
    )
    yield Rule(
        CATEGORIES,
        "Rows of the baseline, by bin: those that it has, of fields without ranks.",
        f"({BASELINE} > 0)\nunless ignoring (bin)\n{RANKED_ROWS}",
    )
    for of, scores, squares in (
        ("location", RANK, f"{RANK} ^ 2"),
        ("scale", f"{RANK} ^ 2", f"{RANK} ^ 4"),
    ):
        mean, what = f"field:baseline_{of}_mean", {"location": "rank", "scale": "squared rank"}[of]
        yield Rule(mean, f"Mean {what} of the baseline.", _baseline_mean(scores))
        yield Rule(
            f"field:baseline_{of}_variance",
            f"Variance of the {what} in the baseline.",
            f"{_baseline_mean(squares)}\n- {mean} ^ 2",
        )
    yield Rule(
        "field:critical_value",
        "What the statistic of a test must exceed to be significant, by `test` and `window`.",
        joined("ml_field_critical_value"),
    )


def _baseline_mean(scores: str) -> str:
    return f"{without('sum', 'bin', f'{BASELINE} * {scores}')}\n/ ({RANKED_ROWS} > 0)"


def statistics(window: str) -> Iterable[Rule]:
    """Effects and test statistics of a window, from its values and `field:rows`."""
    values, rows = f"{VALUES}:{window}", f"field:rows:{window}"
    ranked = f"field:ranked_rows:{window}"
    yield _psi(values, rows, window)
    yield Rule(
        f"field:entropy:{window}",
        f"Entropy of the bins, in bits, over {window}.",
        entropy(values, rows),
    )
    yield Rule(
        f"field:g_statistic:{window}",
        f"Likelihood-ratio statistic of the distribution against the baseline, over {window}.",
        g_statistic(
            Sample(values, rows, f"field:entropy:{window}"),
            Sample(BASELINE, BASELINE_ROWS, BASELINE_ENTROPY),
        ),
    )
    yield from _category_z(values, rows, window)
    yield Rule(
        ranked,
        f"Values in bins that have a rank, over {window}.",
        f"field:present_count:{window} > 0\nand\n{RANKED_ROWS}",
    )
    yield Rule(
        f"field:location_shift:{window}",
        "By how much a value is more likely than not to exceed one of the baseline, over "
        f"{window}.",
        f"{without('sum', 'bin', f'{values} * {RANK}')} / {ranked}\n- field:baseline_location_mean",
    )
    squared = f"field:mean_squared_rank:{window}"
    yield Rule(
        squared,
        f"Mean squared rank, over {window}.",
        f"{without('sum', 'bin', f'{values} * {RANK} ^ 2')} / {ranked}",
    )
    yield _shift_z(
        "location",
        "a shift",
        f"field:location_shift:{window}",
        f"{squared}\n- (field:location_shift:{window} + field:baseline_location_mean) ^ 2",
        window,
    )
    yield _shift_z(
        "scale",
        "a wider or narrower spread",
        f"({squared} - field:baseline_scale_mean)",
        f"{without('sum', 'bin', f'{values} * {RANK} ^ 4')} / {ranked}\n- {squared} ^ 2",
        window,
    )


def _category_z(values: str, rows: str, window: str) -> Iterable[Rule]:
    """In two steps: the bins of numbers, which are most, are read but once."""
    count, of_bin = f"field:category_count:{window}", "ignoring (bin) group_left ()"
    yield Rule(
        count,
        f"Values of a category, by bin, over {window}.",
        f"{values} and {CATEGORIES}",
    )
    rest = f"(-{count} + {of_bin} {rows})"
    usual_rest = f"(-{CATEGORIES} + {of_bin} {BASELINE_ROWS})"
    terms = "\n+ ".join(
        log_ratios(cell, rows, usual, BASELINE_ROWS, of_bin)
        for cell, usual in ((count, CATEGORIES), (rest, usual_rest))
    )
    yield Rule(
        f"field:category_z:{window}",
        "Greatest signed root, without its sign, of the likelihood-ratio statistic of one "
        f"category's share against the baseline's, over {window}.",
        f"sqrt(clamp_min(2 * {without('max', 'bin', terms)}, 0))",
    )


def _shift_z(of: str, what: str, shift: str, variance: str, window: str) -> Rule:
    """The shift over its standard error, from that and the variance in the window."""
    ranked = f"field:ranked_rows:{window}"
    of_baseline = f"field:baseline_{of}_variance"
    # The mean of the window's variance, the baseline's and the pooled one, if that is greater.
    both = (
        f"{of_baseline}\n+ clamp_min(\n  (\n{indent(variance, 4)}\n    - {of_baseline}\n  )\n"
        f"  * (1 + 1 / (1 + {RANKED_ROWS} / {ranked})) / 3,\n  0\n)"
    )
    return Rule(
        f"field:{of}_z:{window}",
        f"z of {what} against the baseline, by ranks, over {window}.",
        f"{shift}\n/ sqrt(\n"
        f"  (\n{indent(both, 4)}\n    > {LEAST_VARIANCE}\n  )\n"
        f"  * (1 / {ranked} + 1 / {RANKED_ROWS})\n)",
    )


def _psi(values: str, rows: str, window: str) -> Rule:
    of_baseline = "field:baseline_smoothed_ratio"
    share = f"({values} + 0.5)\n/ ignoring (bin) group_left () ({rows} + 0.5 * field:baseline_bins)"
    return Rule(
        f"field:psi:{window}",
        f"Population stability index against the baseline, over {window}.",
        psi(share, of_baseline, f"\n{indent(share)}\n  / {of_baseline}\n"),
    )


def judgements(window: str) -> Iterable[Rule]:
    """Whether the shifts of a window are more than chance, and large enough to matter."""
    by_test = union(
        {test: f"field:{statistic}:{window}" for test, statistic in STATISTICS.items()}, "test"
    )
    yield Rule(
        f"field:significance:{window}",
        f"The greatest of statistic over critical value: above 1 is significant. Over {window}.",
        without(
            "max",
            "test",
            f"abs(\n{indent(by_test)}\n)\n/ ignoring (window)\n"
            f'field:critical_value{{window="{window}"}}',
        ),
    )
    for severity in ("warning", "critical"):
        yield _materiality(window, severity)
    drifted = (
        f"field:significance:{window} > 1\nand\n"
        f"{without('max', 'severity', f'field:materiality:{window}')} > 1"
    )
    yield Rule(
        f"model:drifted_fields:{window}",
        f"Fields whose distribution has moved significantly and materially, over {window}.",
        f"{without('count', 'role, field', without('max', 'baseline_id', drifted))}\n"
        f"or\n0 * {without('group', 'role, field, baseline_id', f'field:significance:{window}')}",
    )


def _materiality(window: str, severity: str) -> Rule:
    def ratio(effect: str) -> str:
        size = f"field:{effect}:{window}"
        return (
            f"{f'abs({size})' if effect == 'location_shift' else size}\n"
            "/ ignoring (monitor, severity, baseline_id) group_left ()\n"
            f'clamp_min(field:threshold{{monitor="{effect}",severity="{severity}"}}, 1e-9)'
        )

    ratios = {effect: ratio(effect) for effect in EFFECTS}
    return Rule(
        f"field:materiality:{window}",
        f"The greatest of an effect over its {severity} threshold: above 1 is material. Over "
        f"{window}.",
        without("max", "monitor", union(ratios, "monitor")),
        {"severity": severity},
    )
