import base64
import gzip
import json
import math
from pathlib import Path

import pytest
from hypothesis import given as given_that
from hypothesis import settings
from hypothesis import strategies as st

from ml_exporter.config.source_settings import PROTOCOLS
from ml_exporter.formats.exchange_lines import ExchangeLines
from ml_exporter.formats.rows import LONGEST_ROW, REASONS
from tests.formats.exchanging import decode, layout, rows
from tests.formats.feeding import cut, feed, plain_rows

GOOD = {"request": {"instances": [[1, 2]]}, "response": {"predictions": ["a"]}}
ROW = {"_c0": 1, "_c1": 2, "prediction": "a"}
GOLDEN = [
    (path.stem, json.dumps(case["line"]).encode())
    for path in sorted((Path(__file__).parent / "protocols").glob("*.json"))
    for case in json.loads(path.read_text())
]


def in_base64(body, **about):
    return {"base64": base64.b64encode(body).decode(), **about}


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "a"])
KEYS = st.sampled_from(
    [
        *("instances", "inputs", "predictions", "outputs", "examples", "result", "context"),
        *("data", "names", "ndarray", "tensor", "tftensor", "shape", "values", "datatype"),
        *("name", "parameters", "binary_data_size", "dataframe_split", "dataframe_records"),
        *("columns", "index", "b64", "strData", "jsonData", "meta", "tags", "error", "x", ""),
    ]
)
SHAPES = st.sampled_from(["FP32", "BYTES", "BOOL"]) | st.lists(st.integers(-1, 3), max_size=3)
BODIES = st.recursive(
    SCALARS | SHAPES,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below, max_size=4),
    max_leaves=12,
)
MESSAGES = BODIES | BODIES.map(lambda body: in_base64(repr(body).encode(), json_length=3))
WANTS = st.sampled_from(
    [
        layout(id="id", version="version"),
        layout(["x", "y"], prediction="prediction.1"),
        layout(["request.x", "request.0"], prediction="response.x"),
    ]
)


class TestBodies:
    @pytest.mark.parametrize(
        "request_body",
        [
            pytest.param({"instances": [[1, 2]]}, id="JSON"),
            pytest.param('{"instances": [[1, 2]]}', id="text"),
            pytest.param(in_base64(b'{"instances": [[1, 2]]}'), id="base64"),
            pytest.param(
                in_base64(gzip.compress(b'{"instances": [[1, 2]]}'), content_encoding="gzip"),
                id="compressed",
            ),
        ],
    )
    def test_may_be(self, request_body):
        assert rows(decode("kserve-v1", {**GOOD, "request": request_body})) == [ROW]

    def test_of_json_may_have_a_base64_of_their_own(self):
        body = {"base64": "aGVsbG8=", "age": 31}
        assert rows(decode("torchserve", {"request": body})) == [{"base64": "aGVsbG8=", "age": 31}]

    def test_may_hold_nan(self):
        line = b'{"request": {"instances": [[NaN, 2]]}, "response": {"predictions": ["a"]}}'
        (row,) = rows(decode("kserve-v1", line))
        assert math.isnan(row.pop("_c0"))
        assert row == {"_c1": 2, "prediction": "a"}

    @pytest.mark.parametrize("missing", [{}, {"response": None}])
    def test_may_be_missing(self, missing):
        line = {"request": GOOD["request"], **missing}
        assert rows(decode("kserve-v1", line)) == [{"_c0": 1, "_c1": 2}]


def test_what_a_line_says_of_an_exchange():
    line = {**GOOD, "id": 7, "time": "2026-03-01T12:00:00Z", "model": "m", "version": 3.0, "x": 1}
    batch = decode("auto", line, given=layout(id="id", version="version")).batch
    assert (batch.ids, batch.versions, batch.timestamps.tolist()) == (["7"], ["3"], [1772366400.0])


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/v1/models/m/versions/3:predict", "3"),
        ("/v1/models/m:predict", "unversioned"),
        (None, "unversioned"),
    ],
)
def test_a_url_may_tell_the_version(path, version):
    decoded = decode("kserve-v1", {**GOOD, "path": path}, given=layout(version="version"))
    assert decoded.batch.versions == [version]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(b'{"request": ', "malformed", id="truncated"),
        pytest.param(b"[1]", "malformed", id="a list"),
        pytest.param(b'{"path": 5, "request": {}}', "malformed", id="a path that is none"),
        pytest.param(b"{}", "no_fields", id="neither"),
        pytest.param(b'{"request": "{\\"instances\\": "}', "malformed", id="truncated body"),
        pytest.param(b'{"request": {"base64": "?"}}', "encoding", id="no base64"),
        pytest.param(b'{"request": "\xff"}', "encoding", id="not UTF-8"),
        pytest.param(b'{"request": "\\ud800"}', "encoding", id="half a surrogate pair"),
        pytest.param(b'{"request": ' + b"[" * 100_000, "too_deep", id="a bomb"),
        pytest.param(b'{"request": "' + b" " * LONGEST_ROW + b'"}', "too_large", id="too large"),
        pytest.param(
            json.dumps({"request": in_base64(gzip.compress(b" " * (9 << 20)))}).encode(),
            "too_large",
            id="a compressed bomb",
        ),
        pytest.param(b'{"request": {"instances": 1}}', "malformed", id="no instances"),
    ],
)
def test_a_bad_line_is_counted_and_stops_no_good_one(line, reason):
    decoded = decode("kserve-v1", GOOD, line, GOOD)
    assert decoded.rejected == {reason: 1}
    assert rows(decoded) == [ROW, ROW]


def test_a_bad_side_costs_the_rows_of_the_other():
    line = {"request": {"instances": [1, 2, 3]}, "response": {"error": "out of memory"}}
    assert decode("kserve-v1", line).rejected == {"malformed": 3}


class TestEndOfTheFile:
    line = json.dumps(GOOD).encode()

    def test_half_a_line_is_left_for_later(self):
        decoded = decode("kserve-v1", GOOD, self.line[:20], end=False)
        assert (rows(decoded), decoded.consumed) == ([ROW], len(self.line) + 1)
        assert not decoded.rejected

    def test_half_a_line_at_the_end_is_truncated(self):
        lines = ExchangeLines(layout(), "kserve-v1")
        assert lines.decode(self.line + b"\n" + self.line[:20], True).rejected == {"truncated": 1}

    def test_a_whole_line_at_the_end_is_not(self):
        lines = ExchangeLines(layout(), "kserve-v1")
        assert rows(lines.decode(self.line, True)) == [ROW]
        assert lines.decode(b'{"request": {}}', True).rejected == {"malformed": 1}


class TestFuzz:
    @pytest.mark.parametrize("format", PROTOCOLS)
    @settings(max_examples=60)
    @given_that(request_body=MESSAGES, response=MESSAGES, want=WANTS)
    def test_any_bodies(self, format, request_body, response, want):
        line = {"id": "i", "request": request_body, "response": response}
        decoded = decode(format, line, GOOD, given=want)
        assert decoded.rejected.keys() <= set(REASONS)
        assert all(
            len(column.values) == decoded.batch.rows for column in decoded.batch.fields.values()
        )

    @pytest.mark.parametrize("format", PROTOCOLS)
    @settings(max_examples=30)
    @given_that(data=st.data())
    def test_damaged_bodies(self, format, data):
        _, line = data.draw(st.sampled_from([one for one in GOLDEN if format in (one[0], "auto")]))
        start = data.draw(st.integers(0, len(line)))
        damage = data.draw(st.binary(max_size=3))
        damaged = line[:start] + damage + line[start + data.draw(st.integers(0, 9)) :]
        decoded = decode(format, damaged.replace(b"\n", b" "))
        assert decoded.rejected.keys() <= set(REASONS)

    @settings(max_examples=30)
    @given_that(
        lines=st.lists(st.sampled_from([line for _, line in GOLDEN]), max_size=5),
        places=st.lists(st.integers(0, 3000), max_size=4),
        want=WANTS,
    )
    def test_pieces_make_no_difference(self, lines, places, want):
        data = b"\n".join(lines)
        whole = ExchangeLines(want, "auto").decode(data, True)
        cut_rows, rejected = feed(ExchangeLines(want, "auto"), cut(data, places))
        assert rejected == whole.rejected
        if not want.discover:  # which features a batch has depends on what it has seen
            assert cut_rows == plain_rows(whole.batch)
