"""Shares of values and rows that should not be: missing, unseen, against constraints, rejected.

The twin is `share_z` of `ml_exporter.statistics.drift`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ml_exporter.rules.drift import BASELINE, BASELINE_ROWS, VALUES
from ml_exporter.rules.groups import Rule
from ml_exporter.rules.promql import without
from ml_exporter.rules.shares import two_shares_z
from ml_exporter.statistics.drift import SHARES, Test

_WHAT: Mapping[Test, str] = {
    "missing": "null, absent or empty",
    "invalid": "of the wrong type, NaN or infinite",
    "out_of_range": "outside the baseline's range",
    "unseen": "of a category that the baseline doesn't name",
}

REJECTED = {"warning": 0.05, "critical": 0.2}  # shares of rows of a kind that are violations
LEAST_REJECTED = 10  # rows


class RowKind(NamedTuple):
    """Rows that should not be as they are, and the counter of them, which knows no version."""

    what: str
    counter: str
    labels: str  # that are summed over
    selector: str = ""

    def rows(self, window: str) -> str:
        return without("sum", self.labels, f"{self.counter}:{window}{self.selector}")


ROWS = {
    "rejected": RowKind("that could not be read", "ml_rows_rejected_total", "version, reason"),
    "duplicate": RowKind(
        "with the id of an earlier one", "ml_duplicate_predictions_total", "version"
    ),
    "future": RowKind(
        "with a time in the future",
        "ml_future_timestamps_total",
        "version, log",
        '{log="predictions"}',
    ),
}
LEAST_AGAINST_CONSTRAINT = 10  # rows within 24h


def baseline() -> Iterable[Rule]:
    """Rows of the baseline in each share."""
    for share, bins in SHARES.items():
        yield Rule(
            f"field:baseline_{share}_count",
            f"Values of the baseline that are {_WHAT[share]}.",
            without("sum", "bin", f'{BASELINE}{{bin=~"{"|".join(bins)}"}}'),
        )


def shares(window: str) -> Iterable[Rule]:
    """Shares of a window and how unlikely they are, from its values and `field:rows`."""
    for share, bins in SHARES.items():
        what, count = _WHAT[share], f"field:{share}_count:{window}"
        yield Rule(
            count,
            f"Values that are {what}, over {window}.",
            without("sum", "bin", f'{VALUES}:{window}{{bin=~"{"|".join(bins)}"}}'),
        )
        yield Rule(
            f"field:{share}_ratio:{window}",
            f"Share of values that are {what}, over {window}.",
            f"{count} / field:rows:{window}",
        )
        yield Rule(
            f"field:{share}_z:{window}",
            f"Signed root of the likelihood-ratio statistic of that share against the baseline's, "
            f"over {window}: positive if it grew.",
            two_shares_z(
                count, f"field:rows:{window}", f"field:baseline_{share}_count", BASELINE_ROWS
            ),
        )
    yield Rule(
        f"field:present_count:{window}",
        f"Values that are neither missing nor invalid, over {window}.",
        "\n- ".join(
            (
                f"field:rows:{window}",
                *(
                    f"(field:{share}_count:{window} or 0 * field:rows:{window})"
                    for share in ("missing", "invalid")
                ),
            )
        ),
    )


def row_shares(window: str) -> Iterable[Rule]:
    """Shares of rows that should not be as they are, of all versions."""
    accepted = without("sum", "version", f"model:predictions:{window}")
    for name, kind in ROWS.items():
        rows = kind.rows(window)
        every = f"{rows} + {accepted}" if name == "rejected" else accepted
        yield Rule(
            f"model:{name}_ratio:{window}",
            f"Share of rows {kind.what}, of all versions, over {window}.",
            f"{rows}\n/\n({every} > 0)",
        )


def constraint_violation_ratio(window: str) -> Rule:
    return Rule(
        f"field:constraint_violation_ratio:{window}",
        f"Share of rows in which a field violates a constraint, over {window}.",
        f"ml_constraint_violations_total:{window}\n/ ignoring (field, constraint) group_left ()\n"
        f"(model:predictions:{window} > 0)",
    )


def violations(severity: str) -> Iterable[Rule]:
    """Shares above their thresholds in the last hour, by more than chance."""
    for share in SHARES:
        yield Rule(
            "field:violation_ratio:1h",
            f"Share of {share} values where it is above its {severity} threshold and has grown "
            "significantly, over 1h.",
            f"field:{share}_ratio:1h\n"
            f"> ignoring (monitor, severity, baseline_id) group_left ()\n"
            f'field:threshold{{monitor="{share}_ratio",severity="{severity}"}}\n'
            f"and\n"
            f"field:{share}_z:1h\n"
            f"> ignoring (test, window)\n"
            f'field:critical_value{{test="{share}",window="1h"}}',
            {"monitor": f"{share}_ratio", "severity": severity},
        )
    yield Rule(
        "field:violation_ratio:1h",
        f"Share of rows in which a field violates a constraint where it is above its {severity} "
        f"threshold, over 1h, and {LEAST_AGAINST_CONSTRAINT} rows or more did within 24h.",
        f"field:constraint_violation_ratio:1h\n"
        f"> ignoring (constraint, monitor, severity) group_left ()\n"
        f'field:threshold{{monitor="constraint_violation_ratio",severity="{severity}"}}\n'
        f"and\n"
        f"ml_constraint_violations_total:24h >= {LEAST_AGAINST_CONSTRAINT}",
        {"monitor": "constraint_violation_ratio", "severity": severity},
    )
    for name, kind in ROWS.items():
        yield Rule(
            "model:violation_ratio:1h",
            f"Share of rows {kind.what} where it is above {REJECTED[severity]} and there are "
            f"{LEAST_REJECTED} or more, over 1h.",
            f"model:{name}_ratio:1h > {REJECTED[severity]}\n"
            f"and {kind.rows('1h')} >= {LEAST_REJECTED}",
            {"monitor": f"{name}_ratio", "severity": severity},
        )
