"""What is alike in all formats: ids, timestamps, versions and which rows are accepted."""

import math

import numpy as np
import pytest

from ml_exporter.batch import LABEL
from ml_exporter.columns import ABSENT, Column
from ml_exporter.formats.rejections import Rejections
from ml_exporter.formats.rows import Layout, Table, assemble, extra_name
from tests.formats.feeding import feature

NOON = 1711972800.0  # 2024-04-01T12:00:00Z


def assembled(layout, text=False, **columns):
    rows = len(next(iter(columns.values())))
    return assemble(Table(rows, columns, text), layout, Rejections(), consumed=0)


def test_traces_go_with_their_rows():
    layout = Layout({LABEL: "y"}, id="id", trace="t")
    decoded = assembled(layout, y=[1, 2, 3], id=["a", None, "c"], t=["t1", "t2", "no trace"])
    assert decoded.batch.traces == ["t1", None]
    assert decoded.batch.slice(1, 2).traces == [None]


class TestIds:
    @pytest.mark.parametrize(
        ("value", "id"),
        [
            ("a", "a"),
            ("1.0", "1.0"),
            ("<x>", "<x>"),
            ("é" * 300, "é" * 300),
            (7, "7"),
            (7.0, "7"),
            (7.5, "7.5"),
            (2**63 + 1, "9223372036854775809"),
            (True, "true"),
        ],
    )
    def test_has_one_form(self, value, id):
        decoded = assembled(Layout({LABEL: "y"}, id="id"), y=[1], id=[value])
        assert decoded.batch.ids == [id]

    @pytest.mark.parametrize("value", [None, ABSENT, "", [], {}, math.nan, math.inf, 10**400])
    def test_none(self, value):
        decoded = assembled(Layout({LABEL: "y"}, id="id"), y=[1, 2], id=[value, "b"])
        assert decoded.rejected == {"no_id": 1}
        assert decoded.batch.ids == ["b"]
        assert decoded.batch.fields[LABEL].values == [2]

    def test_whole_numbers_as_some_programs_write_them_to_csv(self):
        layout = Layout({LABEL: "y"}, id="id")
        decoded = assembled(layout, text=True, y=list("abcd"), id=["7.0", "7", "007", "a.0"])
        assert decoded.batch.ids == ["7", "7", "007", "a.0"]


def test_versions():
    layout = Layout({LABEL: "y"}, version="v")
    values = [3, 3.0, "3", None, ABSENT, "", [], "a" * 201]
    decoded = assembled(layout, y=[0] * 8, v=values)
    assert decoded.batch.versions == [*["3"] * 3, *["unversioned"] * 4, "<other>"]


class TestAcceptance:
    def test_a_row_needs_one_of_the_fields(self):
        layout = Layout({feature("a"): "a", feature("b"): "b"})
        decoded = assembled(layout, a=[1, ABSENT, ABSENT], b=[ABSENT, None, ABSENT])
        assert decoded.rejected == {"no_fields": 1}
        assert decoded.batch.rows == 2

    def test_a_row_is_rejected_once(self):
        layout = Layout({feature("a"): "a"}, id="id", timestamp="ts")
        decoded = assembled(layout, a=[ABSENT, 1, 1, 1], id=[None, None, "c", "d"], ts=["?"] * 4)
        assert decoded.rejected == {"no_fields": 1, "no_id": 1, "bad_timestamp": 2}
        assert decoded.batch.rows == 0

    def test_columns_that_are_nowhere(self):
        decoded = assembled(Layout({feature("a"): "a"}), b=[1, 2])
        assert decoded.rejected == {"no_fields": 2}

    def test_no_rows(self):
        layout = Layout({feature("a"): "a"}, id="id", timestamp="ts", version="v")
        decoded = assembled(layout, a=[])
        assert decoded.batch.rows == 0
        assert not decoded.rejected

    def test_extra_fields_stay_with_their_rows(self):
        table = Table(2, {"a": [ABSENT, 1]}, extra={"zip": np.array([True, False])})
        decoded = assemble(table, Layout({feature("a"): "a"}), Rejections(), 0)
        assert decoded.batch.extra["zip"].tolist() == [False]

    def test_what_is_in_an_object_or_a_list_is_forgotten(self):
        deep = []
        for _ in range(900):
            deep = [deep]
        decoded = assembled(Layout({feature("a"): "a"}), a=[deep, {"b": deep}, 1])
        assert decoded.batch.fields[feature("a")].values == [[], {}, 1]

    def test_discovered_fields_are_those_that_are_not_read_already(self):
        layout = Layout({LABEL: "y"}, id="id", known=frozenset(["k"]), discover=True)
        decoded = assembled(layout, y=[1], id=["a"], k=[2], x=[3], **{"": [4]})
        assert dict(decoded.batch.fields) == {LABEL: Column([1]), feature("x"): Column([3])}


@pytest.mark.parametrize(
    ("name", "met", "called"),
    [
        ("zip", 0, "zip"),
        ("zip", 19, "zip"),
        ("zip", 20, "<other>"),
        ("7", 20, "7"),
        ("z" * 200, 0, "z" * 200),
        ("z" * 201, 0, "<other>"),
    ],
)
def test_extra_fields_have_few_names(name, met, called):
    assert extra_name(name, [str(number) for number in range(met)]) == called
