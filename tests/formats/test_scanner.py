"""What the scanner reads is what Python reads, and nothing makes it leave its bounds."""

import json
import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ml_exporter.batch import PREDICTION, Field
from ml_exporter.formats import _scanner
from ml_exporter.formats.jsonl import JsonLines
from ml_exporter.formats.lines import lines_of
from ml_exporter.formats.rejections import Rejections
from ml_exporter.formats.rows import Layout, assemble
from ml_exporter.formats.spans import NUMBER, TEXT, SpanColumn
from ml_exporter.formats.timestamps import parse_timestamps
from tests.formats.feeding import plain
from tests.sanitizers import run_sanitized
from tests.support import ROOT

SOURCE = ROOT / "exporter/ml_exporter/formats/_scanner.c"
LAYOUT = Layout(
    {
        PREDICTION: "p",
        Field("feature", "a"): "a",
        Field("feature", "nested"): "in.a",
        Field("feature", "deep"): "in.b.c",
        Field("feature", "first"): "list.0",
        Field("feature", "second"): "list.1",
        Field("feature", "whole"): "list",
        Field("feature", "dotted"): "in.a.b",
    },
    known=frozenset({"known", "in.known"}),
)

names = st.sampled_from(["p", "a", "in", "b", "c", "list", "known", "in.a", "new", "é", '"', "0"])
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from([10**25, 1e308, 2**53 + 1, "", "1", "null", "<x", "\ud83d\ude00", "\x00"]),
)
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(names, v, max_size=4), max_leaves=8
)
rows = st.dictionaries(names, values, max_size=6)
written = st.builds(
    lambda row, ascii, spaces: json.dumps(row, ensure_ascii=ascii, indent=spaces).replace("\n", ""),
    rows,
    st.booleans(),
    st.sampled_from([None, 1]),
)
broken = st.sampled_from(
    [
        '{"a": 1, "a": 2}',
        '{"in": {"a": 1}, "in": {}}',
        '{"in": {"a": 1}, "in": 5, "in.a": 3}',
        '{"in.a": 3, "in": {"a": 1}}',
        '{"a": 01}',
        '{"a": 1.}',
        '{"a": .5}',
        '{"a": +1}',
        '{"a": 1e}',
        '{"a": NaN, "p": -Infinity}',
        '{"a": "\\ud800"}',
        '{"a": "\\udc00\\ud800"}',
        '{"a": "\\x"}',
        '{"a": "\t"}',
        '{"a": tru}',
        '{"a": "x}',
        '{"a": [1, {"b": [}]}',
        '{"a" 1}',
        '{"a": 1,}',
        "{a: 1}",
        "[1]",
        "7",
        "{}",
        "{} {}",
        "  ",
        '{"\\u0061": 1}',
        '{"a": ' + "[" * 70 + "]" * 70 + "}",
        '{"in": null, "list": {"0": 5, "1": 6}}',
        '{"list": [], "in": []}',
    ]
)


@settings(max_examples=200)
@given(st.lists(written | broken, max_size=6))
@example(["{}", '{"p": 1, "new": 2}', '{"p": 1, "new": 2}'])
def test_json_is_as_python_reads_it(lines: list[str]) -> None:
    log = "\n".join(lines).encode("utf-8", "surrogatepass")
    scanned, one_by_one = JsonLines(LAYOUT), JsonLines(LAYOUT)
    rejected = Rejections()
    objects = [one_by_one._object(line, rejected) for line in lines_of(log, True)[0]]
    table = one_by_one._table_of_objects([row for row in objects if row is not None])
    expected = assemble(table, LAYOUT, rejected, len(log))
    for got in (scanned.decode(log, True), scanned.decode(log, True)):
        assert got.rejected.total() == expected.rejected.total()
        assert got.batch.rows == expected.batch.rows
        for key in LAYOUT.fields:
            assert plain(got.batch.fields[key]) == plain(expected.batch.fields[key])
        extra = [
            {name: mask.tolist() for name, mask in one.batch.extra.items() if mask.any()}
            for one in (got, expected)
        ]
        assert extra[0] == extra[1]


def spans_of(texts: list[bytes], kind: int) -> SpanColumn:
    lengths = np.array([len(text) for text in texts], dtype=np.int32)
    starts = (np.cumsum(lengths) - lengths).astype(np.int32)
    kinds = np.full(len(texts), kind, dtype=np.uint8)
    nothing = np.full(len(texts), np.nan)
    return SpanColumn(b"".join(texts), starts, lengths, kinds, nothing, text=False)


decimals = st.builds(
    lambda digits, places, exponent: f"{digits[:places]}.{digits[places:] or 0}{exponent}",
    st.text("0123456789", min_size=1, max_size=24),
    st.integers(1, 24),
    st.just("") | st.builds("e{}".format, st.integers(-330, 330)),
)


@settings(max_examples=300)
@given(st.lists(st.floats().map(repr) | st.integers().map(str) | decimals, min_size=1))
@example(["9007199254740993", "0.1234567890123456789", "5e-324", "-0.0", "1e400"])
def test_a_decimal_is_the_nearest_double(texts: list[str]) -> None:
    csv = "\n".join(texts).encode()
    starts, lengths, kinds, found = (
        np.zeros((1, len(texts)), dtype=type) for type in (np.int32, np.int32, np.uint8, float)
    )
    slots = np.zeros(1, dtype=np.int32)
    end = _scanner.scan_csv(ord(","), slots, csv, 0, 0, starts, lengths, kinds, found)
    assert end == (len(csv), len(texts))
    for text, value in zip(texts, found[0].tolist(), strict=True):
        if not math.isnan(value):  # that is left to Python
            assert (value, math.copysign(1, value)) == (
                float(text),
                math.copysign(1, float(text)),
            )


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T13:35:54Z",
        "2026-11-24 13:35:54",
        "2026-11-24T13:35:54.123",
        "2026-11-24T13:35:54.123456+01:00",
        "2026-11-24T13:35:54.123456789-09:30",
        "2024-02-29T23:59:59Z",
        "1969-12-31T23:59:59.999Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
    ],
)
def test_a_moment_is_as_python_reads_it(text: str) -> None:
    moment = datetime.fromisoformat(text)
    expected = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    seconds, bad = parse_timestamps(spans_of([text.encode()], TEXT))
    assert (seconds.tolist(), bad) == ([expected], [])


@pytest.mark.parametrize(
    "text",
    [
        "2026-13-01T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2026-11-24T24:00:00Z",
        "2026-11-24T13:60:54Z",
        "2026-11-24T13:35:54+24:00",
        "2026-11-24T13:35:54Zulu",
        "2026-11-24T13:35:5x",
        "0000-01-01T00:00:00Z",
    ],
)
def test_what_is_no_moment_is_bad(text: str) -> None:
    assert parse_timestamps(spans_of([text.encode()], TEXT))[1] == [0]


@given(st.datetimes(min_value=datetime(1, 1, 2)), st.sampled_from(["seconds", "milliseconds"]))
def test_any_moment(moment: datetime, precision: str) -> None:
    text = moment.isoformat(timespec=precision)
    expected = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    seconds, bad = parse_timestamps(spans_of([text.encode()], TEXT))
    assert (seconds.tolist(), bad) == ([expected], [])


@given(st.lists(st.binary(max_size=20), max_size=40))
def test_distinct_values_have_distinct_codes(texts: list[bytes]) -> None:
    column = spans_of(texts, NUMBER)
    codes = np.empty(len(texts), dtype=np.int32)
    firsts = np.empty(len(texts), dtype=np.int32)
    count = _scanner.distinct(7, column._data, *column._spans, codes, firsts)
    assert count == len(set(texts))
    assert [texts[firsts[code]] for code in codes] == texts


INT, BYTE, FLOAT = (lambda n, type=type: np.zeros(n, dtype=type) for type in "iBd")
SHAPE = _scanner.Shape(((False, ((b"a", 0, -1, False),)),), 1, -1)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: _scanner.Shape((), 1, -1), "has a node"),
        (lambda: _scanner.Shape(((False, ((b"a", 5, -1, False),)),), 1, -1), "outside the shape"),
        (lambda: _scanner.Shape(((False, ((b"a", 0, 0, False),)),), 1, -1), "outside the shape"),
        (
            lambda: _scanner.scan_json(SHAPE, b"{}", 3, 0, INT(1), INT(1), BYTE(1), FLOAT(1)),
            "slots",
        ),
        (
            lambda: _scanner.scan_json(SHAPE, b"{}", 0, -1, INT(1), INT(1), BYTE(1), FLOAT(1)),
            "slot",
        ),
        (lambda: _scanner.scan_json(SHAPE, b"{}", 0, 0, INT(2), INT(1), BYTE(1), FLOAT(1)), "size"),
        (lambda: _scanner.scan_json(SHAPE, b"{}", 0, 0, INT(1), INT(1), BYTE(1), FLOAT(2)), "size"),
        (
            lambda: _scanner.scan_csv(44, INT(2), b"", 1, 0, INT(1), INT(1), BYTE(1), FLOAT(1)),
            "slot",
        ),
        (lambda: _scanner.moments(b"x", INT(1) + 1, INT(1) + 1, BYTE(1), FLOAT(1)), "outside"),
        (lambda: _scanner.moments(b"x", INT(1) - 1, INT(1), BYTE(1), FLOAT(1)), "outside"),
        (lambda: _scanner.moments(b"x", INT(1), INT(1), BYTE(1), FLOAT(2)), "float64"),
        (
            lambda: _scanner.distinct(1, b"x", INT(1), INT(1) + 2, BYTE(1), INT(1), INT(1)),
            "outside",
        ),
        (lambda: _scanner.distinct(1, b"x", INT(1), INT(1), BYTE(1), INT(2), INT(1)), "int32"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(call, problem) -> None:
    with pytest.raises(ValueError, match=problem):
        call()


FUZZ = """
import random, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
import _scanner

random.seed(int(sys.argv[2]))
ALPHABET = [b'{', b'}', b'[', b']', b'"', b':', b',', b'\\\\', b'u', b'd800', b'\\n', b'\\r', b' ',
    b'1', b'-', b'.', b'e', b'true', b'null', b'fals', b'a', b'"a":', b'"in":{', b'"list":[',
    b'\\x00', b'\\xc3', b'\\xa9', b'\\xf0\\x9f', b'2026-11-24T13:35:54', b'Z', b'1' * 30, b'x' * 20]
nodes = ((False, ((b'a', 0, -1, False), (b'in', -1, 1, False), (b'list', 1, 2, True))),
    (False, ((b'a', 2, -1, True),)), (True, ((b'0', 3, -1, False), (b'1', 2, -1, True))))
shape = _scanner.Shape(nodes, 5, 4)
for _ in range(20_000):
    data = b''.join(random.choices(ALPHABET, k=random.randrange(40)))
    if random.random() < 0.5:
        data = b'{"a":' + data
    capacity = random.randrange(1, 6)
    arrays = [np.zeros((5, capacity), dtype=type) for type in 'iiBd']
    offset, row = _scanner.scan_json(shape, data, 0, 0, *arrays)
    assert 0 <= offset <= len(data) and row <= capacity
    slots = np.array([0, -1, 4, 1, 2][:random.randrange(1, 6)], dtype='i')
    if 4 in slots:
        offset, row = _scanner.scan_csv(random.choice(b',\\t'), slots, data, 0, 0, *arrays)
        assert 0 <= offset <= len(data) and row <= capacity
        for slot in range(5):
            starts, lengths, kinds, _ = (array[slot, :row].copy() for array in arrays)
            _scanner.moments(data, starts, lengths, kinds, np.zeros(row))
            _scanner.distinct(1, data, starts, lengths, kinds, *np.zeros((2, row), dtype='i'))
print('done')
"""


def test_no_bytes_make_it_leave_its_bounds(tmp_path) -> None:
    """Built with the sanitizers for addresses and undefined behaviour, which stop the process."""
    run_sanitized(SOURCE, FUZZ, tmp_path, str(tmp_path), "1")
