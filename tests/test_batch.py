import math

import numpy as np
import pytest

from ml_exporter.batch import LABEL, PREDICTION, Batch, Field
from ml_exporter.columns import Column

NAN = math.nan
AGE = Field("feature", "age")


@pytest.fixture
def batch():
    return Batch(
        rows=4,
        fields={AGE: Column([30, 41, None, 25]), PREDICTION: Column(["0", "1", "0", "1"], True)},
        ids=["a", "b", "c", "d"],
        timestamps=np.array([1.0, 2.0, np.nan, 4.0]),
        versions=["2", "1", "2", "1"],
        extra={"zip": np.array([True, False, True, False])},
        delays=np.array([9.0, 8.0, 7.0, 6.0]),
    )


def test_take_keeps_rows_together(batch):
    taken = batch.take([3, 0])
    assert taken.rows == 2
    assert taken.fields[AGE].values == [25, 30]
    assert taken.fields[PREDICTION] == Column(["1", "0"], text=True)
    assert (taken.ids, taken.versions) == (["d", "a"], ["1", "2"])
    assert taken.timestamps.tolist() == [4.0, 1.0]
    assert taken.extra["zip"].tolist() == [False, True]
    assert taken.delays.tolist() == [6.0, 9.0]


def test_take_nothing(batch):
    taken = batch.take([])
    assert taken.rows == 0
    assert taken.fields[AGE].values == []
    assert taken.extra["zip"].tolist() == []


@pytest.mark.parametrize(
    ("start", "stop", "ids"), [(0, 4, "abcd"), (0, 9, "abcd"), (1, 3, "bc"), (2, 9, "cd")]
)
def test_slice(batch, start, stop, ids):
    assert batch.slice(start, stop).ids == list(ids)


def test_a_field_that_the_batch_lacks_is_absent_from_all_rows(batch):
    assert batch.column(AGE) is batch.fields[AGE]
    lacking = batch.column(Field("feature", "another"))
    assert lacking.absent == len(lacking) == batch.rows
    assert batch.column(Field("feature", "a third")) is lacking  # worked out once for all


class TestByVersion:
    def test_versions_are_in_the_order_of_their_first_row(self, batch):
        assert [(name, part.ids) for name, part in batch.by_version("default")] == [
            ("2", ["a", "c"]),
            ("1", ["b", "d"]),
        ]

    def test_rows_that_are_all_of_one_version_are_not_copied(self, batch):
        of_one = batch.take([0, 2])
        assert list(of_one.by_version("default")) == [("2", of_one)]

    def test_rows_that_do_not_say_it_are_of_the_default_version(self):
        batch = Batch(1, {LABEL: Column(["x"])})
        assert list(batch.by_version("3")) == [("3", batch)]
