"""The cluster that librdkafka brings along, for tests: real sockets, offsets, groups and faults.

https://github.com/confluentinc/librdkafka/blob/master/src/rdkafka_mock.h
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

from confluent_kafka import Producer

_PRODUCER = 0  # rd_kafka_type_t
_REBALANCE = 100  # milliseconds that the group waits for members to join at first

Headers = Sequence[tuple[str, bytes]]


class Cluster:
    """Brokers of this process, until the block ends."""

    def __init__(self) -> None:
        self._library = _library()
        error = ctypes.create_string_buffer(256)
        configuration = ctypes.c_void_p(self._library.rd_kafka_conf_new())
        for name, value in ((b"bootstrap.servers", b"127.0.0.1:1"), (b"log_level", b"0")):
            self._library.rd_kafka_conf_set(configuration, name, value, error, 256)
        handle = self._library.rd_kafka_new(_PRODUCER, configuration, error, 256)
        self._handle = ctypes.c_void_p(handle)
        self._cluster = ctypes.c_void_p(self._library.rd_kafka_mock_cluster_new(self._handle, 1))
        brokers: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        self.brokers = brokers.decode()
        self._call("group_initial_rebalance_delay_ms", _REBALANCE)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self,
        type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._handle)

    def create(self, topic: str, partitions: int) -> None:
        assert self._call("topic_create", topic.encode(), partitions, 1) == 0

    def stop(self) -> None:
        """Let the broker answer nobody."""
        self._call("broker_set_down", 1)

    def go_on(self) -> None:
        self._call("broker_set_up", 1)

    def send(
        self,
        topic: str,
        *values: bytes | None,
        partition: int = 0,
        headers: Headers = (),
        max_bytes: int = 1_000_000,
    ) -> None:
        """Append messages to a partition."""
        settings = {"bootstrap.servers": self.brokers, "log_level": 0}
        producer = Producer(settings | {"message.max.bytes": max_bytes, "linger.ms": 0})
        for value in values:
            producer.produce(topic, value, partition=partition, headers=list(headers))
            producer.poll(0)
        assert producer.flush(10) == 0

    def _call(self, name: str, *args: Any) -> int:
        result: int = getattr(self._library, f"rd_kafka_mock_{name}")(self._cluster, *args)
        return result


@cache
def _library() -> ctypes.CDLL:
    """Librdkafka as this process has loaded it already."""
    maps = Path("/proc/self/maps").read_text()
    found = re.search(r"\S*/librdkafka[^/\s]*$", maps, re.MULTILINE)
    assert found, "librdkafka isn't a library of its own here"
    library = ctypes.CDLL(found[0])
    pointer = ctypes.c_void_p
    library.rd_kafka_conf_new.restype = pointer
    library.rd_kafka_new.restype = pointer
    _takes(library.rd_kafka_new, [ctypes.c_int, pointer, ctypes.c_char_p, ctypes.c_size_t])
    library.rd_kafka_mock_cluster_new.restype = pointer
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return library


def _takes(function: Any, types: Iterable[Any]) -> None:
    function.argtypes = list(types)
