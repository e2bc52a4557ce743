"""When a model may be probed: at a capped rate, and not while it is in trouble or busy."""

from __future__ import annotations

from dataclasses import dataclass

_LOOK_EVERY = 10.0  # seconds
_WEIGHT = 0.02  # of a look in what is usual, which so follows within some minutes
_BUSY = 2.0  # times what is usual
_MOST_ERRORS = 0.01  # of the requests between two looks
_SHORTEST_PAUSE, _LONGEST_PAUSE = 10.0, 600.0  # seconds


@dataclass(frozen=True)
class Traffic:
    """What the proxy has counted of a model so far."""

    requests: int
    errors: int  # of the model server, or in reaching it: 5xx
    seconds: float  # that the model took for all of them


class Load:
    """Whether real requests fail, are slow, or are many, against what is usual."""

    def __init__(self) -> None:
        self._at: float | None = None
        self._traffic = Traffic(0, 0, 0.0)
        self._usual: tuple[float, float] | None = None  # requests a second, seconds a request
        self.is_high = True  # until it is known

    def look(self, now: float, traffic: Traffic) -> None:
        """Take in what was counted up to now, in seconds of any clock."""
        if self._at is None or traffic.requests < self._traffic.requests:
            self._at, self._traffic = now, traffic
            return
        elapsed = now - self._at
        if elapsed < _LOOK_EVERY:
            return
        requests = traffic.requests - self._traffic.requests
        errors = traffic.errors - self._traffic.errors
        seconds = traffic.seconds - self._traffic.seconds
        self._at, self._traffic = now, traffic
        rate, duration = requests / elapsed, seconds / max(requests, 1)
        usual_rate, usual_duration = self._usual or (rate, duration)
        self.is_high = (
            errors > _MOST_ERRORS * requests
            or rate > _BUSY * usual_rate
            or (requests > 0 and duration > _BUSY * usual_duration)
        )
        self._usual = (
            usual_rate + _WEIGHT * (rate - usual_rate),
            usual_duration + _WEIGHT * (duration - usual_duration) * (requests > 0),
        )


class Breaker:
    """Pauses after each failure, for twice as long as after the last one."""

    def __init__(self) -> None:
        self._pause = 0.0
        self._until = 0.0

    def is_open(self, now: float) -> bool:
        return now < self._until

    def failed(self, now: float) -> None:
        self._pause = min(max(2 * self._pause, _SHORTEST_PAUSE), _LONGEST_PAUSE)
        self._until = now + self._pause

    def worked(self) -> None:
        self._pause = 0.0
