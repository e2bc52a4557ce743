"""Joins labels where replicas of the exporter share, in Redis, the predictions that wait.

Redis knows nothing of our transaction, which may be undone, or lost and repeated. So what is to be
done there is put into the outbox first, with everything else that is saved. It is sent when that
is committed, as often as it takes: Redis keeps its answer to an operation until the transaction in
which the answer was counted is committed, too, and gives it again until then. A script does an
operation as a whole, so that each label is joined, and counted, by one replica.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from importlib import resources
from typing import Any, Literal

import msgspec

from ml_exporter.batch import LABEL, PREDICTION, Batch
from ml_exporter.carried import pack
from ml_exporter.labels.join import (
    EARLY_WAIT,
    RESULTS,
    JoinCounters,
    JoinRules,
    label_times,
    outcomes,
)
from ml_exporter.labels.outbox import Outbox
from ml_exporter.labels.waiting import Pending, keys_of, texts

log = logging.getLogger(__name__)

_FORMAT = 1  # of what Redis keeps, in which only the ends of rows may be new
_ROW_SIZE = 280  # bytes that Redis takes for a row, but for its texts and what is carried
_ROWS = 1000  # of one operation: meanwhile Redis does nothing else
_TIMEOUT = 1.0  # seconds
_SHORTEST_DELAY, _LONGEST_DELAY = 1.0, 30.0  # seconds between attempts
_LONGEST_SPELL = 0.5  # seconds in which one operation is sent after the other
_PASS_TIME = 10.0  # seconds between looks at what has settled or expired
_FORGET = 7 * 86400  # seconds beyond `wait` that Redis keeps what nobody touches


class _Operation(msgspec.Struct):
    """What the script is to do; see there for how rows look."""

    kind: Literal["predictions", "labels", "time"]
    rows: Sequence[tuple[Any, ...]]
    clock: float
    now: float | Literal[False]
    wait: float
    settle: float
    most: int
    most_bytes: int
    early_wait: float = EARLY_WAIT
    row_size: int = _ROW_SIZE
    at_once: int = _ROWS
    forget: int = 0


class _Outcome(msgspec.Struct, array_like=True):
    version: str
    predicted: str
    at: float
    label: str
    delay: float | bool  # how long the label took, if that is known
    carried: str = ""  # as text; answers of older versions haven't it


class _Answer(msgspec.Struct):
    counts: dict[str, int]
    outcomes: list[_Outcome]
    clock: float
    waiting: int
    more: bool  # some is left for the next look


class RedisJoin:
    """The join of one model, like `labels.LabelJoin`; outcomes come after the next commit.

    While Redis doesn't answer, predictions are counted, and what is to be joined waits here, within
    the bounds of what may wait there.
    """

    def __init__(
        self, model: str, version: str, outbox: Outbox, url: str, rules: JoinRules
    ) -> None:
        """Raises ValueError where it isn't the URL of a Redis, or the extra isn't installed."""
        self._outbox = outbox
        self._numbers = rules.numbers
        self._plan = _Operation(
            kind="time",
            rows=[],
            clock=0.0,
            now=False,
            wait=rules.wait,
            settle=rules.settle,
            most=rules.most,
            most_bytes=rules.most_bytes,
            forget=int(rules.wait) + _FORGET,
        )
        self._counters = JoinCounters(model, version)
        self.families = self._counters.families
        self.waiting = 0  # predictions, of all replicas
        self._clock = 0.0
        self._passed = -1.0  # the clock up to which nothing is due
        self._pass_at = 0.0
        self._least: int | None = None  # the first operation whose answer isn't committed
        names = ["pending", "age", "settling", "early", "early_age", "totals", "others"]
        names.append(f"answers:{outbox.replica}")
        self._keys = [f"ml-exporter:{_FORMAT}:{{{model}}}:{name}" for name in names]
        self._redis = _Redis(url)

    def mark(self) -> tuple[float, int]:
        """What `reset` takes it back to, with the outbox, but without the counters."""
        return self._clock, self.waiting

    def reset(self, mark: tuple[float, int]) -> None:
        self._clock, self.waiting = mark
        self._passed, self._pass_at = -1.0, 0.0

    def committed(self) -> None:
        """What was said is committed: it can be sent, and answers are not asked for again."""
        self._outbox.committed()
        self._least = None

    def predicted(self, batch: Batch, version: str) -> Batch:
        """Let predictions wait; returns those of whatever batch whose outcome is known by now."""
        assert batch.ids is not None
        assert batch.timestamps is not None
        versions = [version] * batch.rows if batch.versions is None else batch.versions
        predicted = texts(batch.fields[PREDICTION])
        times = batch.timestamps.tolist()
        carried = map(_text, pack(batch))
        rows = list(zip(_names(batch.ids), versions, predicted, times, carried, strict=True))
        self._put("predictions", rows)
        return self._answers()

    def labelled(self, batch: Batch, now: float | None) -> Batch:
        """Join labels to predictions, at `now`; returns what `predicted` does."""
        assert batch.ids is not None
        times = [False if time is None else time for time in label_times(batch, now)]
        rows = list(zip(_names(batch.ids), texts(batch.fields[LABEL]), times, strict=True))
        self._put("labels", rows, now)
        return self._answers()

    def advance(self, time: float) -> None:
        """Let it be as late as that, if it isn't yet."""
        self._clock = max(self._clock, time)

    def pass_time(self, end: bool = False) -> Batch:
        """Settle and expire what time has come for; old logs, which `end`, are joined by others."""
        assert not end
        if self._clock > self._passed and self._redis.answers and time.monotonic() >= self._pass_at:
            self._pass_at = time.monotonic() + _PASS_TIME
            self._passed = self._clock
            self._put("time", [()])
        return self._answers()

    def close(self) -> None:
        self._redis.close()

    def _put(
        self,
        kind: Literal["predictions", "labels", "time"],
        rows: Sequence[tuple[Any, ...]],
        now: float | None = None,
    ) -> None:
        for start in range(0, len(rows), _ROWS):
            some = rows[start : start + _ROWS]
            operation = msgspec.structs.replace(
                self._plan,
                kind=kind,
                rows=some,
                clock=self._clock,
                now=False if now is None else now,
            )
            self._outbox.put(msgspec.msgpack.encode(operation), len(some))

    def _let_go(self) -> None:
        """Let go of the oldest that waits to be sent, as far as it is too much."""
        for data in self._outbox.reduce(self._plan.most, self._plan.most_bytes):
            lost = msgspec.msgpack.decode(data, type=_Operation)
            if lost.kind == "labels":
                self._counters.labels.inc(len(lost.rows), "unmatched")
            elif lost.kind == "predictions":
                self._counters.evicted.inc(len(lost.rows))
                self._counters.expired.inc(len(lost.rows))

    def _answers(self) -> Batch:
        """Send what is committed, and count what comes back."""
        rows: list[Pending] = []
        delays: list[float] = []
        until = time.monotonic() + _LONGEST_SPELL
        while time.monotonic() < until and (operation := self._outbox.first()):
            number, data = operation
            if self._least is None:
                self._least = number
            found = self._redis.run(self._keys, [number, self._least, data])
            if found is None:
                break
            self._outbox.remove(number)
            answer = msgspec.msgpack.decode(found, type=_Answer)
            self._count(answer)
            for one in answer.outcomes:
                carried = _bytes(one.carried)
                rows.append(
                    Pending(b"", one.version, one.predicted, one.at, one.label, carried=carried)
                )
                delays.append(math.nan if one.delay is False else one.delay)
        if not self._redis.answers:
            self._let_go()
        return outcomes(rows, self._numbers, delays)

    def _count(self, answer: _Answer) -> None:
        for result in RESULTS:
            self._counters.labels.inc(answer.counts[result], result)
        self._counters.duplicates.inc(answer.counts["repeated"])
        self._counters.expired.inc(answer.counts["expired"])
        self._counters.evicted.inc(answer.counts["evicted"])
        self.waiting = answer.waiting
        self.advance(answer.clock)
        if answer.more:
            self._passed, self._pass_at = -1.0, 0.0


def _names(ids: Sequence[str]) -> list[str]:
    """What ids are known by: Redis reads no binary MessagePack."""
    return [key.hex() for key in keys_of(ids)]


def _text(carried: bytes) -> str:
    """Bytes as text of no more than two bytes each, in which ASCII stays what it is."""
    return carried.decode("latin-1")


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")


class _Redis:
    """The script in a Redis, which may be away."""

    def __init__(self, url: str) -> None:
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError:
            raise ValueError(
                "sharing predictions by Redis needs redis: pip install 'ml-exporter[redis]'"
            ) from None
        self._client = redis.Redis.from_url(
            url,
            socket_timeout=_TIMEOUT,
            socket_connect_timeout=_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
        self._error = redis.RedisError
        self._script = self._client.register_script(
            resources.files("ml_exporter.labels").joinpath("redis_pending.lua").read_text()
        )
        self.answers = True
        self._delay = _SHORTEST_DELAY / 2  # seconds that were between the last attempts
        self._try_at = 0.0

    def run(self, keys: Sequence[str], arguments: Sequence[int | bytes]) -> bytes | None:
        """What the script returns; None while nobody answers."""
        if time.monotonic() < self._try_at:
            return None
        try:
            answer: bytes = self._script(keys=keys, args=arguments)
        except self._error as error:
            if self.answers:
                log.error("Redis doesn't answer; labels wait", extra={"error": error})
            self.answers = False
            self._delay = min(2 * self._delay, _LONGEST_DELAY)
            self._try_at = time.monotonic() + self._delay
            return None
        if not self.answers:
            log.info("Redis answers again")
        self.answers = True
        self._delay = _SHORTEST_DELAY / 2
        return answer

    def close(self) -> None:
        self._client.close()
