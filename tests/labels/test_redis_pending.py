"""Replicas that share what waits, by a Redis that runs: each label is counted by one of them."""

from __future__ import annotations

import math
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
import redis

from ml_exporter.batch import LABEL, PREDICTION, SCORE, Batch, Field
from ml_exporter.carried import Names, pack
from ml_exporter.columns import Column
from ml_exporter.labels import redis_pending
from ml_exporter.labels.join import RESULTS, JoinRules
from ml_exporter.labels.redis_pending import RedisJoin
from ml_exporter.labels.waiting import keys_of
from ml_exporter.store.store import Store
from tests.labels.test_join import (
    CASES,
    HOUR,
    MINUTE,
    NOON,
    NOW,
    WAIT,
    Expected,
    Joining,
    Outcome,
    Shadowing,
    Step,
    shadow,
    shadowed,
)
from tests.support import find_tool, free_port, stop, wait_until


class Server:
    """A Redis of our own, with nothing in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.client = redis.Redis.from_url(self.url)
        self.start()

    def start(self) -> None:
        address = ["--bind", "127.0.0.1", "--port", str(self._port)]
        self.process = subprocess.Popen(
            [find_tool("redis-server"), *address, "--save", "", "--dir", self._folder],
            stdout=subprocess.DEVNULL,
        )
        wait_until(self._answers, what="redis-server")

    def stop(self) -> None:
        stop(self.process)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("redis"))
    yield server
    server.client.close()
    server.stop()


@pytest.fixture
def server(started: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Nothing is in it, and no join waits for anything."""
    monkeypatch.setattr(redis_pending, "_PASS_TIME", 0.0)
    monkeypatch.setattr(redis_pending, "_LONGEST_DELAY", 0.0)
    started.client.flushall()
    return started


class Replica(Joining):
    """A replica of the exporter, with a state of its own."""

    join: RedisJoin

    def __init__(
        self, url: str, folder: Path | None = None, *, settle: float = 0, most: int = 1000
    ) -> None:
        self.url = url
        self.folder = folder
        super().__init__(Store(folder), settle, most=most)

    def open(self) -> None:
        self.join = RedisJoin(
            "m",
            "1",
            self.store.outbox("m"),
            self.url,
            JoinRules(WAIT, self.settle, self.numbers, self.most),
        )

    def close(self) -> None:
        self.join.close()
        self.store.close()

    def crash(self) -> None:
        """All that isn't committed is lost."""
        self.close()
        self.store = Store(self.folder)
        self.open()

    def commit(self) -> None:
        self.store.commit()
        self.join.committed()

    def answers(self) -> None:
        self.predict(at=NOON)

    def exchange(self) -> None:
        """Let Redis do what was said, and count its answers."""
        self.commit()
        self.answers()
        self.commit()

    def pass_time(self, end: bool = False) -> None:
        super().pass_time(end)
        self.exchange()


@pytest.fixture
def replica(server: Server) -> Iterator[Callable[..., Replica]]:
    made: list[Replica] = []

    def make(folder: Path | None = None, *, settle: float = 0, most: int = 1000) -> Replica:
        made.append(Replica(server.url, folder, settle=settle, most=most))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize(
    ("steps", "results", "outcomes", "expired"), CASES.values(), ids=CASES.keys()
)
@pytest.mark.parametrize("replicas", [1, 2])
def test_a_label_that_comes(
    replica: Callable[..., Replica],
    steps: Sequence[Step],
    results: dict[str, int],
    outcomes: list[Outcome],
    expired: int,
    replicas: int,
) -> None:
    """It makes no difference which replica reads what."""
    sharing = [replica() for _ in range(replicas)]
    for number, (what, id, at) in enumerate(steps):
        reader = sharing[number % replicas]
        if what == "predict":
            reader.predict(id, at=NOON + at)
        else:
            reader.label((id, what), at=NOON + at)
        reader.exchange()
    for one in sharing:
        one.pass_time()
    total: Counter[str] = Counter()
    for one in sharing:
        total.update(one.results)
    assert total == results
    assert sorted(outcome for one in sharing for outcome in one.outcomes) == sorted(outcomes)
    assert sum(one.expired for one in sharing) == expired
    predictions = sum(what == "predict" for what, *_ in steps)
    assert sharing[-1].join.waiting == predictions - results.get("joined", 0) - expired


class TestVersionsThatShareIds:
    @shadowed
    @pytest.mark.parametrize("replicas", [1, 2])
    def test_have_each_the_label_that_comes(
        self,
        replica: Callable[..., Replica],
        settle: float,
        steps: Sequence[Shadowing],
        results: Sequence[str],
        labels: Expected,
        waiting: int,
        replicas: int,
    ) -> None:
        sharing = [replica(settle=settle) for _ in range(replicas)]
        for number, step in enumerate(steps):
            shadow(sharing[number % replicas], step)
            sharing[number % replicas].exchange()
        last = sharing[-1]
        last.pass_time()
        unlabelled = last.join.waiting
        last.predict("end", at=NOON + 2 * WAIT)
        last.exchange()
        for one in [*sharing, *sharing]:
            one.pass_time()
        total: Counter[str] = Counter()
        found: dict[str, list[str]] = {}
        for one in sharing:
            total.update(one.results)
            for version, some in one.labels_of_versions.items():
                found.setdefault(version, []).extend(some)
        assert total == Counter(results)
        assert found == labels
        assert unlabelled == waiting
        repeated = sum(what.startswith("repeat") for what, _ in steps)
        assert sum(one.duplicate_predictions for one in sharing) == repeated

    def test_are_bounded_together(self, replica: Callable[..., Replica]) -> None:
        one = replica(most=2)
        for version in "123":
            one.predict("a", at=NOON + int(version), version=version)
        one.label(("a", "no"), at=NOON + MINUTE)
        one.exchange()
        assert one.labels_of_versions == {"2": ["no"], "3": ["no"]}
        assert (one.evicted, one.join.waiting) == (1, 0)

    def test_have_what_they_had(self, replica: Callable[..., Replica]) -> None:
        one, two = replica(), replica()
        one.predict("a", at=NOON, version="é", along=ALONG)
        two.predict("a", at=NOON + 1, version="\0", along={SCORE: Column([0.5])})
        one.exchange()
        two.exchange()
        two.label(("a", "no"), at=NOON + MINUTE)
        two.exchange()
        rows = zip(two.versions, two.delays, two.carried(SCORE), strict=True)
        assert sorted(rows) == [("\0", MINUTE - 1, 0.5), ("é", MINUTE, -0.1)]


class TestAnOutcome:
    def test_has_what_its_prediction_had(self, replica: Callable[..., Replica]) -> None:
        one, two = replica(), replica()
        one.predict("a", at=NOON + 0.123456, version="é")
        one.exchange()
        two.label(("a", "zażółć"), at=NOON + 60.5)
        two.exchange()
        assert two.outcomes == [("zażółć", "yes")]
        assert two.versions == ["é"]
        assert two.delays == [NOON + 60.5 - (NOON + 0.123456)]
        assert one.outcomes == []

    @pytest.mark.parametrize(("now", "delay"), [(NOON + MINUTE, MINUTE), (None, np.nan)])
    def test_of_a_label_without_a_time(
        self, replica: Callable[..., Replica], now: float | None, delay: float
    ) -> None:
        one = replica()
        one.predict("a", at=NOON)
        one.label(("a", "no"), now=now)
        one.exchange()
        assert one.delays == pytest.approx([delay], nan_ok=True)

    def test_comes_after_the_commit(self, replica: Callable[..., Replica]) -> None:
        one = replica()
        one.predict("a", at=NOON)
        one.label(("a", "no"), at=NOON)
        one.answers()
        assert one.outcomes == []
        one.exchange()
        assert one.outcomes == [("no", "yes")]

    def test_of_many(self, replica: Callable[..., Replica]) -> None:
        one, two = replica(most=10_000), replica(most=10_000)
        ids = [str(number) for number in range(2500)]
        one.predict(*ids, at=NOON)
        one.exchange()
        two.label(*((id, "no") for id in ids), at=NOON)
        two.exchange()
        assert two.outcomes == [("no", "yes")] * 2500


COUNTRY = Field("segment", "country")
ALONG: Mapping[Field, Column] = {SCORE: Column([-0.1]), COUNTRY: Names.of(["\\<España>"])}


class TestWhatGoesAlong:
    @pytest.mark.parametrize("settle", [0, HOUR])
    def test_comes_back_with_the_outcome(
        self, server: Server, replica: Callable[..., Replica], settle: float
    ) -> None:
        one, two = replica(settle=settle), replica(settle=settle)
        one.predict("a", at=NOON, along=ALONG)
        one.exchange()
        two.label(("a", "no"), at=NOON)
        two.predict("z", at=NOON + HOUR)
        two.exchange()
        two.pass_time()
        assert two.carried(SCORE) == [-0.1]
        assert two.batches[0].fields[COUNTRY].categories.of_rows == ["\\<España>"]
        row = redis_pending._ROW_SIZE + len("1yes")
        assert size(server) == 2 * row + len("no")

    def test_is_there_where_a_label_is_let_go_early(self, replica: Callable[..., Replica]) -> None:
        one = replica(settle=HOUR, most=1)
        one.predict("a", at=NOON, along=ALONG)
        one.label(("a", "no"), at=NOON)
        one.predict("b", at=NOON + 1)
        one.exchange()
        assert one.carried(SCORE) == [-0.1]

    def test_takes_room(self, server: Server, replica: Callable[..., Replica]) -> None:
        one = replica()
        one.predict("a", at=NOON, along=ALONG)
        one.exchange()
        row = redis_pending._ROW_SIZE + len("1yes")
        assert size(server) > row + len(pack(Batch(1, ALONG))[0])
        one.join._plan.most = 0
        one.predict("b", at=NOON)
        one.exchange()
        assert size(server) == 0


def size(server: Server) -> int:
    """How much Redis is taken to keep of predictions."""
    found = server.client.hget("ml-exporter:1:{m}:totals", "size")
    assert isinstance(found, bytes)
    return int(found)


class TestAnOlderVersion:
    """Nothing goes along with predictions that it let wait, and it counts others' all the same."""

    @pytest.fixture
    def one(self, server: Server, replica: Callable[..., Replica]) -> Replica:
        """Of two predictions that wait, as it kept them and said so; of "a" it knows the label."""
        one = replica(settle=HOUR)
        one.predict("a", "b", at=NOON)
        one.label(("a", "no"), at=NOON)
        one.exchange()
        for key, row in server.client.hgetall("ml-exporter:1:{m}:pending").items():
            *older, carried = msgspec.msgpack.decode(row)
            assert carried == ""
            data = msgspec.msgpack.encode(older)
            server.client.hset("ml-exporter:1:{m}:pending", key, data)
        return one

    def test_its_rows_are_read(self, server: Server, one: Replica) -> None:
        one.label(("b", "no"), at=NOON)
        one.predict("z", at=NOON + HOUR, along=ALONG)
        one.exchange()
        one.pass_time()
        assert one.outcomes == [("no", "yes")] * 2
        assert [batch.fields.keys() for batch in one.batches] == [{PREDICTION, LABEL}]
        one.join._plan.most = 0
        one.predict("y", at=NOON)
        one.exchange()
        assert size(server) == 0

    def test_its_rows_are_one_versions(self, one: Replica) -> None:
        one.predict("a", "b", at=NOON + 1, version="2")
        one.predict("a", "b", at=NOON + 1, version="1")
        one.exchange()
        assert one.duplicate_predictions == 2
        one.label(("b", "no"), at=NOON + 1)
        one.predict("z", at=NOON + HOUR + 1)
        one.exchange()
        one.pass_time()
        assert one.labels_of_versions == {"1": ["no"] * 2, "2": ["no"] * 2}
        assert one.results == {"joined": 2}

    def test_its_operations_are_done(self, one: Replica) -> None:
        """They waited for Redis when the exporter was brought up to date."""
        (key,) = keys_of(["c"])
        rows = [(key.hex(), "1", "yes", NOON)]
        operation = msgspec.structs.replace(one.join._plan, kind="predictions", rows=rows)
        one.store.outbox("m").put(msgspec.msgpack.encode(operation), 1)
        one.exchange()
        assert one.join.waiting == 2

    def test_its_answers_are_counted(self, server: Server, one: Replica) -> None:
        """It was stopped before it had counted them."""
        one.predict("c", at=NOON)
        counts = dict.fromkeys([*RESULTS, "added", "repeated", "expired", "evicted"], 0)
        outcomes = [("1", "yes", NOON, "no", 1.0), ("1", "yes", NOON, "no", False)]
        answer = {
            "counts": counts | {"joined": 2},
            "outcomes": outcomes,
            "clock": NOON,
            "waiting": 7,
            "more": False,
        }
        one.commit()
        found = one.store.outbox("m")
        found.committed()
        (number, _) = found.first() or (0, b"")
        (answers,) = server.client.keys("*answers*")
        server.client.hset(answers, str(number), msgspec.msgpack.encode(answer))
        one.exchange()
        assert one.outcomes == [("no", "yes")] * 2
        assert one.delays == pytest.approx([1, math.nan], nan_ok=True)
        assert one.join.waiting == 7


def test_a_prediction_that_two_replicas_read_waits_once(replica: Callable[..., Replica]) -> None:
    one, two = replica(), replica()
    one.predict("a", at=NOON)
    two.predict("a", "b", "b", at=NOON)
    one.exchange()
    two.exchange()
    assert (one.duplicate_predictions, two.duplicate_predictions) == (0, 2)
    assert two.join.waiting == 2


def test_a_label_that_two_replicas_read_is_joined_once(replica: Callable[..., Replica]) -> None:
    one, two = replica(), replica()
    one.predict("a", at=NOON)
    one.exchange()
    one.label(("a", "no"), at=NOON)
    two.label(("a", "no"), at=NOON)
    two.exchange()
    one.exchange()
    assert (one.results, two.results) == ({"duplicate": 1}, {"joined": 1})


class TestSettling:
    @pytest.fixture
    def sharing(self, replica: Callable[..., Replica]) -> tuple[Replica, Replica]:
        one, two = replica(settle=HOUR), replica(settle=HOUR)
        one.predict("a", at=NOON)
        one.exchange()
        one.label(("a", "no"), at=NOON + MINUTE)
        one.exchange()
        return one, two

    def settled(self, sharing: tuple[Replica, Replica]) -> list[Outcome]:
        sharing[0].predict("z", at=NOON + 9 * HOUR)
        sharing[0].exchange()
        for _ in range(2):
            for one in sharing:
                one.pass_time()
        return [outcome for one in sharing for outcome in one.outcomes]

    @pytest.mark.parametrize(
        ("after", "label"), [(HOUR, "yes"), (HOUR + 1, "no"), (-MINUTE, "yes")]
    )
    def test_a_correction(self, sharing: tuple[Replica, Replica], after: float, label: str) -> None:
        sharing[1].label(("a", "yes"), at=NOON + MINUTE + after)
        sharing[1].exchange()
        assert self.settled(sharing) == [(label, "yes")]
        assert sharing[1].results == {"corrected": 1}

    def test_a_correction_of_an_early_label(self, sharing: tuple[Replica, Replica]) -> None:
        one, two = sharing
        one.label(("b", "no"), at=NOON)
        one.exchange()
        two.label(("b", "maybe"), at=NOON + HOUR)
        two.exchange()
        two.label(("b", "yes"), at=NOON + HOUR + 1)
        two.exchange()
        two.predict("b", at=NOON - MINUTE)
        two.exchange()
        assert sorted(self.settled(sharing)) == [("maybe", "yes"), ("no", "yes")]

    def test_a_label_that_settles_does_not_expire(self, sharing: tuple[Replica, Replica]) -> None:
        one, two = sharing
        one.predict("b", at=NOON + WAIT)
        one.exchange()
        one.label(("b", "yes"), at=NOON + WAIT)
        one.exchange()
        two.predict("c", at=NOON + WAIT + 2 * MINUTE)
        two.exchange()
        two.pass_time()
        assert two.outcomes == [("no", "yes")]
        assert two.expired == 0


class TestTooMany:
    def test_predictions(self, replica: Callable[..., Replica]) -> None:
        one, two = replica(most=2), replica(most=2)
        one.predict("a", at=NOON + 1)
        one.predict("b", at=NOON)
        one.exchange()
        two.predict("c", "d", at=NOON + 2)
        two.exchange()
        assert (two.evicted, two.expired, two.join.waiting) == (2, 2, 2)
        one.label(*((id, "no") for id in "abcd"), at=NOON + 3)
        one.exchange()
        assert one.results == {"joined": 2}

    def test_a_label_that_settles_is_counted(self, replica: Callable[..., Replica]) -> None:
        one = replica(settle=HOUR, most=1)
        one.predict("a", at=NOON)
        one.label(("a", "no"), at=NOON + MINUTE)
        one.predict("b", at=NOON + 1)
        one.exchange()
        assert (one.outcomes, one.delays) == ([("no", "yes")], [MINUTE])

    def test_early_labels(self, replica: Callable[..., Replica]) -> None:
        one = replica(most=2)
        one.label(*((id, "no") for id in "abcd"), at=NOON)
        one.exchange()
        assert one.results == {"unmatched": 2}

    def test_nothing_of_them_is_left(self, server: Server, replica: Callable[..., Replica]) -> None:
        """What is kept of rows that are gone would grow without bound."""
        one = replica(settle=HOUR)
        one.predict("a", "b", at=NOON)
        one.predict("a", "b", at=NOON, version="2")
        one.label(("b", "no"), ("c", "no"), at=NOON)
        one.predict("z", at=NOON + 2 * WAIT)
        one.predict("z", at=NOON + 2 * WAIT, version="2")
        one.exchange()
        for _ in range(3):
            one.pass_time()
            one.join.reset(one.join.mark())
        one.join._plan.most = 0
        one.predict("y", at=NOON + 2 * WAIT)
        one.exchange()
        left = {key.decode().split(":")[3] for key in server.client.scan_iter()}
        assert left == {"totals", "answers"}
        totals = server.client.hgetall("ml-exporter:1:{m}:totals")
        assert {totals[name] for name in (b"size", b"early_size", b"unlabelled")} == {b"0"}


class TestACrash:
    """Redis has done what we don't remember to have counted."""

    @pytest.fixture
    def one(self, replica: Callable[..., Replica], tmp_path: Path) -> Replica:
        one = replica(tmp_path)
        one.predict("a", "b", at=NOON)
        one.label(("a", "no"), ("a", "no"), ("b", "no"), at=NOON)
        one.commit()
        return one

    def test_before_the_answer_was_counted(self, one: Replica) -> None:
        for _ in range(3):
            one.answers()
            assert one.results == {"joined": 2, "duplicate": 1}
            one.crash()
            one.commit()
        one.outcomes.clear()
        one.answers()
        assert one.results == {"joined": 2, "duplicate": 1}
        assert one.outcomes == [("no", "yes")] * 2
        assert one.duplicate_predictions == 0

    def test_after_it_was(self, one: Replica) -> None:
        one.exchange()
        one.crash()
        one.exchange()
        assert one.results == {}

    def test_before_anything_was_committed(self, one: Replica) -> None:
        """The rows are read again, perhaps others with them."""
        one.exchange()
        one.predict("c", at=NOON)
        one.crash()
        one.predict("d", "c", at=NOON)
        one.label(("c", "yes"), at=NOON)
        one.outcomes.clear()
        one.exchange()
        assert one.duplicate_predictions == 0
        assert one.outcomes == [("yes", "yes")]

    def test_an_undone_step_is_repeated(self, one: Replica) -> None:
        mark = one.join.mark()
        one.store.savepoint()
        one.answers()
        one.store.undo()
        one.join.reset(mark)
        one.outcomes.clear()
        one.exchange()
        assert one.outcomes == [("no", "yes")] * 2

    def test_answers_that_were_counted_are_forgotten(self, server: Server, one: Replica) -> None:
        for number in range(5):
            one.predict(str(number), at=NOON)
            one.exchange()
        (answers,) = server.client.keys("*answers*")
        assert server.client.hlen(answers) == 1


class TestWithoutRedis:
    @pytest.fixture
    def away(self, server: Server) -> Iterator[Server]:
        server.stop()
        yield server
        if server.process.poll() is not None:
            server.start()

    def test_labels_wait(
        self, away: Server, replica: Callable[..., Replica], caplog: pytest.LogCaptureFixture
    ) -> None:
        one = replica()
        one.predict("a", "b", at=NOON)
        for _ in range(3):
            one.exchange()
        one.label(("a", "no"), at=NOON)
        one.exchange()
        assert one.results == {}
        assert [record.message for record in caplog.records] == [
            "Redis doesn't answer; labels wait"
        ]
        caplog.set_level("INFO")
        away.start()
        one.exchange()
        assert one.results == {"joined": 1}
        assert one.outcomes == [("no", "yes")]
        assert caplog.records[-1].message == "Redis answers again"

    def test_no_more_than_may_wait(self, away: Server, replica: Callable[..., Replica]) -> None:
        one = replica(most=3)
        one.predict("a", "b", at=NOON)
        one.label(("a", "no"), at=NOON)
        one.predict("c", "d", at=NOON)
        one.exchange()
        assert (one.evicted, one.expired, one.results) == (2, 2, {})
        one.predict("e", at=NOON)
        assert one.results == {"unmatched": 1}
        away.start()
        one.exchange()
        assert one.join.waiting == 3
        assert (one.evicted, one.expired) == (2, 2)

    def test_that_comes_back_empty(self, server: Server, replica: Callable[..., Replica]) -> None:
        one = replica()
        one.predict("a", at=NOON)
        one.exchange()
        server.stop()
        server.start()
        one.label(("a", "no"), at=NOON)
        one.predict("b", at=NOON + 2 * HOUR)
        one.exchange()
        one.pass_time()
        assert one.results == {"unmatched": 1}
        assert one.join.waiting == 1

    def test_that_does_it_when_nobody_listens(
        self, server: Server, replica: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It hangs, is told in vain, and does what it was told all the same."""
        monkeypatch.setattr(redis_pending, "_TIMEOUT", 0.1)
        one = replica()
        one.predict("a", at=NOON)
        one.exchange()
        server.process.send_signal(signal.SIGSTOP)
        one.label(("a", "no"), at=NOON)
        one.exchange()
        one.exchange()
        assert one.results == {}
        server.process.send_signal(signal.SIGCONT)
        wait_until(lambda: one.exchange() or one.results, what="an answer")
        assert one.results == {"joined": 1}
        assert one.outcomes == [("no", "yes")]

    def test_that_refuses(
        self, server: Server, replica: Callable[..., Replica], caplog: pytest.LogCaptureFixture
    ) -> None:
        server.client.config_set("maxmemory", 1)
        one = replica()
        one.predict("a", at=NOON)
        one.exchange()
        assert len(caplog.records) == 1
        server.client.config_set("maxmemory", 0)
        one.exchange()
        assert one.join.waiting == 1


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_each_label_is_counted_once(
    replica: Callable[..., Replica], tmp_path: Path, seed: int
) -> None:
    """Two replicas read logs of their own, and crash, and have steps undone, as chance has it."""
    chance = random.Random(seed)
    ids = [str(number) for number in range(60)]
    logs: list[list[tuple[str, str]]] = [[], []]
    for id in ids:
        for version in "12":
            logs[chance.randrange(2)].append((f"predict {version}", id))
    for id in ids:
        labels = logs[chance.randrange(2)]
        labels.insert(chance.randrange(len(labels) + 1), ("label", id))
    readers = [Reader(replica(tmp_path / str(n)), log) for n, log in enumerate(logs)]
    while any(reader.is_busy for reader in readers):
        chance.choice(readers).go_on(chance)
    for reader in [*readers, *readers]:
        reader.replica.exchange()
        reader.save()
    total = sum((reader.saved for reader in readers), Counter[str]())
    assert total == {"joined": 60, "outcomes": 120}
    assert readers[1].replica.join.waiting == 0


class Reader:
    """A replica with its log, and what it had counted when it was last saved."""

    def __init__(self, replica: Replica, log: list[tuple[str, str]]) -> None:
        self.replica = replica
        self._log = log
        self._at = self._saved_at = 0
        self.saved: Counter[str] = Counter()
        self._before: Counter[str] = Counter()  # what was saved before the last crash

    @property
    def is_busy(self) -> bool:
        return self._saved_at < len(self._log)

    def go_on(self, chance: random.Random) -> None:
        match chance.randrange(6):
            case 0:
                self.save()
            case 1:
                self.replica.outcomes.clear()
                self.replica.crash()
                self._at, self._before = self._saved_at, self.saved.copy()
            case 2:
                self._undo(lambda: self._read(chance.randrange(1, 5)))
            case _:
                self._at = self._read(chance.randrange(1, 5))

    def save(self) -> None:
        self.replica.commit()
        self._saved_at = self._at
        self.saved = self._before + self._counted()

    def _counted(self) -> Counter[str]:
        found = Counter({name: int(value) for name, value in self.replica.results.items()})
        found["duplicates"] = int(self.replica.duplicate_predictions)
        found["outcomes"] = len(self.replica.outcomes)
        return +found

    def _read(self, rows: int) -> int:
        """Read some rows; returns where that ends."""
        some = self._log[self._at : self._at + rows]
        for what, id in some:
            if what.startswith("predict"):
                self.replica.predict(id, at=NOON, version=what[-1])
            else:
                self.replica.label((id, "no"), at=NOON)
        return self._at + len(some)

    def _undo(self, step: Callable[[], object]) -> None:
        join, families = self.replica.join, self.replica.join.families
        before = [family.values.copy() for family in families]
        outcomes, mark = list(self.replica.outcomes), join.mark()
        self.replica.store.savepoint()
        step()
        self.replica.store.undo()
        join.reset(mark)
        self.replica.outcomes[:] = outcomes
        for family, values in zip(families, before, strict=True):
            family.values[:] = values


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost"])
def test_a_url_of_something_else(url: str) -> None:
    store = Store(None)
    with pytest.raises(ValueError, match="Redis URL must specify"):
        RedisJoin("m", "1", store.outbox("m"), url, JoinRules(WAIT, settle=0, numbers=False))
    store.close()


def test_numbers_of_a_regression_stay_numbers(replica: Callable[..., Replica]) -> None:
    one = replica()
    one.numbers = True
    one.open()
    one.predict("a", at=NOON, value=0.1 + 0.2)
    one.join.labelled(Batch(1, {LABEL: Column([1e-7])}, ["a"]), NOW)
    one.commit()
    batch = one.join.pass_time()
    assert batch.fields[PREDICTION].numbers.values.tolist() == [0.1 + 0.2]
    assert batch.fields[LABEL].numbers.values.tolist() == [1e-7]
