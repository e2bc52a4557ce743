"""Reads every log to its end, once, and gives the counters."""

from __future__ import annotations

import time

from ml_exporter.config import Config
from ml_exporter.exposition import render
from ml_exporter.families import freeze
from ml_exporter.monitors.exporter import ExporterInfo
from ml_exporter.pipeline import Pipeline
from ml_exporter.store import Store
from ml_exporter.versions import Budget, given_baselines


def run_once(config: Config) -> tuple[bytes, dict[str, str]]:
    """The exposition of all that the logs hold, and the files that couldn't be read, with why.

    Nothing is remembered, and nothing waits for a scrape. Raises BaselineError and ConfigError.
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
        )
        while True:
            started = time.perf_counter()
            if pipeline.step(births_wait=False) == "idle":
                break
            info.took(time.perf_counter() - started)
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
    samples = render(freeze(families))
    store.close()
    return samples, errors
