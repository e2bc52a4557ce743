"""A Kafka topic: its partitions, shared with the other exporters of a consumer group."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from ml_exporter.config.source_settings import KafkaSource as Settings
from ml_exporter.sources.kafka_consumer import Member
from ml_exporter.sources.kafka_partitions import Partition
from ml_exporter.sources.matching import id_of
from ml_exporter.sources.parts import Chunk, Part, Start, move
from ml_exporter.store.store import Position


class KafkaSource:
    """The partitions that the group assigns; if not `follow`, all of them to their present ends."""

    def __init__(
        self, settings: Settings, positions: dict[str, Position], follow: bool, start: Start
    ) -> None:
        """Raises SourceError."""
        self.name = f"{settings.topic} at {','.join(settings.brokers)}"
        self.start: Start = start
        self.positions = positions
        self.moved: set[str] = set()
        self._settings = settings
        self._follow = follow
        self._may_begin_at_end = start == "end"
        self._given_up: dict[str, str] = {}
        self._own_id = uuid.uuid4().hex
        self._last = -1  # the partition of the last chunk
        self._member = Member(settings, positions, follow)

    @property
    def errors(self) -> Mapping[str, str]:
        text = self._member.trouble.text
        return self._given_up | ({} if text is None else {self.name: text})

    @property
    def source_id(self) -> str:
        """Alike only where two processes are assigned the same partitions, in different groups."""
        with self._member.changed:
            numbers = sorted(self._member.partitions)
        what = f"{self._member.cluster}\n{self._settings.topic}\n{numbers}"
        return id_of(what if numbers else self._own_id)

    def look(self) -> None:
        """Begin to read, if that isn't so yet."""
        # Without any position there never was an end to begin at.
        at_end = self.start == "end" or (self._may_begin_at_end and not self.positions)
        self._member.begin("end" if at_end else "start")

    def next(self) -> Chunk | None:
        """The next messages of some partition; if not `follow`, it waits until there are any."""
        self.look()
        member = self._member
        with member.changed:
            while True:
                member.visit(saved=False)
                self._take_note()
                if chunk := self._next():
                    return chunk
                if self._follow or member.is_done or member.is_over:
                    return None
                member.changed.wait()

    def advance(self, part: Part, position: Position) -> Position:
        assert isinstance(part, Partition)
        with self._member.changed:
            part.counted = True
            move(self, part, position)
        return position

    def committed(self) -> None:
        """Let the group know, and let partitions go that it wants back."""
        with self._member.changed:
            self._member.visit(saved=True)

    def give_up(self, part: Part, problem: str) -> None:
        assert isinstance(part, Partition)
        with self._member.changed:
            part.given_up = True
            part.move(Position(part.read_to))
        self._given_up[part.name] = problem

    def lag(self) -> int:
        """Messages that aren't counted yet times their mean size: brokers don't tell bytes."""
        with self._member.changed:
            partitions = self._member.partitions.values()
            behind = sum(max(0, one.high - one.position.offset) for one in partitions)
        return int(behind * max(1.0, self._member.mean_size))

    def close(self) -> None:
        """Leave the group."""
        self._member.stop()

    def _take_note(self) -> None:
        """Remember where new partitions begin: an end may be another one next time."""
        for partition in self._member.placed:
            move(self, partition, partition.position)
        self._member.placed.clear()

    def _next(self) -> Chunk | None:
        """The next chunk, of each partition by turns."""
        partitions = sorted(
            self._member.partitions.values(), key=lambda one: (one.number <= self._last, one.number)
        )
        for partition in partitions:
            if partition.lost or partition.given_up:
                continue
            offset = partition.past_empty()
            if offset != partition.position.offset:
                move(self, partition, Position(offset))
            if chunk := partition.chunk():
                self._last = partition.number
                return chunk
        return None
