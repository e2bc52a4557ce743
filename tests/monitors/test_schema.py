import numpy as np
import pytest

from ml_exporter.baseline.baseline import BaselineField
from ml_exporter.batch import Batch, Field
from ml_exporter.columns import ABSENT, Column
from ml_exporter.monitors.schema import SchemaViolations

AGE = Field("feature", "age")
CITY = Field("feature", "city")


@pytest.fixture
def schema():
    bins = ("<below>", "1.0", "<above>", "<missing>", "<invalid>")
    number = BaselineField(
        role="feature", name="age", type="number", edges=[0.0, 1.0], counts=dict.fromkeys(bins, 0)
    )
    names = ("Ulm", "<other>", "<missing>", "<invalid>")
    city = BaselineField(
        role="feature", name="city", type="category", counts=dict.fromkeys(names, 0)
    )
    return SchemaViolations("m", "1", [number, city])


def found(schema):
    """Violation, field -> rows, where there are any."""
    (family,) = schema.families
    labels = (labels[2:] for labels in family.label_sets)
    return {key: n for key, n in zip(labels, family.values.tolist(), strict=True) if n}


def test_series_of_known_fields_are_born_at_zero(schema):
    (family,) = schema.families
    assert family.label_sets == [
        ("m", "1", "missing_field", "age"),
        ("m", "1", "wrong_type", "age"),
        ("m", "1", "missing_field", "city"),
        ("m", "1", "wrong_type", "city"),
    ]
    assert not family.values.any()


def test_rows_are_counted_by_violation_and_field(schema):
    fields = {AGE: Column([ABSENT, None, "7", True, 5]), CITY: Column(["Ulm", 7, [], {}, ""])}
    schema.update(Batch(5, fields))
    assert found(schema) == {
        ("missing_field", "age"): 1,
        ("wrong_type", "age"): 2,
        ("wrong_type", "city"): 2,
    }


def test_a_column_that_is_nowhere_is_missing_in_every_row(schema):
    schema.update(Batch(3, {CITY: Column(["", "a", "b"], text=True)}))
    assert found(schema) == {("missing_field", "age"): 3}


def test_text_that_is_no_number_is_of_the_wrong_type(schema):
    fields = {AGE: Column(["1", "", "old", "nan"], True), CITY: Column(["1", "", "a", "b"], True)}
    schema.update(Batch(4, fields))
    assert found(schema) == {("wrong_type", "age"): 1}


def test_extra_fields_have_few_names(schema):
    known = {AGE: Column([1, 1]), CITY: Column(["a", "a"])}
    for number in range(0, 60, 2):
        extra = {str(number): np.array([True, False]), str(number + 1): np.array([True, True])}
        schema.update(Batch(2, known, extra=extra))
    expected = {("extra_field", str(number)): 1 + number % 2 for number in range(20)}
    assert found(schema) == expected | {("extra_field", "<other>"): 60}


def test_extra_fields_that_no_row_of_a_part_has_get_no_series(schema):
    fields = {AGE: Column([1]), CITY: Column(["a"])}
    schema.update(Batch(1, fields, extra={"zip": np.array([False])}))
    assert len(schema.families[0]) == 4
