"""Distributions beside each other: of this week and the last, and of versions."""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.dashboards.panels import (
    ORANGE,
    About,
    Column,
    Panel,
    Query,
    table_panel,
    timeseries_panel,
)
from ml_exporter.dashboards.selectors import MODEL

NO_WEEK = "Needs a week of history"
NO_CHALLENGER = "No second version with the same baseline"

_BY = "version, role, field"
_SIGNIFICANT = ((1, ORANGE),)
_MOST = 5


def weekly() -> Iterable[Panel]:
    yield _table(
        About(
            "Fields that are other than a week before",
            "Each field's values of 24h against those of the same day a week before, the most "
            "significant first. No baseline is asked: this is what has changed lately, however "
            "long ago the model was trained. Significance above 1 is more than chance; PSI says "
            "how much it matters, location shift which way a number went.",
            width=12,
            height=10,
            no_value=NO_WEEK,
        ),
        "drift",
        Column(
            "Location shift",
            f"max by ({_BY}) (\n  field:location_shift:24h{{{MODEL}}}\n"
            f"  - field:location_shift:24h{{{MODEL}}} offset 1w\n)",
            "none",
            decimals=3,
        ),
    )
    series = f"field:drift_psi:24h{{{MODEL}}}"
    yield timeseries_panel(
        About(
            f"PSI against the week before, of the {_MOST} fields that changed most",
            "A step that lasts a week and then ends is one lasting change: from then on the week "
            "before has it, too. A peak each week is a season longer than one.",
            "none",
            width=12,
            height=10,
            decimals=3,
            no_value=NO_WEEK,
        ),
        Query(
            f"max by ({_BY}) ({series})\nand on (role, field)\n"
            f"topk({_MOST}, max by (role, field) ({series} @ end()))",
            "{{field}} ({{role}}, {{version}})",
        ),
    )


def rolling() -> Iterable[Panel]:
    yield _table(
        About(
            "Fields that are other than in the seven days before",
            "Each field's values of 24h against those of the seven days before, or as much of them "
            "as there is, the most significant first. Usual is the greatest significance of the "
            "week that ended a day ago, weekends included.",
            width=24,
            height=8,
            no_value="Needs as much history as 24h have",
        ),
        "rolling",
        Column(
            "Usual",
            f"max by ({_BY}) (field:usual_rolling_significance{{{MODEL}}})",
            "none",
            decimals=1,
        ),
    )


def of_versions() -> Iterable[Panel]:
    yield _table(
        About(
            "Fields in which versions see other data",
            "Each field's values of 24h against those of the champion (the version with the most "
            "predictions), the most significant first. Inputs that differ are a matter of routing: "
            "compare the performance of such versions with care. Predictions that differ on the "
            "same inputs are the new model's own.",
            width=24,
            height=8,
            no_value=NO_CHALLENGER,
        ),
        "version",
    )


def _table(about: About, name: str, *more: Column) -> Panel:
    def of(figure: str) -> str:
        return f"max by ({_BY}) (field:{name}_{figure}:24h{{{MODEL}}})"

    return table_panel(
        about,
        {"version": "Version", "role": "Role", "field": "Field"},
        Column("Significance", of("significance"), "none", _SIGNIFICANT, decimals=1),
        Column("PSI", of("psi"), "none", decimals=3),
        *more,
        worst=("Significance",),
    )
