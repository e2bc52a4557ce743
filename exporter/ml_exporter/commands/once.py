"""Reads every log to its end, once, and gives the counters."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ml_exporter.config.config import Config, Model
from ml_exporter.exposition import render
from ml_exporter.families import Family, Frozen, freeze
from ml_exporter.monitors.exporter import ExporterInfo
from ml_exporter.pipeline.given_baselines import given_baselines
from ml_exporter.pipeline.pipeline import Observer, Pipeline
from ml_exporter.pipeline.version import Budget
from ml_exporter.store.store import Store

_COUNTERS_OF_ROWS = ("ml_predictions_total", "ml_labels_total")


@dataclass(frozen=True)
class Reading:
    """What logs hold: samples, and the files that couldn't be read, with why."""

    samples: list[Frozen]
    errors: Mapping[str, str]


def run_once(config: Config) -> tuple[bytes, Mapping[str, str]]:
    """The exposition of all that the logs hold, and the files that couldn't be read, with why.

    Nothing is remembered, and nothing waits for a scrape. Raises BaselineError and ConfigError.
    """
    reading = read_all(config)
    return render(reading.samples), reading.errors


def read_all(
    config: Config,
    *,
    observe: Callable[[Model], Observer | None] = lambda model: None,
    progress: Callable[[int], None] = lambda rows: None,
) -> Reading:
    """Count all that the logs hold.

    `observe` gives whoever is to look at the rows of a model; `progress` is told how many rows
    were read so far. Raises BaselineError and ConfigError.
    """
    store = Store(None)
    info = ExporterInfo()
    info.loaded(True, time.time())
    budget = Budget(config.limits.series)
    errors: dict[str, str] = {}
    families = list(info.families)
    pending = 0
    for model in config.models:
        pipeline = Pipeline(
            model,
            config.limits,
            store,
            given_baselines(model, config.limits),
            follow=False,
            start="start",
            budget=budget,
            observer=observe(model),
        )
        read = _rows(families)
        while True:
            started = time.perf_counter()
            if pipeline.step(births_wait=False) == "idle":
                break
            info.took(time.perf_counter() - started)
            progress(read + _rows(pipeline.families))
        pipeline.finish()
        errors |= pipeline.errors
        families += pipeline.families
        pending += pipeline.pending()
        pipeline.close()
    info.holds(
        pending=pending,
        series=sum(len(family) for family in families),
        suppressed=budget.suppressed,
    )
    samples = freeze(families)
    store.close()
    return Reading(samples, errors)


def _rows(families: list[Family]) -> int:
    """Predictions and labels that were counted."""
    of = (family for family in families if family.name in _COUNTERS_OF_ROWS)
    return int(sum(family.values.sum() for family in of))
