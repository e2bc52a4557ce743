"""What the Monitors of a process have in common: a queue, and the thread that empties it."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_exporter.client import wire
from ml_exporter.client.election import Chief, Role, elected
from ml_exporter.client.wire import Lines

if TYPE_CHECKING:
    from ml_exporter.client.counting import Counting
    from ml_exporter.client.exchanges import Copied, Reading
    from ml_exporter.client.http import MetricsServer
    from ml_exporter.client.lines import Observation, Writer
    from ml_exporter.config.config import Model

log = logging.getLogger(__name__)

ROW, TABLE, LABEL, EXCHANGE = range(4)  # what is observed

_INTERVAL = 0.1  # seconds between looks at the queue
_AT_ONCE = 1000  # observations that are written before anything else gets its turn
_RETRY = 1.0  # seconds after something failed
_PATIENCE = 3.0  # seconds that a scrape waits while another process begins to count
_LAST_WORDS = 10.0  # seconds that the end of the process waits for what is queued

Entry = tuple[str, int, Any]  # name of a model, what it is, and that


class Hub:
    """The queue of a process, and the thread that takes it to where it is counted."""

    def __init__(self, state: Path | None, wait: float, limit: int) -> None:
        """`limit`: observations that may be queued. Raises ValueError."""
        self.state, self.wait, self.limit = state, wait, limit
        self._path = None if state is None else wire.socket_path(state)
        self._writers: dict[str, Writer] = {}
        self._address: tuple[str, int] | None = None
        self._forget_threads()

    def _forget_threads(self) -> None:
        """Begin with an empty queue, and no thread; so does a child that was forked."""
        self._queue: deque[Entry] = deque()
        self._lock = threading.Lock()
        self._in_step = threading.Lock()
        self._dropped: Counter[str] = Counter()
        self._outgoing: deque[Lines] = deque()
        self._wake = threading.Event()
        self._stopping = False
        self._is_watching: set[str] = set()  # models that are counted
        self._role: Role | None = None
        self._server: MetricsServer | None = None
        self._thread: threading.Thread | None = None
        self._said: set[str] = set()
        self._pause = 0.0
        self._is_held = False
        self._failing_since: float | None = None
        self.is_running = False

    def add(self, model: Model) -> None:
        """Watch one more model; raises ValueError where there is one of that name."""
        # All that the thread will need: in a child that is forked while a thread imports something,
        # nobody can import that any more.
        from ml_exporter.client import counting, http, metrics  # noqa: F401
        from ml_exporter.client.lines import Writer

        with self._lock:
            if model.name in self._writers:
                raise ValueError(
                    f"Monitor: name: {model.name!r} has a Monitor already; close() it first"
                )
            self._writers = {**self._writers, model.name: Writer(model)}
        self.start()

    def remove(self, name: str) -> None:
        """Count what was observed of a model, and watch it no more."""
        if self._writers.keys() <= {name}:
            self.close()
            self._writers = {}
            return
        self.flush()
        with self._lock:
            self._writers = {key: one for key, one in self._writers.items() if key != name}

    @property
    def is_used(self) -> bool:
        return bool(self._writers)

    def put(self, name: str, kind: int, observed: Any, rows: int = 1) -> None:
        """Queue what was observed; never waits."""
        queue = self._queue
        if len(queue) >= self.limit:
            self.drop("queue_full", rows)
            return
        queue.append((name, kind, observed))
        if not self.is_running:
            self.start()

    def drop(self, reason: str, observations: int = 1) -> None:
        with self._lock:
            self._dropped[reason] += observations

    def complain(self, text: str) -> None:
        """Say once in the log what is wrong."""
        if text not in self._said and len(self._said) < 100:
            self._said.add(text)
            log.error(text)

    def start(self) -> None:
        """Start the thread, where there is none: in a child that was forked there isn't."""
        with self._lock:
            if self.is_running or self._stopping or not self._writers:
                return
            self._wake.set()
            thread = threading.Thread(target=self._run, name="ml-exporter", daemon=True)
            thread.start()
            self._thread, self.is_running = thread, True

    def serve(self, address: str, port: int) -> int:
        """Let /metrics be answered at an address; the port. Raises OSError and ValueError.

        Where several processes share the state, the one that counts answers.
        """
        if self._address not in (None, (address, port)):
            raise ValueError(f"/metrics is answered on port {self._address[1]} already")
        self._address = (address, port)
        if self.state is None:
            try:
                self._serve()
            except OSError:
                self._address = None
                raise
        return port if self._server is None else self._server.port

    def shown(self, kind: str) -> tuple[bytes, Callable[[], None]]:
        """What a scrape sees, as text, openmetrics or samples; raises OSError.

        To be called: that it was seen.
        """
        self.start()
        deadline = time.monotonic() + _PATIENCE
        while True:
            role = self._role
            try:
                if isinstance(role, Chief):
                    return role.shown(kind)
                if role is None or self._path is None:
                    raise wire.WireError("no process counts yet")
                link = wire.Link(self._path)
                try:
                    return link.ask(wire.SCRAPE, kind.encode()), lambda: None
                finally:
                    link.close()
            except OSError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(0.02)

    def flush(self, timeout: float = _LAST_WORDS) -> bool:
        """Wait until what is queued has gone where it is counted; False where that takes longer."""
        deadline = time.monotonic() + timeout
        while self._queue or self._outgoing:
            if time.monotonic() >= deadline or not self.is_running:
                return False
            self._wake.set()
            time.sleep(0.005)
        return True

    def close(self) -> None:
        """Send or count what is queued, and stop, until there is something new."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_LAST_WORDS)
        self._forget_threads()

    def before_fork(self) -> None:
        """Let nothing be half done in the child; who forks waits for that, but not for long."""
        self._is_held = self._in_step.acquire(timeout=_RETRY)

    def after_fork(self) -> None:
        if self._is_held:
            self._in_step.release()

    def abandon(self) -> None:
        """In a child that was forked: leave all to the parent, and begin anew."""
        if self._role is not None:
            with suppress(OSError):
                self._role.abandon()
        if self._server is not None:
            self._server.abandon()
        if self.state is None and self._address is not None:
            log.warning(
                "this process counts what it observes by itself, and nobody can scrape that:"
                " give Monitor a state folder, which all processes share"
            )
            self._address = None
        self._forget_threads()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(_INTERVAL)
            self._wake.clear()
            with self._in_step:
                self._step()
            if self._pause:
                time.sleep(self._pause)
        deadline = time.monotonic() + _LAST_WORDS / 2
        while (self._queue or self._outgoing) and time.monotonic() < deadline:
            if not self._step():
                time.sleep(_INTERVAL)
        if self._server is not None:
            self._server.close()
        if self._role is not None:
            with suppress(OSError):
                self._role.close()
        self._role = None
        self.is_running = False

    def _step(self) -> bool:
        """Take some of the queue to where it is counted; whether that went well."""
        self._pause = 0.0  # seconds until it makes sense to try again
        try:
            role = self._role or self._elected()
            if role is None:
                return False
            self._role = role
            self._deliver(role)
            if role.work() or self._queue:
                self._wake.set()
        except OSError as error:
            if self._role is not None:
                with suppress(OSError):
                    self._role.close()
            self._role = None
            log.info("looking for the process that counts", extra={"error": str(error)})
        except Exception:
            if "error" not in self._said:
                self._said.add("error")
                log.exception("observations can't be counted")
            self._give_up()
            return False
        return True

    def _give_up(self) -> None:
        """Begin anew, without what can't be counted."""
        role, self._role = self._role, None
        self._pause = _RETRY
        if role is None:
            return
        lost = sum(lines.rows for lines in self._outgoing)
        self._outgoing.clear()
        try:
            lost += role.give_up()
        except Exception:
            log.exception("what was counted can't be let go of")
        self.drop("error", lost)

    def _deliver(self, role: Role) -> None:
        if isinstance(role, Chief):
            self._watch(role.counting)
            if self._address is not None and self._server is None:
                self._serve_if_possible()
        if not self._outgoing:
            self._outgoing.extend(self._written())
        if isinstance(role, Chief) and self._is_unknown(self._outgoing):
            self._watch(role.counting)  # a model that came after the last look
        while self._outgoing:
            role.take(self._outgoing[0])
            self._outgoing.popleft()
        with self._lock:
            dropped, self._dropped = self._dropped, Counter()
        if dropped:
            try:
                role.drop(dropped)
            except OSError:
                with self._lock:
                    self._dropped += dropped
                raise

    def _written(self) -> Iterator[Lines]:
        """What is queued, or some of it, as lines."""
        rows: dict[str, list[tuple[bool, Any]]] = {}
        labels: dict[str, list[Any]] = {}
        left = _AT_ONCE
        while self._queue and left > 0:
            name, kind, observed = self._queue.popleft()
            left -= len(observed[1]) if kind == TABLE else 1
            if kind == LABEL:
                labels.setdefault(name, []).append(observed)
            elif kind == EXCHANGE:
                rows.setdefault(name, []).extend((False, row) for row in self._read(*observed))
            else:
                rows.setdefault(name, []).append((kind == TABLE, observed))
        for name in (*rows, *(name for name in labels if name not in rows)):
            writer = self._writers.get(name)
            if writer is None:
                self.drop("unknown_model", len(rows.get(name, ())) + len(labels.get(name, ())))
                continue
            yield from writer.write(rows.get(name, ()))
            yield from writer.write_labels(labels.get(name, ()))
            if writer.unreadable:
                self.drop("unreadable", writer.unreadable.total())
                for problem in writer.unreadable:
                    self.complain(f"{name}: an observation can't be read: {problem}")
                writer.unreadable.clear()

    def _read(self, reading: Reading, copied: Copied) -> list[Observation]:
        """What a request and its response say."""
        rows, rejected = reading.observations(copied)
        if rejected:
            self.drop("unreadable", rejected.total())
            self.complain(f"a request or its response can't be read: {', '.join(rejected)}")
        return rows

    def _elected(self) -> Role | None:
        """Count, if nobody does, or else find who does; None if neither can be done yet."""
        from ml_exporter.store.state_folder import StateError

        writers = self._writers
        models = [writer.model for writer in writers.values()]
        try:
            role = elected(models, self.state, self._path, self.wait)
        except StateError as error:
            self._fail(str(error))
            return None
        self._is_watching = set(writers)
        self._failing_since = None
        return role

    def _fail(self, problem: str) -> None:
        """Say it where it lasts: a process that begins to count takes a moment to answer."""
        self._failing_since = self._failing_since or time.monotonic()
        if time.monotonic() - self._failing_since > 5 * _RETRY:
            self.complain(f"nobody counts observations: {problem}")

    def _watch(self, counting: Counting) -> None:
        writers = self._writers
        if writers.keys() != self._is_watching:
            counting.watch([writer.model for writer in writers.values()], self.state)
            self._is_watching = set(writers)

    def _is_unknown(self, outgoing: Iterable[Lines]) -> bool:
        """Whether a model of these isn't counted yet."""
        return not {lines.model for lines in outgoing} <= self._is_watching

    def _serve(self) -> None:
        from ml_exporter.client.http import MetricsServer

        with self._lock:  # the thread serves by itself, too
            if self._server is None and self._address is not None:
                self._server = MetricsServer(*self._address, self.shown)

    def _serve_if_possible(self) -> None:
        try:
            self._serve()
        except OSError as error:
            self.complain(f"can't listen on port {self._address and self._address[1]}: {error}")
