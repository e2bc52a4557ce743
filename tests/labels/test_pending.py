"""Predictions and labels wait in tables of the state, whatever happens to it meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_exporter.labels import pending as pending_module
from ml_exporter.labels.pending import ROW_SIZE, SCHEMA, ModelPending
from ml_exporter.labels.waiting import Early, Pending, keys_of
from ml_exporter.store.store import Store

MANY = 1 << 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store(None)
    yield store
    store.close()


@pytest.fixture
def waiting(store: Store) -> ModelPending:
    return store.pending("m")


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts are full after four rows, so that a test has several."""
    monkeypatch.setattr(pending_module, "_PART_ROWS", 4)


def add(
    waiting: ModelPending, *ids: str, at: Sequence[float] | float = 1.0, carried: bytes = b""
) -> int:
    rows = len(ids)
    times = [at] * rows if isinstance(at, float | int) else at
    added, _ = waiting.add(keys_of(ids), ["1"] * rows, ["yes"] * rows, times, [carried] * rows)
    return added


def found(waiting: ModelPending, *ids: str) -> list[str]:
    """Which of these wait, or have a label."""
    keys = keys_of(ids)
    there = waiting.find(keys)
    return [id for id, key in zip(ids, keys, strict=True) if key in there]


def label(waiting: ModelPending, id: str, name: str, at: float, counted: bool = True) -> None:
    ((row,),) = waiting.find(keys_of([id])).values()
    waiting.label([row._replace(label=name, labelled_at=at, counted=counted)])


class TestIds:
    @pytest.mark.parametrize("length", [1, 64, 65, 1 << 20])
    def test_of_any_length_are_told_apart(self, waiting: ModelPending, length: int) -> None:
        ids = ["é" * (length - 1) + last for last in "ab"]
        add(waiting, ids[0])
        assert found(waiting, *ids) == ids[:1]
        waiting.add_early([Early(key, "no", None, 2.0) for key in keys_of(ids)])
        waiting.remove_early([waiting.find_early(keys_of(ids))[keys_of(ids)[0]]])
        (left,) = waiting.find_early(keys_of(ids)).values()
        assert left.key == keys_of(ids)[1]

    def test_more_than_a_statement_takes(self, waiting: ModelPending) -> None:
        ids = [str(number) for number in range(2501)]
        assert add(waiting, *ids, at=[float(id) for id in ids]) == 2501
        assert found(waiting, *ids) == ids
        assert waiting.latest() == 2500
        assert waiting.waiting() == 2501

    @pytest.mark.parametrize(
        "ids", [["\ud800", "\ud801"], ["", "\0"], ["a", "a\0"], ["\u00c5", "A\u030a"]]
    )
    def test_that_look_alike_are_told_apart(self, waiting: ModelPending, ids: list[str]) -> None:
        add(waiting, ids[0])
        assert found(waiting, *ids) == ids[:1]

    def test_are_each_models_own(self, store: Store, waiting: ModelPending) -> None:
        add(waiting, "a")
        assert found(store.pending("other"), "a") == []
        assert store.pending("other").latest() == 0


class TestAPrediction:
    def test_is_what_was_added(self, waiting: ModelPending) -> None:
        keys = keys_of(["a", "b"])
        waiting.add(keys, ["1", "2"], ["yes", "no\0, é"], [1.5, -2.0], [b"", b"\0\xff"])
        a, b = (waiting.find(keys)[key][0]._replace(place=0) for key in keys)
        assert a == Pending(keys[0], "1", "yes", 1.5)
        assert b == Pending(keys[1], "2", "no\0, é", -2.0, carried=b"\0\xff")

    def test_with_an_id_that_is_there_is_not_added(self, waiting: ModelPending) -> None:
        assert add(waiting, "a", "b", "a", at=[1.0, 2.0, 9.0]) == 2
        assert add(waiting, "b", "c", at=7.0) == 1
        rows = waiting.find(keys_of(["a", "b", "c"])).values()
        assert sorted(row.at for (row,) in rows) == [1, 2, 7]
        assert waiting.waiting() == 3

    def test_of_another_version_is_another_one(self, waiting: ModelPending) -> None:
        a, b = keys_of(["a", "b"])
        one = [a, b], ["1", "1"], ["yes", "yes"], [1.0, 1.0], [b"", b""]
        two = [a, a, a], ["2", "1", "2"], ["no", "no", "yes"], [2.0, 2.0, 2.0], [b""] * 3
        assert waiting.add(*one) == (2, [])
        added, there = waiting.add(*two)
        assert (added, [(row.key, row.version) for row in there]) == (1, [(a, "1")])
        found = waiting.find([a, b])
        assert [(row.version, row.predicted) for row in found[a]] == [("1", "yes"), ("2", "no")]
        assert [row.version for row in found[b]] == ["1"]
        assert waiting.waiting() == 3

    def test_waits_no_more_when_it_has_a_label(self, waiting: ModelPending) -> None:
        add(waiting, "a", "b")
        label(waiting, "a", "no", at=2.0)
        ((row,),) = waiting.find(keys_of(["a"])).values()
        assert (row.label, row.labelled_at, row.counted) == ("no", 2.0, True)
        assert waiting.waiting() == 1

    def test_settles_once(self, waiting: ModelPending) -> None:
        add(waiting, "a", "b", "c")
        label(waiting, "a", "no", at=2.0, counted=False)
        label(waiting, "b", "no", at=3.0, counted=False)
        ((row,),) = waiting.find(keys_of(["a"])).values()
        assert not row.counted
        waiting.correct(row, "maybe")
        assert [(row.label, row.counted) for row in waiting.settle(2.5)] == [("maybe", True)]
        assert waiting.settle(2.5) == []
        ((row,),) = waiting.find(keys_of(["a"])).values()
        assert row.counted
        assert [row.label for row in waiting.settle(3.0)] == ["no"]

    def test_expires_but_for_a_label_that_settles(self, waiting: ModelPending) -> None:
        add(waiting, "a", "b", "c", "d", at=[1.0, 1.0, 1.0, 2.0])
        label(waiting, "b", "no", at=1.0)
        label(waiting, "c", "no", at=1.0, counted=False)
        assert waiting.expire(2.0) == 1
        assert found(waiting, "a", "b", "c", "d") == ["c", "d"]
        waiting.settle(9.0)
        assert waiting.expire(2.0) == 0
        assert found(waiting, "c", "d") == ["d"]


class TestWhatIsCarried:
    def carried(self, waiting: ModelPending) -> list[bytes]:
        return [row.carried for (row,) in waiting.find(keys_of(["a"])).values()]

    def test_is_let_go_of_when_the_label_is_counted(self, waiting: ModelPending) -> None:
        add(waiting, "a", carried=bytes(1000))
        label(waiting, "a", "no", at=2.0)
        assert self.carried(waiting) == [b""]
        assert waiting.evict(MANY, ROW_SIZE + len("1yesno")) == (0, [])
        assert found(waiting, "a") == ["a"]

    def test_is_kept_while_a_label_settles(self, waiting: ModelPending) -> None:
        add(waiting, "a", carried=bytes(1000))
        label(waiting, "a", "no", at=2.0, counted=False)
        assert self.carried(waiting) == [bytes(1000)]
        assert [row.carried for row in waiting.settle(2.0)] == [bytes(1000)]
        assert self.carried(waiting) == [b""]
        assert waiting.evict(MANY, ROW_SIZE + len("1yesno")) == (0, [])
        assert found(waiting, "a") == ["a"]


class TestTooMany:
    """The oldest are let go, wherever they came in."""

    def test_rows(self, waiting: ModelPending) -> None:
        add(waiting, "a", "b", "c", "d", at=[4.0, 1.0, 3.0, 2.0])
        assert waiting.evict(4, MANY) == (0, [])
        assert waiting.evict(2, MANY) == (2, [])
        assert found(waiting, "a", "b", "c", "d") == ["a", "c"]
        assert waiting.waiting() == 2

    def test_bytes(self, waiting: ModelPending) -> None:
        size = ROW_SIZE + len("1") + len("yes")
        add(waiting, "a", "b", "c", at=[1.0, 2.0, 3.0])
        assert waiting.evict(MANY, 3 * size) == (0, [])
        assert waiting.evict(MANY, 3 * size - 1) == (1, [])
        label(waiting, "b", "né", at=2.0)
        assert waiting.evict(MANY, 2 * size + 3) == (0, [])
        assert waiting.evict(MANY, 2 * size + 2) == (0, [])  # it had its label
        assert found(waiting, "a", "b", "c") == ["c"]

    def test_bytes_of_a_correction(self, waiting: ModelPending) -> None:
        add(waiting, "a")
        label(waiting, "a", "no", at=2.0, counted=False)
        ((row,),) = waiting.find(keys_of(["a"])).values()
        waiting.correct(row, "nothing")
        assert waiting.evict(MANY, ROW_SIZE + len("1yesnothing")) == (0, [])
        assert found(waiting, "a") == ["a"]

    def test_bytes_of_what_is_carried(self, waiting: ModelPending) -> None:
        add(waiting, "a", at=1.0)
        add(waiting, "b", at=2.0, carried=bytes(1000))
        size = 2 * (ROW_SIZE + len("1yes")) + 1000
        assert waiting.evict(MANY, size) == (0, [])
        assert waiting.evict(MANY, size - 1) == (1, [])
        assert found(waiting, "a", "b") == ["b"]

    def test_a_label_that_settles_is_not_lost(self, waiting: ModelPending) -> None:
        add(waiting, "a", "b", at=[1.0, 2.0], carried=b"along")
        label(waiting, "a", "no", at=5.0, counted=False)
        unlabelled, settled = waiting.evict(0, MANY)
        assert unlabelled == 1
        assert [(row.label, row.counted, row.carried) for row in settled] == [
            ("no", True, b"along")
        ]
        assert waiting.settle(9.0) == []

    def test_early_labels(self, waiting: ModelPending) -> None:
        keys = keys_of(["a", "b", "c"])
        since = [3.0, 1.0, 2.0]
        waiting.add_early([Early(key, "no", None, at) for key, at in zip(keys, since, strict=True)])
        assert waiting.evict_early(1, MANY) == 2
        assert waiting.find_early(keys).keys() == {keys[0]}
        assert waiting.evict_early(MANY, ROW_SIZE + 1) == 1

    def test_many_parts(self, small_parts: None, waiting: ModelPending) -> None:
        for number in range(30):
            add(waiting, str(number), at=float(number))
        assert waiting.evict(3, MANY)[0] == 27
        assert found(waiting, *map(str, range(30))) == ["27", "28", "29"]
        assert waiting.evict(0, MANY)[0] == 3
        assert add(waiting, "a") == 1


class TestAnEarlyLabel:
    def test_is_what_was_added(self, waiting: ModelPending) -> None:
        (key,) = keys_of(["a"])
        waiting.add_early([Early(key, "no", 1.0, 2.0)])
        (row,) = waiting.find_early([key]).values()
        assert row[:4] == (key, "no", 1.0, 2.0)
        waiting.correct_early(row, "maybe")
        assert waiting.find_early([key])[key].label == "maybe"

    def test_waits_apart_from_predictions(self, waiting: ModelPending) -> None:
        (key,) = keys_of(["a"])
        add(waiting, "a", at=1.0)
        waiting.add_early([Early(key, "no", None, 5.0)])
        assert waiting.latest() == 1
        assert waiting.waiting() == 1
        assert waiting.expire_early(5.0) == 0
        assert waiting.expire_early(5.1) == 1
        assert found(waiting, "a") == ["a"]


class TestTheTransaction:
    def test_is_undone_with_its_parts(self, small_parts: None, store: Store) -> None:
        waiting = store.pending("m")
        add(waiting, "a", "b", "c", "d", at=[1.0, 2.0, 3.0, 4.0])
        store.savepoint()
        add(waiting, "e", "f", "g", "h", "i")
        add(waiting, "j")
        waiting.evict(2, MANY)
        store.undo()
        waiting.undone()
        assert found(waiting, *"abcdefghij") == list("abcd")
        assert waiting.waiting() == 4
        assert add(waiting, "e", "a") == 1
        assert found(waiting, *"abcdefghij") == list("abcde")

    def test_survives_a_restart_with_its_bytes(self, small_parts: None, folder: Path) -> None:
        ids = [str(number) for number in range(11)]
        store = Store(folder)
        for id in ids:
            add(store.pending("m"), id, at=float(id))
        label(store.pending("m"), "3", "no", at=3.0)
        store.commit()
        store.close()
        store = Store(folder)
        waiting = store.pending("m")
        assert found(waiting, *ids) == ids
        assert add(waiting, *ids) == 0
        size = 11 * (ROW_SIZE + len("1yes")) + len("no")
        assert waiting.evict(MANY, size) == (0, [])
        assert waiting.evict(MANY, size - 1) == (1, [])
        assert waiting.waiting() == 9
        store.close()


def test_no_row_is_looked_for_where_it_is_not(store: Store, waiting: ModelPending) -> None:
    """A filter tells which part can't have a key, and errs in fewer than one of a hundred."""
    add(waiting, *(f"there {number}" for number in range(50_000)))
    queries: list[str] = []
    store._db.set_trace_callback(queries.append)
    for number in range(200):
        assert found(waiting, f"elsewhere {number}") == []
    store._db.set_trace_callback(None)
    assert sum("SELECT" in query for query in queries) <= 2


class Reference:
    """The same in dictionaries."""

    def __init__(self) -> None:
        self.rows: dict[str, float] = {}
        self.labels: dict[str, str] = {}

    def copy(self) -> Reference:
        copy = Reference()
        copy.rows, copy.labels = dict(self.rows), dict(self.labels)
        return copy


NAMES = st.sampled_from("abcdefghijkl")
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(NAMES, max_size=5), st.integers(0, 9)),
        st.tuples(st.just("label"), st.lists(NAMES, min_size=1, max_size=1), st.integers(0, 9)),
        st.tuples(st.sampled_from(["expire", "evict"]), st.just([]), st.integers(0, 9)),
        st.tuples(st.sampled_from(["begin", "undo", "restart"]), st.just([]), st.just(0)),
    ),
    max_size=40,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(actions=ACTIONS)
def test_it_does_what_dictionaries_do(
    small_parts: None, actions: list[tuple[str, list[str], int]]
) -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.executescript(SCHEMA)
    db.execute("BEGIN")
    waiting, reference = ModelPending(db, "m"), Reference()
    before: Reference | None = None
    for action, ids, number in actions:
        rows = reference.rows
        if action == "add":
            new = [id for id in dict.fromkeys(ids) if id not in rows]
            assert add(waiting, *ids, at=float(number), carried=b"x" * number) == len(new)
            rows.update(dict.fromkeys(new, float(number)))
        elif action == "label" and ids[0] in rows.keys() - reference.labels.keys():
            label(waiting, ids[0], str(number), at=float(number), counted=number % 2 == 0)
            reference.labels[ids[0]] = str(number)
        elif action == "expire":
            waiting.settle(9.0)
            gone = [id for id, at in rows.items() if at < number]
            assert waiting.expire(number) == sum(id not in reference.labels for id in gone)
            for id in gone:
                del rows[id]
                reference.labels.pop(id, None)
        elif action == "evict":
            waiting.evict(number, MANY)
            left = {id: rows[id] for id in found(waiting, *rows)}
            assert sorted(left.values()) == sorted(rows.values())[max(0, len(rows) - number) :]
            reference.rows = left
            reference.labels = {id: name for id, name in reference.labels.items() if id in left}
        elif action == "begin" and before is None:
            db.execute("SAVEPOINT step")
            before = reference.copy()
        elif action == "undo" and before is not None:
            db.execute("ROLLBACK TO step")
            db.execute("RELEASE step")
            waiting.undone()
            reference, before = before, None
        elif action == "restart":
            waiting = ModelPending(db, "m")
        names = list("abcdefghijkl")
        assert found(waiting, *names) == [id for id in names if id in reference.rows]
        assert waiting.waiting() == len(reference.rows) - len(reference.labels)
        assert waiting.latest() == max(reference.rows.values(), default=0)
    size = db.execute(
        "SELECT total(length(CAST(version || predicted || ifnull(label, '') AS BLOB))"
        " + length(carried)) FROM waiting"
    ).fetchone()[0]
    parts = db.execute("SELECT total(rows) FROM parts").fetchone()[0]
    assert db.execute("SELECT rows, size FROM queues WHERE kind = 'predictions'").fetchone() == (
        len(reference.rows),
        size,
    )
    assert parts == len(reference.rows)
    db.close()
