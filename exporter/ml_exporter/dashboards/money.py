"""Money: what a model's outcomes were worth at the configured prices."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ml_exporter.dashboards.panels import (
    GREEN,
    RED,
    About,
    Panel,
    Query,
    stat_panel,
    timeseries_panel,
)
from ml_exporter.dashboards.selectors import MODEL

UNPRICED = "No outcome is priced: see outcome_values in the configuration"


def money() -> Iterable[Panel]:
    values = f"ml_outcome_value_total:${{window}}{{{MODEL}"
    worth = f"sum by (version, currency) (model:outcome_value:${{window}}{{{MODEL}}})"
    each = f"max by (version, currency) (model:outcome_value_per_prediction:${{window}}{{{MODEL}}})"
    yield stat_panel(
        About(
            "Earned in the window",
            "What the outcomes of labelled predictions were worth, gains less losses, at the "
            "configured prices. Below 0, leaving the model out would have been cheaper.",
            "none",
            width=6,
            steps=((-math.inf, RED), (0, GREEN)),
            decimals=0,
            no_value=UNPRICED,
        ),
        Query(worth, "{{currency}} {{version}}"),
        history=True,
    )
    yield timeseries_panel(
        About(
            "Gains and losses",
            "What right outcomes brought, and wrong ones cost (as a negative number), of labels "
            "that arrived in the window. Losses that grow while gains hold are the drop's price.",
            "none",
            width=9,
            no_value=UNPRICED,
        ),
        Query(
            f'sum by (version, currency) ({values},sign="gain"}})', "gains {{currency}} {{version}}"
        ),
        Query(
            f'-sum by (version, currency) ({values},sign="loss"}})',
            "losses {{currency}} {{version}}",
        ),
        low=None,
    )
    yield timeseries_panel(
        About(
            "Worth of a prediction",
            "What a labelled prediction was worth in the mean. It doesn't depend on traffic, so "
            "versions can be compared by it, and a fall is the model's or the world's.",
            "none",
            width=9,
            decimals=3,
            no_value=UNPRICED,
        ),
        Query(each, "{{currency}} {{version}}"),
        low=None,
    )
