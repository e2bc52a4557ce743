"""Columns of codes are columns of the values that the codes stand for."""

import math

import numpy as np
import pyarrow as pa
import pytest

from ml_exporter.formats.arrow_columns import ArrowColumn
from ml_exporter.formats.coded_columns import CodedColumn, Distinct
from tests.formats.feeding import same

DISTINCT = {
    "whole numbers": [3, -1, 2**53 + 1, None],
    "floats": [0.5, 2.0, -0.0, 1e300, None],
    "floats that are no numbers": [0.5, math.nan, math.inf, None],
    "texts": ["b", "a", "1.0", "<x", None],
    "an empty text": ["a", "", None],
    "nothing": [None],
}


def coded(distinct, codes):
    array = pa.array(distinct, pa.int64() if distinct == [None] else None)
    values = Distinct(ArrowColumn(array))
    return CodedColumn(np.array(codes, dtype=np.int32), values)


@pytest.mark.parametrize("distinct", DISTINCT.values(), ids=DISTINCT)
@pytest.mark.parametrize("rows", ["all", "present", "null", "none"])
def test_a_column_is_that_of_its_values(distinct, rows):
    null = len(distinct) - 1
    codes = [*range(null), *range(null)]
    codes = {"all": [null, *codes, null], "present": codes, "null": [null] * 3, "none": []}[rows]
    column = coded(distinct, codes)
    same(column, [distinct[code] for code in codes])
    picked = np.arange(len(codes), dtype=np.intp)[::2]
    same(column.take(picked), [distinct[code] for code in codes[::2]])


def test_texts_that_are_none_are_of_the_wrong_type():
    distinct = ArrowColumn(pa.array([b"a", b"\xff", None]).view(pa.string()))
    column = CodedColumn(np.array([0, 1, 1, 2], dtype=np.int32), Distinct(distinct))
    same(column, ["a", [], [], None])
    assert column.without_contents() is column


@pytest.mark.parametrize("edges", [(0.0, 1.0, 2.0), tuple(range(300))], ids=["few", "very many"])
def test_numbers_are_in_the_bins_of_their_values(edges):
    distinct = [-1.0, 0.0, 0.5, 1.0, 7.0, math.inf, None]
    codes = [6, 0, 1, 5, 2, 3, 4, 4, 6]
    mine = coded(distinct, codes).numbers
    plain = ArrowColumn(pa.array([distinct[code] for code in codes])).numbers
    for found, expected in zip(mine.binned(edges), plain.binned(edges), strict=True):
        assert found.tolist() == expected.tolist()
    assert mine.codes(edges).tolist() == plain.codes(edges).tolist()


@pytest.mark.parametrize(
    ("distinct", "codes", "texts"),
    [(["a", "b", None], [1, 0], ["b", "a"]), (["a", None], [0, 1], None), (["", None], [0], None)],
)
def test_texts_are_known_where_all_rows_have_one(distinct, codes, texts):
    assert coded(distinct, codes).texts() == texts
