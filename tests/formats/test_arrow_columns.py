"""Arrow arrays as columns: every type is counted as JSON's values of the same meaning are."""

import datetime
import json
import math
import subprocess
import sys
import uuid
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_exporter.columns import ABSENT, Column
from ml_exporter.formats.arrow_columns import ArrowColumn
from ml_exporter.formats.timestamps import parse_timestamps
from tests.formats.feeding import same

NAN, INF = math.nan, math.inf
NOON = 1711972800  # 2024-04-01T12:00:00Z
BERLIN = pa.timestamp("ms", "Europe/Berlin")


@pytest.mark.parametrize(
    ("array", "values"),
    [
        pytest.param(pa.array([1.5, None, NAN, INF]), [1.5, None, NAN, INF], id="float64"),
        pytest.param(pa.array([0.1, 2.0], pa.float32()), [float(np.float32(0.1)), 2.0], id="f32"),
        pytest.param(pa.array([np.float16(0.5), None], pa.float16()), [0.5, None], id="float16"),
        pytest.param(pa.array([1.0, -0.0, 1e16]), [1.0, -0.0, 1e16], id="whole floats"),
        pytest.param(pa.array([2**53 + 1, None, -5]), [2**53 + 1, None, -5], id="int64"),
        pytest.param(pa.array([2**64 - 1], pa.uint64()), [2**64 - 1], id="uint64"),
        pytest.param(pa.array([-1, 7], pa.int8()), [-1, 7], id="int8"),
        pytest.param(pa.array([True, None, False]), [True, None, False], id="boolean"),
        pytest.param(pa.array(["a", "", None, "<x", "1.0"]), ["a", "", None, "<x", "1.0"], id="s"),
        pytest.param(pa.array(["a", None], pa.large_string()), ["a", None], id="large string"),
        pytest.param(pa.array(["a", None], pa.string_view()), ["a", None], id="string view"),
        pytest.param(pa.array([b"a", None]), ["a", None], id="bytes that are text"),
        pytest.param(pa.array([b"a", b"\xff", b""]), ["a", [], ""], id="bytes that aren't"),
        pytest.param(pa.array([b"a", b"\xff"], pa.binary_view()), ["a", []], id="binary view"),
        pytest.param(pa.array([b"\xff", None]).view(pa.string()), [[], None], id="broken text"),
        pytest.param(pa.array([b"abcd", None], pa.binary(4)), [[], None], id="fixed bytes"),
        pytest.param(
            pa.array(["b", None, "b", ""]).dictionary_encode(), ["b", None, "b", ""], id="codes"
        ),
        pytest.param(
            pa.DictionaryArray.from_arrays(pa.array([1, 0, None], pa.int8()), ["x", None]),
            [None, "x", None],
            id="null among the distinct",
        ),
        pytest.param(
            pa.DictionaryArray.from_arrays(pa.array([1, 0]), ["x", "x"]), ["x"] * 2, id="x twice"
        ),
        pytest.param(
            pa.DictionaryArray.from_arrays(pa.array([7, 3, 7]), [*"abcdefgh"]),
            ["h", "d", "h"],
            id="more distinct than rows",
        ),
        pytest.param(pa.array([7, None, 7]).dictionary_encode(), [7, None, 7], id="coded numbers"),
        pytest.param(
            pa.DictionaryArray.from_arrays([1, 0, 1], pa.array(["x", ""], pa.string_view())),
            ["", "x", ""],
            id="coded views",
        ),
        pytest.param(
            pa.RunEndEncodedArray.from_arrays([2, 3], ["a", "b"]), ["a", "a", "b"], id="run ends"
        ),
        pytest.param(
            pa.array([Decimal("1.50"), None, Decimal("3.00")], pa.decimal128(10, 2)),
            [1.5, None, 3],
            id="decimal",
        ),
        pytest.param(pa.array([Decimal("0.3")], pa.decimal32(5, 1)), [0.3], id="decimal32"),
        pytest.param(
            pa.array([Decimal("12345678901234567890.5")], pa.decimal128(30, 1)),
            [12345678901234567890.5],
            id="long decimal",
        ),
        pytest.param(
            pa.array([Decimal(9) * 10**30, Decimal("-7")], pa.decimal256(40, 0)),
            [9 * 10**30, -7],
            id="decimal256",
        ),
        pytest.param(
            pa.array([Decimal("1200")], pa.decimal128(4, -2)), [1200], id="decimal of hundreds"
        ),
        pytest.param(
            pa.array([NOON * 1000, None], BERLIN), ["2024-04-01 12:00:00.000Z", None], id="time"
        ),
        pytest.param(
            pa.array([NOON], pa.timestamp("s")), ["2024-04-01 12:00:00"], id="time, no zone"
        ),
        pytest.param(pa.array([datetime.date(2024, 4, 1)]), ["2024-04-01"], id="date"),
        pytest.param(pa.array([1], pa.time32("s")), ["00:00:01"], id="time of day"),
        pytest.param(pa.array([1500, None], pa.duration("ms")), [1.5, None], id="duration"),
        pytest.param(pa.array([(1, 2, 3)], pa.month_day_nano_interval()), [[]], id="interval"),
        pytest.param(pa.nulls(2), [None, None], id="nothing but null"),
        pytest.param(pa.array([{"a": 1}, None]), [{}, None], id="struct"),
        pytest.param(pa.array([[1, 2], None, []]), [[], None, []], id="list"),
        pytest.param(pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8())), [{}], id="map"),
        pytest.param(pa.array([[1, 2]], pa.list_(pa.int8(), 2)), [[]], id="list of two"),
        pytest.param(
            pa.array([uuid.UUID(int=1).bytes, None], pa.uuid()),
            ["00000000-0000-0000-0000-000000000001", None],
            id="uuid",
        ),
        pytest.param(pa.array([1, 0, None], pa.bool8()), [True, False, None], id="bool8"),
        pytest.param(pa.array(["[1]"], pa.json_()), ["[1]"], id="another extension"),
        pytest.param(pa.array([], pa.float64()), [], id="no rows"),
        pytest.param(pa.array([], pa.decimal128(4, 2)), [], id="no decimals"),
        pytest.param(pa.array([], pa.string()), [], id="no texts"),
    ],
)
class TestTypes:
    def test_are_those_of_json(self, array, values):
        same(ArrowColumn(array), values)

    def test_from_some_row_on(self, array, values):
        longer = pa.concat_arrays([array, array, array])
        same(ArrowColumn(longer.slice(1)), (values * 3)[1:])

    def test_rows_that_are_taken(self, array, values):
        rows = np.array([*range(len(values))] * 2, dtype=np.intp)[::-1]
        same(ArrowColumn(array).take(rows), [values[row] for row in rows])

    def test_can_be_written_down_as_json(self, array, values):
        written = json.loads(json.dumps(list(ArrowColumn(array).values)))
        assert repr(written) == repr(values)


def test_a_union_is_of_the_wrong_type():
    union = pa.UnionArray.from_sparse(
        pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]
    )
    same(ArrowColumn(union), [[], []])


def test_absent_rows():
    column = ArrowColumn(pa.array([1, None, None]), np.array([False, False, True]))
    same(column, [1, None, ABSENT])
    same(column.take(np.array([2, 0])), [ABSENT, 1])


SCALARS = {
    pa.float64(): st.floats(),
    pa.float32(): st.floats(width=32),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(max_size=3) | st.sampled_from(["", "<", "x" * 201]),
    pa.decimal128(18, 4): st.decimals(
        min_value=-(10**14) + 1, max_value=10**14 - 1, places=4, allow_nan=False
    ),
}


@st.composite
def arrays(draw):
    type = draw(st.sampled_from(list(SCALARS)))
    array = pa.array(draw(st.lists(st.none() | SCALARS[type], max_size=20)), type)
    start = draw(st.integers(0, len(array)))
    return array.slice(start).dictionary_encode() if draw(st.booleans()) else array.slice(start)


def plain(value):
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


@settings(max_examples=200)
@given(arrays())
def test_whatever_is_in_an_array(array):
    same(ArrowColumn(array), [plain(value) for value in array.to_pylist()])


class TestTexts:
    @pytest.mark.parametrize(
        ("array", "texts"),
        [
            (pa.array(["a", "b"]), ["a", "b"]),
            (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
            (pa.array(["a", ""]), None),
            (pa.array(["a", None]), None),
            (pa.array([b"a", b"\xff"]), None),
            (pa.array([1]), None),
        ],
    )
    def test_are_all_or_none(self, array, texts):
        assert ArrowColumn(array).texts() == texts


class TestTimes:
    @pytest.mark.parametrize(
        "array",
        [
            *(pa.array([NOON * n, None], pa.timestamp(u)) for n, u in ((1, "s"), (1000, "ms"))),
            pa.array([NOON * 10**6, None], pa.timestamp("us", "Asia/Tokyo")),
            pa.array([NOON * 10**9, None], pa.timestamp("ns", "UTC")),
            pa.array(["2024-04-01T12:00:00Z", None]),
            pa.array(["2024-04-01T14:00:00+02:00", None], pa.large_string()),
            pa.array(["2024-04-01 12:00:00", None]),  # by Python: no zone is UTC
            pa.array(["2024-04-01T12:00:00Z", ""]),
            pa.array(["2024-04-01T12:00:00Z", None]).dictionary_encode(),
            *(pa.array([NOON * 1000**n, None]) for n in range(4)),
            pa.array([float(NOON), None]),
        ],
        ids=lambda array: f"{array.type} {array[0]}",
    )
    def test_are_seconds(self, array):
        seconds, bad = parse_timestamps(ArrowColumn(array))
        assert seconds.tolist() == pytest.approx([NOON, NAN], nan_ok=True)
        assert bad == []

    @pytest.mark.parametrize("type", [pa.date32(), pa.date64()])
    def test_of_dates_are_midnight(self, type):
        array = pa.array([datetime.date(2024, 4, 1), None], type)
        seconds, bad = parse_timestamps(ArrowColumn(array))
        assert seconds.tolist() == pytest.approx([NOON - 43200, NAN], nan_ok=True)
        assert bad == []

    @pytest.mark.parametrize(
        "array",
        [
            pa.array(["2024-04-01T12:00:00Z", "soon"]),
            pa.array(["2024-04-01T12:00:00Z", "0000-01-01T00:00:00Z"]),  # a year for Arrow alone
            pa.array([True, False]),
            pa.array([[1], [2]]),
            pa.array([1.0, NAN]),
            pa.array([1, 2], pa.time32("s")),
        ],
        ids=lambda array: str(array.type),
    )
    def test_that_are_none(self, array):
        column = ArrowColumn(array)
        _, bad = parse_timestamps(column)
        assert bad == parse_timestamps(Column(list(column.values)))[1] != []


def test_pandas_is_not_imported():
    """Arrow imports it, where there is one, to see whether values are of its types."""
    program = """
import sys
import numpy as np
import pyarrow as pa
from ml_exporter.formats.arrow_columns import ArrowColumn
valid, texts = pa.py_buffer(b"\\x02"), pa.py_buffer(np.array([0, 1], dtype=np.int32))
number = pa.Array.from_buffers(pa.int64(), 2, [valid, pa.py_buffer(np.arange(2))])
text = pa.Array.from_buffers(pa.string(), 1, [None, texts, pa.py_buffer(b"a")])
codes = pa.DictionaryArray.from_arrays(number.slice(0, 1), text)
for array in number, text, codes, pa.nulls(2):
    column = ArrowColumn(array).take(np.array([0, 0]))
    column.numbers, column.categories, column.values, column.seconds()
sys.exit("pandas" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
