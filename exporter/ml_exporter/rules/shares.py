"""Shares of rows in PromQL: their intervals, and how far they are from what is expected."""

from __future__ import annotations

from ml_exporter.rules.promql import indent
from ml_exporter.statistics.significance import Z_95

_SIGNS = {"lower": "-", "upper": "+"}
_Z2 = Z_95**2
_TINY = "1e-9"


def wilson(end: str, successes: str, trials: str) -> str:
    """The `lower` or `upper` end of a share's 95 % interval, where there are trials.

    The twin is `ml_exporter.statistics.intervals.wilson`.
    """
    spread = f"{successes} * ({trials} - {successes})\n/ ({trials} > 0)\n+ {_Z2 / 4!r}"
    end_of = (
        f"(\n  {successes} + {_Z2 / 2!r}\n  {_SIGNS[end]} {Z_95!r} * sqrt(\n"
        f"{indent(spread, 4)}\n  )\n)\n/ ({trials} + {_Z2!r})"
    )
    return f"clamp(\n{indent(end_of)},\n  0, 1\n)"


def below_expected_z(missing: str, expected: str, trials: str) -> str:
    """By how many standard errors there are fewer successes than expected; negative: more.

    `missing` is expected less actual ones. All three have the same labels. The twin is
    `ml_exporter.statistics.significance.proportion_z`, with the other sign.
    """
    corrected = f"({expected} - sgn({missing}) * clamp_min(abs({missing}) - 0.5, 0))"

    def of(count: str, usual: str) -> str:
        return f"{count}\n* ln(clamp_min({count}, {_TINY}) / clamp_min({usual}, {_TINY}))"

    ratio = (
        f"{of(corrected, expected)}\n"
        f"+ {of(f'({trials} - {corrected})', f'({trials} - {expected})')}"
    )
    return f"sgn({missing})\n* sqrt(clamp_min(2 * (\n{indent(ratio)}\n), 0))"
