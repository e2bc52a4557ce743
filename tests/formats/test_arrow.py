"""Tables as batches: the rows are those that JSON Lines of the same objects have."""

import json
from dataclasses import dataclass, field
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_exporter.batch import LABEL, PREDICTION
from ml_exporter.columns import ABSENT
from ml_exporter.formats import HeaderError, decoder
from ml_exporter.formats.arrow import decode_table
from ml_exporter.formats.rows import MOST_FEATURES, Layout
from tests.formats.feeding import feature, plain_rows


@dataclass
class Rows:
    """A table in memory, of which it is remembered what was asked for."""

    table: pa.Table
    keys: dict = field(default_factory=dict)
    asked: dict = field(default_factory=dict)

    @property
    def rows(self):
        return self.table.num_rows

    @property
    def schema(self):
        return self.table.schema

    def read(self, columns, categories):
        self.asked = {".".join(path): path in categories for path in columns}
        names = list(dict.fromkeys(path[0] for path in columns))
        (batch,) = self.table.select(names).combine_chunks().to_batches()
        return dict(zip(names, batch.columns, strict=True))


def decode(table, layout, **keys):
    return decode_table(Rows(pa.table(table), keys), layout)


def values(decoded, name):
    return list(decoded.batch.fields[feature(name)].values)


NESTED = [
    {"id": "a", "x": {"age": 31, "zip": "1"}, "p": [0.25, 0.75], "a.b": 1, "a": {"b": 2, "c": 3}},
    {"id": "b", "x": {"age": None, "zip": "2"}, "p": [0.5], "a.b": 3, "a": {"b": 4, "c": 5}},
    {"id": "c", "x": None, "p": None, "a.b": None, "a": {"b": 6, "c": None}},
    {"id": None, "x": {"age": 5, "zip": None}, "p": [], "a.b": 7, "a": {"b": 8, "c": 9}},
]


def test_paths_lead_where_they_do_in_json():
    paths = ["x.age", "x.zip", "x.none", "p.0", "p.1", "p.7", "p.x", "a.b", "a.c", "x", "p", "id.x"]
    layout = Layout({feature(path): path for path in paths}, id="id")
    lines = "".join(json.dumps(row) + "\n" for row in NESTED).encode()
    theirs = decoder("jsonl", layout).decode(lines, True)
    mine = decode(pa.Table.from_pylist(NESTED), layout)
    assert plain_rows(mine.batch) == plain_rows(theirs.batch)
    assert mine.rejected == theirs.rejected == {"no_id": 1}
    assert mine.consumed == 4


@pytest.mark.parametrize(
    "type", [pa.list_(pa.float64()), pa.large_list(pa.float64()), pa.list_(pa.float64(), 2)]
)
def test_elements_of_lists(type):
    column = pa.array([[0.0, 0.0], [0.25, 0.75], None, [0.5, None]], type).slice(1)
    layout = Layout({feature("0"): "p.0", feature("1"): "p.1", LABEL: "y"})
    decoded = decode({"p": column, "y": [1, 2, 3]}, layout)
    assert values(decoded, "0") == [0.25, ABSENT, 0.5]
    assert values(decoded, "1") == [0.75, ABSENT, None]
    assert decode({"p": column}, Layout({feature("0"): f"p.{10**30}"})).rejected == {"no_fields": 3}


def test_elements_of_lists_of_views():
    column = pa.array([["a", "b"], ["c"]], pa.list_(pa.string_view()))
    decoded = decode({"p": column, "y": [1, 2]}, Layout({feature("1"): "p.1", LABEL: "y"}))
    assert values(decoded, "1") == ["b", ABSENT]


def test_keys_of_maps():
    column = pa.array(
        [[("age", 31), ("age", 32)], None, [("zip", 1)]], pa.map_(pa.string(), pa.int64())
    )
    decoded = decode({"m": column, "y": [1, 2, 3]}, Layout({feature("a"): "m.age", LABEL: "y"}))
    assert values(decoded, "a") == [32, ABSENT, ABSENT]


def test_structs_in_lists_in_structs():
    row = {"a": {"b": [{"c": 1}, {"c": 2}]}}
    decoded = decode(pa.Table.from_pylist([row]), Layout({feature("c"): "a.b.1.c"}))
    assert values(decoded, "c") == [2]


def test_only_what_is_wanted_is_read():
    rows = Rows(pa.Table.from_pylist(NESTED))
    layout = Layout({feature("age"): "x.age", feature("p"): "p.0", LABEL: "none"}, id="id")
    decode_table(rows, layout)
    assert rows.asked == {"x.age": True, "p": True, "id": False}  # ids are no categories


class TestSchema:
    def test_a_column_that_is_missing_is_absent(self):
        decoded = decode({"x": [1, 2]}, Layout({feature("x"): "x", PREDICTION: "p"}))
        assert decoded.batch.fields[PREDICTION].absent == 2

    def test_rows_without_any_field(self):
        decoded = decode({"z": [1, 2]}, Layout({feature("x"): "x"}))
        assert (decoded.batch.rows, decoded.rejected) == (0, {"no_fields": 2})

    def test_columns_that_nobody_expects(self):
        layout = Layout({feature("x"): "x.a", feature("y"): "y"}, known=frozenset(["id", "b.c"]))
        row = {"x": {"a": 1, "b": 2}, "y": {"z": 3}, "id": 4, "b.c": 5, "new": 6, "more": [7]}
        extra = decode(pa.Table.from_pylist([row, row]), layout).batch.extra
        assert {name: mask.tolist() for name, mask in extra.items()} == {
            name: [True, True] for name in ("x.b", "new", "more")
        }

    def test_few_of_them_have_a_name(self):
        table = {"x": [1]} | {f"c{number}": [1] for number in range(100)}
        extra = decode(table, Layout({feature("x"): "x"})).batch.extra
        assert list(extra) == [*(f"c{number}" for number in range(20)), "<other>"]

    def test_a_column_that_occurs_twice(self):
        table = pa.table([[1], [2], [3]], names=["x", "y", "x"])
        with pytest.raises(HeaderError, match="column 'x' occurs twice"):
            decode(table, Layout({feature("x"): "x"}))
        assert decode(table, Layout({feature("y"): "y"})).batch.rows == 1

    def test_nested_too_deeply(self):
        type = pa.int8()
        for _ in range(2000):
            type = pa.struct([("a", type)])
        with pytest.raises(HeaderError, match="nested too deeply"):
            decode_table(SimpleNamespace(schema=pa.schema([("x", type)])), Layout({}))


class TestDiscovery:
    def test_features_are_whatever_is_no_list(self):
        layout = Layout({LABEL: "x.zip"}, id="id", discover=True)
        decoded = decode(pa.Table.from_pylist(NESTED), layout)
        names = [key.name for key in decoded.batch.fields if key.role == "feature"]
        assert names == ["x.age", "a.b", "a.c"]
        assert not decoded.batch.extra

    def test_has_an_end(self):
        table = {f"c{number}": [1] for number in range(MOST_FEATURES + 5)} | {"y": [1], "": [1]}
        decoded = decode(table, Layout({LABEL: "y"}, discover=True))
        assert len(decoded.batch.fields) == MOST_FEATURES + 1


class TestPartitionKeys:
    def test_are_columns_where_a_file_has_none(self):
        layout = Layout({feature("region"): "region", feature("x"): "x", LABEL: "day"})
        decoded = decode({"x": [1, 2]}, layout, region="eu", day="01", x="9", other="")
        assert values(decoded, "region") == ["eu", "eu"]
        assert values(decoded, "x") == [1, 2]
        assert decoded.batch.fields[LABEL].numbers.values.tolist() == [1, 1]
        assert not decoded.batch.extra

    def test_are_no_discovered_features(self):
        decoded = decode({"x": [1]}, Layout({LABEL: "x"}, discover=True), region="eu")
        assert list(decoded.batch.fields) == [LABEL]


VALUES = st.one_of(
    st.none(),
    st.recursive(
        st.none() | st.floats(0, 9),
        lambda below: st.dictionaries(st.sampled_from("ab"), below, max_size=2),
        max_leaves=4,
    ),
)


@given(st.lists(st.fixed_dictionaries({"x": VALUES, "y": VALUES}), min_size=1, max_size=5))
def test_nested_rows_are_those_of_json(rows):
    try:
        table = pa.Table.from_pylist(rows)
    except pa.ArrowException:
        return  # a column has one type
    # What a struct of Arrow has in one row, it has in all; and columns of nothing but null, none.
    rows = table.to_pylist()
    paths = ["x", "y", "x.a", "x.b", "x.a.b", "x.a.a", "y.b", "y.b.a"]
    layout = Layout({feature(path): path for path in paths})
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    theirs, mine = decoder("jsonl", layout).decode(lines, True), decode(table, layout)
    assert mine.rejected == theirs.rejected
    assert plain_rows(mine.batch) == plain_rows(theirs.batch)
