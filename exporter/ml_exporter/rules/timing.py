"""Windows, intervals and delays of all rules: the one place where they are numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

WINDOWS = ("1h", "24h", "7d")

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0


@dataclass(frozen=True)
class Timing:
    """Lengths in seconds, by the names that recorded series have, whatever the length is.

    All are multiples of 1m, and 7d is one of 1h, of which it is made.
    """

    lengths: Mapping[str, float] = field(
        default_factory=lambda: {
            "1m": _MINUTE,
            "1h": _HOUR,
            "24h": _DAY,
            "7d": 7 * _DAY,
        }
    )
    slow: float = 2 * _MINUTE  # the interval of groups of the long windows
    slowest: float = 2 * _MINUTE  # that of those of the longest: a look-up reaches back 5 minutes
    settle: float = 10.0  # by when a scrape that has begun is stored
    memory: float = _HOUR  # how far back a counter's previous value is looked for
    gauge_memory: float = 10 * _MINUTE  # how long a gauge outlives a scrape that failed
    target_memory: float = _DAY  # how long it is known which models a target feeds
    pending: float = 15 * _MINUTE  # `for` of alerts about a model
    down: float = 2 * _MINUTE  # `for` of alerts about the exporter
    keep_firing: float = 30 * _MINUTE

    def __post_init__(self) -> None:
        for window, piece in {"1h": "1m", "24h": "1m", "7d": "1h"}.items():
            if self.lengths[window] % self.lengths[piece]:
                raise ValueError(f"the length of {window} must be a multiple of that of {piece}")

    @property
    def minute(self) -> float:
        return self.lengths["1m"]

    def minutes(self, number: int) -> float:
        """So many minutes of an hour that may be shortened, in whole ones."""
        return max(1, round(self.lengths["1h"] * number / 60 / self.minute)) * self.minute

    def interval(self, window: str) -> str:
        """How often figures of a window are recorded."""
        of_windows = {"24h": self.slow, "7d": self.slowest}
        return duration(of_windows.get(window, self.minute))

    @classmethod
    def shortened(cls, minute: float = 2.0, **lengths: float) -> Timing:
        """The same rules for a demo or a test: a minute lasts so many seconds, a day 30 minutes.

        `lengths` replaces single ones, in seconds: `Timing.shortened(2, **{"24h": 120})`.
        """
        short = {"1m": 1, "1h": 10, "24h": 30, "7d": 60}
        return cls(
            lengths={name: n * minute for name, n in short.items()} | lengths,
            slow=2 * minute,
            slowest=5 * minute,
            settle=minute / 4,
            memory=60 * minute,
            gauge_memory=10 * minute,
            target_memory=600 * minute,
            pending=2 * minute,
            down=2 * minute,
            keep_firing=5 * minute,
        )


DEFAULT_TIMING = Timing()

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))


def duration(seconds: float) -> str:
    """A length as Prometheus writes it: 5400 is `1h30m`."""
    rest = round(seconds * 1000)
    parts = []
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def span(seconds: float) -> str:
    """The range of so many seconds, less a millisecond.

    Ranges of Prometheus 3 exclude their left edge, those of 2 include it. A sample of a
    minute ago is thus in none of them, and in the one that ends a minute ago.
    """
    return duration(seconds - 0.001)
