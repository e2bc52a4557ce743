"""A topic as exporters read it that share it, crash, and let partitions go."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from ml_exporter.config.source_settings import KafkaSource as Settings
from ml_exporter.formats.rows import LONGEST_ROW
from ml_exporter.sources import SourceError, kafka_consumer, open_source
from ml_exporter.sources.kafka import KafkaSource
from ml_exporter.sources.kafka_messages import event_line
from ml_exporter.sources.kafka_options import check_options
from ml_exporter.sources.parts import Chunk, Start
from ml_exporter.store.store import Position
from tests.counting import Counting
from tests.kafka_cluster import Cluster, Headers
from tests.support import free_port, wait_until

TOPIC = "predictions"
# A group whose members are missed soon.
FAST = (
    ("session.timeout.ms", "1500"),
    ("heartbeat.interval.ms", "100"),
    ("reconnect.backoff.max.ms", "200"),
)


class Reader:
    """Takes all lines of a source, as a pipeline does."""

    def __init__(self, source: KafkaSource) -> None:
        self.source = source
        self.lines: list[str] = []
        self.too_large = 0

    def read(self) -> list[str]:
        """What is there now; all lines so far."""
        while (chunk := self.source.next()) is not None:
            self.take(chunk)
        return self.lines

    def take(self, chunk: Chunk) -> None:
        self.too_large += chunk.too_large
        self.lines += chunk.data.decode().splitlines()
        self.source.advance(chunk.part, chunk.after(len(chunk.data)))

    def save(self) -> dict[str, Position]:
        """What a crash leaves."""
        self.source.moved.clear()
        self.source.committed()
        return dict(self.source.positions)

    def await_chunk(self) -> Chunk:
        return wait_until(self.source.next)

    def await_lines(self, count: int) -> list[str]:
        wait_until(lambda: len(self.read()) >= count, what=f"{count} lines")
        return self.lines

    def numbers(self) -> list[int]:
        """The partitions it reads."""
        return sorted(self.source._member.partitions)


Open = Callable[..., Reader]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def topic(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    """A topic of the test's own, of two partitions."""
    name: str = request.node.name.replace("[", "-").replace("]", "")
    cluster.create(name, 2)
    return name


@pytest.fixture
def open_reader(cluster: Cluster, topic: str) -> Iterator[Open]:
    """`open_reader(positions)` reads the test's topic until the test ends."""
    with ExitStack() as ends:

        def open_reader(
            positions: dict[str, Position] | None = None,
            *,
            follow: bool = True,
            start: Start = "start",
            **changes: Any,
        ) -> Reader:
            settings = Settings((cluster.brokers,), topic, topic, options=FAST)
            source = open_source(replace(settings, **changes), positions or {}, follow, start)
            assert isinstance(source, KafkaSource)
            ends.callback(source.close)
            source.look()
            return Reader(source)

        yield open_reader


def numbered(*numbers: int) -> list[bytes]:
    return [str(number).encode() for number in numbers]


class TestMessages:
    def test_each_is_a_line(self, cluster: Cluster, topic: str, open_reader: Open) -> None:
        cluster.send(topic, b'{"a": 1}', b'{\n  "a": 2\n}\n')
        assert open_reader(follow=False).read() == ['{"a": 1}', '{   "a": 2 }']

    def test_of_each_partition(self, cluster: Cluster, topic: str, open_reader: Open) -> None:
        cluster.send(topic, *numbered(0, 1), partition=0)
        cluster.send(topic, *numbered(2, 3), partition=1)
        assert sorted(open_reader(follow=False).read()) == ["0", "1", "2", "3"]

    def test_tombstones_are_passed_over(
        self, cluster: Cluster, topic: str, open_reader: Open
    ) -> None:
        cluster.send(topic, None, b"1", b"", b"\n", b"2", None)
        reader = open_reader(follow=False)
        assert reader.read() == ["1", "2"]
        assert reader.source.positions[f"{topic}:0"] == Position(6)

    def test_tombstones_alone_are_passed_over(
        self, cluster: Cluster, topic: str, open_reader: Open
    ) -> None:
        cluster.send(topic, None, None)
        reader = open_reader(follow=False)
        assert reader.read() == []
        assert reader.source.positions[f"{topic}:0"] == Position(2)

    def test_one_beyond_all_bounds_is_counted_as_too_large(
        self, cluster: Cluster, topic: str, open_reader: Open
    ) -> None:
        largest = b"x" * LONGEST_ROW  # and its headers are more than producers send by default
        cluster.send(topic, b"1", largest + b"x", b"2", max_bytes=2 * LONGEST_ROW)
        reader = open_reader(follow=False)
        assert reader.read() == ["1", "2"]
        assert reader.too_large == 1

    def test_many_come_in_chunks(self, cluster: Cluster, topic: str, open_reader: Open) -> None:
        cluster.send(topic, *(b"x" * 10_000 for _ in range(100)))
        reader = open_reader(follow=False)
        sizes = []
        while chunk := reader.source.next():
            sizes.append(len(chunk.data))
            reader.take(chunk)
        assert len(reader.lines) == 100
        assert max(sizes) < 600_000

    def test_the_rest_waits_for_whoever_counts(
        self,
        cluster: Cluster,
        topic: str,
        open_reader: Open,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A reader that is slow, or waits for a scrape, isn't flooded, and loses nothing."""
        monkeypatch.setattr(kafka_consumer, "_MOST_WAITING", 1 << 16)
        monkeypatch.setattr(kafka_consumer, "_FULL", 0.0)
        cluster.send(topic, *(b"%05d" % n + b"x" * 1000 for n in range(300)))
        reader = open_reader()
        member = reader.source._member
        wait_until(lambda: member._is_paused)
        assert sum(one.waiting for one in member.partitions.values()) < 1 << 18
        assert [line[:5] for line in reader.await_lines(300)] == [f"{n:05}" for n in range(300)]


class TestPositions:
    def test_the_same_chunk_comes_until_it_is_counted(
        self, cluster: Cluster, topic: str, open_reader: Open
    ) -> None:
        cluster.send(topic, *numbered(0, 1, 2))
        reader = open_reader()
        first = reader.await_chunk()
        assert reader.await_chunk().data == first.data
        reader.take(first)
        assert reader.read() == ["0", "1", "2"]

    def test_a_new_process_goes_on_where_the_old_one_had_saved(
        self, cluster: Cluster, topic: str, open_reader: Open
    ) -> None:
        cluster.send(topic, *numbered(0, 1))
        first = open_reader()
        first.await_lines(2)
        saved = first.save()
        cluster.send(topic, *numbered(2, 3))
        first.await_lines(4)
        first.source.close()
        assert open_reader(saved).await_lines(2) == ["2", "3"]

    def test_of_a_chunk_of_which_some_rows_are_counted_the_same_messages_come_again(
        self, cluster: Cluster, topic: str, open_reader: Open
    ) -> None:
        cluster.send(topic, *numbered(0, 1), None, *numbered(2))
        first = open_reader()
        chunk = wait_until(lambda: (c := first.source.next()) and c.length == 4 and c)
        first.source.advance(chunk.part, chunk.within(2))
        saved = first.save()
        assert saved[f"{topic}:0"] == Position(0, length=4, rows=2)
        first.source.close()
        cluster.send(topic, *numbered(3))
        again = open_reader(saved).await_chunk()
        assert (again.data, again.part.position.rows) == (b"0\n1\n2\n", 2)
        assert again.after(0) == Position(4)

    def test_the_group_goes_on_where_a_process_without_state_had_been(
        self, cluster: Cluster, topic: str, open_reader: Open
    ) -> None:
        """Even amid a chunk."""
        cluster.send(topic, *numbered(0, 1, 2))
        first = open_reader()
        chunk = wait_until(lambda: (c := first.source.next()) and c.length == 3 and c)
        first.source.advance(chunk.part, chunk.within(1))
        first.save()
        first.source.close()
        again = open_reader().await_chunk()
        assert again.part.position == Position(0, length=3, rows=1)

    def test_what_was_counted_and_not_saved_is_not_told_to_the_group(
        self, cluster: Cluster, topic: str, open_reader: Open
    ) -> None:
        cluster.send(topic, *numbered(0, 1))
        first = open_reader()
        first.await_lines(2)
        first.source.close()
        assert open_reader().await_lines(2) == ["0", "1"]

    def test_where_the_group_is_further_another_process_has_counted(
        self, cluster: Cluster, topic: str, open_reader: Open
    ) -> None:
        cluster.send(topic, *numbered(0, 1))
        first = open_reader()
        first.await_lines(2)
        old = first.save()
        first.source.close()
        cluster.send(topic, *numbered(2, 3))
        other = open_reader()
        other.await_lines(2)
        other.save()
        other.source.close()
        cluster.send(topic, *numbered(4))
        assert open_reader(old).await_lines(1) == ["4"]

    @pytest.mark.parametrize("offset", [-5, 77])
    def test_a_position_that_is_there_no_more_is_the_start_of_what_is(
        self, cluster: Cluster, topic: str, open_reader: Open, offset: int
    ) -> None:
        cluster.send(topic, *numbered(0, 1))
        assert open_reader({f"{topic}:0": Position(offset)}).await_lines(2) == ["0", "1"]

    def test_a_topic_that_is_made_anew_is_said_to_be(
        self, cluster: Cluster, topic: str, open_reader: Open
    ) -> None:
        cluster.send(topic, *numbered(0, 1))
        reader = open_reader()
        reader.await_lines(2)
        other = Consumer({"bootstrap.servers": cluster.brokers, "group.id": "other"})
        other.assign([TopicPartition(topic, 0, 0)])
        first = other.poll(10)
        other.close()
        assert first is not None
        member = reader.source._member
        with member.changed:
            member._take(first)
        (text,) = reader.source.errors.values()
        assert text.startswith("its offsets began again")
        assert reader.read() == ["0", "1"]


class TestStart:
    def test_at_the_end_nothing_old_is_read(
        self, cluster: Cluster, topic: str, open_reader: Open
    ) -> None:
        cluster.send(topic, *numbered(0, 1))
        reader = open_reader(start="end")
        wait_until(lambda: reader.numbers() == [0, 1])
        cluster.send(topic, *numbered(2))
        assert reader.await_lines(1) == ["2"]

    def test_the_end_is_remembered_before_anything_comes(
        self, cluster: Cluster, topic: str, open_reader: Open
    ) -> None:
        """By the source's own positions, and by the group."""
        cluster.send(topic, *numbered(0, 1))
        first = open_reader(start="end")
        wait_until(lambda: first.numbers() == [0, 1])
        first.read()
        assert first.source.positions == {f"{topic}:0": Position(2), f"{topic}:1": Position(0)}
        first.source.close()
        cluster.send(topic, *numbered(2))
        assert open_reader(start="end").await_lines(1) == ["2"]

    def test_once_means_all_that_is_there_and_leaves_the_group_alone(
        self, cluster: Cluster, topic: str, open_reader: Open
    ) -> None:
        cluster.send(topic, *numbered(0, 1))
        once = open_reader(follow=False)
        first = once.source.next()
        assert first is not None
        cluster.send(topic, *numbered(2))
        once.take(first)
        assert once.read() == ["0", "1"]
        once.save()
        assert open_reader().await_lines(3) == ["0", "1", "2"]


def of_a_calm_group(test: Callable[..., None]) -> Callable[..., None]:
    """Repeat a test on another topic where the group was too restless to be told offsets.

    The cluster here is stricter than Kafka: it turns away members that are a moment late, and
    takes no offsets while members join.
    """

    def repeated(
        self: TestGroup, cluster: Cluster, open_reader: Open, caplog: pytest.LogCaptureFixture
    ) -> None:
        for attempt in range(5):
            topic = f"{test.__name__}-{attempt}"
            cluster.create(topic, 2)
            caplog.clear()
            try:
                return test(self, cluster, topic, partial(open_reader, topic=topic, group=topic))
            except (AssertionError, TimeoutError):
                if "the group doesn't know" not in caplog.text:
                    raise
        pytest.fail("the group never came to rest")

    return repeated


class TestGroup:
    @of_a_calm_group
    def test_two_members_share_the_partitions(
        self, cluster: Cluster, topic: str, open_reader: Open
    ) -> None:
        one = open_reader()
        wait_until(lambda: one.numbers() == [0, 1])
        two = open_reader()
        readers = (one, two)

        def is_shared() -> bool:
            for reader in readers:
                reader.read()
                reader.save()
            return len(one.numbers()) == len(two.numbers()) == 1

        wait_until(is_shared)
        for partition in (0, 1):
            cluster.send(topic, *numbered(partition, partition), partition=partition)
        assert Counter(one.await_lines(2) + two.await_lines(2)) == {"0": 2, "1": 2}
        assert one.source.source_id != two.source.source_id

    @of_a_calm_group
    def test_each_message_is_counted_once_while_members_come_and_go(
        self, cluster: Cluster, topic: str, open_reader: Open
    ) -> None:
        readers: list[Reader] = []
        counted: list[str] = []
        sent = 0

        def step() -> None:
            nonlocal sent
            for partition in (0, 1):
                cluster.send(topic, *numbered(sent), partition=partition)
                sent += 1
            for reader in readers:
                if (chunk := reader.source.next()) and not chunk.part.lost:
                    reader.take(chunk)
                reader.save()

        def is_shared() -> bool:
            numbers = [reader.numbers() for reader in readers]
            return all(numbers) and sorted(n for some in numbers for n in some) == [0, 1]

        for change in ("join", "join", "leave"):
            if change == "join":
                readers.append(open_reader())
            else:
                gone = readers.pop(0)
                gone.source.close()
                counted += gone.lines
            wait_until(lambda: step() or is_shared(), what=f"sharing after one {change}s")
        wait_until(
            lambda: (
                [reader.read() for reader in readers]
                and len(counted) + sum(len(reader.lines) for reader in readers) >= sent
            )
        )
        counted += [line for reader in readers for line in reader.lines]
        assert sorted(map(int, counted)) == list(range(sent))

    @of_a_calm_group
    def test_who_leaves_while_another_joins_tells_what_is_saved(
        self, cluster: Cluster, topic: str, open_reader: Open
    ) -> None:
        for partition in (0, 1):
            cluster.send(topic, *numbered(1, 2), partition=partition)
        first = open_reader()
        first.await_lines(4)
        second = open_reader()
        wait_until(lambda: any(one.lost for one in first.source._member.partitions.values()))
        first.save()
        first.source.close()
        for partition in (0, 1):
            cluster.send(topic, *numbered(3), partition=partition)
        assert second.await_lines(2) == ["3", "3"]

    @of_a_calm_group
    def test_a_partition_is_let_go_when_what_was_counted_of_it_is_saved(
        self, cluster: Cluster, topic: str, open_reader: Open
    ) -> None:
        for partition in (0, 1):
            cluster.send(topic, *numbered(1, 2), partition=partition)
        first = open_reader()
        first.await_lines(4)
        kept = {one.number: one for one in first.source._member.partitions.values()}
        second = open_reader()
        (lost,) = wait_until(lambda: [one for one in kept.values() if one.lost])
        assert first.source.next() is None  # not enough: its rows aren't saved
        assert lost.number in first.numbers()
        first.save()
        cluster.send(topic, *numbered(3), partition=lost.number)
        assert second.await_lines(1) == ["3"]

    @of_a_calm_group
    def test_rows_in_hand_of_a_lost_partition_are_not_to_be_counted(
        self, cluster: Cluster, topic: str, open_reader: Open
    ) -> None:
        for partition in (0, 1):
            cluster.send(topic, *numbered(1), partition=partition)
        first = open_reader()
        chunks: dict[str, Chunk] = {}
        while len(chunks) < 2:
            chunk = first.await_chunk()
            chunks[chunk.part.key] = chunk
        second = open_reader()
        wait_until(lambda: any(chunk.part.lost for chunk in chunks.values()))
        _, kept = sorted(chunks.values(), key=lambda chunk: not chunk.part.lost)
        assert not kept.part.lost
        first.save()
        assert second.await_lines(1) == ["1"]
        assert wait_until(first.source.next).part is kept.part


class TestErrors:
    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kafka_consumer, "_TIMEOUT", 1.0)

    def test_no_broker(self, open_reader: Open) -> None:
        brokers = f"127.0.0.1:{free_port()}"
        reader = open_reader(brokers=(brokers,))
        assert wait_until(lambda: reader.source.errors) == {
            f"{reader.source._settings.topic} at {brokers}": "no broker answers"
        }
        assert reader.read() == []

    def test_no_broker_to_read_once(self, open_reader: Open) -> None:
        reader = open_reader(brokers=(f"127.0.0.1:{free_port()}",), follow=False)
        assert reader.read() == []
        assert list(reader.source.errors.values()) == ["no broker answers"]

    def test_a_broker_that_comes_back(
        self, topic: str, cluster: Cluster, open_reader: Open
    ) -> None:
        cluster.send(topic, *numbered(0))
        reader = open_reader()
        reader.await_lines(1)
        cluster.stop()
        try:
            wait_until(lambda: reader.source.errors)
        finally:
            cluster.go_on()
        wait_until(lambda: not reader.source.errors)
        cluster.send(topic, *numbered(1))
        assert reader.await_lines(2) == ["0", "1"]

    @pytest.mark.parametrize(
        ("option", "text"),
        [
            (("group.id", "g"), "options.group.id: is what 'group' says"),
            (("bootstrap.servers", "k"), "options.bootstrap.servers: is what 'brokers' says"),
            (
                ("enable.auto.commit", "true"),
                "options.enable.auto.commit: can't be changed, since exact counts hang on it",
            ),
            (("sasl.passwort", "hunter2"), "options.sasl.passwort: librdkafka has no such setting"),
            (("debug", "hunter2"), "options.debug: librdkafka refuses this value"),
            (
                ("sasl.mechanism", "hunter2"),
                "options: Unsupported SASL mechanism: ...",
            ),
        ],
    )
    def test_options(self, option: tuple[str, str], text: str) -> None:
        security = ("security.protocol", "sasl_plaintext")
        settings = Settings(("127.0.0.1:1",), TOPIC, options=(security, option))
        with pytest.raises(SourceError) as caught:
            open_source(settings, {}, True, "start")
        assert str(caught.value) == text

    def test_options_may_say_how_to_log_in(self) -> None:
        options = (("security.protocol", "sasl_ssl"), ("sasl.mechanism", "PLAIN"))
        check_options(Settings(("k:9092",), TOPIC, options=options))


BINARY: Headers = (
    ("content-type", b"application/json"),
    ("ce_id", b"a1"),
    ("ce_type", b"org.kubeflow.serving.inference.request"),
    ("ce_data", b"not an attribute"),
)
ENVELOPE = {
    "id": "a1",
    "type": "org.kubeflow.serving.inference.request",
    "specversion": "1.0",
    "datacontenttype": "application/json",
}


class TestCloudEvents:
    @pytest.mark.parametrize(
        ("headers", "value", "event"),
        [
            (BINARY, b'{"instances":\n [[1]]}', ENVELOPE | {"data": {"instances": [[1]]}}),
            (BINARY, b'1, "id": "b2"', ENVELOPE | {"data_base64": "MSwgImlkIjogImIyIg=="}),
            (BINARY, b"", ENVELOPE),
            (
                [("ce_id", b"\xff"), ("ce_specversion", b"1.0")],
                b"\0",
                {"id": "\ufffd", "specversion": "1.0", "data_base64": "AA=="},
            ),
            (
                [("type", b"io.seldon.serving.inference.request"), ("requestid", b"r")],
                b"x",
                {
                    "type": "io.seldon.serving.inference.request",
                    "requestid": "r",
                    "specversion": "1.0",
                    "data_base64": "eA==",
                },
            ),
            ([("content-type", b"application/cloudevents+json")], b'{"id":\n1}', {"id": 1}),
        ],
        ids=["json", "no json", "no data", "bytes", "seldon", "structured"],
    )
    def test_are_in_structured_mode(
        self, headers: Headers, value: bytes, event: dict[str, Any]
    ) -> None:
        line = event_line(value, headers)
        assert json.loads(line) == event
        assert line.index(b"\n") == len(line) - 1

    def test_of_a_topic(self, cluster: Cluster, topic: str, open_reader: Open) -> None:
        cluster.send(topic, b"[1]", headers=BINARY)
        (line,) = open_reader(follow=False, format="cloudevents").read()
        assert json.loads(line) == ENVELOPE | {"data": [1]}


class TestPipeline:
    """A topic's messages are counted once, whatever happens."""

    text = """\
models:
  - name: m
    task: binary
    positive: a
    source:
      type: kafka
      brokers: ["{brokers}"]
      topic: {topic}
      options: {{session.timeout.ms: "1500", heartbeat.interval.ms: "100"}}
    fields: {{prediction: p, label: y, features: [x]}}
    learn: {{rows: 50}}
"""

    def test_over_crashes(self, cluster: Cluster, topic: str, tmp_path: Path) -> None:
        text = self.text.format(brokers=cluster.brokers, topic=topic)
        counting = Counting(tmp_path, text)

        def count_to(rows: int) -> None:
            def is_counted() -> bool:
                counting.count()
                return counting.value("ml_predictions_total") >= rows

            wait_until(is_counted)

        try:
            row = b'{"p": "a", "y": "b", "x": 1.5}'
            cluster.send(topic, *[row] * 60, b"{", partition=0)
            count_to(60)  # of which 50 make the baseline
            counting.save()
            counting.pipeline.committed()
            cluster.send(topic, *[row] * 5, None, partition=1)
            count_to(65)
            counting.start_again()
            cluster.send(topic, row, partition=0)
            count_to(66)
            counting.save()
            counting.start_again()
            cluster.send(topic, row, partition=1)
            count_to(67)
            assert counting.value("ml_predictions_total") == 67
            assert counting.value("ml_rows_rejected_total", reason="malformed") == 1
            assert counting.value("ml_field_values_total", field="x") == 67 - 50
        finally:
            counting.close()
