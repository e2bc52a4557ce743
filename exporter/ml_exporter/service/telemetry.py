"""The loop that counts: steps all pipelines, commits, and publishes what was committed."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from ml_exporter.baseline.baseline import Baseline, BaselineError
from ml_exporter.config.config import Config, ConfigError, ProxySource
from ml_exporter.config.proxy_settings import NO_FLAGS, ProxyFlags
from ml_exporter.families import Family, Frozen, freeze
from ml_exporter.judgement.history import History
from ml_exporter.monitors.exporter import ExporterInfo
from ml_exporter.pipeline.dead_letters import DeadLetterLog
from ml_exporter.pipeline.failure_lines import failure_lines
from ml_exporter.pipeline.given_baselines import given_baselines
from ml_exporter.pipeline.line_writer import NOTABLE, LineWriter
from ml_exporter.pipeline.pipeline import Pipeline
from ml_exporter.pipeline.version import Budget
from ml_exporter.prober.probers import Probers
from ml_exporter.publication import Birth, Publication
from ml_exporter.service.proxied import Proxied
from ml_exporter.sources.capture import Attachment
from ml_exporter.sources.events import LinesOfModels
from ml_exporter.store.state_folder import StateError
from ml_exporter.store.store import Store

log = logging.getLogger(__name__)

_Baselines = Mapping[str | None, Baseline]  # of one model, by version

_COMMIT_EVERY = 1.0  # seconds
_PATIENCE = 60.0  # seconds without a row, after which those that are missing won't come
_OF_NO_MODEL = ""  # what the exporter counts of itself is saved under
_REST = 5.0  # seconds, at most, in which what the proxy observed is counted at the end
_IDLE = 0.1  # seconds between looks at logs that had nothing new


class Telemetry:
    """All pipelines of a configuration over one store."""

    def __init__(
        self,
        config: Config,
        store: Store,
        publication: Publication,
        history: History | None,
        spools: LinesOfModels | None = None,
        place: str = "",
        others: Sequence[Family] = (),
        attachment: Attachment | None = None,
        proxy_flags: ProxyFlags = NO_FLAGS,
    ) -> None:
        """`place` is what Prometheus knows the process by; `others` are counted by others, and kept
        with the rest; `attachment` leads to the proxy. Raises BaselineError, ConfigError and
        StateError.
        """
        self.config = config
        self.info = ExporterInfo()
        self.info.loaded(True, time.time())
        self._store = store
        self._spools = spools
        self.attachment = attachment or Attachment()
        self._proxied = Proxied(self.attachment)
        self._probers = Probers(self.attachment, proxy_flags)
        self._of_exporter = (*self.info.families, *others, *self._probers.families)
        self._publication = publication
        self._history = history
        self._place = place
        self._committed_at = 0.0
        self._save_failed = False
        self._is_full = False  # no more fits into memory
        self._catching_up = False  # counters are below what scrapes have seen
        self._busy_at = 0.0
        self._errors: dict[str, str] = {}
        self._births: dict[str, Birth] = {}  # models whose new series are to be seen first
        self._seen: set[str] = set()  # the others, as they are saved
        self._worked = False  # what the exporter counts of itself isn't saved yet
        self.pipelines: list[Pipeline] = []
        self._budget = Budget(config.limits.series)
        self._given = _given(config)
        self._line_writer = LineWriter(NOTABLE, config.notable_log)
        self._dead_letters = DeadLetterLog(config.dead_letters)
        try:
            self._replace(*self._build(config, self._given))
        except sqlite3.Error as error:
            self._start_over(error)
        self._probers.follow(config)
        self._restore_info()
        if config.state is not None:
            self.info.saved(store.saved_at if store.is_in_memory else time.time())
        if store.is_in_memory and not self._save_failed:
            log.error("state can't be saved; counting goes on in memory")
            self._save_failed = True
        self._publish(self._unseen())

    def run(self, stopping: threading.Event, between_steps: Callable[[], None]) -> None:
        """Count until told to stop."""
        while not stopping.is_set():
            between_steps()
            if not self.step():
                stopping.wait(_IDLE)
        self.attachment.is_ending = True
        deadline = time.monotonic() + _REST
        while self.attachment.exists and time.monotonic() < deadline and self.step():
            pass  # what passed through the proxy is nowhere else
        self.commit(last=True)
        self._line_writer.close()
        self._dead_letters.close()
        if self._store.is_in_memory:
            log.error("not all that was shown could be saved: the next start begins at 0")

    def step(self) -> bool:
        """Let each pipeline count a chunk; False if none had anything to count."""
        is_due = time.monotonic() - self._committed_at >= _COMMIT_EVERY
        is_due = is_due or self.attachment.is_pressed
        if self._save_failed and not is_due and not self._store.is_in_memory:
            return False
        busy, born = False, list[str]()
        try:
            if self._may_count():
                busy, born = self._step()
        except sqlite3.Error as error:
            self._start_over(error)
            return False
        self._report_errors()
        if born or is_due:
            self.commit(born)
        if busy or not self._catching_up:
            self._busy_at = time.monotonic()
        elif time.monotonic() - self._busy_at >= _PATIENCE and not self._is_full:
            self._give_up()
        return busy

    def _may_count(self) -> bool:
        """Whether there is room for more that can't be saved."""
        is_full = self._store.exceeds_memory
        if is_full and not self._is_full:
            log.error("too much waits to be saved: counting waits, too")
        self._is_full = is_full
        return not is_full

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
            # Whoever catches up has series again that scrapes have seen.
            births_wait = self._publication.wait > 0 and not self._catching_up
            outcome = pipeline.step(births_wait=births_wait)
            if outcome != "idle":
                busy = True
                self._worked = True
                self.info.took(time.perf_counter() - started)
            if outcome == "born":
                born.append(name)
        if not self._catching_up:
            unseen = {*self._births, *born}
            self._probers.step([one for one in self.pipelines if one.model.name not in unseen])
        return busy, born

    def commit(self, born: Sequence[str] = (), *, last: bool = False) -> None:
        """Save what was counted, and show it; `born` are models with new series."""
        self._committed_at = time.monotonic()
        for pipeline in self.pipelines:
            pipeline.measure_lag()
        try:
            is_saved = self._save({*self._births, *born}, last)
        except sqlite3.Error as error:
            self._start_over(error)
            return
        if is_saved:
            for pipeline in self.pipelines:
                pipeline.committed()
            if self.config.state is not None:
                self.info.saved(time.time())
            if self._save_failed:
                log.info("state is saved again")
                self._save_failed = False
        if not self._is_behind():
            self._publish(born)

    def _save(self, unseen: set[str], last: bool) -> bool:
        """Whether all that was counted is saved, and doesn't wait for room."""
        seen = {pipeline.model.name for pipeline in self.pipelines} - unseen
        is_dirty = self._worked or any(pipeline.dirty for pipeline in self.pipelines)
        if is_dirty or seen != self._seen:
            for pipeline in self.pipelines:
                pipeline.save()
            self._store.save_counters(_OF_NO_MODEL, self._of_exporter)
            self._store.note_shown(self._place, seen)
            self._seen, self._worked = seen, False
        elif not self._store.is_in_memory:
            return True
        return self._store.commit(last=last)

    def _start_over(self, error: sqlite3.Error) -> None:
        """Go back to what was last saved, and count on from there; raises StateError."""
        self._committed_at = time.monotonic()
        is_lost = self._store.recover(error)
        try:
            self._build_anew()
        except sqlite3.Error as another:
            is_lost = self._store.recover(another)
            self._build_anew()
        if is_lost:
            self._publish([pipeline.model.name for pipeline in self.pipelines])
            return
        if not self._save_failed:
            how = "counting goes on in memory" if self._store.is_in_memory else "trying again"
            log.error(f"state can't be saved; {how}", extra={"error": error})
        self._save_failed = self._catching_up = True
        self._is_behind()

    def _build_anew(self) -> None:
        self._seen = set()
        self._replace(*self._build(self.config, self._given))

    def _is_behind(self) -> bool:
        """Whether some counter is below what scrapes have seen, which lacked room to be saved."""
        if self._catching_up:
            shown = _counts(self._publication.current.samples)
            counted = _counts(freeze(self.families()))
            self._catching_up = any(
                counted.get(key, 0) < value
                for key, value in shown.items()
                # A day may have gone for good meanwhile.
                if key in counted or not key[0].startswith("ml_cohort_")
            )
        return self._catching_up

    def _give_up(self) -> None:
        """Begin every counter at 0: what was counted before can't be read any more."""
        log.error("what was counted and not saved can't be read again: counters begin at 0")
        for pipeline in self.pipelines:
            self._store.save_counters(pipeline.model.name, [])
        self._catching_up = False
        self._build_anew()
        self._publish([pipeline.model.name for pipeline in self.pipelines])

    def _restore_info(self) -> None:
        families = {family.name: family for family in self._of_exporter if family.kept}
        for (name, key), value in self._store.counters(_OF_NO_MODEL):
            if name in families:
                families[name].restore(key, value)

    def _unseen(self) -> list[str]:
        """Models with series that scrapes have perhaps not seen."""
        return [
            one.model.name
            for one in self.pipelines
            if not self._store.was_seen(self._place, one.model.name, one.families)
        ]

    def reload(self, config: Config) -> list[str]:
        """Go on with another configuration, or with the one there is; returns what was wrong."""
        self.commit()
        if self._catching_up:
            errors = ["counters are catching up after an error of the disk; try again later"]
            self.reload_failed(errors)
            return errors
        before, self._line_writer.settings = self._line_writer.settings, config.notable_log
        try:
            given = _given(config)
            built = self._build(config, given)
        except (BaselineError, ConfigError, StateError) as error:
            self._line_writer.settings = before
            self.reload_failed([str(error)])
            return [str(error)]
        except sqlite3.Error as error:
            self._line_writer.settings = before
            self._start_over(error)
            errors = [f"state can't be read: {error}"]
            self.reload_failed(errors)
            return errors
        self._replace(*built)
        self._probers.follow(config)
        self._dead_letters.follow(config.dead_letters)
        self.config, self._given = config, given
        self.info.loaded(True, time.time())
        self._births.clear()
        self._publish(self._unseen())
        log.info("configuration reloaded", extra={"models": len(config.models)})
        return []

    def reload_failed(self, errors: list[str]) -> None:
        """A configuration was not taken up: the next scrape says so."""
        for error in errors:
            log.error("configuration not reloaded", extra={"error": error})
        self.info.loaded(False, time.time())
        self.commit()

    def families(self) -> list[Family]:
        of_models = (family for pipeline in self.pipelines for family in pipeline.families)
        of_lines = (*self._line_writer.families, *self._dead_letters.families)
        of_others = (*self._proxied.families, *of_lines)
        return [*self._of_exporter, *of_others, *of_models]

    def close(self) -> None:
        self._probers.stop()
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
                spools=self._spools,
                attachment=self.attachment,
                line_writer=self._line_writer,
                dead_letters=self._dead_letters,
            )
            for model in config.models
        ]
        for pipeline in pipelines:
            pipeline.open()
        return pipelines, budget

    def _replace(self, pipelines: list[Pipeline], budget: Budget) -> None:
        self.close()
        self.pipelines, self._budget = pipelines, budget
        self._proxied.follow(
            {
                one.model.name: one.version
                for one in self.pipelines
                if isinstance(one.model.source, ProxySource)
            }
        )

    def _write_failures(self) -> None:
        """Hand on what is to be said of requests that failed."""
        for pipeline in self.pipelines:
            model = pipeline.model
            failed = self.attachment.failed[model.name].take()
            if failed and model.notable is not None:
                of = (model.name, pipeline.version, model.notable.redact)
                self._line_writer.write(model.name, failure_lines(failed, *of))

    def _publish(self, born: Sequence[str]) -> None:
        self._proxied.update()
        self._write_failures()
        self.attachment.release()
        self.info.queued(
            captured=self.attachment.waiting,
            posted=sum(pipeline.posted() for pipeline in self.pipelines),
        )
        families = self.families()
        self.info.holds(
            pending=sum(pipeline.pending() for pipeline in self.pipelines),
            series=sum(len(family) for family in families),
            suppressed=self._budget.suppressed,
        )
        edition = self._publication.publish(families)
        if self._history is not None:
            self._history.add(edition, time.time())
        self._proxied.published(self._publication.wait_for(edition.number))
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


def _counts(samples: Sequence[Frozen]) -> dict[tuple[str, tuple[str, ...]], float]:
    """Each counter by its name, and suffix and labels."""
    return {
        (one.family.name, key): value
        for one in samples
        if one.family.kind != "gauge"
        for key, value in zip(one.family.keys(), one.values.tolist(), strict=False)
    }


def _given(config: Config) -> dict[str, _Baselines]:
    return {model.name: given_baselines(model, config.limits) for model in config.models}
