"""What a Kafka consumer group knows of the positions in its partitions."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from ml_exporter.sources.kafka_partitions import Partition
from ml_exporter.store.store import Position

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, TopicPartition

log = logging.getLogger(__name__)


class _Within(msgspec.Struct):
    """What is kept beside an offset: the rows after it that are counted, as in Position."""

    length: int
    rows: int


def ask_group(
    consumer: Consumer, topic: str, numbers: Iterable[int], timeout: float
) -> dict[int, Position]:
    """Where the group is in each partition that it has begun; raises KafkaException."""
    from confluent_kafka import KafkaException, TopicPartition

    partitions = [TopicPartition(topic, number) for number in numbers]
    positions = {}
    for found in consumer.committed(partitions, timeout=timeout):
        if found.error is not None:
            raise KafkaException(found.error)
        if found.offset >= 0:
            positions[found.partition] = _position(found)
    return positions


def tell_group(consumer: Consumer, topic: str, partitions: list[Partition], wait: bool) -> bool:
    """Tell the group what is saved and new; what it doesn't take is told again with the next.

    False if it didn't take it: a group that is on the move takes nothing.
    """
    from confluent_kafka import KafkaException, TopicPartition

    news = [(one, one.saved) for one in partitions if one.sent != one.saved]
    places = [
        TopicPartition(topic, one.number, saved.offset, metadata=_metadata(saved))
        for one, saved in news
    ]
    if not news:
        return True
    try:
        if wait:
            consumer.commit(offsets=places, asynchronous=False)
        else:
            consumer.commit(offsets=places, asynchronous=True)
    except KafkaException as error:
        log.debug("the group doesn't take offsets", extra={"error": error.args[0].name()})
        return False
    for partition, saved in news:
        partition.sent = saved
    return True


def take_answer(
    partitions: dict[int, Partition], error: KafkaError | None, places: list[TopicPartition]
) -> None:
    """Note what the group didn't take."""
    for place in places:
        if place.partition in partitions and (error is not None or place.error is not None):
            partitions[place.partition].sent = None


def _metadata(position: Position) -> str:
    if not position.rows:
        return ""
    return msgspec.json.encode(_Within(position.length, position.rows)).decode()


def _position(found: TopicPartition) -> Position:
    try:
        within = msgspec.json.decode(found.metadata or "", type=_Within)
    except msgspec.MsgspecError:
        return Position(found.offset)
    return Position(found.offset, length=within.length, rows=within.rows)
