"""How many weeks without a change have a false alarm, of models of 100 fields and hourly windows.

Rows of real data sets are drawn again and again: a baseline from them, and weeks of traffic.
Windows of 1 and 24 hours move on every ten minutes, as the rules' do. A model has the fields of a
data set and their components several times over, each time of rows and a baseline of their own,
until there are 100. In the second table rows come in sessions of five similar ones, and what they
are follows the time of the day; the baseline is four weeks of the same, with timestamps.

    python benchmarks/detection_weeks.py
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import detection_data as data
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from ml_exporter.baseline.baseline import Baseline, BaselineField, Request
from ml_exporter.baseline.components import Projection
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import Batch, Field
from ml_exporter.carried import Scores
from ml_exporter.columns import Column
from ml_exporter.statistics import drift, overdispersion
from ml_exporter.statistics.bins import Floats

Places = NDArray[np.intp]

FIELDS = 100  # of a model, components included
BUDGET = 0.01  # of weeks
MATERIAL = 0.1  # the default threshold of a warning, of PSI and location shift
STEPS_AN_HOUR = 6
DAY = 24 * STEPS_AN_HOUR
SESSION, NEIGHBOURS = 5, 50  # rows of a session, and how many it takes them from
SEASON = 0.6  # amplitude of the day's cycle, in standard deviations
BASELINE_WEEKS = 4  # with timestamps


class Traffic(NamedTuple):
    """Which rows of a data set came, and in which step of ten minutes each."""

    rows: Places
    steps: Places


def independent(steps: int, per_step: float, size: int, random: np.random.Generator) -> Traffic:
    of_step = random.poisson(per_step, steps)
    return Traffic(random.integers(size, size=of_step.sum()), np.repeat(np.arange(steps), of_step))


def seasonal(steps: int, per_step: float, order: Places, random: np.random.Generator) -> Traffic:
    """Sessions, each in one place of the order; where, follows the time of the day."""
    sessions = random.poisson(per_step / SESSION, steps)
    step = np.repeat(np.arange(steps), sessions)
    usual = SEASON * np.sin(2 * np.pi * step / DAY)
    score = random.normal(usual, np.sqrt(1 - SEASON**2 / 2))
    centre = (special.ndtr(score) * order.size).astype(np.intp)
    near = random.integers(-NEIGHBOURS // 2, NEIGHBOURS // 2, size=(centre.size, SESSION))
    places = np.clip(centre[:, None] + near, 0, order.size - 1)
    return Traffic(order[places].ravel(), np.repeat(step, SESSION))


def main_order(features: pd.DataFrame) -> Places:
    """Rows in the order of the first principal component of their numbers."""
    numbers = features.select_dtypes("number")
    usual = numbers.fillna(numbers.median()).rank().to_numpy()
    standard = (usual - usual.mean(axis=0)) / usual.std(axis=0)
    direction = np.linalg.eigh(np.cov(standard.T))[1][:, -1]
    return np.argsort(standard @ direction, kind="stable")


@dataclass(frozen=True)
class Coded:
    """A field of a baseline, and the bin of each row of the data set."""

    field: BaselineField
    codes: Places

    def windows(self, traffic: Traffic, steps: int, length: int) -> Floats:
        """Counts in every window of so many steps that ends after the first day."""
        width = len(self.field.bins)
        cells = traffic.steps * width + self.codes[traffic.rows]
        counts = np.bincount(cells, minlength=steps * width).reshape(steps, width)
        sums = np.concatenate([np.zeros((1, width)), np.cumsum(counts, axis=0)])
        ends = np.arange(DAY, steps + 1)
        windows: Floats = sums[ends] - sums[ends - length]
        return windows

    def significance(self, windows: Mapping[str, Floats], weights: float) -> dict[str, Floats]:
        """`drift.significance` of every window, by length."""
        field, usual = self.field, self.field.array()
        theory = drift.critical_values(field.tested_as, usual, weights=weights, false_alarms=BUDGET)
        cells = int(np.count_nonzero(usual))
        critical = overdispersion.critical_values(
            theory, cells, field.overdispersions, field.extremes
        )
        shares = {
            test: np.isin(field.bins, bins)
            for test, bins in drift.SHARES.items()
            if test in drift.TESTS[field.tested_as]
        }
        found = {}
        for length, counts in windows.items():
            statistics = drift.of_windows(counts, usual, self.ranks(), shares)
            ratios = [np.abs(of) / critical[length][test] for test, of in statistics.items()]
            found[length] = np.fmax.reduce(ratios)
        return found

    def ranks(self) -> Floats:
        """Of its bins; NaN of those that have none."""
        ranks = np.full(len(self.field.bins), np.nan)
        ranked = np.isin(self.field.bins, self.field.ranked_bins)
        ranks[ranked] = drift.mid_ranks(self.field.array()[ranked])
        return ranks

    def material(self, window: Floats) -> bool:
        size = drift.psi(window, self.field.array())
        if self.field.edges is None:
            return size > MATERIAL
        ranks = self.ranks()
        ranked = ~np.isnan(ranks)
        shift = drift.location_shift(window[ranked], self.field.array()[ranked], ranks[ranked])
        return size > MATERIAL or abs(shift) > MATERIAL


def batch(features: pd.DataFrame, timestamps: Floats | None) -> Batch:
    plain = features.astype(object).where(features.notna(), None)
    columns = {Field("feature", str(name)): Column(plain[name].tolist()) for name in plain}
    return Batch(len(features), columns, timestamps=timestamps)


def coded(baseline: Baseline, every: Batch) -> list[Coded]:
    found = [Coded(one, one.places(every.fields[one.key])) for one in baseline.fields]
    if baseline.components is not None:
        values = Projection(baseline.components, baseline.fields).of(every)
        for one, of in zip(baseline.component_fields, values, strict=True):
            found.append(Coded(one, one.places(Scores(of))))
    return found


class Week(NamedTuple):
    """Whether anything was significant within it, by the fields it is in; and an alert's."""

    hour: bool
    day: bool
    both: bool
    alert: bool
    both_of_features: bool


def week(model: Sequence[tuple[list[Coded], Traffic]], steps: int, weights: float) -> Week:
    hour = day = both = alert = of_features = False
    for fields, traffic in model:
        for one in fields:
            windows = {
                name: one.windows(traffic, steps, length)
                for name, length in (("1h", STEPS_AN_HOUR), ("24h", DAY))
            }
            above = {name: of > 1 for name, of in one.significance(windows, weights).items()}
            together = np.flatnonzero(above["1h"] & above["24h"]).tolist()
            hour |= bool(above["1h"].any())
            day |= bool(above["24h"].any())
            both |= bool(together)
            of_features |= bool(together) and one.field.role == "feature"
            alert |= any(all(one.material(w[k]) for w in windows.values()) for k in together)
    return Week(hour, day, both, alert, of_features)


@dataclass(frozen=True)
class Plan:
    models: int  # of each data set
    weeks: int  # of each model
    rows: int  # in an hour
    in_seasons: bool


def weeks_of(name: str, plan: Plan) -> list[Week]:
    features, _ = data.load(name)
    every, order = batch(features, None), main_order(features)
    per_step, steps = plan.rows / STEPS_AN_HOUR, 8 * DAY

    def traffic(steps: int, random: np.random.Generator) -> Traffic:
        if plan.in_seasons:
            return seasonal(steps, per_step, order, random)
        return independent(steps, per_step, order.size, random)

    def rows_of_baseline(random: np.random.Generator) -> Batch:
        if not plan.in_seasons:
            return batch(features.iloc[random.integers(order.size, size=data.BASELINE_ROWS)], None)
        rows, at = traffic(BASELINE_WEEKS * 7 * DAY, random)
        return batch(features.iloc[rows], at * 3600.0 / STEPS_AN_HOUR)

    found = []
    for number in range(plan.models):
        random = np.random.default_rng([number, plan.in_seasons])
        blocks: list[list[Coded]] = []
        while (lacking := FIELDS - sum(map(len, blocks))) > 0:
            rows = rows_of_baseline(random)
            baseline = build(lambda rows=rows: [rows], Request("m", "1", {}, {}, 10, 50))  # type: ignore[misc]
            blocks.append(coded(baseline, every)[:lacking])
        weights = sum(drift.weight(one.field.tested_as) for block in blocks for one in block)
        found += [
            week([(block, traffic(steps, random)) for block in blocks], steps, weights)
            for _ in range(plan.weeks)
        ]
    return found


def row(name: str, weeks: Sequence[Week]) -> str:
    """Per cent of weeks, with the binomial standard error."""
    shares = np.mean(weeks, axis=0)
    errors = np.sqrt(shares * (1 - shares) / len(weeks))
    cells = (f"{100 * s:.1f} ± {100 * e:.1f}" for s, e in zip(shares, errors, strict=True))
    return f"| {name} | {len(weeks)} | {' | '.join(cells)} |"


def table(found: Iterable[tuple[str, list[Week]]]) -> None:
    print("| data set | weeks | 1h | 24h | both | both, material | both, of features |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    every: list[Week] = []
    for name, weeks in found:
        every += weeks
        print(row(name, weeks), flush=True)
    print(row("*all*", every), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--models", type=int, default=17, help="of each data set")
    parser.add_argument("--weeks", type=int, default=10, help="of each model")
    parser.add_argument("--seasonal-models", type=int, default=2, help="of each data set")
    parser.add_argument("--rows", type=int, default=200, help="in an hour")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    names = [*data.DATA_SETS]
    plans = {
        "Independent rows": Plan(options.models, options.weeks, options.rows, False),
        "Sessions and a daily season": Plan(
            options.seasonal_models, options.weeks, options.rows, True
        ),
    }
    print(f"% of weeks with a significant field, {FIELDS} fields, {options.rows} rows an hour")
    with ProcessPoolExecutor(options.processes) as pool:
        for title, plan in plans.items():
            print(f"\n{title}\n")
            table(zip(names, pool.map(weeks_of, names, [plan] * len(names)), strict=True))


if __name__ == "__main__":
    main()
