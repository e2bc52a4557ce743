"""Shares of rows in PromQL: their intervals, and how far they are from what is expected."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ml_exporter.rules.promql import indent, operand, without
from ml_exporter.statistics.significance import Z_95

SIGNS: Mapping[str, str] = {"lower": "-", "upper": "+"}
"""On which side of a figure each end of its interval is."""

_Z2 = Z_95**2
_TINY = "1e-9"
_LEAST_SHARE = "1e-15"


def share(part: str, whole: str, least: str = "> 0") -> str:
    """What part of the rows something is of: 0 where it counts none, absent without rows."""
    return f"(\n{indent(part)}\n  or\n  0 * {whole}\n)\n/ (\n{indent(whole)}\n  {least}\n)"


def wilson(end: str, successes: str, trials: str) -> str:
    """The `lower` or `upper` end of a share's 95 % interval, where there are trials.

    The twin is `ml_exporter.statistics.intervals.wilson`.
    """
    return f"clamp(\n{indent(unclamped_wilson(end, successes, trials))},\n  0, 1\n)"


def unclamped_wilson(end: str, successes: str, trials: str) -> str:
    """The same as it comes out, which rounding may take beyond 0 or 1."""
    spread = f"{successes} * ({trials} - {successes})\n/ ({trials} > 0)\n+ {_Z2 / 4!r}"
    return (
        f"(\n  {successes} + {_Z2 / 2!r}\n  {SIGNS[end]} {Z_95!r} * sqrt(\n"
        f"{indent(spread, 4)}\n  )\n)\n/ ({trials} + {_Z2!r})"
    )


def f1_of_jaccard(jaccard: str) -> str:
    """F1, of which Jaccard's index is a share of rows."""
    return f"2 / (\n  1 + 1 / (\n{indent(jaccard, 4)}\n  )\n)"


def below_expected_z(missing: str, expected: str, trials: str) -> str:
    """By how many standard errors there are fewer successes than expected; negative: more.

    `missing` is expected less actual ones. All three have the same labels. The twin is
    `ml_exporter.statistics.significance.proportion_z`, with the other sign.
    """
    corrected = f"({yates(expected, missing)})"
    failures, usual = (f"({trials} - {count})" for count in (corrected, expected))
    return signed_root(missing, (corrected, expected), (failures, usual))


def yates(expected: str, missing: str) -> str:
    """Actual successes, half a row closer to what is expected."""
    return f"{expected} - sgn({missing}) * clamp_min(abs({missing}) - 0.5, 0)"


def signed_root(missing: str, *counts: tuple[str, str]) -> str:
    """Signed root of the likelihood ratio of counts, each with what is expected of it."""
    ratio = "\n+ ".join(
        f"{count}\n* ln(clamp_min({count}, {_TINY}) / clamp_min({usual}, {_TINY}))"
        for count, usual in counts
    )
    return f"sgn({missing})\n* sqrt(clamp_min(2 * (\n{indent(ratio)}\n), 0))"


@dataclass(frozen=True)
class Sample:
    """Counts by bin, how many that are in all, and the entropy of their shares in bits."""

    values: str
    rows: str
    entropy: str


def entropy(values: str, rows: str) -> str:
    """The entropy of the shares of bins, in bits."""
    return f"log2({rows})\n- {without('sum', 'bin', times_its_log(values))} / {rows}"


def sample(values: str, rows: str) -> Sample:
    """One whose entropy is recorded nowhere."""
    return Sample(values, rows, entropy(values, rows))


def times_its_log(count: str) -> str:
    """`x log2 x`, 0 where x is 0."""
    return f"{count} * log2(clamp_min({count}, {_LEAST_SHARE}))"


def g_statistic(one: Sample, other: Sample) -> str:
    """Likelihood-ratio statistic of two samples having one distribution over their bins.

    It is the entropy of the pooled rows less that of each sample's, which asks far less of
    Prometheus than the ratio of each count to what is expected of it. Rounding takes about 1e-15 of
    the rows from it or adds them. The twin is `ml_exporter.statistics.drift.g_statistic`.
    """
    rows = f"({one.rows} + {other.rows})"
    pooled = without("sum", "bin", times_its_log(f"({one.values} + {other.values})"))
    apart = "".join(f"\n- {of.rows} * {operand(of.entropy)}" for of in (one, other))
    bits = f"{rows} * log2({rows})\n- {pooled}{apart}"
    return f"clamp_min(\n  {2 * math.log(2)!r} * (\n{indent(bits, 4)}\n  ),\n  0\n)"


def psi(share: str, other_share: str, ratio: str) -> str:
    """Population stability index of the shares of bins in two samples.

    `ratio` is the one's to the other, but for a factor that all bins of a field have in common:
    it has no part in the sum, as both shares add up to 1.
    """
    difference = f"(\n{indent(share)}\n  - {other_share}\n)"
    return without("sum", "bin", f"{difference}\n* ln({ratio})")


def log_ratios(count: str, rows: str, other_count: str, other_rows: str, of_cell: str = "") -> str:
    """`count * ln(count / expected)` of a cell in each of two samples, added; 0 where it counts 0.

    `of_cell` matches the rows of a sample with its cells, where these have labels of their own.
    """
    size, other_size = (
        f"{of_cell} (1 + {other} / {own})".lstrip()
        for own, other in ((rows, other_rows), (other_rows, rows))
    )
    of_other = _log_ratio(other_count, count, other_size)
    return f"{_log_ratio(count, other_count, size)}\n+ {of_other}"


def _log_ratio(count: str, other: str, size: str) -> str:
    """`count * ln(count / expected)` of one cell.

    The expected count is the cell's in both samples over `size`, how many times as large as its
    own sample both are together. The clamps are never seen: their terms have a factor of 0.
    """
    return (
        f"{count} * ln(\n"
        f"  clamp_min({count}, {_TINY}) / clamp_min({count} + {other}, {_TINY})\n"
        f"  * {size}\n)"
    )


def two_shares_z(count: str, rows: str, other_count: str, other_rows: str) -> str:
    """Signed root of the likelihood ratio of a share in two samples: positive if it grew.

    All four have the same labels. The twin is `ml_exporter.statistics.drift.share_z`.
    """
    rest, other_rest = f"({rows} - {count})", f"({other_rows} - {other_count})"
    terms = "\n+ ".join(
        log_ratios(cell, rows, of_other, other_rows)
        for cell, of_other in ((count, other_count), (rest, other_rest))
    )
    return (
        f"sgn(\n  {count} / {rows}\n  - {other_count} / {other_rows}\n)\n"
        f"* sqrt(clamp_min(2 * (\n{indent(terms)}\n), 0))"
    )
