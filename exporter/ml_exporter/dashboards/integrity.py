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
from ml_exporter.rules.integrity import REJECTED
from ml_exporter.statistics.constancy import LEAST_Z
from ml_exporter.statistics.drift import SHARES

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
    yield timeseries_panel(
        About(
            "Rows twice and from the future",
            "Shares of the window's predictions that have the id of an earlier one (known where "
            "labels are joined), or a time more than 5 minutes after they were read. Limits as of "
            "rejected rows.",
            "percentunit",
            decimals=1,
        ),
        *(
            Query(f"max(model:{kind}_ratio:${{window}}{{{CHOSEN}}})", legend)
            for kind, legend in (("duplicate", "come twice"), ("future", "from the future"))
        ),
    )
    yield _violations(
        "Schema violations",
        "Share of rows in which a field is gone altogether (missing_field), of another "
        "type (wrong_type), or not expected (extra_field), for the ten that have most. Gone and "
        "new at once is renamed. Usually a release of the caller: roll it back or retrain.",
        "violation",
        "schema_violation_ratio",
    )
    yield _violations(
        "Constraint violations",
        "Share of the window's rows in which a field violates a constraint of the configuration, "
        "for the ten that have most.",
        "constraint",
        "constraint_violation_ratio",
    )
    yield _constant()
    yield _volume()


def _violations(title: str, description: str, label: str, ratio: str) -> Panel:
    of_field = f"max by (field, {label}) (field:{ratio}:${{window}}{{{MODEL}}})"
    return table_panel(
        About(title, description, no_value="No row of the window violates any"),
        {"field": "Field", label: label.capitalize()},
        Column(
            "Rows", f"topk(10, {of_field}) > 0", "percentunit", steps=((0, ORANGE),), decimals=1
        ),
        worst=("Rows",),
    )


def _constant() -> Panel:
    z = f"field:constant_z:1h{{{_JUDGED}}}"
    usual = f"field:usually_constant_ratio:1h{{{_JUDGED}}}"
    return table_panel(
        About(
            "Fields that no longer vary",
            "Fields all of whose values of the last hour are in one bin, and how unlikely that is "
            "by the baseline: from 16 on FieldConstant warns, unless it was so in more than a "
            "tenth of the hours of the week before.",
        ),
        {"field": "Field", "bin": "Only bin"},
        Column("z", f"max by (field, bin) ({z} > 1)", steps=((LEAST_Z, ORANGE),), decimals=0),
        Column("Usual", f"max by (field) ({usual})", "percentunit", decimals=0),
        worst=("z",),
    )


def _volume() -> Panel:
    usual = "model:usual_predictions"
    return timeseries_panel(
        About(
            "Predictions an hour, and as usual",
            "Predictions of all versions in the last hour, beside the median of the same hour on "
            "earlier days. Below half of the dashed line below, or above twice the one above, "
            "PredictionVolumeChanged warns. There is nothing usual before a week has passed.",
            width=16,
        ),
        Query(f"sum(model:all_predictions:1h{{{CHOSEN}}})", "predictions"),
        Query(f"sum({usual}:1h{{{CHOSEN}}})", "usual"),
        Query(f"sum({usual}_lower:1h{{{CHOSEN}}})", "baseline: second least"),
        Query(f"sum({usual}_upper:1h{{{CHOSEN}}})", "baseline: second greatest"),
        references=True,
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
