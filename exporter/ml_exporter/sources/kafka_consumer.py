"""A thread that is a member of a Kafka consumer group: all that has to wait for a broker.

It places each partition that the group assigns, fills it with messages within bounds, and tells
the group what is saved.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ml_exporter.config.source_settings import KafkaSource as Settings
from ml_exporter.formats.rows import LONGEST_ROW
from ml_exporter.sources.kafka_errors import Trouble
from ml_exporter.sources.kafka_messages import event_line, line
from ml_exporter.sources.kafka_offsets import ask_group, take_answer, tell_group
from ml_exporter.sources.kafka_options import open_consumer
from ml_exporter.sources.kafka_partitions import OVERHEAD, Line, Partition
from ml_exporter.sources.parts import Start
from ml_exporter.store.store import Position

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

log = logging.getLogger(__name__)

_MOST_WAITING = 8 << 20  # bytes of messages that wait to be counted
_MOST_MESSAGES = 1000  # taken at a time
_WAIT = 0.1  # seconds for messages
_TIMEOUT = 5.0  # seconds for an answer of a broker
_FULL = 1.0  # seconds without room, after which the broker is asked for no more
_HANDOVER = 10.0  # seconds for what was counted of a partition to be saved, before it is let go
_RETRY = 1.0  # seconds
_LEAVING = 3.0  # seconds for the group to be told all
_CLOSING = 5.0  # seconds for the thread to end
_CHECK = 1.0  # seconds between looks at how much there is
_ANYWHERE = -1001  # librdkafka's for no offset


class Member:
    """Reads a topic's partitions, as a member of a group or, if not `follow`, all by itself.

    Whoever counts holds the lock of `changed` for all but `begin` and `stop`.
    """

    def __init__(self, settings: Settings, positions: Mapping[str, Position], follow: bool) -> None:
        """Raises SourceError."""
        self.changed = threading.Condition()
        self.partitions: dict[int, Partition] = {}  # by number
        self.placed: list[Partition] = []  # that nobody has taken note of
        self.cluster = ""
        self.is_over = False  # nothing more comes
        self.mean_size = 0.0  # bytes of a message
        self.trouble = Trouble()
        self._topic = settings.topic
        self._format = settings.format
        self._consumer = open_consumer(
            settings, error_cb=self.trouble.suspect, on_commit=self._told
        )
        self._positions = positions
        self._follow = follow
        self._start: Start = "start"
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._visits = 0
        self._saved = False
        self._to_place: list[int] = []
        self._known: frozenset[int] | None = None  # partitions there were at first
        self._full_since: float | None = None
        self._is_paused = False
        self._checked = 0.0

    def begin(self, start: Start) -> None:
        """Read, from where nothing is known of a partition at its `start` or end."""
        if self._thread is None:
            self._start = start
            self._thread = threading.Thread(target=self._run, name="kafka", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Leave the group, which the group is told if it listens."""
        self._closing.set()
        with self.changed:
            self.changed.notify_all()
        if self._thread is None:
            self._consumer.close()
        else:
            self._thread.join(_CLOSING)

    def visit(self, *, saved: bool) -> None:
        """Whoever counts is between two steps; `saved`: and all that it counted is saved."""
        self._visits += 1
        if saved:
            for partition in self.partitions.values():
                partition.saved = partition.position
                partition.counted = False
            self._saved = True
        self.changed.notify_all()

    @property
    def is_done(self) -> bool:
        """Whether all is counted of what is read once."""
        placed = self._known is not None and not self._to_place
        return placed and all(one.is_done for one in self.partitions.values())

    def _run(self) -> None:
        try:
            if self._follow:
                self._consumer.subscribe(
                    [self._topic],
                    on_assign=self._assigned,
                    on_revoke=self._revoked,
                    on_lost=self._lost,
                )
            self._read()
            self._leave()
        except Exception:
            log.exception("reading Kafka has stopped")
            self.trouble.stopped()
        finally:
            self._consumer.close()  # which revokes all partitions
            with self.changed:
                self.is_over = True
                self.changed.notify_all()

    def _read(self) -> None:
        from confluent_kafka import KafkaException

        while not self._closing.is_set():
            try:
                self._place()
                self._send()
                self._fetch()
                self._check()
            except KafkaException as error:
                self.trouble.add(error.args[0])
                if not self._follow:
                    return
                self._closing.wait(_RETRY)

    def _leave(self) -> None:
        """Tell the group all that is saved, once it has come to rest."""
        deadline = time.monotonic() + _LEAVING
        while self._closing.is_set() and not self.trouble.text and time.monotonic() < deadline:
            if self._tell(self.partitions.values(), wait=True):
                return
            self._consumer.consume(1, timeout=_WAIT)

    # Partitions come and go. The callbacks run within `consume` and `close`.

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Take on partitions, which are placed later: a callback should not wait for a broker."""
        consumer.incremental_assign([])
        self.trouble.joined()
        self._to_place += [one.partition for one in partitions]

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Let partitions go when all that was counted of them is saved, and the group knows it."""
        gone = self._lose(one.partition for one in partitions)
        with self.changed:
            visits = self._visits

            def is_settled() -> bool:
                counted = any(one.counted for one in gone)
                return self._closing.is_set() or (self._visits > visits and not counted)

            if gone and not self.changed.wait_for(is_settled, _HANDOVER):
                log.warning("partitions are handed over with rows that aren't saved")
        if not self._tell(gone, wait=not self.trouble.text):
            log.warning("partitions are handed over, and the group doesn't know how far they are")
        self._remove(consumer, gone)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """The group gave partitions to others without asking."""
        log.warning("partitions were lost, and the group doesn't know how far they are")
        self._remove(consumer, self._lose(one.partition for one in partitions))

    def _lose(self, numbers: Iterable[int]) -> list[Partition]:
        gone = set(numbers)
        self._to_place = [number for number in self._to_place if number not in gone]
        with self.changed:
            found = [one for one in self.partitions.values() if one.number in gone]
            for partition in found:
                partition.lost = True
        return found

    def _remove(self, consumer: Consumer, gone: list[Partition]) -> None:
        consumer.incremental_unassign([self._at(one.number) for one in gone])
        with self.changed:
            for partition in gone:
                del self.partitions[partition.number]

    def _place(self) -> None:
        """Find out where each new partition begins, and read it; raises KafkaException."""
        if self._known is None and (self._to_place or not self._follow):
            self._known = self._ask()
            if not self._follow:
                self._to_place = sorted(self._known)
        if not self._to_place:
            return
        in_group: dict[int, Position] = {}
        if self._follow:
            in_group = ask_group(self._consumer, self._topic, self._to_place, _TIMEOUT)
        new = []
        for number in self._to_place:
            low, high = self._consumer.get_watermark_offsets(self._at(number), timeout=_TIMEOUT)
            new.append(self._partition(number, low, high, in_group.get(number)))
        with self.changed:
            self.partitions |= {one.number: one for one in new}
            self.placed += new
            self.changed.notify_all()
        places = [self._at(one.number, one.position.offset) for one in new]
        if self._follow:
            self._consumer.incremental_assign(places)
        else:
            self._consumer.assign(places)
        self._to_place = []
        # One that was here before, and was paused then, still is.
        (self._consumer.pause if self._is_paused else self._consumer.resume)(places)
        # Whoever comes next must not take the end for another one.
        self._tell(new)

    def _partition(self, number: int, low: int, high: int, group: Position | None) -> Partition:
        key = f"{self._topic}:{number}"
        known = [one for one in (self._positions.get(key), group) if one is not None]
        within = [one for one in known if low <= one.offset <= high]
        if within:
            # The group knows more where another replica has counted meanwhile, and less after a
            # crash between our commit and its own.
            position = max(within, key=lambda one: (one.offset, one.rows))
        elif known or self._start == "start" or number not in (self._known or ()):
            position = Position(low)
        else:
            position = Position(high)
        return Partition(
            name=key,
            key=key,
            number=number,
            position=position,
            saved=position,
            sent=group if group == position else None,
            read_to=position.offset,
            high=high,
            stop=None if self._follow else high,
        )

    def _ask(self) -> frozenset[int]:
        """The partitions of the topic; raises KafkaException."""
        from confluent_kafka import KafkaException

        cluster = self._consumer.list_topics(self._topic, timeout=_TIMEOUT)
        topic = cluster.topics[self._topic]
        if topic.error is not None:
            raise KafkaException(topic.error)
        self.cluster = cluster.cluster_id or ""
        return frozenset(topic.partitions)

    # Messages.

    def _fetch(self) -> None:
        with self.changed:
            waiting = sum(one.waiting for one in self.partitions.values())
        is_full = waiting >= _MOST_WAITING
        if not is_full:
            self._full_since = None
        elif self._full_since is None:
            self._full_since = time.monotonic()
        self._pause(is_full and time.monotonic() - (self._full_since or 0.0) >= _FULL)
        if is_full and not self._is_paused:
            self._closing.wait(_WAIT / 2)
            return
        most = int(_MOST_WAITING / (self.mean_size + OVERHEAD)) if self.mean_size else 10
        messages = self._consumer.consume(min(max(1, most), _MOST_MESSAGES), timeout=_WAIT)
        with self.changed:
            for message in messages:
                self._take(message)
            self.changed.notify_all()

    def _pause(self, pause: bool) -> None:
        """Have the broker asked for no more, while the group must still be listened to."""
        if pause == self._is_paused:
            return
        partitions = [self._at(number) for number in self.partitions]
        if pause:
            self._consumer.pause(partitions)
        else:
            self._consumer.resume(partitions)
        self._is_paused = pause

    def _take(self, message: Message) -> None:
        from confluent_kafka import KafkaError

        partition = self.partitions.get(_number(message.partition()))
        offset = _number(message.offset())
        if (error := message.error()) is not None:
            if error.code() == KafkaError._PARTITION_EOF and partition is not None:
                partition.read_to = max(partition.read_to, offset)
            else:
                self.trouble.add(error)
            return
        if partition is None or partition.lost:
            return
        if offset < partition.read_to:
            if offset == 0:
                self.trouble.began_again()
            return
        value = message.value() or b""
        self.mean_size += (len(value) - self.mean_size) * 0.01 if self.mean_size else len(value)
        partition.add(Line.of(offset, self._line(message, value)))

    def _line(self, message: Message, value: bytes) -> bytes:
        if self._format == "cloudevents" and len(value) <= LONGEST_ROW:
            headers = message.headers() or ()
            return event_line(value, dict(headers).items())
        return line(value)

    # What the group is told, and what the broker is asked now and then

    def _send(self) -> None:
        with self.changed:
            saved, self._saved = self._saved, False
        if saved:
            self._tell(self.partitions.values())

    def _tell(self, partitions: Iterable[Partition], wait: bool = False) -> bool:
        if not self._follow:
            return True
        return tell_group(self._consumer, self._topic, list(partitions), wait)

    def _told(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        take_answer(self.partitions, error, places)

    def _check(self) -> None:
        if time.monotonic() - self._checked < _CHECK:
            return
        self._checked = time.monotonic()
        if self.trouble.is_to_be_checked:
            self._ask()
            self.trouble.checked()
        for partition in list(self.partitions.values()):
            _, high = self._consumer.get_watermark_offsets(self._at(partition.number), cached=True)
            partition.high = max(partition.high, high)

    def _at(self, number: int, offset: int = _ANYWHERE) -> TopicPartition:
        from confluent_kafka import TopicPartition

        return TopicPartition(self._topic, number, offset)


def _number(value: Any) -> int:
    return -1 if value is None else int(value)
