"""Signals: what is unusual for this time of the day and of the week."""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.dashboards.charts import band_panel
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

NO_BAND = "Bands need eight days of history at this time of the day"

_BY = "version, signal"
_MOST = 5
_UNUSUAL = ((1, ORANGE),)


def signals() -> Iterable[Panel]:
    def of(series: str) -> str:
        return f"max by ({_BY}) ({series}{{{MODEL}}})"

    yield table_panel(
        About(
            "Signals",
            "Every monitored quantity of the last hour and the band that it is expected in, the "
            "most unusual first. Distance is that from the middle of the band in half widths: "
            "above 1 it is outside, and SignalAnomaly fires. What has no band is too young, or "
            "wasn't there at this time of the last weeks.",
            width=12,
            height=9,
            no_value=NO_BAND,
        ),
        {"version": "Version", "signal": "Signal"},
        Column("Distance", of("signal:anomaly"), "none", _UNUSUAL, decimals=2),
        Column("Now", of("signal:value"), "none", decimals=4),
        Column("Lower end", of("signal:lower_band"), "none", decimals=4),
        Column("Upper end", of("signal:upper_band"), "none", decimals=4),
        worst=("Distance",),
    )
    chosen = f'{MODEL},signal="$signal"'
    yield band_panel(
        About(
            "Band of $signal",
            "The chosen signal over the last hour, and in grey the band that it is expected in: "
            "from what it was at this time of the last seven days and of the last three weeks. "
            "Few rows make it wide.",
            "none",
            width=12,
            height=9,
            decimals=3,
            no_value=NO_BAND,
        ),
        Query(f"max by (version) (signal:value{{{chosen}}})", "{{version}}"),
        lower=f"min(signal:lower_band{{{chosen}}})",
        upper=f"max(signal:upper_band{{{chosen}}})",
        low=None,
    )
    anomaly = f"signal:anomaly{{{MODEL}}}"
    yield timeseries_panel(
        About(
            f"The {_MOST} most unusual signals",
            "Distance from the middle of the band in half widths: above 1 (dashed) a signal is "
            "outside. Several at once are most likely one cause; one that comes back each week is "
            "a season that isn't learned yet.",
            "none",
            width=24,
            height=8,
            decimals=2,
            steps=_UNUSUAL,
            no_value=NO_BAND,
        ),
        Query(
            f"{of('signal:anomaly')}\nand on (signal)\n"
            f"topk({_MOST}, max by (signal) ({anomaly} @ end()))",
            "{{signal}} {{version}}",
        ),
        limits=True,
    )
