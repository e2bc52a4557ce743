"""One model: source -> format -> labels -> monitors -> commit.

A step takes what one chunk of a log holds, counts it, and moves the log's position, all in the
store's open transaction. Where a step would bring forth series that no scrape has seen, it is
undone but for the series, and repeated once they have been seen at 0.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from ml_exporter.baseline.baseline import Baseline
from ml_exporter.batch import LABEL, Batch
from ml_exporter.config.config import (
    ConfigError,
    EventSource,
    Labels,
    Limits,
    Model,
    ProxySource,
    SourceSettings,
)
from ml_exporter.families import Family, Frozen, freeze
from ml_exporter.formats import Layout
from ml_exporter.formats.pairing import Pairing
from ml_exporter.labels.join import Join, JoinRules, LabelJoin, labelled
from ml_exporter.monitors.intake import Intake
from ml_exporter.pipeline.dead_letters import DeadLetterLog
from ml_exporter.pipeline.line_writer import LineWriter
from ml_exporter.pipeline.streams import Stream, Work, label_layout
from ml_exporter.pipeline.version import Budget
from ml_exporter.pipeline.versions import Versions
from ml_exporter.sources import SourceError, open_source
from ml_exporter.sources.events import LinesOfModels, PostedSource
from ml_exporter.store.store import Sample, Store

if TYPE_CHECKING:
    from ml_exporter.sources.capture import Attachment

log = logging.getLogger(__name__)

_PREDICTIONS = "ml_predictions_total"  # every version has it
_PASS_TIME = 1.0  # seconds between looks at which labels have settled or expired
_PREDICTIONS_BEFORE_LABELS = 4  # chunks in a row, where both have some


class Observer(Protocol):
    """Whoever looks at the rows of a model as they are counted."""

    def predicted(self, version: str, baseline: Baseline | None, batch: Batch) -> None:
        """Predictions, and the baseline that they are counted by."""

    def joined(self, version: str, batch: Batch) -> None:
        """Predictions whose label has come in a log of its own."""


class Pipeline:
    def __init__(
        self,
        model: Model,
        limits: Limits,
        store: Store,
        given: Mapping[str | None, Baseline],
        *,
        follow: bool,
        start: Literal["start", "end"],
        budget: Budget,
        spools: LinesOfModels | None = None,
        attachment: Attachment | None = None,
        observer: Observer | None = None,
        line_writer: LineWriter | None = None,
        dead_letters: DeadLetterLog | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`given` are the model's baselines by version; under None, the one of all versions.

        `start` is where files begin that have no position, unless the model says otherwise.
        `spools` hold what is posted; raises StateError where they can't be used. `attachment` leads
        to what passed through the proxy. `line_writer` takes lines about predictions that are worth
        a look, and `dead_letters` those about rejected rows. Raises ConfigError where a source is
        not as its settings say, or needs what isn't installed.
        """
        self.model = model
        self._limits = limits
        self._store = store
        self._spools = spools
        self._observer = observer
        self._line_writer = line_writer
        self._dead_letters = dead_letters
        self._attachment = attachment
        self._now = now
        self._follow = follow
        self._start = start
        self._work: Work | None = None
        self._is_open = False
        self._prediction_chunks = 0
        self._labels_are_behind = True
        self._passed_at = 0.0
        self.dirty = True  # something isn't saved yet
        self._caught_up_at = now()
        most_lines = line_writer.most_lines if line_writer else 0
        self._versions = Versions(model, limits, store, given, budget, most_lines, now)
        self.version = self._versions.default

        self._predictions = self._stream("predictions", model.source, self._versions.layout)
        self._labels: Stream | None = None
        self._join: Join | None = None
        self._intake = Intake(model.name, self.version, self._predictions.source.source_id)
        if model.labels is not None:
            self._labels = self._stream("labels", model.labels.source, label_layout(model))
            self._join = self._label_join(model.labels)
        self._restore()

    @property
    def families(self) -> list[Family]:
        join = self._join.families if self._join else ()
        return [*self._intake.families, *join, *self._versions.families]

    @property
    def errors(self) -> dict[str, str]:
        """Files that can't be read, and why."""
        return {path: text for one in self._streams for path, text in one.source.errors.items()}

    @property
    def baselines(self) -> dict[str, Baseline]:
        """The baselines in use by version."""
        return self._versions.baselines

    @property
    def layouts(self) -> dict[str, Layout]:
        """What is read of a row at the moment, by stream."""
        return {stream.name: stream.layout for stream in self._streams}

    def open(self) -> None:
        """See which logs there are: what is written from now on is read, wherever they begin."""
        if self._is_open:
            return
        self._is_open = True
        for stream in self._streams:
            source = stream.source
            if not self._store.begin(self.model.name, stream.name, source.name):
                source.start = "start"  # what is new came while nobody looked
            source.look()

    def step(self, *, births_wait: bool) -> Literal["counted", "born", "idle"]:
        """Count what one chunk holds, or as much of it as may be counted now.

        `born`: there are new series, at 0. Where `births_wait`, the rows that brought them forth
        are not counted yet: the next step takes them up again.
        """
        self.open()
        if not self._pass_time(births_wait):
            return "born"
        if self._work is not None and self._work.chunk.part.lost:
            self._work = None
        work = self._work or self._next_work()
        if work is None:
            self.dirty = self.dirty or any(stream.source.moved for stream in self._streams)
            self._caught_up_at = self._now()
            return "idle"
        self._work = work
        series = self._series()
        rows = work.batch.slice(work.done, work.batch.rows)
        count = self._count_labels
        if work.stream is self._predictions:
            rows = rows.slice(0, self._versions.countable(rows))
            count = self._count_predictions
        stop = work.done + rows.rows
        if not self._count(lambda: count(rows), births_wait, series):
            return "born"
        self._write_lines()
        self.dirty = True
        if work.move(stop):
            # A chunk's rejected rows are counted with the last of its accepted ones.
            self._intake.reject(work.rejected)
            if self._dead_letters is not None:
                self._dead_letters.write(self.model.name, work, self._now())
            self._intake.add_from_future(work.from_future, work.stream.name)
            self._work = None
        if self._versions.finish_learning():
            self._predictions.read_as(self._versions.layout)
            self._work = None  # the rest of the chunk is read anew, as what was learned
        return "born" if self._series() > series else "counted"

    def _count(self, count: Callable[[], None], births_wait: bool, series: int) -> bool:
        """Count something; undone, and False, if there are more series now and they must wait."""
        frozen = freeze(self.families)
        mark = self._join.mark() if self._join else None
        self._store.savepoint()
        count()
        if births_wait and self._series() > series:
            self._undo(frozen)
            if self._join and mark:
                self._join.reset(mark)
            return False
        self._store.release()
        return True

    def watch(self, watcher: Callable[[bytes], None]) -> None:
        """Show somebody the bytes that predictions are read of."""
        self._predictions.watcher = watcher

    def count_probed(self, batch: Batch) -> None:
        """Count attributions that probes have found, of versions that are known."""
        for name, rows in batch.by_version(self.version):
            version = self._versions.known(name)
            if version is not None:
                version.update_probed(rows)
                self.dirty = True

    def _write_lines(self) -> None:
        """Hand on what is to be said of the predictions that were counted."""
        if self._line_writer is not None:
            for version in self._versions:
                lines = version.take_lines()
                self._line_writer.write(self.model.name, lines.texts, lines.others)

    def finish(self) -> None:
        """Let every label that still waits have its end, for all logs have."""
        if self._join is not None:
            self._update_labelled(self._join.pass_time(end=True))

    def save(self) -> None:
        """Put positions and counters into the store's transaction."""
        for stream in self._streams:
            source = stream.source
            for key in source.moved:
                place = (self.model.name, stream.name, key)
                if position := source.positions.get(key):
                    self._store.set_position(*place, position)
                else:
                    self._store.forget_position(*place)
            source.moved.clear()
        self._store.save_counters(self.model.name, self.families)
        self.dirty = False

    def committed(self) -> None:
        """What was saved is committed."""
        for stream in self._streams:
            stream.source.committed()
        if self._join is not None:
            self._join.committed()

    def measure_lag(self) -> None:
        """Find out how far behind the logs the counters are."""
        size = sum(stream.source.lag() for stream in self._streams)
        self._intake.set_lag(size, self._now() - self._caught_up_at if size else 0.0)

    def posted(self) -> int:
        """Bytes that were posted and are not counted yet."""
        sources = (stream.source for stream in self._streams)
        return sum(source.lag() for source in sources if isinstance(source, PostedSource))

    def close(self) -> None:
        for stream in self._streams:
            stream.source.close()
        if self._join is not None:
            self._join.close()

    def pending(self) -> int:
        """Predictions that wait for their label."""
        return self._join.waiting if self._join else 0

    @property
    def _streams(self) -> list[Stream]:
        return [self._predictions, *([self._labels] if self._labels else [])]

    def _stream(
        self, name: Literal["predictions", "labels"], settings: SourceSettings, layout: Layout
    ) -> Stream:
        positions = self._store.positions(self.model.name, name)
        # What is read once is read whole.
        start = settings.start or self._start if self._follow else "start"
        if start == "end" and settings.start is None and not positions:
            log.info(
                "rows that are there already are not counted, for lack of `state`",
                extra={"model": self.model.name, "log": name, "to_count_them": "from: start"},
            )
        spool = None
        if self._spools is not None and isinstance(settings, EventSource):
            spool = self._spools.of(self.model.name, name)
        try:
            source = open_source(
                settings,
                positions,
                self._follow,
                start,
                spool,
                self._attachment,
                self.model.name,
            )
        except SourceError as error:
            section = "source" if name == "predictions" else "labels.source"
            raise ConfigError([self.model.error(f"{section}.{error.key}", error.text)]) from None
        in_pairs = settings.format == "cloudevents"
        pairing = Pairing(self._store.halves(self.model.name, name)) if in_pairs else None
        captured = settings if isinstance(settings, ProxySource) else None
        return Stream(name, source, settings.format, layout, pairing, captured)

    def _label_join(self, labels: Labels) -> Join:
        model, store = self.model, self._store
        rules = JoinRules(
            wait=labels.wait,
            settle=labels.settle,
            numbers=model.task == "regression",
            most=self._limits.pending,
            most_bytes=self._limits.pending_size,
        )
        # What is read once is nobody else's.
        if labels.redis is not None and self._follow:
            from ml_exporter.labels.redis_pending import RedisJoin

            outbox = store.outbox(model.name)
            try:
                return RedisJoin(model.name, self.version, outbox, labels.redis, rules)
            except ValueError as error:
                raise ConfigError([model.error("labels.redis", str(error))]) from None
        return LabelJoin(model.name, self.version, store.pending(model.name), rules)

    def _next_work(self) -> Work | None:
        order = self._streams
        # Old logs are read one after the other; live ones by turns, or labels would never come.
        if self._follow and self._prediction_chunks >= _PREDICTIONS_BEFORE_LABELS:
            order.reverse()
        for stream in order:
            work = stream.next(self._now())
            if stream is self._labels:
                self._labels_are_behind = work is not None
                self._prediction_chunks = 0
            if work is not None:
                self._prediction_chunks += stream is self._predictions
                return work
        return None

    def _count_predictions(self, batch: Batch) -> None:
        for version, rows in self._versions.split(batch):
            is_learning = version.learner is not None
            part = version.annotated(rows)
            version.update(part)
            if self._observer is not None:
                self._observer.predicted(version.name, version.baseline, part)
            if is_learning:
                self._versions.keep_for_learning(version, part)
            if LABEL in part.fields:
                version.update_labelled(labelled(part))
            if self._join is not None:
                self._update_labelled(self._join.predicted(part, version.name))

    def _count_labels(self, batch: Batch) -> None:
        assert self._join is not None
        if not batch.rows:
            return  # all were rejected
        self._update_labelled(self._join.labelled(batch, self._now() if self._follow else None))

    def _update_labelled(self, batch: Batch) -> None:
        for version, part in self._versions.split(batch):
            version.update_labelled(part)
            if self._observer is not None:
                self._observer.joined(version.name, part)

    def _pass_time(self, births_wait: bool) -> bool:
        """Settle and expire labels, and withdraw versions, where they follow a live log.

        False if that brought forth new series, and is to be repeated when they have been seen.
        """
        now = self._now()
        if not self._follow or now - self._passed_at < _PASS_TIME:
            return True
        self.dirty = self._versions.withdraw_quiet() or self.dirty
        for version in self._versions:
            self.dirty = version.pass_time() or self.dirty
        # A label that is there and not yet read is not late.
        if self._join is not None and not self._labels_are_behind:
            if self.model.fields.timestamp is None:
                self._join.advance(now)
            changes, join = self._store.changes, self._join
            if not self._count(
                lambda: self._update_labelled(join.pass_time()), births_wait, self._series()
            ):
                return False
            self.dirty = self.dirty or self._store.changes > changes
        self._passed_at = now
        return True

    def _undo(self, frozen: list[Frozen]) -> None:
        """Take every counter back to what it was; series that came since stay, at 0."""
        self._store.undo()
        for family in self.families:
            family.values[:] = 0.0 if family.kind != "gauge" else family.values
        for one in frozen:
            one.family.values[: one.values.size] = one.values
        self._versions.undo()

    def _series(self) -> int:
        return sum(len(family) for family in self.families if family.kind != "gauge")

    def _restore(self) -> None:
        """Take up versions and counters where they were saved."""
        saved = list(self._store.counters(self.model.name))
        self._versions.restore(_versions_of(saved))
        families: dict[str, list[Family]] = {}
        for family in self.families:
            if family.kept:
                families.setdefault(family.name, []).append(family)
        for (name, key), value in saved:
            for family in families.get(name, ()):
                family.restore(key, value)
        for version in self._versions:
            version.resume()


def _versions_of(samples: Sequence[tuple[Sample, float]]) -> list[str]:
    """The versions that have counters, in their order."""
    found = (key[2] for (name, key), _ in samples if name == _PREDICTIONS)
    return list(dict.fromkeys(found))
