"""Lines that wait in memory to be counted, as a spool's wait on the disk."""

from __future__ import annotations

import threading

from ml_exporter.sources.spool import SpoolFull


class MemoryLines:
    """The lines of one stream. Many threads may append; one reads, and releases what it counted."""

    def __init__(self, place: str) -> None:
        self.place = place
        self._lock = threading.Lock()
        self._data = bytearray()
        self._start = 0  # the offset of its first byte

    def append(self, lines: bytes, limit: int) -> None:
        """Keep whole lines; raises SpoolFull where more than `limit` bytes would wait."""
        with self._lock:
            if len(self._data) + len(lines) > limit:
                raise SpoolFull
            self._data += lines

    def read(self, offset: int, length: int) -> tuple[int, bytes]:
        with self._lock:
            begin = max(0, offset - self._start)
            end = self._data.rfind(b"\n", begin, begin + length) + 1
            if not end:
                end = self._data.find(b"\n", begin) + 1
            return self._start + begin, bytes(self._data[begin:end])

    def resume(self, offset: int) -> None:
        with self._lock:
            if not self._data:
                self._start = offset

    def release(self, offset: int) -> None:
        with self._lock:
            del self._data[: max(0, offset - self._start)]
            self._start = max(self._start, offset)

    def waiting(self, offset: int) -> int:
        with self._lock:
            return self._start + len(self._data) - offset

    def rows(self) -> int:
        """How many lines are kept."""
        with self._lock:
            return self._data.count(b"\n")


class MemoryLinesOfModels:
    """The lines of each model's predictions, and of its labels."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._lines: dict[tuple[str, str], MemoryLines] = {}

    def of(self, model: str, stream: str) -> MemoryLines:
        return self._lines.setdefault(
            (model, stream), MemoryLines(f"{self._place}/{model}/{stream}")
        )

    def rows(self) -> int:
        """How many lines are kept of all."""
        return sum(lines.rows() for lines in self._lines.values())
