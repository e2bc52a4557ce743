"""Writes lines to a file or to standard output, as many as may be.

They are written by a thread of their own, so that whoever counts never waits for a disk or for the
reader of a pipe. What can't be written, or is more than may be, is let go and counted.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ml_exporter.config.line_log import LineLog
from ml_exporter.families import Family

log = logging.getLogger(__name__)

RESULTS = ("written", "over_rate", "failed")

_MOST_QUEUED = 1000  # lines
_INTERVAL = 0.1  # seconds between writes
_LAST_WORDS = 1.0  # seconds that the end waits for what is queued


class About(NamedTuple):
    """What lines are about, and how they are counted."""

    title: str
    family: str
    help: str


NOTABLE = About(
    "predictions worth a look",
    "ml_exporter_notable_lines_total",
    "Lines about predictions worth a look and failed requests, by what became of them.",
)
DEAD_LETTERS = About(
    "rejected rows",
    "ml_exporter_dead_letters_total",
    "Lines about rejected rows, by what became of them.",
)


class LineWriter:
    """Takes lines of all models, of each so many a second. Without settings it takes none."""

    def __init__(
        self, about: About, settings: LineLog | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.settings = settings
        self._title = about.title
        self._clock = clock
        self._allowed: dict[str, tuple[float, float]] = {}  # lines that a model may write, and when
        self._queue: deque[bytes] = deque()
        self._waiting = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._counts = dict.fromkeys(RESULTS, 0)
        self._lock = threading.Lock()
        self._is_torn = False  # the last line in the file has no end
        self._problem = ""
        self._lines = Family(about.family, about.help, "counter", ("result",), kept=False)
        for result in RESULTS:
            self._lines.add(result)

    @property
    def most_lines(self) -> int:
        """How many lines it ever takes at once."""
        return 0 if self.settings is None else int(_burst(self.settings.rate))

    @property
    def families(self) -> tuple[Family, ...]:
        """What it counts; nothing where no log is wanted."""
        if self.settings is None:
            return ()
        with self._lock:
            counts = dict(self._counts)
        for result, count in counts.items():
            self._lines.set(count, result)
        return (self._lines,)

    def write(self, model: str, lines: Sequence[bytes], others: int = 0) -> None:
        """Queue lines about a model's rows; there were so many others, without lines."""
        if self.settings is None or not (lines or others):
            return
        may = self._take(model, len(lines), self.settings.rate)
        self._count("over_rate", len(lines) - may + others)
        room = _MOST_QUEUED - len(self._queue)
        self._count("failed", max(may - room, 0))
        self._queue.extend(lines[: min(may, room)])
        self._waiting.set()
        if self._thread is None and self._queue:
            self._thread = threading.Thread(target=self._run, name=self._title, daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Write what is queued, unless that takes long."""
        self._stopping = True
        self._waiting.set()
        if self._thread is not None:
            self._thread.join(_LAST_WORDS)

    def _take(self, model: str, wanted: int, rate: float) -> int:
        now = self._clock()
        most = _burst(rate)
        allowed, before = self._allowed.get(model, (most, now))
        allowed = min(most, allowed + (now - before) * rate)
        taken = min(wanted, int(allowed))
        self._allowed[model] = (allowed - taken, now)
        return taken

    def _count(self, result: str, lines: int) -> None:
        with self._lock:
            self._counts[result] += lines

    def _run(self) -> None:
        while not self._stopping or self._queue:
            self._waiting.wait()
            self._waiting.clear()
            lines = []
            while self._queue:
                lines.append(self._queue.popleft())
            settings = self.settings
            if settings is not None and lines:
                self._write(settings, lines)
            if not self._stopping:
                time.sleep(_INTERVAL)

    def _write(self, settings: LineLog, lines: Sequence[bytes]) -> None:
        data = b"".join(lines)
        try:
            if settings.path is None:
                written = _write_all(sys.stdout.fileno(), data)
            else:
                written = self._append(settings.path, settings.size, data)
            problem = "" if written == len(data) else "no room"
        except (OSError, ValueError) as error:
            written, problem = 0, str(error)
        whole = data[:written].count(b"\n")
        self._count("written", whole)
        self._count("failed", len(lines) - whole)
        if problem and problem != self._problem:
            log.error("%s can't be written", self._title, extra={"error": problem})
        elif self._problem and not problem:
            log.info("%s are written again", self._title)
        self._problem = problem

    def _append(self, path: Path, size: int, data: bytes) -> int:
        """Bytes of the data that were written; the file may be renamed by anyone meanwhile."""
        held = path.stat().st_size if path.exists() else 0
        if held and held + len(data) > size:
            os.replace(path, path.with_name(f"{path.name}.1"))
            self._is_torn = False
        descriptor = _open(path)
        try:
            end = b"\n" if self._is_torn else b""
            written = _write_all(descriptor, end + data)
            self._is_torn = not (end + data)[:written].endswith(b"\n") if written else self._is_torn
            return max(written - len(end), 0)
        finally:
            os.close(descriptor)


def _burst(rate: float) -> float:
    return min(max(rate, 1.0), _MOST_QUEUED)


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


def _write_all(descriptor: int, data: bytes) -> int:
    """How many bytes there was room for."""
    written = 0
    while written < len(data):
        try:
            written += os.write(descriptor, data[written:])
        except OSError:
            if not written:
                raise
            break
    return written
