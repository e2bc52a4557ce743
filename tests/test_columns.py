import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_exporter.columns import ABSENT, Categories, Column, category_name

NAN, INF = math.nan, math.inf


class TestCategoryName:
    @pytest.mark.parametrize(
        ("value", "name"),
        [
            ("DE", "DE"),
            ("1", "1"),
            (1, "1"),
            (1.0, "1"),
            ("1.0", "1.0"),  # text is its own name where the format knows numbers
            (-0.0, "0"),
            (1.5, "1.5"),
            (1e16, "10000000000000000"),
            (10**16, "10000000000000000"),
            (2**64, "18446744073709551616"),
            (1e-7, "1e-07"),
            (True, "true"),
            (False, "false"),
            ("true", "true"),
            (None, "<missing>"),
            (ABSENT, "<missing>"),
            ("", "<missing>"),
            (" ", " "),
            ("<missing>", "\\<missing>"),
            ("<", "\\<"),
            ("a<b", "a<b"),
            ("é" * 200, "é" * 200),
            ("é" * 201, "<other>"),
            (NAN, "<invalid>"),
            (INF, "<invalid>"),
            (-INF, "<invalid>"),
            ([], "<invalid>"),
            ({"a": 1}, "<invalid>"),
            (10**250, "<other>"),
            (1e250, "<other>"),
            (10**400, "<invalid>"),
        ],
        ids=lambda value: repr(value)[:20],
    )
    def test_value(self, value, name):
        assert category_name(value) == name

    @given(st.floats() | st.integers())
    def test_equal_numbers_have_one_name(self, value):
        for twin in (int, float):
            try:
                equal = twin(value)
            except (ValueError, OverflowError):
                continue
            if equal == value:
                assert category_name(equal) == category_name(value)


class TestNumbers:
    @pytest.mark.parametrize(
        ("values", "text", "expected", "missing", "invalid", "wrong_type"),
        [
            pytest.param([1, 2.5], False, [1, 2.5], 0, 0, 0, id="numbers"),
            pytest.param([1, None], False, [1, NAN], 1, 0, 0, id="null"),
            pytest.param([1, ABSENT], False, [1, NAN], 1, 0, 0, id="absent"),
            pytest.param([1, ""], False, [1, NAN], 1, 0, 0, id="empty"),
            pytest.param([NAN, INF, -INF], False, [NAN] * 3, 0, 3, 0, id="not finite"),
            pytest.param([10**400, 2], False, [NAN, 2], 0, 1, 0, id="too large"),
            pytest.param([True, "7", [], {}], False, [NAN] * 4, 0, 4, 4, id="other types"),
            pytest.param([], False, [], 0, 0, 0, id="nothing"),
            pytest.param(["1", "-2.5e3"], True, [1, -2500], 0, 0, 0, id="texts"),
            pytest.param(["", "1", "", ""], True, [NAN, 1, NAN, NAN], 3, 0, 0, id="empty texts"),
            pytest.param(["+1", ".5", "2.", "007"], True, [1, 0.5, 2, 7], 0, 0, 0, id="not JSON's"),
            pytest.param(["nan", "inf", "1e999"], True, [NAN] * 3, 0, 3, 0, id="texts, not finite"),
            pytest.param(["null", "", "1"], True, [NAN, NAN, 1], 1, 1, 1, id="the text null"),
            pytest.param(["1,2", "3"], True, [NAN, 3], 0, 1, 1, id="comma"),
            pytest.param(["1_000", "0x1", "one"], True, [NAN] * 3, 0, 3, 3, id="texts, no numbers"),
            pytest.param([], True, [], 0, 0, 0, id="no texts"),
        ],
    )
    def test_value(self, values, text, expected, missing, invalid, wrong_type):
        numbers = Column(values, text).numbers
        assert numbers.values == pytest.approx(np.array(expected, dtype=float), nan_ok=True)
        assert (numbers.missing, numbers.invalid) == (missing, invalid)
        assert numbers.wrong_type == wrong_type

    @given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
    def test_texts_are_read_exactly(self, values):
        for write in (repr, "{:.17e}".format, "{:f}".format):
            texts = [write(value) for value in values]
            assert Column(texts, text=True).numbers.values.tolist() == list(map(float, texts))


class TestCategories:
    @pytest.mark.parametrize(
        ("values", "text", "names", "wrong_type"),
        [
            pytest.param(["a", "b"], False, ["a", "b"], 0, id="texts"),
            pytest.param([1, True, 1.0, "1"], False, ["1", "true", "1", "1"], 0, id="alike"),
            pytest.param([1e16, 10**16], False, ["10000000000000000"] * 2, 0, id="large"),
            pytest.param([None, ABSENT, ""], False, ["<missing>"] * 3, 0, id="missing"),
            pytest.param([[], {}, "a"], False, ["<invalid>", "<invalid>", "a"], 2, id="no values"),
            pytest.param(["1", "1.0", "+1.00", "1."], True, ["1"] * 4, 0, id="whole numbers"),
            pytest.param(["0.10", "10", "-0.0"], True, ["0.10", "10", "0"], 0, id="decimals"),
            pytest.param(["nan", "<any>"], True, ["nan", "\\<any>"], 0, id="special texts"),
        ],
    )
    def test_value(self, values, text, names, wrong_type):
        categories = Column(values, text).categories
        assert categories.of_rows == names
        assert categories.wrong_type == wrong_type


def test_absent_is_not_null():
    assert Column([ABSENT, None, "", 0, ABSENT]).absent == 2
    assert Column(["", "0"], text=True).absent == 0


def test_missing_is_null_absent_or_empty():
    assert Column([ABSENT, None, "", 0, NAN, False, []]).missing_mask().tolist() == [
        *[True] * 3,
        *[False] * 4,
    ]
    assert not Column([0, 0.0, False]).missing_mask().any()


class TestNamesOfRows:
    column = Categories.of(["a", "b", "<missing>", "a"])

    def test_places_among_others(self):
        assert self.column.among(["b", "a"]).tolist() == [1, 0, -1, 1]

    def test_any_of_some(self):
        assert self.column.is_any("<missing>", "b").tolist() == [False, True, True, False]

    def test_equal_to_those_of_another_column(self):
        other = Categories.of(["a", "a", "c", "a"])
        assert self.column.equals(other).tolist() == [True, False, False, True]

    def test_of_no_rows(self):
        nothing = Categories.of([])
        assert nothing.among(["a"]).tolist() == []
        assert nothing.is_any("a").tolist() == []
        assert nothing.equals(Categories.of([])).tolist() == []
