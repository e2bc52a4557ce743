"""What scrapes see: the last committed samples, and who has seen them.

Series are born at 0, and their rows wait until Prometheus has seen the 0: a counter whose
first sample is a count tells nothing of how it came to that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ml_exporter.families import Family, Frozen, freeze

_SCRAPES = 2


@dataclass(frozen=True)
class Edition:
    """Samples as they were at one commit."""

    number: int
    samples: list[Frozen]


class Publication:
    """The current edition, handed from the counting thread to those that answer scrapes."""

    def __init__(self, wait: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`wait`: seconds after which rows are counted though nobody has scraped."""
        self.wait = wait
        self._clock = clock
        self._lock = threading.Lock()
        self._edition = Edition(0, [])
        self._seen: list[int] = []  # editions of the latest complete scrapes

    @property
    def current(self) -> Edition:
        return self._edition

    def publish(self, families: Iterable[Family]) -> Edition:
        """Make a new edition, which every scrape sees from now on."""
        self._edition = Edition(self._edition.number + 1, freeze(families))
        return self._edition

    def scraped(self, edition: int) -> None:
        """A scrape of an edition was answered completely."""
        with self._lock:
            self._seen = [*self._seen, edition][-_SCRAPES:]

    def wait_for(self, edition: int) -> Birth:
        """What to ask whether an edition has been seen, or has waited long enough."""
        return Birth(self, edition, self._clock() + self.wait)

    def has_been_seen(self, edition: int) -> bool:
        with self._lock:
            return len(self._seen) == _SCRAPES and min(self._seen) >= edition

    def is_past(self, deadline: float) -> bool:
        return self._clock() >= deadline


@dataclass(frozen=True)
class Birth:
    """New series, in an edition that is to be seen before they count."""

    publication: Publication
    edition: int
    deadline: float

    @property
    def is_over(self) -> bool:
        seen = self.publication.has_been_seen(self.edition)
        return seen or self.publication.is_past(self.deadline)
