"""Whether rows depart from the schema: fields that are gone, of another type, or unknown."""

from __future__ import annotations

from collections.abc import Mapping

LIMITS: Mapping[str, float] = {"warning": 0.05, "critical": 0.2}
"""Of the rows, beyond the share that was so in the baseline; by severity."""
LEAST_ROWS = 10


def is_violation(count: float, rows: float, usual: float, limit: float) -> bool:
    """Whether so many of the rows are too many, where a share was `usual` in the baseline."""
    return count >= LEAST_ROWS and rows > 0 and count / rows > usual + limit


def is_new(count: float, rows: float, earlier_count: float, earlier_rows: float) -> bool:
    """Whether the share has more than doubled; not known, and so False, without earlier rows."""
    if not rows or not earlier_rows:
        return False
    return count / rows > 2 * (earlier_count / earlier_rows)
