"""Attributions: what predictions rest on, against the baseline."""

from __future__ import annotations

import math
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
from ml_exporter.dashboards.selectors import MODEL
from ml_exporter.rules.attributions import LEAST_NDCG

NOT_LOGGED = "The model logs no attributions: see fields.attributions in the configuration"

_OF_FIELD = "version, field"


def attributions() -> Iterable[Panel]:
    def of_field(series: str) -> str:
        return f"max by ({_OF_FIELD}) ({series}{{{MODEL}}})"

    place, before = (
        of_field("field:attribution_rank:${window}"),
        of_field("field:baseline_attribution_rank"),
    )
    yield table_panel(
        About(
            "What predictions rest on",
            "Mean absolute attribution of each field, and its place among them, now and in the "
            "baseline. A field that rose or fell by several places has been given another meaning, "
            "or its values are broken: look at its drift.",
            width=14,
            height=9,
            decimals=3,
            no_value=NOT_LOGGED,
        ),
        {"version": "Version", "field": "Field"},
        Column("Attribution", of_field("field:attribution:${window}"), "none", decimals=3),
        Column("In the baseline", of_field("field:baseline_attribution"), "none", decimals=3),
        Column("Place", place, decimals=0),
        Column("Place in the baseline", before, decimals=0),
        Column(
            "Risen by",
            f"{before}\n- on ({_OF_FIELD})\n{place}",
            steps=((-math.inf, ORANGE), (-1.5, "text"), (1.5, ORANGE)),
            decimals=0,
        ),
        worst=("Attribution",),
    )
    warning, critical = LEAST_NDCG["warning"], LEAST_NDCG["critical"]
    yield timeseries_panel(
        About(
            "Order of the attributions",
            "How well fields are in the baseline's order by attribution (NDCG): 1 if they are. "
            f"Dashed is where AttributionDrift warns ({warning:g}) and pages ({critical:g}).",
            "none",
            width=10,
            height=9,
            decimals=3,
            steps=((-math.inf, RED), (critical, ORANGE), (warning, "green")),
            no_value=NOT_LOGGED,
        ),
        Query(f"max by (version) (model:attribution_ndcg:${{window}}{{{MODEL}}})", "{{version}}"),
        low=None,
        high=1,
        limits=True,
    )
