import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_exporter.batch import LABEL, PREDICTION
from ml_exporter.columns import ABSENT
from ml_exporter.formats import decoder
from ml_exporter.formats.rows import LONGEST_ROW, MOST_FEATURES, Layout
from tests.formats.feeding import cut, feature, feed, plain_rows

AGE = feature("age")
LAYOUT = Layout({AGE: "age", PREDICTION: "predicted"})
NESTED = Layout(
    {
        AGE: "inputs.age",
        feature("city"): "inputs.home.city",
        feature("p"): "probs.0",
        feature("quoted"): 'a"b',
        LABEL: "actual",
    },
    id="id",
    timestamp="ts",
    version="meta.version",
    known=frozenset(["host"]),
)


def decode(data, layout=LAYOUT, end=True):
    return decoder("jsonl", layout).decode(data, end)


def values(layout, *rows):
    """What a field called `x` has in some rows, decoded one by one and at once."""
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    lines = decoder("jsonl", layout)
    lines.decode(data + b"?\n", True)  # at least one bad line: one by one
    at_once, slowly = lines.decode(data, True), decode(data + b"?\n", layout)
    assert plain_rows(at_once.batch) == plain_rows(slowly.batch)
    return list(at_once.batch.fields[feature("x")].values)


def test_rows():
    decoded = decode(b'{"age": 41, "predicted": "yes"}\n{"age": null}\n')
    assert decoded.batch.rows == 2
    assert list(decoded.batch.fields[AGE].values) == [41, None]
    assert list(decoded.batch.fields[PREDICTION].values) == ["yes", ABSENT]
    assert decoded.batch.ids is decoded.batch.timestamps is decoded.batch.versions is None
    assert decoded.consumed == 46
    assert not decoded.rejected


def test_everything_a_row_may_say():
    row = {
        "id": 7,
        "ts": "2024-04-01T12:00:00Z",
        "meta": {"version": 3.0},
        "inputs": {"age": 41, "home": {"city": "Ulm"}, "new": 1},
        "probs": [0.25, 0.75],
        "actual": True,
        "host": "a",
        "trace": {"span": {"id": 1}},
    }
    batch = decode(json.dumps(row).encode(), NESTED).batch
    assert {key.name: column.values[0] for key, column in batch.fields.items()} == {
        "age": 41,
        "city": "Ulm",
        "p": 0.25,
        "quoted": ABSENT,
        "label": True,
    }
    assert (batch.ids, batch.versions) == (["7"], ["3"])
    assert batch.timestamps.tolist() == [1711972800.0]
    assert set(batch.extra) == {"inputs.new", "trace"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(b'{"age": 1', "malformed", id="truncated"),
        pytest.param(b"age=1", "malformed", id="no JSON"),
        pytest.param(b"[1]", "malformed", id="a list"),
        pytest.param(b"1", "malformed", id="a number"),
        pytest.param(b"null", "malformed", id="null"),
        pytest.param(b'{"age": 1} {"age": 2}', "malformed", id="two objects"),
        pytest.param(b'{"age": 1},', "malformed", id="comma"),
        pytest.param(b'{"age": 01}', "malformed", id="octal"),
        pytest.param(b'{"age": "a\tb"}', "malformed", id="raw control character"),
        pytest.param(b"\x00\x00\x00", "malformed", id="NUL bytes"),
        pytest.param(b'{"age": "\xff"}', "encoding", id="not UTF-8"),
        pytest.param('{"age": "é"}'.encode("latin-1"), "encoding", id="Latin-1"),
        pytest.param('{"age": 1}'.encode("utf-16"), "encoding", id="UTF-16"),
        pytest.param(b'{"age": "\\ud800"}', "encoding", id="half a surrogate pair"),
        pytest.param(b'{"x": NaN, "age": "\\udc00x"}', "encoding", id="the other half, and NaN"),
        pytest.param(b'{"\\ud800": 1, "age": 1}', "encoding", id="half a pair as a name"),
        pytest.param(b"[" * 100_000, "too_deep", id="a bomb of lists"),
        pytest.param(b'{"age":' * 100_000, "too_deep", id="a bomb of objects"),
        pytest.param(b'{"age": ' + b" " * LONGEST_ROW + b"1}", "too_large", id="too large"),
        pytest.param(b'{"zip": 1}', "no_fields", id="none of the fields"),
        pytest.param(b"{}", "no_fields", id="empty object"),
    ],
)
@pytest.mark.parametrize("layout", [LAYOUT, Layout({AGE: "age"}, discover=True)])
def test_a_bad_line_is_counted_and_stops_no_good_one(line, reason, layout):
    if layout.discover and reason == "no_fields" and line != b"{}":
        layout = LAYOUT
    good = b'{"age": 1}\n'
    decoded = decode(good + line + b"\n" + good, layout)
    assert decoded.rejected == {reason: 1}
    assert list(decoded.batch.fields[AGE].values) == [1, 1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", "1"),
        ("1.5", "1.5"),
        ("NaN", "nan"),
        ("-Infinity", "-inf"),
        ("1e400", "inf"),
        ("9" * 25, "9" * 25),
        ("9" * 5000, "inf"),
        ('"\\u0000"', "'\\x00'"),
        ('"\\ud83d\\ude00"', "'😀'"),
        ('""', "''"),
        ("true", "True"),
        ("[1, 2]", "[]"),
        ('{"a": {}}', "{}"),
    ],
    ids=lambda text: text[:20],
)
def test_values(text, expected):
    decoded = decode(f'{{"age": {text}}}\n'.encode())
    assert not decoded.rejected
    assert repr(decoded.batch.fields[AGE].values[0]) == expected


class TestLines:
    @pytest.mark.parametrize("end", [False, True])
    @pytest.mark.parametrize("data", [b"", b"\n", b"\r\n\n  \n", b"\xef\xbb\xbf\n"])
    def test_blank_ones_are_no_rows(self, data, end):
        decoded = decode(data, end=end)
        assert (decoded.batch.rows, decoded.consumed) == (0, len(data))
        assert not decoded.rejected

    def test_half_a_line_is_left_for_later(self):
        decoded = decode(b'{"age": 1}\n{"age": 2', end=False)
        assert decoded.consumed == 11
        assert decoded.batch.rows == 1
        assert not decoded.rejected

    @pytest.mark.parametrize("rest", [b'{"age": 2', b"{", b'{"age": "\xc3', b'{"age": "\xc3"'])
    def test_half_a_line_at_the_end_is_truncated(self, rest):
        decoded = decode(b'{"age": 1}\n' + rest)
        assert decoded.batch.rows == 1
        assert decoded.rejected == {"truncated": 1}

    def test_a_whole_row_needs_no_line_end(self):
        decoded = decode(b'{"age": 1}\n{"age": 2}')
        assert decoded.batch.rows == 2
        assert not decoded.rejected

    def test_byte_order_mark_and_carriage_returns(self):
        decoded = decode(b'\xef\xbb\xbf{"age": 1}\r\n{"age": 2}\r\n')
        assert list(decoded.batch.fields[AGE].values) == [1, 2]
        assert not decoded.rejected

    def test_line_separators_within_text_end_no_line(self):
        data = '{"age": "a\u2028b\u0085c"}\n'.encode()
        assert list(decode(data).batch.fields[AGE].values) == ["a\u2028b\u0085c"]

    @pytest.mark.parametrize(
        "data",
        [
            b'{"age": 1} {"age": 2}\n\n',
            b'{"age":\n1}\n{"age": 1} {"age": 2}\n',
            b'{"age":\n{"b": 1}} {"age": 2}\n',
        ],
    )
    def test_an_object_has_a_line_of_its_own(self, data):
        decoded = decode(data)
        assert decoded.batch.rows == 0
        assert set(decoded.rejected) == {"malformed"}

    def test_the_last_of_two_values_counts(self):
        data = b'{"age": 1, "age": 2}\n'
        assert list(decode(data).batch.fields[AGE].values) == [2]
        assert list(decode(data + b"?\n").batch.fields[AGE].values) == [2]


X = feature("x")


class TestPaths:
    @pytest.mark.parametrize(
        ("row", "value"),
        [
            ({"a": {"b": 1}}, 1),
            ({"a.b": 1}, 1),
            ({"a.b": 1, "a": {"b": 2}}, 1),
            ({"a": {"b": None}}, None),
            ({"a": None}, ABSENT),
            ({"a": []}, ABSENT),
            ({"a": [{"b": 1}]}, ABSENT),
            ({"a": "b"}, ABSENT),
            ({"a": {}}, ABSENT),
            ({"b": 1}, ABSENT),
            ({"a": {"b": {"c": 1}}}, {}),
        ],
    )
    def test_into_objects(self, row, value):
        layout = Layout({X: "a.b", LABEL: "y"})
        full = {"y": 0} | row
        assert values(layout, full) == [value]
        # Whatever came before:
        others = [{"y": 0, "a.b": 5}, {"y": 0, "a": {"b": 6}}]
        assert values(layout, *others, full, *others) == [5, 6, value, 5, 6]

    @pytest.mark.parametrize(
        ("row", "value"),
        [
            ({"p": [7, 8]}, 8),
            ({"p": [7]}, ABSENT),
            ({"p": {"1": 8}}, 8),
            ({"p": None}, ABSENT),
            ({"p": "78"}, ABSENT),
            ({"p.1": 8}, 8),
        ],
    )
    def test_into_lists(self, row, value):
        layout = Layout({X: "p.1", LABEL: "y"})
        assert values(layout, {"y": 0} | row) == [value]
        assert not decode(json.dumps({"y": 0} | row).encode(), layout).batch.extra

    def test_into_lists_of_objects(self):
        layout = Layout({X: "a.0.b.c"})
        rows = {"a": [{"b": {"c": 1, "d": 2}}, {}]}, {"a": [{"b": {"c": 3}}]}
        assert values(layout, *rows) == [1, 3]

    @pytest.mark.parametrize("name", ["²", "", "a\nb", 'a"b', "a\\b", "\x00", "é", "Row", "f0"])
    def test_with_odd_names(self, name):
        assert values(Layout({X: name}), {name: 1, "y": 2}) == [1]
        assert values(Layout({X: f"a.{name}"}), {"a": {name: 1, "y": 2}}) == [1]
        assert values(Layout({X: "a", LABEL: "y"}), {"y": 0, name: {}, "a": 1}) == [1]

    def test_a_value_and_something_within_it(self):
        layout = Layout({X: "a", AGE: "a.age"})
        assert values(layout, {"a": {"age": 4}}, {"a": 5}) == [{}, 5]


class TestExtraFields:
    def extra(self, *rows, layout=LAYOUT):
        lines = decoder("jsonl", layout)
        data = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        first, again = (lines.decode(data, True).batch.extra for _ in range(2))
        one_by_one = lines.decode(data + b"?\n", True).batch.extra
        plain = {name: mask.tolist() for name, mask in first.items()}
        for other in (again, one_by_one):
            assert plain == {name: mask.tolist() for name, mask in other.items()}
        return plain

    def test_are_named(self):
        rows = {"age": 1}, {"age": 2, "zip": None}, {"age": 3, "zip": 4, "x": 5}
        assert self.extra(*rows) == {"zip": [False, True, True], "x": [False, False, True]}

    def test_few_have_a_name(self):
        rows = [{"age": 1, str(number): 1} for number in range(25)]
        extra = self.extra(*rows)
        assert list(extra) == [*map(str, range(20)), "<other>"]
        assert extra["<other>"] == [False] * 20 + [True] * 5

    def test_long_names_have_none(self):
        assert self.extra({"age": 1, "x" * 201: 1}) == {"<other>": [True]}

    def test_an_unknown_object_is_one_field(self):
        assert self.extra({"age": 1, "trace": {"a": 1, "b": {"c": 2}}}) == {"trace": [True]}

    def test_beside_nested_fields(self):
        layout = Layout({AGE: "in.age", feature("p"): "in.p.0"}, known=frozenset(["in.k.k"]))
        row = {"in": {"age": 1, "5": 2, "p": [1, 2], "k": {"k": 1, "z": 1}}, "age": 1, "in.k": 3}
        extra = self.extra(row, {"in": {"age": 1, "p": {"0": 1, "1": 1}}}, layout=layout)
        assert extra == {name: [True, False] for name in ("in.5", "in.k.z", "age", "in.k")}

    def test_two_ways_of_writing_one_path_are_one_field(self):
        layout = Layout({AGE: "in.age"})
        rows = {"in": {"age": 1, "a": 1}}, {"in": {"age": 1}, "in.a": 1}
        assert self.extra(*rows, layout=layout) == {"in.a": [True, True]}

    def test_something_else_in_place_of_an_object_is_none(self):
        layout = Layout({AGE: "in.age", LABEL: "y"})
        rows = [{"y": 1, "in": value} for value in (None, 1, "a", [], [{"z": 1}], {})]
        assert self.extra(*rows, layout=layout) == {}


class TestDiscovery:
    def found(self, *rows, **options):
        data = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        batch = decode(data, Layout({LABEL: "y"}, discover=True, **options)).batch
        return {
            key.name: list(column.values)
            for key, column in batch.fields.items()
            if key.role == "feature"
        }

    def test_of_flat_and_nested_rows(self):
        assert self.found({"y": 1, "a": 2, "b": {"c": 3, "d": {}}}, {"y": 1, "e": None}) == {
            "a": [2, ABSENT],
            "b.c": [3, ABSENT],
            "e": [ABSENT, None],
        }

    def test_leaves_out_lists_and_what_is_known(self):
        row = {"y": 1, "id": 7, "host": {"name": "x"}, "list": [1], "a": 2}
        assert self.found(row, id="id", known=frozenset(["host"])) == {"a": [2]}

    def test_has_an_end(self):
        rows = [{f"a{number}-{i}": 1 for i in range(100)} for number in range(30)]
        assert len(self.found(*rows)) == MOST_FEATURES

    def test_goes_only_so_deep(self):
        line = b'{"y": 1, "a": 2, ' + b'"x":{' * 900 + b'"z": 1' + b"}" * 901 + b"\n"
        batch = decode(line, Layout({LABEL: "y"}, discover=True)).batch
        assert set(batch.fields) == {LABEL, feature("a")}


def test_many_unknown_names_cost_what_they_weigh():
    rows = [{"age": 1, **{f"{row}-{name}": 1 for name in range(200)}} for row in range(500)]
    decoded = decode(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    assert decoded.batch.rows == 500
    assert len(decoded.batch.extra) == 21


def test_deep_unknown_objects_cost_what_they_weigh():
    name = "x" * 500
    line = b'{"age": 1, ' + f'"leaf": 1, "{name}": {{'.encode() * 900 + b"}" * 901 + b"\n"
    decoded = decode(line)
    assert set(decoded.batch.extra) == {"leaf", "<other>"}


class TestSplitting:
    lines = st.one_of(
        st.sampled_from(
            [
                b'{"inputs": {"age": 1, "home": {"city": "Ulm"}}, "id": "a", "ts": 5}',
                b'{"inputs": {"age": "\\u00e9", "home": null}, "id": 1.0, "ts": null}',
                '{"inputs": {"home": {"city": "Köln"}}, "id": "c", "actual": NaN}'.encode(),
                b'{"inputs.age": 1, "id": "d"}',
                b'{"inputs.age": 1, "inputs": {"age": 2}, "id": "d2"}',
                b'{"id": "e", "actual": 1, "actual": 2, "probs": [1, 2]}',
                b'{"id": "f", "actual": 1, "a\\"b": 2, "probs": {"0": 1, "1": 2}}',
                b'{"id": "g", "actual": 1, "new": 2, "inputs": {"other": {"x": 1}}}',
                b'{"id": "h", "actual": 1, "ts": "yesterday"}',
                b'{"actual": 1} {"actual": 2}',
                b'{"actual":',
                b"1}",
                b'{"id": "i"}',
                b'\xef\xbb\xbf{"id": "j", "actual": 1, "meta": {"version": 2}}',
                b'{"id": "\xff", "actual": 1}',
                b'{"id": "\\ud800", "actual": 1}',
                b"",
                b" ",
                b"[" * 5000,
                b"null",
            ]
        ),
        st.dictionaries(
            st.sampled_from(["inputs", "id", "actual", "probs", "ts", "meta", "inputs.age", "z"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
                lambda inner: (
                    st.lists(inner, max_size=2)
                    | st.dictionaries(st.sampled_from(["age", "home", "city", "0", "q"]), inner)
                ),
                max_leaves=3,
            ),
        ).map(lambda row: json.dumps(row).encode()),
    )
    logs = st.builds(
        lambda lines, line_end, last: line_end.join(lines) + last,
        st.lists(lines, max_size=8),
        st.sampled_from([b"\n", b"\r\n"]),
        st.sampled_from([b"", b"\n", b'{"id": "last", "act', b'\n{"id": "last", "actual": "\xc3']),
    )

    @given(logs, st.lists(st.integers(0, 600), max_size=6))
    def test_anywhere_makes_no_difference(self, log, places):
        whole = feed(decoder("jsonl", NESTED), [log])
        assert feed(decoder("jsonl", NESTED), cut(log, places)) == whole

    @given(logs, st.lists(st.integers(0, 600), max_size=6))
    def test_anywhere_makes_no_difference_to_discovery(self, log, places):
        layout = Layout({LABEL: "actual"}, id="id", discover=True)

        def discovered(pieces):
            lines, rows = decoder("jsonl", layout), []
            kept = b""
            for number, piece in enumerate(pieces):
                decoded = lines.decode(kept + piece, number == len(pieces) - 1)
                kept = (kept + piece)[decoded.consumed :]
                for row in range(decoded.batch.rows):
                    fields = decoded.batch.fields.items()
                    present = {k: c.values[row] for k, c in fields if c.values[row] is not ABSENT}
                    rows.append(repr(sorted(present.items())))
            return rows

        assert discovered(cut(log, places)) == discovered([log])

    @given(st.lists(lines, max_size=8))
    def test_at_once_is_as_one_by_one(self, lines):
        log = b"".join(line + b"\n" for line in lines)
        one = decoder("jsonl", NESTED)
        whole = one.decode(log, True)
        again = one.decode(log, True)
        with_a_bad_line = one.decode(log + b"?\n", True)
        assert plain_rows(whole.batch) == plain_rows(again.batch)
        assert plain_rows(whole.batch) == plain_rows(with_a_bad_line.batch)
        assert whole.rejected == again.rejected
        with_a_bad_line.rejected.subtract(malformed=1)
        assert whole.rejected == +with_a_bad_line.rejected


def test_a_line_end_in_twice_the_longest_row_always_leads_on():
    for data in (b"x" * (2 * LONGEST_ROW - 1) + b"\n", b"\n" + b"x" * (2 * LONGEST_ROW - 1)):
        decoded = decode(data, end=False)
        assert decoded.consumed > 0
        assert decoded.rejected in ({"too_large": 1}, {})
