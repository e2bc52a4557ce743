import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_exporter.families import Family, Histogram, freeze


@pytest.fixture
def violations():
    return Family("ml_violations_total", "Help.", "counter", ("field",), of={"model": "credit"})


def test_label_sets_are_born_at_zero_and_found_again(violations):
    assert violations.add("age") == violations.add("age") == 0
    assert violations.add("zip") == 1
    assert violations.label_names == ("model", "field")
    assert violations.label_sets == [("credit", "age"), ("credit", "zip")]
    assert violations.values.tolist() == [0.0, 0.0]
    assert len(violations) == 2


def test_set_and_inc(violations):
    violations.set(5, "age")
    violations.inc(2, "age")
    violations.inc(1, "zip")
    assert violations.value("age") == 7
    assert violations.value("zip") == 1
    assert violations.value("never") == 0
    assert len(violations) == 2


def test_values_stay_when_there_are_more(violations):
    for number in range(100):
        violations.inc(number, str(number))
    assert violations.values.tolist() == list(range(100))


def test_add_all_gives_indices_for_arithmetic(violations):
    violations.add("other")
    indices = violations.add_all([["age"], ["zip"]])
    violations.values[indices] += [3, 4]
    assert violations.values.tolist() == [0, 3, 4]


def test_frozen_samples_do_not_change(violations):
    violations.set(1, "age")
    (frozen,) = freeze([violations])
    violations.inc(1, "age")
    violations.add("zip")
    assert frozen.values.tolist() == [1.0]
    assert frozen.family is violations


@pytest.mark.parametrize(
    ("kind", "kept", "expected"),
    [
        ("counter", None, True),
        ("histogram", None, True),
        ("gauge", None, False),
        ("gauge", True, True),
        ("counter", False, False),
    ],
)
def test_what_survives_the_process(kind, kept, expected):
    assert Family("ml_x", "Help.", kind, kept=kept).kept is expected


class TestRestore:
    def test_by_the_keys_that_were_stored(self, violations):
        violations.set(3, "age")
        violations.set(4, "zip")
        again = Family(
            "ml_violations_total", "Help.", "counter", ("field",), of={"model": "credit"}
        )
        again.add("zip")
        for key, value in zip(violations.keys(), violations.values, strict=True):
            again.restore(key, value)
        assert (again.value("age"), again.value("zip")) == (3, 4)

    def test_leaves_alone_what_has_other_constant_labels(self, violations):
        violations.restore(("", "churn", "age"), 3)
        assert len(violations) == 0

    def test_histogram(self):
        delays = Histogram("ml_delay_seconds", "Help.", (1.0, 10.0), of={"model": "credit"})
        delays.observe(np.array([0.5, 5.0]))
        again = Histogram("ml_delay_seconds", "Help.", (1.0, 10.0), of={"model": "credit"})
        for key, value in zip(delays.keys(), delays.values, strict=True):
            again.restore(key, value)
        assert again.values.tolist() == delays.values.tolist()
        assert again.label_sets == delays.label_sets


class TestHistogram:
    def test_buckets_are_cumulative_and_include_their_upper_bound(self):
        delays = Histogram("ml_delay_seconds", "Help.", (1.0, 10.0))
        delays.observe(np.array([0.5, 1.0, 1.5, 99.0]))
        delays.observe(np.array([]))
        samples = dict(zip(delays.keys(), delays.values, strict=True))
        assert samples == {
            ("_bucket", "1.0"): 2,
            ("_bucket", "10.0"): 3,
            ("_bucket", "+Inf"): 4,
            ("_sum",): 102,
            ("_count",): 4,
        }

    def test_what_was_counted_elsewhere(self):
        observed, shown = (Histogram("ml_x", "Help.", (1.0, 10.0)) for _ in range(2))
        observed.observe(np.array([0.5, 1.0, 1.5, 99.0]))
        for _ in range(2):
            shown.show(np.array([2.0, 3.0, 4.0]), 102.0)
        assert shown.values.tolist() == observed.values.tolist()

    @given(st.lists(st.lists(st.floats(-1e6, 1e6))))
    def test_observations_in_any_portions(self, portions):
        uppers = (-5.0, 0.0, 0.25, 1e5)
        histogram = Histogram("ml_x", "Help.", uppers)
        for portion in portions:
            histogram.observe(np.array(portion))
        values = [value for portion in portions for value in portion]
        *buckets, total, count = histogram.values.tolist()
        assert buckets == [sum(v <= upper for v in values) for upper in (*uppers, math.inf)]
        assert count == len(values)
        assert total == pytest.approx(sum(values), abs=1e-3)
