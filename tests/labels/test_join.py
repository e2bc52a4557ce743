"""What becomes of labels and of the predictions that wait for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pytest

from ml_exporter.batch import LABEL, PREDICTION, REGION, SCORE, Batch, Field
from ml_exporter.carried import Names, pack
from ml_exporter.columns import ABSENT, Column
from ml_exporter.labels.join import JoinRules, LabelJoin
from ml_exporter.labels.pending import ROW_SIZE
from ml_exporter.labels.redis_pending import RedisJoin
from ml_exporter.store.store import Store

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
NOON = 1_700_000_000.0
WAIT = 30 * DAY
NOW = NOON + 1000 * DAY  # the logs are old

NOTHING: Mapping[Field, Column] = {}

Outcome = tuple[str, str]  # what was true, and what was predicted


class Joining:
    """A join, and the outcomes that came of it."""

    join: LabelJoin | RedisJoin

    def __init__(
        self,
        store: Store,
        settle: float = 0,
        numbers: bool = False,
        most: int = 1000,
        most_bytes: int = 1 << 20,
    ) -> None:
        self.store = store
        self.settle = settle
        self.numbers = numbers
        self.most = most
        self.most_bytes = most_bytes
        self.outcomes: list[Outcome] = []
        self.delays: list[float] = []
        self.versions: list[str] = []
        self.batches: list[Batch] = []  # of outcomes
        self.open()

    def open(self) -> None:
        self.join = LabelJoin(
            "m",
            "1",
            self.store.pending("m"),
            JoinRules(WAIT, self.settle, self.numbers, self.most, self.most_bytes),
        )

    def predict(
        self,
        *ids: str,
        at: float,
        value: object = "yes",
        version: str = "1",
        along: Mapping[Field, Column] = NOTHING,
    ) -> None:
        self.take(
            self.join.predicted(
                Batch(
                    len(ids),
                    {PREDICTION: Column([value] * len(ids)), **along},
                    ids=ids,
                    timestamps=np.full(len(ids), at),
                    versions=[version] * len(ids),
                ),
                "1",
            )
        )

    def label(
        self, *labels: tuple[str, object], at: float | None = None, now: float | None = NOW
    ) -> None:
        column = Column([value for _, value in labels])
        times = None if at is None else np.full(len(labels), at)
        ids = [id for id, _ in labels]
        self.take(self.join.labelled(Batch(len(labels), {LABEL: column}, ids, times), now))

    def pass_time(self, end: bool = False) -> None:
        self.take(self.join.pass_time(end))

    def take(self, batch: Batch) -> None:
        assert batch.versions is not None
        assert batch.delays is not None
        actual, predicted = (batch.fields[key].categories.of_rows for key in (LABEL, PREDICTION))
        self.outcomes += zip(actual, predicted, strict=True)
        self.delays += batch.delays.tolist()
        self.versions += batch.versions
        self.batches += [batch] * (batch.rows > 0)

    def carried(self, key: Field) -> list[object]:
        """What went along with the predictions of outcomes."""
        return [value for batch in self.batches for value in batch.fields[key].values]

    @property
    def labels_of_versions(self) -> dict[str, list[str]]:
        """The labels that each version's predictions have got."""
        found: dict[str, list[str]] = {}
        for version, (actual, _) in sorted(zip(self.versions, self.outcomes, strict=True)):
            found.setdefault(version, []).append(actual)
        return found

    @property
    def results(self) -> dict[str, float]:
        labels = self.join.families[0]
        values = zip(labels.label_sets, labels.values.tolist(), strict=True)
        return {result: value for (*_, result), value in values if value}

    @property
    def expired(self) -> float:
        return float(self.join.families[2].values[0])

    @property
    def evicted(self) -> float:
        return float(self.join.families[3].values[0])

    @property
    def duplicate_predictions(self) -> float:
        return float(self.join.families[1].values[0])


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store(None)
    yield store
    store.close()


@pytest.fixture
def joining(store: Store) -> Joining:
    return Joining(store)


Step = tuple[str, str, float]  # a label, or "predict"; the id; when

CASES: dict[str, tuple[Sequence[Step], dict[str, int], list[Outcome], int]] = {
    "after its prediction": (
        [("predict", "a", 0), ("no", "a", HOUR)],
        {"joined": 1},
        [("no", "yes")],
        0,
    ),
    "at the very end of the wait": (
        [("predict", "a", 0), ("no", "a", WAIT)],
        {"joined": 1},
        [("no", "yes")],
        0,
    ),
    "later than a prediction waits": (
        [("predict", "a", 0), ("no", "a", WAIT + 1)],
        {"unmatched": 1},
        [],
        0,
    ),
    "later, though nobody noticed yet": (
        [("no", "a", WAIT + 1), ("predict", "a", 0)],
        {"unmatched": 1},
        [],
        0,
    ),
    "before its prediction": (
        [("no", "a", 0), ("predict", "a", MINUTE)],
        {"joined": 1},
        [("no", "yes")],
        0,
    ),
    "before its prediction, but read after others of that time": (
        [("predict", "b", HOUR), ("no", "a", HOUR), ("predict", "a", HOUR + MINUTE)],
        {"joined": 1},
        [("no", "yes")],
        0,
    ),
    "of no prediction": (
        [("predict", "b", 0), ("no", "a", 0), ("predict", "c", HOUR + 1)],
        {"unmatched": 1},
        [],
        0,
    ),
    "of no prediction, within its hour": (
        [("predict", "b", 0), ("no", "a", 0), ("predict", "c", HOUR)],
        {},
        [],
        0,
    ),
    "twice the same": (
        [("predict", "a", 0), ("no", "a", 1), ("no", "a", 2)],
        {"joined": 1, "duplicate": 1},
        [("no", "yes")],
        0,
    ),
    "another one later": (
        [("predict", "a", 0), ("no", "a", 1), ("yes", "a", 2)],
        {"joined": 1, "corrected": 1},
        [("no", "yes")],
        0,
    ),
    "twice before its prediction": (
        [("no", "a", 0), ("no", "a", 1), ("yes", "a", 2), ("predict", "a", 3)],
        {"joined": 1, "duplicate": 1, "corrected": 1},
        [("no", "yes")],
        0,
    ),
    "with an older time than its prediction": (
        [("predict", "a", HOUR), ("no", "a", 0)],
        {"joined": 1},
        [("no", "yes")],
        0,
    ),
    "before its prediction, and later by its own time": (
        [("no", "a", HOUR), ("predict", "a", 0)],
        {"joined": 1},
        [("no", "yes")],
        0,
    ),
    "of a class nobody knows": (
        [("predict", "a", 0), ("purple", "a", 1)],
        {"joined": 1},
        [("purple", "yes")],
        0,
    ),
    "while predictions' clock runs backwards": (
        [("predict", "b", HOUR), ("predict", "a", 0), ("no", "a", MINUTE), ("no", "b", HOUR)],
        {"joined": 2},
        [("no", "yes"), ("no", "yes")],
        0,
    ),
    "while labels' clock runs backwards": (
        [("predict", "a", 0), ("no", "a", HOUR), ("no", "a", MINUTE), ("yes", "a", 0)],
        {"joined": 1, "duplicate": 1, "corrected": 1},
        [("no", "yes")],
        0,
    ),
    "of no prediction, while the clock was set back": (
        [("predict", "b", 2 * HOUR), ("no", "a", 2 * HOUR), ("predict", "c", 0)],
        {},
        [],
        0,
    ),
    "to an id that differs after 64 characters": (
        [("predict", "x" * 64 + "a", 0), ("predict", "x" * 64 + "b", 0), ("no", "x" * 64 + "b", 1)],
        {"joined": 1},
        [("no", "yes")],
        0,
    ),
    "to an id of a megabyte": (
        [("predict", "x" * (1 << 20), 0), ("no", "x" * (1 << 20), 1), ("no", "x", 1)],
        {"joined": 1},
        [("no", "yes")],
        0,
    ),
    "never, for the clock of predictions stood still": (
        [("predict", "a", WAIT), ("predict", "b", 0), ("predict", "c", WAIT)],
        {},
        [],
        0,
    ),
    "to a prediction that was over when it was read": (
        [("predict", "a", WAIT + 1), ("predict", "b", 0)],
        {},
        [],
        1,
    ),
    "never": ([("predict", "a", 0), ("predict", "b", WAIT + 1)], {}, [], 1),
    "not yet": ([("predict", "a", 0), ("predict", "b", WAIT)], {}, [], 0),
}


@pytest.mark.parametrize(
    ("steps", "results", "outcomes", "expired"), CASES.values(), ids=CASES.keys()
)
@pytest.mark.parametrize("restarts", [False, True])
def test_a_label_that_comes(
    joining: Joining,
    steps: Sequence[Step],
    results: dict[str, int],
    outcomes: list[Outcome],
    expired: int,
    restarts: bool,
) -> None:
    total: Counter[str] = Counter()
    for what, id, at in steps:
        if what == "predict":
            joining.predict(id, at=NOON + at)
        else:
            joining.label((id, what), at=NOON + at)
        if restarts:
            total.update(joining.results)
            joining.open()
    joining.pass_time()
    total.update(joining.results)
    assert total == results
    assert joining.outcomes == outcomes
    assert joining.expired == expired
    labelled = sum(results.get(result, 0) for result in ("joined",))
    predictions = sum(what == "predict" for what, *_ in steps)
    assert joining.join.waiting == predictions - labelled - expired


# "predict" or "repeat", a version and an id; or a label and an id; or let time "pass"
Shadowing = tuple[str, float]  # and when
Expected = dict[str, list[str]]  # the labels that each version's predictions get

SHADOWED: dict[str, tuple[float, Sequence[Shadowing], Sequence[str], Expected, int]] = {
    "after both": (
        0,
        [("predict 1 a", 0), ("predict 2 a", 1), ("no a", HOUR)],
        ["joined"],
        {"1": ["no"], "2": ["no"]},
        0,
    ),
    "after two of three": (
        0,
        [
            *[("predict 1 a", 0), ("predict 2 a", 0), ("predict 3 a", 0)],
            *[("predict 3 b", 0), ("predict 1 b", 0), ("no b", 1), ("no a", 1)],
        ],
        ["joined", "joined"],
        {"1": ["no", "no"], "2": ["no"], "3": ["no", "no"]},
        0,
    ),
    "before both": (
        0,
        [("no a", 0), ("predict 1 a", MINUTE), ("predict 2 a", HOUR + MINUTE)],
        ["joined"],
        {"1": ["no"], "2": ["no"]},
        0,
    ),
    "before one, by more than an hour": (
        0,
        [("no a", 0), ("predict 1 a", MINUTE), ("predict 2 a", HOUR + MINUTE + 1)],
        ["joined"],
        {"1": ["no"]},
        1,
    ),
    "between them": (
        0,
        [("predict 1 a", 0), ("no a", DAY), ("predict 2 a", DAY + HOUR)],
        ["joined"],
        {"1": ["no"], "2": ["no"]},
        0,
    ),
    "between them, with an older time than theirs": (
        0,
        [("predict 1 a", DAY), ("no a", 0), ("predict 2 a", DAY + HOUR)],
        ["joined"],
        {"1": ["no"], "2": ["no"]},
        0,
    ),
    "between them by its time, but after both": (
        0,
        [("predict 1 a", 0), ("predict 2 a", DAY + HOUR), ("no a", HOUR)],
        ["joined"],
        {"1": ["no"], "2": ["no"]},
        0,
    ),
    "after rows that were sent again": (
        0,
        [("predict 1 a", 0), ("predict 2 a", 0), ("repeat 1 a", 1), ("repeat 2 a", 1), ("no a", 2)],
        ["joined"],
        {"1": ["no"], "2": ["no"]},
        0,
    ),
    "before rows that were sent again": (
        0,
        [("no a", 0), ("predict 1 a", 0), ("predict 2 a", 0), ("repeat 1 a", 1), ("repeat 2 a", 1)],
        ["joined"],
        {"1": ["no"], "2": ["no"]},
        0,
    ),
    "twice the same": (
        0,
        [("predict 1 a", 0), ("predict 2 a", 0), ("no a", 1), ("no a", 2)],
        ["joined", "duplicate"],
        {"1": ["no"], "2": ["no"]},
        0,
    ),
    "another one later": (
        0,
        [("predict 1 a", 0), ("predict 2 a", 0), ("no a", 1), ("yes a", 2)],
        ["joined", "corrected"],
        {"1": ["no"], "2": ["no"]},
        0,
    ),
    "too late for one of them": (
        0,
        [("predict 1 a", 0), ("predict 2 a", HOUR), ("no a", WAIT + 1)],
        ["joined"],
        {"2": ["no"]},
        1,
    ),
    "too late for both": (
        0,
        [("predict 1 a", 0), ("predict 2 a", 0), ("no a", WAIT + 1)],
        ["unmatched"],
        {},
        2,
    ),
    "between them, and too late for the other": (
        0,
        [("predict 1 a", DAY), ("no a", WAIT + DAY), ("predict 2 a", 0)],
        ["joined"],
        {"1": ["no"]},
        1,
    ),
    "to say what one of them knows, and something else to the other": (
        0,
        [
            *[("predict 1 a", 0), ("no a", 1), ("predict 2 a", 2 * HOUR)],
            *[("yes a", 2 * HOUR), ("yes a", 2 * HOUR)],
        ],
        ["joined", "joined", "corrected"],
        {"1": ["no"], "2": ["yes"]},
        0,
    ),
    "again, where one waits for it still": (
        0,
        [("predict 1 a", 0), ("no a", 1), ("predict 2 a", 2 * HOUR), ("no a", 2 * HOUR)],
        ["joined", "joined"],
        {"1": ["no"], "2": ["no"]},
        0,
    ),
    "when the first of them is gone": (
        0,
        [
            *[("predict 1 a", 0), ("predict 2 a", HOUR), ("predict 1 z", WAIT + 1), ("pass", 0)],
            *[("repeat 2 a", WAIT + 1), ("predict 3 a", WAIT + 1), ("no a", WAIT + 2)],
        ],
        ["joined"],
        {"2": ["no"], "3": ["no"]},
        1,  # z
    ),
    "to be corrected while it settles": (
        HOUR,
        [("predict 1 a", 0), ("predict 2 a", 0), ("no a", 1), ("yes a", HOUR)],
        ["joined", "corrected"],
        {"1": ["yes"], "2": ["yes"]},
        0,
    ),
    "to be corrected where it settles still": (
        HOUR,
        [("predict 1 a", 0), ("no a", 0), ("predict 2 a", HOUR / 2), ("yes a", HOUR + 1)],
        ["joined", "corrected"],
        {"1": ["no"], "2": ["yes"]},
        0,
    ),
    "to be corrected before another version predicts": (
        HOUR,
        [("predict 1 a", 0), ("no a", 0), ("yes a", 1), ("predict 2 a", 2)],
        ["joined", "corrected"],
        {"1": ["yes"], "2": ["yes"]},
        0,
    ),
    "when the first of them has settled": (
        HOUR,
        [
            *[("predict 1 a", 0), ("no a", 0), ("predict 2 a", HOUR / 2)],
            *[("predict 1 z", HOUR), ("pass", 0), ("predict 3 a", HOUR), ("yes a", HOUR)],
        ],
        ["joined", "corrected"],
        {"1": ["no"], "2": ["yes"], "3": ["yes"]},
        1,  # z
    ),
}

shadowed = pytest.mark.parametrize(
    ("settle", "steps", "results", "labels", "waiting"), SHADOWED.values(), ids=SHADOWED.keys()
)


def shadow(joining: Joining, step: Shadowing) -> None:
    """Do a step of those above."""
    what, at = step
    match what.split():
        case ["predict" | "repeat", version, id]:
            joining.predict(id, at=NOON + at, version=version)
        case [label, id]:
            joining.label((id, label), at=NOON + at)
        case _:
            joining.pass_time()


class TestVersionsThatShareIds:
    """Champion and challenger answer the same requests."""

    @shadowed
    @pytest.mark.parametrize("restarts", [False, True])
    def test_have_each_the_label_that_comes(
        self,
        store: Store,
        settle: float,
        steps: Sequence[Shadowing],
        results: Sequence[str],
        labels: Expected,
        waiting: int,
        restarts: bool,
    ) -> None:
        joining = Joining(store, settle)
        total: Counter[str] = Counter()
        repeated = 0.0
        for step in steps:
            shadow(joining, step)
            if restarts:
                total.update(joining.results)
                repeated += joining.duplicate_predictions
                joining.open()
        joining.pass_time(end=True)
        total.update(joining.results)
        repeated += joining.duplicate_predictions
        assert total == Counter(results)
        assert joining.labels_of_versions == labels
        assert joining.join.waiting == waiting
        assert repeated == sum(what.startswith("repeat") for what, _ in steps)

    def test_may_come_in_one_batch(self, joining: Joining) -> None:
        def rows(*versions: str) -> Batch:
            return Batch(
                len(versions),
                {PREDICTION: Column(["yes"] * len(versions))},
                ids=["a"] * len(versions),
                timestamps=np.full(len(versions), NOON),
                versions=versions,
            )

        joining.label(("a", "no"), at=NOON)
        joining.take(joining.join.predicted(rows("1", "2", "1"), "1"))
        joining.take(joining.join.predicted(rows("3", "2", "3", "4"), "1"))
        assert joining.labels_of_versions == {version: ["no"] for version in "1234"}
        assert joining.results == {"joined": 1}
        assert joining.duplicate_predictions == 3

    def test_may_have_labels_twice_in_one_batch(self, store: Store) -> None:
        joining = Joining(store, settle=HOUR)
        joining.predict("a", at=NOON, version="1")
        joining.label(("a", "no"), at=NOON)
        joining.predict("a", at=NOON + 2 * HOUR, version="2")
        joining.label(("a", "maybe"), ("a", "yes"), ("a", "yes"), at=NOON + HOUR)
        joining.pass_time(end=True)
        assert joining.labels_of_versions == {"1": ["yes"], "2": ["yes"]}
        assert joining.results == {"joined": 2, "corrected": 1, "duplicate": 1}

    def test_have_their_own_time(self, joining: Joining) -> None:
        joining.predict("a", at=NOON, version="1")
        joining.predict("a", at=NOON + MINUTE, version="2")
        joining.label(("a", "no"), at=NOON + HOUR)
        joining.predict("a", at=NOON + 2 * MINUTE, version="3")
        joining.predict("a", at=NOON + 2 * HOUR, version="4")
        assert joining.delays == [HOUR, HOUR - MINUTE, HOUR - 2 * MINUTE, 0]

    def test_have_their_own_things_that_go_along(self, joining: Joining) -> None:
        for version, score in (("1", 0.25), ("2", 0.5)):
            joining.predict("a", at=NOON, version=version, along={SCORE: Column([score])})
        joining.label(("a", "no"), at=NOON)
        joining.predict("a", at=NOON, version="3", along={SCORE: Column([0.75])})
        assert joining.carried(SCORE) == [0.25, 0.5, 0.75]

    def test_are_bounded_together(self, store: Store) -> None:
        joining = Joining(store, most=2)
        for version in "123":
            joining.predict("a", at=NOON + int(version), version=version)
        joining.label(("a", "no"), at=NOON + MINUTE)
        assert joining.labels_of_versions == {"2": ["no"], "3": ["no"]}
        assert (joining.evicted, joining.join.waiting) == (1, 0)


class TestSettling:
    @pytest.fixture
    def joining(self, store: Store) -> Joining:
        joining = Joining(store, settle=HOUR)
        joining.predict("a", at=NOON)
        joining.label(("a", "no"), at=NOON + MINUTE)
        joining.pass_time()
        assert joining.outcomes == []
        return joining

    def test_the_label_counts_when_it_is_over(self, joining: Joining) -> None:
        joining.predict("b", at=NOON + MINUTE + HOUR - 1)
        joining.pass_time()
        assert joining.outcomes == []
        joining.predict("c", at=NOON + MINUTE + HOUR)
        joining.pass_time()
        joining.pass_time()
        assert joining.outcomes == [("no", "yes")]
        assert joining.delays == [MINUTE]

    def test_so_does_a_correction_of_a_label_that_came_first(self, joining: Joining) -> None:
        joining.label(("b", "no"), at=NOON)
        joining.label(("b", "maybe"), at=NOON + HOUR)
        joining.label(("b", "yes"), at=NOON + HOUR + 1)
        joining.predict("b", at=NOON - MINUTE)
        joining.pass_time(end=True)
        assert sorted(joining.outcomes) == [("maybe", "yes"), ("no", "yes")]
        assert joining.results == {"joined": 2, "corrected": 2}

    def test_a_correction_within_it_replaces_the_label(self, joining: Joining) -> None:
        joining.label(("a", "yes"), at=NOON + MINUTE + HOUR)
        joining.pass_time(end=True)
        assert joining.outcomes == [("yes", "yes")]
        assert joining.results == {"joined": 1, "corrected": 1}

    def test_a_correction_after_it_does_not(self, joining: Joining) -> None:
        joining.label(("a", "yes"), at=NOON + MINUTE + HOUR + 1)
        joining.pass_time(end=True)
        assert joining.outcomes == [("no", "yes")]
        assert joining.results == {"joined": 1, "corrected": 1}

    def test_a_correction_may_come_after_a_restart(self, joining: Joining) -> None:
        joining.open()
        joining.label(("a", "maybe"), at=NOON + HOUR)
        joining.open()
        joining.label(("a", "yes"), at=NOON + MINUTE + HOUR)
        joining.open()
        joining.label(("a", "late"), at=NOON + MINUTE + HOUR + 1)
        joining.pass_time(end=True)
        assert joining.outcomes == [("yes", "yes")]

    def test_a_correction_with_an_older_time_replaces_the_label(self, joining: Joining) -> None:
        """It was read later, whatever its clock says."""
        joining.label(("a", "yes"), at=NOON)
        joining.pass_time(end=True)
        assert joining.outcomes == [("yes", "yes")]

    def test_outlives_a_restart(self, joining: Joining) -> None:
        joining.open()
        joining.pass_time(end=True)
        assert joining.outcomes == [("no", "yes")]

    def test_is_waited_for_by_an_early_label_too(self, joining: Joining) -> None:
        joining.label(("e", "no"), at=NOON)
        joining.predict("e", at=NOON + MINUTE)
        joining.label(("e", "yes"), at=NOON + 2 * MINUTE)
        joining.pass_time(end=True)
        assert sorted(joining.outcomes) == [("no", "yes"), ("yes", "yes")]

    def test_a_label_that_settles_does_not_expire(self, joining: Joining) -> None:
        joining.predict("b", at=NOON + WAIT)
        joining.label(("b", "yes"), at=NOON + WAIT)
        joining.predict("c", at=NOON + WAIT + 2 * MINUTE)
        joining.pass_time()
        assert joining.expired == 0
        assert joining.outcomes == [("no", "yes")]


class TestOneBatch:
    def test_may_hold_a_label_twice(self, joining: Joining) -> None:
        joining.predict("a", at=NOON)
        joining.label(("a", "no"), ("a", "no"), ("a", "yes"), at=NOON + 1)
        assert joining.results == {"joined": 1, "duplicate": 1, "corrected": 1}
        assert joining.outcomes == [("no", "yes")]

    def test_may_hold_an_early_label_twice(self, joining: Joining) -> None:
        joining.label(("a", "no"), ("a", "no"), ("a", "yes"), at=NOON)
        joining.predict("a", at=NOON)
        assert joining.results == {"joined": 1, "duplicate": 1, "corrected": 1}
        assert joining.outcomes == [("no", "yes")]

    def test_may_hold_a_prediction_twice(self, joining: Joining) -> None:
        joining.predict("a", "a", at=NOON)
        assert joining.duplicate_predictions == 1
        assert joining.join.waiting == 1

    def test_may_be_empty(self, joining: Joining) -> None:
        joining.predict(at=NOON)
        joining.label()
        assert joining.results == {}


class TestTheSameIdAgain:
    def test_counts_as_a_duplicate_and_changes_nothing(self, joining: Joining) -> None:
        joining.predict("a", at=NOON, value="yes")
        joining.predict("a", at=NOON + DAY, value="no")
        joining.label(("a", "no"), at=NOON + 2 * DAY)
        joining.predict("a", at=NOON + 3 * DAY, value="no")
        assert joining.duplicate_predictions == 2
        assert joining.outcomes == [("no", "yes")]
        assert joining.delays == [2 * DAY]

    def test_is_a_new_prediction_after_the_wait(self, joining: Joining) -> None:
        joining.predict("a", at=NOON)
        joining.predict("b", at=NOON + WAIT + 1)
        joining.pass_time()
        joining.predict("a", at=NOON + WAIT + 2, value="no")
        joining.label(("a", "no"), at=NOON + WAIT + 3)
        assert joining.duplicate_predictions == 0
        assert joining.outcomes == [("no", "no")]


class TestTime:
    def test_is_that_of_the_label_where_it_has_one(self, joining: Joining) -> None:
        joining.predict("a", at=NOON)
        joining.label(("a", "no"), at=NOON + DAY)
        assert joining.delays == [DAY]

    def test_is_the_time_of_day_where_it_has_none(self, joining: Joining) -> None:
        joining.predict("a", at=NOON)
        joining.label(("a", "no"), now=NOON + MINUTE)
        assert joining.delays == [MINUTE]

    def test_a_label_that_tells_no_time_is_never_too_late(self, joining: Joining) -> None:
        """Its prediction is there still, and an old log may be read today."""
        joining.predict("a", at=NOON)
        joining.predict("b", at=NOON + 2 * WAIT)
        joining.label(("a", "no"), now=None)
        assert joining.outcomes == [("no", "yes")]
        assert np.isnan(joining.delays).all()

    def test_no_label_is_older_than_its_prediction(self, joining: Joining) -> None:
        joining.predict("a", at=NOON)
        joining.label(("a", "no"), at=NOON - DAY)
        joining.label(("b", "no"), at=NOON - DAY)
        joining.predict("b", at=NOON)
        assert joining.delays == [0, 0]

    def test_no_label_is_of_the_future(self, joining: Joining) -> None:
        joining.predict("a", at=NOON)
        joining.label(("a", "no"), at=NOON + 99 * DAY, now=NOON + DAY)
        assert joining.delays == [DAY]

    def test_an_early_label_keeps_its_own_time(self, joining: Joining) -> None:
        """Its log was read ahead of the predictions', which had come further by themselves."""
        joining.predict("later", at=NOON + 3 * MINUTE)
        joining.label(("a", "no"), at=NOON + 2 * MINUTE)
        joining.predict("a", at=NOON + MINUTE)
        assert joining.delays == [MINUTE]

    def test_passes_by_other_means_where_predictions_have_none(self, joining: Joining) -> None:
        joining.predict("a", at=NOON)
        joining.join.advance(NOON + WAIT + 1)
        joining.pass_time()
        assert joining.expired == 1

    def test_goes_back_to_a_mark(self, joining: Joining) -> None:
        joining.label(("a", "no"), at=NOON)
        mark = joining.join.mark()
        joining.store.savepoint()
        joining.predict("a", "b", at=NOON + DAY)
        joining.store.undo()
        joining.join.reset(mark)
        joining.pass_time()
        assert "unmatched" not in joining.results
        assert joining.join.waiting == 0


class TestTooMany:
    """What waits is bounded; the oldest are let go, and counted."""

    def test_predictions(self, store: Store) -> None:
        joining = Joining(store, most=2)
        joining.predict("a", at=NOON + 1)
        joining.predict("b", at=NOON)
        joining.predict("c", "d", at=NOON + 2)
        assert (joining.evicted, joining.expired, joining.join.waiting) == (2, 2, 2)
        joining.label(*((id, "no") for id in "abcd"), at=NOON + 3)
        assert joining.results == {"joined": 2}
        assert joining.join.waiting == 0

    def test_bytes_of_predictions(self, store: Store) -> None:
        joining = Joining(store, most_bytes=1000)
        joining.predict(*"abcdefghijklmnop", at=NOON)
        assert 5 <= joining.join.waiting == 16 - joining.evicted <= 10

    def test_predictions_that_have_their_label_are_nothing_lost(self, store: Store) -> None:
        joining = Joining(store, most=2)
        joining.predict("a", "b", at=NOON)
        joining.label(("a", "no"), at=NOON)
        joining.predict("c", at=NOON + 1)
        assert (joining.evicted, joining.expired, joining.join.waiting) == (0, 0, 2)

    def test_a_label_that_settles_is_counted(self, store: Store) -> None:
        joining = Joining(store, settle=HOUR, most=1)
        joining.predict("a", at=NOON)
        joining.label(("a", "no"), at=NOON + MINUTE)
        joining.predict("b", at=NOON + 1)
        assert joining.outcomes == [("no", "yes")]
        assert joining.delays == [MINUTE]
        joining.pass_time(end=True)
        assert joining.outcomes == [("no", "yes")]

    def test_early_labels(self, store: Store) -> None:
        joining = Joining(store, most=2)
        joining.label(("a", "no"), at=NOON + 1)
        joining.label(("b", "no"), ("c", "no"), ("d", "no"), at=NOON + 2)
        assert joining.results == {"unmatched": 2}
        joining.predict("a", at=NOON)
        joining.pass_time(end=True)
        assert joining.results == {"unmatched": 4}
        assert joining.outcomes == []


class TestTheEnd:
    def test_of_all_logs_leaves_no_label_waiting(self, joining: Joining) -> None:
        joining.predict("a", "b", at=NOON)
        joining.label(("x", "no"), ("a", "no"), at=NOON)
        joining.pass_time(end=True)
        assert joining.results == {"joined": 1, "unmatched": 1}
        assert joining.expired == 0
        assert joining.join.waiting == 1


COUNTRY = Field("segment", "country")


class TestWhatGoesAlong:
    def test_comes_back_with_the_outcome(self, joining: Joining) -> None:
        joining.predict(
            *"abc",
            at=NOON,
            along={
                SCORE: Column([0.1 + 0.2, None, 1]),
                COUNTRY: Names.of(["DE", "<missing>", "\\<x"]),
                REGION: Names.of(["age <= 30"] * 3),
                Field("feature", "age"): Column([20, 25, 30]),
            },
        )
        joining.label(("c", "no"), ("b", "no"), ("a", "no"), at=NOON + 1)
        (batch,) = joining.batches
        assert batch.fields.keys() == {PREDICTION, LABEL, SCORE, COUNTRY, REGION}
        assert joining.carried(SCORE) == [1, None, 0.1 + 0.2]
        assert batch.fields[COUNTRY].categories.of_rows == ["\\<x", "<missing>", "DE"]
        assert joining.carried(REGION) == ["age <= 30"] * 3

    def test_is_there_where_the_label_came_first(self, joining: Joining) -> None:
        joining.label(("a", "no"), at=NOON)
        joining.predict("a", at=NOON, along={SCORE: Column([0.25])})
        assert joining.carried(SCORE) == [0.25]

    @pytest.mark.parametrize("corrected", [False, True])
    def test_waits_until_a_label_has_settled(self, store: Store, corrected: bool) -> None:
        joining = Joining(store, settle=HOUR)
        joining.predict("a", at=NOON, along={SCORE: Column([0.25])})
        joining.label(("a", "no"), at=NOON)
        joining.open()
        if corrected:
            joining.label(("a", "yes"), at=NOON + 1)
        joining.pass_time(end=True)
        assert joining.carried(SCORE) == [0.25]

    def test_is_there_where_a_label_is_let_go_early(self, store: Store) -> None:
        joining = Joining(store, settle=HOUR, most=1)
        joining.predict("a", at=NOON, along={SCORE: Column([0.25])})
        joining.label(("a", "no"), at=NOON)
        joining.predict("b", at=NOON + 1)
        assert joining.carried(SCORE) == [0.25]

    def test_is_of_each_row_where_the_configuration_has_changed(self, joining: Joining) -> None:
        joining.predict("a", at=NOON, along={SCORE: Column([0.25])})
        joining.open()
        joining.predict("b", at=NOON, along={COUNTRY: Names.of(["DE"])})
        joining.predict("c", at=NOON)
        joining.label(("a", "no"), ("b", "no"), ("c", "no"), at=NOON)
        assert joining.carried(SCORE) == [0.25, None, None]
        assert joining.carried(COUNTRY) == [ABSENT, "DE", ABSENT]

    def test_takes_room(self, store: Store) -> None:
        joining = Joining(store, most_bytes=3000)
        along = {COUNTRY: Names.of(["a name of fifty characters in a column of segments"] * 26)}
        joining.predict(*"abcdefghijklmnopqrstuvwxyz", at=NOON)
        assert joining.join.waiting == 26
        joining.predict(*"ABCDEFGHIJKLMNOPQRSTUVWXYZ", at=NOON + 1, along=along)
        assert joining.join.waiting == 3000 // (ROW_SIZE + len("1yes") + len(pack_of(along)))


def pack_of(along: Mapping[Field, Column]) -> bytes:
    return pack(Batch(1, {key: column.take(np.array([0])) for key, column in along.items()}))[0]


def test_an_outcome_has_the_version_of_its_prediction(joining: Joining) -> None:
    joining.predict("a", at=NOON, version="3")
    joining.predict("b", at=NOON, version="4")
    joining.label(("b", "no"), ("a", "no"), at=NOON)
    assert joining.versions == ["4", "3"]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("fraud", "fraud"),
        (1, "1"),
        (1.0, "1"),
        (True, "true"),
        ("<odd>", "\\<odd>"),
        ("\\<odd>", "\\<odd>"),
        ("", "<missing>"),
        (None, "<missing>"),
        (float("nan"), "<invalid>"),
        ({"a": 1}, "<invalid>"),
        ("long " * 50, "<other>"),
        ("zażółć\0", "zażółć\0"),
        ("\ud800", "?"),
    ],
)
def test_classes_have_the_names_that_they_have_on_one_row(value: object, name: str) -> None:
    store = Store(None)
    joining = Joining(store)
    joining.predict("a", at=NOON, value=value)
    joining.label(("a", "no"), at=NOON)
    # What is neither missing nor a name is missing by then.
    assert joining.outcomes == [("no", "<missing>" if name == "<invalid>" else name)]
    store.close()


def test_a_long_label_with_a_lone_surrogate_is_kept(joining: Joining) -> None:
    joining.predict("\ud800", at=NOON)
    joining.label(("\ud800", "\ud800" * 201), at=NOON)
    assert joining.outcomes == [("<other>", "yes")]


def test_a_long_label_is_its_own_duplicate(joining: Joining) -> None:
    joining.predict("a", at=NOON)
    joining.label(("a", "long " * 50), at=NOON)
    joining.label(("a", "long " * 50), at=NOON)
    assert joining.results == {"joined": 1, "duplicate": 1}


def test_numbers_of_a_regression_stay_numbers(store: Store) -> None:
    joining = Joining(store, numbers=True)
    joining.predict("a", at=NOON, value=0.1 + 0.2)
    ids = ["a"]
    batch = joining.join.labelled(Batch(1, {LABEL: Column([1e-7])}, ids), NOW)
    assert batch.fields[PREDICTION].numbers.values.tolist() == [0.1 + 0.2]
    assert batch.fields[LABEL].numbers.values.tolist() == [1e-7]
