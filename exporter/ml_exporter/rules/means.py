"""Means over rows in PromQL, and their intervals.

The twin is `mean` of `ml_exporter.statistics.intervals`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules.groups import Rule
from ml_exporter.rules.shares import SIGNS
from ml_exporter.statistics.significance import Z_95


def mean_figure(
    metric: str, help: str, total: str, squares: str, rows: str, window: str
) -> Iterable[Rule]:
    """`model:METRIC` and its 95 % interval, from sums of values and of their squares."""
    mean = f"model:{metric}:{window}"
    yield Rule(mean, f"{help}. Over {window}.", f"{total} / ({rows} > 0)")
    variance = f"clamp_min({squares} / {rows} - {mean} ^ 2, 0)"
    spread = f"{Z_95!r} * sqrt(\n  {variance}\n  / ({rows} - 1 > 0)\n)"
    for end, sign in SIGNS.items():
        yield Rule(
            f"model:{metric}_{end}:{window}",
            f"{end.capitalize()} end of its 95 % interval, over {window}.",
            f"{mean}\n{sign} {spread}",
        )
