"""The loop that counts: steps all pipelines, commits, and publishes what was committed."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from ml_exporter.baseline import Baseline, BaselineError
from ml_exporter.config import Config
from ml_exporter.families import Family
from ml_exporter.history import History
from ml_exporter.monitors.exporter import ExporterInfo
from ml_exporter.pipeline import Pipeline
from ml_exporter.publication import Birth, Publication
from ml_exporter.store import StateError, Store
from ml_exporter.versions import Budget, given_baselines

log = logging.getLogger(__name__)

_Baselines = Mapping[str | None, Baseline]  # of one model, by version

_COMMIT_EVERY = 1.0  # seconds
_IDLE = 0.1  # seconds between looks at logs that had nothing new


class Telemetry:
    """All pipelines of a configuration over one store."""

    def __init__(
        self, config: Config, store: Store, publication: Publication, history: History
    ) -> None:
        """Raises BaselineError and StateError."""
        self.config = config
        self.info = ExporterInfo()
        self.info.loaded(True, time.time())
        self._store = store
        self._publication = publication
        self._history = history
        self._committed_at = 0.0
        self._save_failed = False
        self._errors: dict[str, str] = {}
        self._births: dict[str, Birth] = {}  # models whose new series are to be seen first
        self._given = _given(config)
        self.pipelines, self._budget = self._build(config, self._given)
        self._publish([pipeline.model.name for pipeline in self.pipelines])

    def run(self, stopping: threading.Event, between_steps: Callable[[], None]) -> None:
        """Count until told to stop."""
        while not stopping.is_set():
            between_steps()
            if not self.step():
                stopping.wait(_IDLE)
        self.commit()

    def step(self) -> bool:
        """Let each pipeline count a chunk; False if none had anything to count."""
        if self._save_failed and time.monotonic() - self._committed_at < _COMMIT_EVERY:
            return False
        try:
            busy, born = self._step()
        except sqlite3.Error as error:
            self._start_over(error)
            return False
        self._report_errors()
        if born or time.monotonic() - self._committed_at >= _COMMIT_EVERY:
            self.commit(born)
        return busy

    def _step(self) -> tuple[bool, list[str]]:
        """Whether any pipeline was busy, and which models have new series."""
        busy = False
        born = []
        for pipeline in self.pipelines:
            name = pipeline.model.name
            if name in self._births:
                if not self._births[name].is_over:
                    continue
                del self._births[name]
            started = time.perf_counter()
            outcome = pipeline.step(births_wait=self._publication.wait > 0)
            if outcome != "idle":
                busy = True
                self.info.took(time.perf_counter() - started)
            if outcome == "born":
                born.append(name)
        return busy, born

    def commit(self, born: Sequence[str] = ()) -> None:
        """Save what was counted, and show it; `born` are models with new series."""
        self._committed_at = time.monotonic()
        for pipeline in self.pipelines:
            pipeline.measure_lag()
        try:
            if born or any(pipeline.dirty for pipeline in self.pipelines):
                for pipeline in self.pipelines:
                    pipeline.save()
                self._store.commit()
        except sqlite3.Error as error:
            self._start_over(error)
            return
        if self.config.state is not None:
            self.info.saved(time.time())
        if self._save_failed:
            log.info("state is saved again")
            self._save_failed = False
        self._publish(born)

    def _start_over(self, error: sqlite3.Error) -> None:
        """Go back to what was last saved, which is what scrapes still see."""
        self._committed_at = time.monotonic()
        if not self._save_failed:
            log.error("state can't be saved; trying again", extra={"error": error})
        self._save_failed = True
        self._store.rollback()
        self._replace(*self._build(self.config, self._given))

    def reload(self, config: Config) -> list[str]:
        """Go on with another configuration, or with the one there is; returns what was wrong."""
        self.commit()
        try:
            given = _given(config)
            built = self._build(config, given)
        except (BaselineError, StateError) as error:
            self.reload_failed([str(error)])
            return [str(error)]
        self._replace(*built)
        self.config, self._given = config, given
        self.info.loaded(True, time.time())
        self._births.clear()
        self._publish([pipeline.model.name for pipeline in self.pipelines])
        log.info("configuration reloaded", extra={"file": str(config.path)})
        return []

    def reload_failed(self, errors: list[str]) -> None:
        """A configuration was not taken up."""
        for error in errors:
            log.error("configuration not reloaded", extra={"error": error})
        self.info.loaded(False, time.time())

    def families(self) -> list[Family]:
        of_models = (family for pipeline in self.pipelines for family in pipeline.families)
        return [*self.info.families, *of_models]

    def close(self) -> None:
        for pipeline in self.pipelines:
            pipeline.close()

    def _build(
        self, config: Config, given: Mapping[str, _Baselines]
    ) -> tuple[list[Pipeline], Budget]:
        budget = Budget(config.limits.series)
        pipelines = [
            Pipeline(
                model,
                config.limits,
                self._store,
                given[model.name],
                follow=True,
                start="start" if config.state else "end",
                budget=budget,
            )
            for model in config.models
        ]
        for pipeline in pipelines:
            pipeline.open()
        return pipelines, budget

    def _replace(self, pipelines: list[Pipeline], budget: Budget) -> None:
        self.close()
        self.pipelines, self._budget = pipelines, budget

    def _publish(self, born: Sequence[str]) -> None:
        families = self.families()
        self.info.holds(
            pending=sum(pipeline.pending() for pipeline in self.pipelines),
            series=sum(len(family) for family in families),
            suppressed=self._budget.suppressed,
        )
        edition = self._publication.publish(families)
        self._history.add(edition, time.time())
        for name in born:
            self._births[name] = self._publication.wait_for(edition.number)

    def _report_errors(self) -> None:
        """Say once what can't be read, and once that it can again."""
        errors = {
            path: text for pipeline in self.pipelines for path, text in pipeline.errors.items()
        }
        for path, text in errors.items():
            if self._errors.get(path) != text:
                log.warning("can't read a source", extra={"path": path, "error": text})
        for path in self._errors.keys() - errors.keys():
            log.info("a source can be read now", extra={"path": path})
        self._errors = errors


def _given(config: Config) -> dict[str, _Baselines]:
    return {model.name: given_baselines(model) for model in config.models}
