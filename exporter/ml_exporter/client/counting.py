"""The one process of an application that counts: what all of them observed, for every scrape."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ml_exporter.client.memory import MemoryLinesOfModels
from ml_exporter.client.wire import Lines
from ml_exporter.config.config import Config, EventSource, Model
from ml_exporter.monitors.observations import DroppedObservations
from ml_exporter.publication import Edition, Publication
from ml_exporter.service.telemetry import Telemetry
from ml_exporter.sources.spool import SpoolFull
from ml_exporter.store.store import Store

_TIME_SLICE = 0.05  # seconds of counting, after which it looks at what came meanwhile


class Counting:
    """Counts observations as the exporter counts logs: the same models give the same series."""

    def __init__(self, models: Sequence[Model], state: Path | None, wait: float) -> None:
        """Take the state, which one process may have; raises StateError and BaselineError.

        `wait` is for how many seconds new series wait for a scrape to see them.
        """
        self._lock = threading.Lock()
        self._lost: Counter[str] = Counter()
        # What is observed has the name of where it is kept, or else of the process.
        place = f"{socket.gethostname()} {state.absolute() if state else os.getpid()}"
        self._inbox = MemoryLinesOfModels(place)
        self._dropped = DroppedObservations()
        self._store = Store(state)
        self._publication = Publication(wait)
        try:
            self._telemetry = Telemetry(
                _config(models, state),
                self._store,
                self._publication,
                None,
                self._inbox,
                place=place,
                others=self._dropped.families,
            )
        except BaseException:
            self._store.close()
            raise
        self._limits = _limits(models)

    def watch(self, models: Sequence[Model], state: Path | None) -> None:
        """Count these models from now on; what there was goes on."""
        self._telemetry.reload(_config(models, state))
        self._limits = _limits(models)

    def take(self, lines: Lines) -> None:
        """Lines to be counted, from any thread."""
        limit = self._limits.get(lines.model)
        if limit is None:
            self.drop(Counter(unknown_model=lines.rows))
            return
        try:
            self._inbox.of(lines.model, lines.stream).append(lines.data, limit)
        except SpoolFull:
            self.drop(Counter(buffer_full=lines.rows))

    def drop(self, observations: Counter[str]) -> None:
        """Observations that were let go, from any thread."""
        with self._lock:
            self._lost += observations

    def work(self) -> bool:
        """Count for a while; whether there is more."""
        with self._lock:
            lost, self._lost = self._lost, Counter()
        self._dropped.drop(lost)
        end = time.monotonic() + _TIME_SLICE
        while is_busy := self._telemetry.step():
            if time.monotonic() >= end:
                break
        return is_busy

    @property
    def edition(self) -> Edition:
        """What scrapes see; from any thread."""
        return self._publication.current

    def scraped(self, edition: int) -> None:
        """A scrape has seen that edition."""
        self._publication.scraped(edition)

    def close(self) -> None:
        """Count what is there, save it, and let another process have the state."""
        self._publication.wait = 0.0  # nobody will see what isn't counted now
        for _ in range(2):
            self._publication.scraped(self._publication.current.number)
        while self.work():
            pass
        self._telemetry.commit(last=True)
        self._telemetry.close()
        self._store.close()

    def give_up(self) -> int:
        """Begin with what is saved, for counting what came since fails; how many rows that were."""
        self._telemetry.close()
        self._store.close()
        return self._inbox.rows()

    def abandon(self) -> None:
        """In a child of the process that counts: leave all to that one."""
        self._store.abandon()


def _config(models: Sequence[Model], state: Path | None) -> Config:
    return Config(path=Path("Monitor"), models=tuple(models), state=state)


def _limits(models: Sequence[Model]) -> dict[str, int]:
    """Bytes that may wait of each model."""
    return {model.name: _buffer(model) for model in models}


def _buffer(model: Model) -> int:
    assert isinstance(model.source, EventSource)
    return model.source.buffer
