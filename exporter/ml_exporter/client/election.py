"""Which of the processes that share a state folder counts, and what the others do.

Whoever has the folder's lock counts; when that process dies, the next one to ask gets the lock.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ml_exporter.client import wire
from ml_exporter.client.wire import Lines

if TYPE_CHECKING:
    from ml_exporter.client.counting import Counting
    from ml_exporter.config.config import Model


class Role(Protocol):
    """What a process does with what it observed."""

    def take(self, lines: Lines) -> None:
        """Raises OSError where it can't be taken."""

    def drop(self, observations: Counter[str]) -> None:
        """Count what was let go; raises OSError."""

    def work(self) -> bool:
        """Do what there is to be done; whether there is more. Raises OSError."""

    def close(self) -> None:
        """End well."""

    def give_up(self) -> int:
        """End because of what can't be counted; how many observations that costs."""

    def abandon(self) -> None:
        """In a child that was forked: leave all to the parent."""


class Peer:
    """Sends all to the process that counts."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._link = wire.Link(path)
        self.close = self.abandon = self._link.close

    def give_up(self) -> int:
        self._link.close()
        return 0

    def take(self, lines: Lines) -> None:
        self._link.send(wire.LINES, wire.packed(lines))

    def drop(self, observations: Counter[str]) -> None:
        self._link.send(wire.DROPPED, json.dumps(observations).encode())

    def work(self) -> bool:
        if self._link.is_broken:
            raise wire.WireError("the process that counted is gone")
        return False


class Chief:
    """Counts for all."""

    def __init__(self, counting: Counting, path: Path | None) -> None:
        """`path` is where the others find it. Raises OSError."""
        self.counting = counting
        self.take, self.drop, self.work = counting.take, counting.drop, counting.work
        self._exchange = None if path is None else wire.Exchange(path, self._answer)

    def close(self) -> None:
        if self._exchange is not None:
            self._exchange.close()
        self.counting.close()

    def give_up(self) -> int:
        if self._exchange is not None:
            self._exchange.close()
        return self.counting.give_up()

    def abandon(self) -> None:
        if self._exchange is not None:
            self._exchange.abandon()
        self.counting.abandon()

    def shown(self, kind: str) -> tuple[bytes, Callable[[], None]]:
        """What a scrape sees, and what is to be called when it has seen it."""
        from ml_exporter import exposition
        from ml_exporter.client import metrics

        edition = self.counting.edition
        if kind == "samples":
            shown = metrics.dump(edition.samples)
        else:
            shown = exposition.render(edition.samples, kind == "openmetrics")
        return shown, lambda: self.counting.scraped(edition.number)

    def _answer(self, kind: int, body: bytes) -> tuple[bytes, Callable[[], None]] | None:
        if kind == wire.LINES:
            self.take(wire.unpacked(body))
        elif kind == wire.DROPPED:
            said = {str(reason): int(count) for reason, count in json.loads(body).items()}
            self.drop(Counter(said))
        elif kind == wire.SCRAPE:
            return self.shown(body.decode())
        return None


def elected(
    models: Sequence[Model], state: Path | None, path: Path | None, wait: float
) -> Chief | Peer:
    """Count, if nobody does, or else join the process that does.

    Raises StateError where neither can be done yet, BaselineError, and OSError.
    """
    from ml_exporter.client.counting import Counting
    from ml_exporter.store.state_folder import StateError

    try:
        counting = Counting(models, state, wait)
    except StateError as error:
        if path is None:
            raise
        try:
            return Peer(path)
        except OSError:
            raise error from None
    try:
        return Chief(counting, path)
    except OSError:
        counting.close()
        raise
