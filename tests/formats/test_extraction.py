"""What is taken of texts, lists and times: the same in every format."""

import json
import math
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_exporter.batch import PREDICTION
from ml_exporter.columns import ABSENT, Column
from ml_exporter.config.extractors import EXTRACTORS
from ml_exporter.formats import decoder
from ml_exporter.formats.extraction import LONGEST_LOOK, extract
from ml_exporter.formats.rejections import Rejections
from ml_exporter.formats.rows import Layout, Table, assemble
from tests.formats.feeding import feature
from tests.formats.test_arrow import decode as decode_arrow

MONDAY_NOON = 1711972800  # 2024-04-01T12:00:00Z
TEXTS = ("length", "words", "non_ascii")

LAYOUT = Layout(
    {PREDICTION: "p", **{feature(name): "x.v" for name in EXTRACTORS}},
    extracted={feature(name): name for name in EXTRACTORS},
)


def values(extractor, *of, text=False):
    return list(extract(extractor, Column(of, text)).values)


def of_json(*rows):
    lines = "".join(json.dumps({"p": 1, "x": {"v": row}}) + "\n" for row in rows)
    return decoder("jsonl", LAYOUT).decode(lines.encode(), end=True)


def found(decoded, extractor):
    return list(decoded.batch.fields[feature(extractor)].values)


@pytest.mark.parametrize(
    ("text", "length", "words", "non_ascii"),
    [
        ("a", 1, 1, 0.0),
        ("two words", 9, 2, 0.0),
        (" \t two\u00a0  words\n", 15, 2, 1 / 15),
        ("Grüße", 5, 1, 2 / 5),
        ("日本", 2, 1, 1.0),
        ("   ", 3, 0, 0.0),
        ("<b>", 3, 1, 0.0),
        ("\0", 1, 1, 0.0),
    ],
)
def test_texts(text, length, words, non_ascii):
    assert [*values("length", text), *values("words", text)] == [length, words]
    assert values("non_ascii", text) == pytest.approx([non_ascii])
    decoded = of_json(text, text)
    assert found(decoded, "length") == [length] * 2
    assert found(decoded, "words") == [words] * 2
    assert found(decoded, "non_ascii") == pytest.approx([non_ascii] * 2)


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_what_is_missing_stays_so_and_what_is_something_else_is_of_the_wrong_type(extractor):
    wrong = [True, {"a": 1}] if extractor != "items" else [True, 5, "text"]
    column = extract(extractor, Column([None, ABSENT, "", *wrong]))
    assert list(column.values) == [None, ABSENT, None, *[[]] * len(wrong)]
    as_it_is = column.categories if extractor == "weekday" else column.numbers
    assert as_it_is.wrong_type == len(wrong)
    assert found(of_json(None, "", *wrong), extractor) == [None, None, *[[]] * len(wrong)]


def test_an_absent_field_is_absent():
    decoded = decoder("jsonl", LAYOUT).decode(b'{"p":1}\n{"p":1,"x":{"v":[]}}\n', end=True)
    for name in EXTRACTORS:
        assert decoded.batch.fields[feature(name)].values[0] is ABSENT
    assert found(decoded, "items")[1] == 0


class TestItems:
    @pytest.mark.parametrize(
        ("value", "items"),
        [
            ([], 0),
            ({}, 0),
            ([1, 2.5, None], 3),
            (["a,b", "c"], 2),
            ([[1, 2], [3, 4]], 2),
            ([{"a": [1, 2]}], 1),
            ({"a": [1, 2, 3], "b": 2}, 2),
            ({'a"]': 1, "\n": 2}, 2),
            ([0] * 10_000, 10_000),
        ],
    )
    def test_alike_in_every_way_of_reading(self, value, items):
        assert values("items", value) == [items]
        assert found(of_json(value), "items") == [items]
        # A line that the scanner leaves to Python.
        line = b'{"p": 1, "x": {"v": %b}, "q": NaN}' % json.dumps(value).encode()
        assert found(decoder("jsonl", LAYOUT).decode(line, end=True), "items") == [items]

    def test_spaces_in_json(self):
        lines = b'{"p":1,"x":{"v":[ ]}}\n{"p":1,"x":{"v": [ 1 , 2 ] }}\n{"p":1,"x":{"v":{ }}}\n'
        assert found(decoder("jsonl", LAYOUT).decode(lines, end=True), "items") == [0, 2, 0]

    def test_a_list_of_which_an_item_is_read_too(self):
        layout = Layout(
            {PREDICTION: "p", feature("n"): "v", feature("first"): "v.0"},
            extracted={feature("n"): "items"},
        )
        decoded = decoder("jsonl", layout).decode(b'{"p":1,"v":[7,8]}\n', end=True)
        assert (found(decoded, "n"), found(decoded, "first")) == ([2], [7])

    @pytest.mark.parametrize("depth", [50, 100, 2000])
    def test_deeply_nested_lists_are_counted_or_rejected(self, depth):
        line = b'{"p":1,"x":{"v":%b%b}}\n' % (b"[" * depth, b"]" * depth)
        decoded = decoder("jsonl", LAYOUT).decode(line + b'{"p":1,"x":{"v":[1]}}\n', end=True)
        if decoded.rejected:
            assert decoded.rejected == Counter(too_deep=1)
            assert found(decoded, "items") == [1]
        else:
            assert found(decoded, "items") == [1, 1]

    @pytest.mark.parametrize(
        ("type", "column", "items"),
        [
            (pa.list_(pa.int64()), [[1, 2], None, []], [2, None, 0]),
            (pa.large_list(pa.string()), [["a"], []], [1, 0]),
            (pa.list_(pa.float32(), 3), [[1, 2, 3], None], [3, None]),
            (pa.map_(pa.string(), pa.int8()), [[("a", 1), ("b", 2)], None, []], [2, None, 0]),
            (pa.struct({"a": pa.int8(), "b": pa.int8()}), [{"a": 1, "b": 2}, None], [2, None]),
            (pa.string(), ["a", None, ""], [[], None, None]),
            (pa.int64(), [1, None], [[], None]),
            (pa.null(), [None, None], [None, None]),
        ],
    )
    def test_of_arrow(self, type, column, items):
        layout = Layout({feature("v"): "v"}, extracted={feature("v"): "items"})
        table = pa.table({"v": pa.array(column, type), "w": pa.array(range(len(column)))})
        assert found(decode_arrow(table, layout), "v") == items
        assert found(decode_arrow(table.slice(1), layout), "v") == items[1:]


class TestTimes:
    @pytest.mark.parametrize(
        ("value", "hour", "weekday"),
        [
            ("2024-04-01T12:00:00Z", 12, "Monday"),
            ("2024-04-01T00:30:00+02:00", 22, "Sunday"),
            (MONDAY_NOON, 12, "Monday"),
            (MONDAY_NOON * 1000, 12, "Monday"),
            (0, 0, "Thursday"),
            (-1, 23, "Wednesday"),
            ("9999-12-31T23:59:59Z", 23, "Friday"),
        ],
    )
    @pytest.mark.parametrize("neighbour", ["2024-04-02T00:00:00Z", None])
    def test_in_utc(self, value, hour, weekday, neighbour):
        assert values("hour", value, neighbour)[0] == hour
        assert values("weekday", value, neighbour)[0] == weekday
        assert found(of_json(value, neighbour), "hour")[0] == hour
        assert found(of_json(value), "weekday") == [weekday]

    @pytest.mark.parametrize("value", ["yesterday", "25:00", 1e300, math.nan, "1e30"])
    def test_no_time(self, value):
        assert values("hour", value, MONDAY_NOON) == [[], 12]
        assert values("weekday", MONDAY_NOON, value) == ["Monday", []]

    def test_of_arrow(self):
        times = pa.array([MONDAY_NOON * 1000, None, 0], pa.timestamp("ms"))
        layout = Layout({feature("v"): "v"}, extracted={feature("v"): "weekday"})
        assert found(decode_arrow({"v": times}, layout), "v") == ["Monday", None, "Thursday"]


def test_csv_has_texts_and_times():
    layout = Layout(
        {feature(name): "v" for name in EXTRACTORS},
        extracted={feature(name): name for name in EXTRACTORS},
    )
    data = 'p,v\n1,2024-04-01T12:00:00Z\n1,\n1,"a ""b"" ü"\n1,12\n'.encode()
    decoded = decoder("csv", layout).decode(data, end=True)
    assert found(decoded, "length") == [20, None, 7, 2]
    assert found(decoded, "words") == [1, None, 3, 1]
    assert found(decoded, "non_ascii") == pytest.approx([0, None, 1 / 7, 0])
    assert found(decoded, "hour") == [12, None, [], 0]
    assert found(decoded, "items") == [[], None, [], []]


def test_an_exchange_with_a_model_server():
    layout = Layout(
        {PREDICTION: "prediction", feature("words"): "body", feature("n"): "tags"},
        extracted={feature("words"): "words", feature("n"): "items"},
    )
    exchange = {
        "request": {"instances": [{"body": "two words", "tags": ["a", "b", "c"]}]},
        "response": {"predictions": [1]},
    }
    line = json.dumps(exchange).encode() + b"\n"
    decoded = decoder("kserve-v1", layout).decode(line, end=True)
    assert (found(decoded, "words"), found(decoded, "n")) == ([2], [3])


def test_bytes_that_are_no_text():
    rejected = decoder("jsonl", LAYOUT).decode(b'{"p":1,"x":{"v":"\xff"}}\n', end=True)
    assert (rejected.batch.rows, rejected.rejected) == (0, Counter(encoding=1))
    layout = Layout({feature("v"): "v"}, extracted={feature("v"): "length"})
    in_columns = decode_arrow({"v": pa.array([b"\xff", "é".encode()])}, layout)
    assert found(in_columns, "v") == [[], 1]


def test_of_a_huge_text_the_beginning_is_looked_at():
    text = "a " * LONGEST_LOOK + "é" * LONGEST_LOOK
    assert values("length", text) == [3 * LONGEST_LOOK]
    assert values("words", text) == [LONGEST_LOOK / 2]
    assert values("non_ascii", text) == [0]


def test_the_value_itself_may_be_a_feature_too():
    layout = Layout({feature("v"): "v", feature("n"): "v"}, extracted={feature("n"): "length"})
    decoded = assemble(Table(2, {"v": ["ab", None]}), layout, Rejections(), 0)
    assert (found(decoded, "v"), found(decoded, "n")) == (["ab", None], [2, None])


@given(st.lists(st.one_of(st.none(), st.text(), st.integers(), st.lists(st.integers()))))
def test_json_is_read_as_its_values(rows):
    decoded = of_json(*rows)
    for name in ("items", *TEXTS):
        assert found(decoded, name) == values(name, *rows)
