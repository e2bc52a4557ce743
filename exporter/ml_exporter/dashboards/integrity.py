"""Data integrity on the overview: broken values, rejected rows, departures from the schema."""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.dashboards.panels import (
    ORANGE,
    RED,
    About,
    Column,
    Panel,
    Query,
    table_panel,
    timeseries_panel,
)
from ml_exporter.dashboards.selectors import CHOSEN, JUDGED_ROLES, MODEL, union
from ml_exporter.rules.integrity import REJECTED, SHARES

_JUDGED = f"{MODEL},{JUDGED_ROLES}"
_OF_FIELD = "version, role, field"
_TITLES = {share: share.replace("_", " ") for share in SHARES}


def _ratio(share: str) -> str:
    return f"field:{share}_ratio:${{window}}{{{_JUDGED}}}"


def integrity() -> Iterable[Panel]:
    ratios = union({_TITLES[share]: _ratio(share) for share in SHARES}, "kind")
    yield timeseries_panel(
        About(
            "Broken values of the worst field",
            "The greatest share, of any field, of values that are missing, invalid (wrong type, "
            "NaN, infinite), out of the baseline's range, or of an unseen category. A step is a "
            "change upstream; the table names the field.",
            "percentunit",
            width=12,
            height=8,
            decimals=1,
        ),
        Query(f"max by (kind) (\n{ratios}\n)", "{{kind}}"),
    )
    yield _fields()
    yield timeseries_panel(
        About(
            "Rejected rows by reason",
            "Rows of the window that could not be read, of predictions and labels, whatever the "
            "version. They are in no "
            "figure. `malformed`, `encoding` and `truncated` point at the writer of the log, "
            "`no_id` and `bad_timestamp` at its schema or at the exporter's configuration.",
        ),
        Query(f"sum by (reason) (ml_rows_rejected_total:${{window}}{{{CHOSEN}}})", "{{reason}}"),
        stacked=True,
    )
    yield timeseries_panel(
        About(
            "Rejected share of rows",
            "Rejected rows over all rows of the window. Dashed is where DataIntegrityViolations "
            "begins to warn, and to page.",
            "percentunit",
            decimals=1,
            steps=((REJECTED["warning"], ORANGE), (REJECTED["critical"], RED)),
        ),
        Query(f"max(model:rejected_ratio:${{window}}{{{CHOSEN}}})", "rejected"),
        limits=True,
    )
    violations = f"ml_schema_violations_total:${{window}}{{{MODEL}}}"
    yield table_panel(
        About(
            "Schema violations",
            "Rows of the window in which a field was gone altogether, of another type, or not "
            "expected, for the ten that have most. Usually a release of the caller: roll it back "
            "or retrain.",
        ),
        {"field": "Field", "violation": "Violation"},
        Column("Rows", f"topk(10, sum by (field, violation) ({violations}))", steps=((1, ORANGE),)),
        worst=("Rows",),
    )


def _fields() -> Panel:
    of_limits = union(
        {
            _TITLES[share]: f"{_ratio(share)}\n"
            "/ ignoring (monitor, severity, baseline_id) group_left ()\n"
            f'field:threshold{{{MODEL},monitor="{share}_ratio",severity="warning"}}'
            for share in SHARES
        },
        "kind",
    )
    return table_panel(
        About(
            "Broken values by field",
            "Shares of each field's values over the window, the worst first, by the greatest of "
            "share over warning threshold. At 100 % the alert fires if the share has also grown by "
            "more than chance.",
            width=12,
            height=8,
        ),
        {"version": "Version", "role": "Role", "field": "Field"},
        Column(
            "Of its threshold",
            f"max by ({_OF_FIELD}) (\n{of_limits}\n)",
            "percentunit",
            ((1, ORANGE),),
            decimals=0,
        ),
        *(
            Column(
                title.capitalize(),
                f"max by ({_OF_FIELD}) ({_ratio(share)})",
                "percentunit",
                decimals=1,
            )
            for share, title in _TITLES.items()
        ),
        worst=("Of its threshold",),
    )
