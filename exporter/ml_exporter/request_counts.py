"""Requests counted by the proxy, in memory that telemetry reads."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "<other>")
# Why an exchange that was to be observed was not, or not as a whole.
DROP_REASONS = ("buffer_full", "too_large", "rate", "aborted", "error")
BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)  # seconds
MOST_MODELS = 64
OTHER_MODELS = "<other>"

Request = tuple[str, int]  # method and status
ANY_REQUEST: Request = ("GET", 0)  # stands for all series of a model together

_CODES = 1000
_LONGEST_NAME = 254  # bytes
_NAME = 256
_NAMES = MOST_MODELS * _NAME
_DROPPED = 16 * 8
_HISTOGRAM = len(BUCKETS) + 2  # cells: the buckets, the one above all, and the sum
_OF_REQUESTS = len(METHODS) * _CODES
_OF_MODEL = _OF_REQUESTS + 2 * _HISTOGRAM  # cells
_NUMBERS = _DROPPED + MOST_MODELS * _OF_MODEL * 8
_SEEN = MOST_MODELS * _OF_REQUESTS  # a byte for each
COUNTS_SIZE = (_NAMES + _NUMBERS + _SEEN + 4095) & -4096

# Cells: those before the models', those of a model, and of its requests, which come first.
LAYOUT = (_DROPPED // 8, _OF_MODEL, _OF_REQUESTS)
_METHOD_CELLS = {method.encode(): place * _CODES for place, method in enumerate(METHODS)}
_OTHER_METHOD = _METHOD_CELLS[b"<other>"]


def method_cell(method: bytes) -> int:
    """Where a method's counts begin among a model's; that of a status follows after so many."""
    return _METHOD_CELLS.get(method, _OTHER_METHOD)


class RequestCounts:
    """The counters of all models, each with a place of its own that it keeps.

    One process writes; whoever reads sees each cell as it was or as it is.
    """

    def __init__(self, memory: memoryview) -> None:
        self._names = memory[:_NAMES]
        numbers = memory[_NAMES : _NAMES + _NUMBERS]
        self._seen = memory[_NAMES + _NUMBERS :]
        self.cells = numbers.cast("Q")  # drops by reason, then each model's, as LAYOUT has them
        self._sums = numbers.cast("d")
        self._array = np.frombuffer(numbers, dtype=np.uint64)
        self._places = {name: place for place, name in enumerate(self.names())}

    def names(self) -> list[str]:
        """The models in the order of their places."""
        names = []
        for start in range(0, _NAMES, _NAME):
            length = self._names[start]
            if not length:
                break
            names.append(bytes(self._names[start + 1 : start + 1 + length]).decode())
        return names

    def place(self, name: str) -> int:
        """A model's place, which it is given where it has none; the last one is all others'."""
        if name in self._places:
            return self._places[name]
        place = len(self._places)
        if place >= MOST_MODELS - 1:
            name, place = OTHER_MODELS, MOST_MODELS - 1
        text = name.encode("utf-8", "replace")[:_LONGEST_NAME].decode(errors="ignore").encode()
        start = place * _NAME
        self._names[start + 1 : start + 1 + len(text)] = text
        self._names[start] = len(text)
        self._places[name] = place
        return place

    def count(self, place: int, method: bytes, code: int, duration: float, upstream: float) -> None:
        """Count a request: its status and durations, in seconds."""
        cells = self.cells
        start = _DROPPED // 8 + place * _OF_MODEL
        cells[start + method_cell(method) + code] += 1
        start += _OF_REQUESTS
        cells[start + bisect_left(BUCKETS, duration)] += 1
        self._sums[start + _HISTOGRAM - 1] += duration
        start += _HISTOGRAM
        cells[start + bisect_left(BUCKETS, upstream)] += 1
        self._sums[start + _HISTOGRAM - 1] += upstream

    def drop(self, reason: str) -> None:
        """Count an exchange that isn't observed."""
        self.cells[DROP_REASONS.index(reason)] += 1

    def dropped(self) -> dict[str, int]:
        """Exchanges not observed, by reason."""
        return {reason: self.cells[place] for place, reason in enumerate(DROP_REASONS)}

    def requests(self, place: int) -> dict[tuple[str, int], int]:
        """A model's requests by method and status, those that there were."""
        start = _DROPPED // 8 + place * _OF_MODEL
        counts = self._array[start : start + _OF_REQUESTS]
        return {
            (METHODS[cell // _CODES], cell % _CODES): int(counts[cell])
            for cell in np.flatnonzero(counts).tolist()
        }

    def saw(self, place: int, request: Request) -> None:
        """Scrapes have seen a series before it was counted: whoever reads says so, and no other."""
        self._seen[_seen(place, request)] = 1

    def was_seen(self, place: int, request: Request) -> bool:
        return bool(self._seen[_seen(place, request)])

    def durations(self, place: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Histograms of a model's requests, and of the model alone.

        Each is the counts up to and including each bucket, the last one of all, and the sum.
        """
        start = _DROPPED // 8 + place * _OF_MODEL + _OF_REQUESTS
        first, second = start, start + _HISTOGRAM
        return self._histogram(first), self._histogram(second)

    def _histogram(self, start: int) -> NDArray[np.float64]:
        counts = self._array[start : start + _HISTOGRAM - 1].cumsum()
        return np.append(counts.astype(np.float64), self._sums[start + _HISTOGRAM - 1])


def _seen(place: int, request: Request) -> int:
    method, code = request
    return place * _OF_REQUESTS + METHODS.index(method) * _CODES + code
