"""The figures of models and classes that a real Prometheus records are its twins, and no others.

Two replicas share the rows unevenly. Rows come twice, so that the hour has the later ones and the
day has both.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pytest

from ml_exporter.rules import Timing, best_constant, classes, classification, intervals
from ml_exporter.rules.degradation import JUDGED_WINDOWS
from ml_exporter.statistics import performance
from ml_exporter.statistics.performance import Cell
from tests.rules.targets import Prometheus, Targets, prometheus
from tests.support import wait_until

TIMING = Timing.shortened(2, **{"1h": 20, "24h": 120, "7d": 240})
SCRAPE = 0.5
ZEROS, EARLIER = 8, 30  # scrapes before the first rows, and before the later ones
WINDOWS = ("1h", "24h")

Cells = Mapping[tuple[str, str], int]  # rows by actual and predicted class
Series = tuple[str, frozenset[tuple[str, str]]]  # name and labels
Figures = dict[Series, float]

UNTOLD = "<other>, another"  # both are `<other>`, and differ


@dataclass(frozen=True)
class Model:
    """A version of a model, and what it is counted to have said: earlier, and later."""

    name: str
    earlier: Cells
    later: Cells
    positive: str = ""
    version: str = "1"

    def cells(self, window: str) -> list[Cell]:
        """What a window holds, and what was born at 0."""
        held = (self.later,) if window == "1h" else (self.earlier, self.later)
        return [
            (actual, predicted.removesuffix(", another"), actual == predicted, sum(rows))
            for actual, predicted in {**self.earlier, **self.later}
            for rows in [[of.get((actual, predicted), 0) for of in held]]
        ]

    def exposition(self, replica: str, moment: int) -> Iterator[str]:
        of = f'model="{self.name}",version="{self.version}"'
        task = "binary" if self.positive else "multiclass"
        yield f'ml_model_info{{{of},task="{task}",positive="{self.positive}"}} 1'
        for number, key in enumerate({**self.earlier, **self.later}):
            rows = sum(part.get(key, 0) for part in (self.earlier, self.later)[:moment])
            # One replica has none, a fifth or all of an outcome.
            share = rows * (0, 2, 10)[number % 3] // 10
            counted = share if replica == "small" else rows - share
            actual, predicted = key[0], key[1].removesuffix(", another")
            correct = str(key[0] == key[1]).lower()
            labels = f'{of},actual="{actual}",predicted="{predicted}",correct="{correct}"'
            yield f"ml_outcomes_total{{{labels}}} {counted}"


def confusion(names: Iterable[str], *rows: Iterable[int]) -> Cells:
    """A row for each actual class, of a number for each predicted one."""
    names = list(names)
    return {
        (actual, predicted): count
        for actual, of_actual in zip(names, rows, strict=True)
        for predicted, count in zip(names, of_actual, strict=True)
    }


BOTH = ["no", "yes"]
THREE = ["a", "b", "c"]
MODELS = (
    Model("balanced", confusion(BOTH, [50, 10], [5, 35]), confusion(BOTH, [30, 3], [9, 41]), "yes"),
    Model("perfect", confusion(BOTH, [5, 1], [2, 4]), confusion(BOTH, [20, 0], [0, 10]), "yes"),
    Model("no positives", confusion(BOTH, [40, 2], [0, 0]), confusion(BOTH, [7, 0], [0, 0]), "yes"),
    Model(
        "only positives", confusion(BOTH, [0, 0], [0, 9]), confusion(BOTH, [0, 0], [3, 9]), "yes"
    ),
    Model("rare", confusion(BOTH, [9000, 90], [7, 12]), confusion(BOTH, [800, 0], [3, 0]), "yes"),
    Model(
        "broken",  # predictions that are no class
        {("yes", "yes"): 30, ("no", "<missing>"): 4, ("yes", "<invalid>"): 3, ("no", "no"): 20},
        {("yes", "yes"): 8, ("no", "<missing>"): 9, ("maybe", "yes"): 2, ("no", "no"): 1},
        "yes",
    ),
    Model(
        "three",  # b is rare, c is never predicted
        confusion(THREE, [400, 20, 0], [3, 4, 0], [15, 2, 0]),
        confusion(THREE, [70, 5, 0], [0, 0, 0], [3, 1, 0]),
    ),
    Model(
        "three",  # another version
        confusion(THREE, [60, 2, 9], [3, 40, 1], [4, 2, 55]),
        confusion(THREE, [0, 0, 0], [1, 30, 2], [2, 2, 20]),
        version="2",
    ),
    Model(
        "other",
        {
            ("a", "a"): 50,
            ("a", "<other>"): 5,
            ("<other>", "<other>"): 30,
            ("<other>", UNTOLD): 10,
            ("<other>", "<missing>"): 5,
        },
        {("a", "a"): 1, ("<other>", UNTOLD): 5},
    ),
    Model("one class", confusion(["a"], [12]), confusion(["a"], [5])),
    Model("idle", confusion(THREE, [0] * 3, [0] * 3, [0] * 3), {}),
)


def exposition(replica: str, moment: int) -> str:
    """What a replica exposes before all rows, after the earlier ones, and after the later ones."""
    lines = [line for model in MODELS for line in model.exposition(replica, moment)]
    return "\n".join(sorted(lines)) + "\n"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Figures]]:
    """By window, all that was recorded of models and classes at an instant that has every row."""
    answers = {
        replica: [exposition(replica, 0)] * ZEROS
        + [exposition(replica, 1)] * EARLIER
        + [exposition(replica, 2)]
        for replica in ("large", "small")
    }
    rows = {
        window: {model_of(m): sum(rows for *_, rows in m.cells(window)) for m in MODELS}
        for window in WINDOWS
    }
    folder = tmp_path_factory.mktemp("performance")
    with (
        Targets(answers).serving() as targets,
        prometheus("prometheus", folder, TIMING, SCRAPE, "models") as server,
    ):
        server.scrape(targets, list(answers))
        instants: list[float] = []

        def complete() -> bool:
            # By now all rules of that evaluation have been recorded.
            instants.append(time.time() - TIMING.minute)
            return all(held(server, window, instants[-1]) == rows[window] for window in WINDOWS)

        wait_until(complete, 60, "all rows, the earlier ones in the day alone")
        yield {window: figures(server, window, instants[-1]) for window in WINDOWS}


def model_of(model: Model) -> tuple[str, str]:
    return model.name, model.version


def held(server: Prometheus, window: str, instant: float) -> dict[tuple[str, str], float]:
    found = server.query(f"sum by (model, version) (ml_outcomes_total:{window} @ {instant:.3f})")
    return {(labels["model"], labels["version"]): rows for labels, rows in found}


def figures(server: Prometheus, window: str, instant: float) -> Figures:
    rules = (
        *(*classes.counts(window), *classes.figures(window)),
        *(*classification.rules(window), *intervals.rules(window), *best_constant.rules(window)),
    )
    names = {*(rule.record for rule in rules), f"model:performance:{window}"}
    # What the interval of Matthews's correlation is made of.
    names = {name for name in names if not re.search("_(diversity|influence):", name)}
    recorded = server.query(f'{{__name__=~"(model|class):.+:{window}"}} @ {instant:.3f}')
    return {
        (labels.pop("__name__"), frozenset(labels.items())): value
        for labels, value in recorded
        if labels["__name__"] in names
    }


def twins(model: Model, window: str) -> Figures:
    found: Figures = {}
    of_model = {"model": model.name, "version": model.version, "job": "ml-exporter"}

    def add(name: str, value: float, **labels: str) -> None:
        found[f"{name}:{window}", frozenset((of_model | labels).items())] = value

    positive = model.positive or None
    every = performance.of_cells(model.cells(window))
    for label, one in every.items():
        for name in ("support", "predicted", "true_positives", "true_negatives"):
            add(f"class:{name}", getattr(one, name), **{"class": label})
        for name in performance.METRICS:
            if (value := getattr(one, name)) == value:  # not NaN
                add(f"class:{name}", value, **{"class": label})
    for name in classification.OUTCOMES if positive else ():
        add(f"model:{name}", getattr(every[model.positive], name))
    for name, (successes, trials) in performance.shares(every, positive).items():
        add("model:successes", successes, monitor=name)
        add("model:trials", trials, monitor=name)
    for name, value in performance.model_figures(every, positive).items():
        add(f"model:{name}", value)
        add("model:performance", value, monitor=name)
    for name, ends in performance.model_intervals(model.cells(window), positive).items():
        for end, value in zip(("lower", "upper"), ends, strict=True):
            add(f"model:{name}_{end}", value)
            add(f"model:performance_{end}", value, monitor=name)
    if window in JUDGED_WINDOWS:
        for side, rows in zip(("gained", "lost"), performance.against_constant(every), strict=True):
            add(f"model:{side}_on_constant", rows)
    return found


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.name} {model.version}")
def test_figures_and_intervals(recorded: dict[str, Figures], model: Model, window: str) -> None:
    of_model = {("model", model.name), ("version", model.version)}
    found = {key: value for key, value in recorded[window].items() if of_model <= key[1]}
    assert found == pytest.approx(twins(model, window), rel=1e-9, abs=1e-9)


def test_windows_differ(recorded: dict[str, Figures]) -> None:
    accuracy: dict[str, dict[frozenset[tuple[str, str]], float]] = defaultdict(dict)
    for window, found in recorded.items():
        for (name, labels), value in found.items():
            if name == f"model:accuracy:{window}":
                accuracy[window][labels] = value
    assert len(accuracy["1h"]) == len(MODELS) - 1  # one is idle
    assert sum(accuracy["24h"][of] != value for of, value in accuracy["1h"].items()) > 7
