import pytest

from ml_exporter.columns import ABSENT
from ml_exporter.formats.exchanges import Rows
from ml_exporter.formats.messages import Rejected
from ml_exporter.formats.protocols.tables import (
    DEEPEST,
    MOST_ROWS,
    an_answer,
    instances,
    named_columns,
    one_row,
    table,
)
from ml_exporter.formats.rows import MOST_FEATURES


def plain(side: Rows):
    return (
        side.rows,
        {name: list(values) for name, values in side.columns.items()},
        [list(values) for values in side.places],
    )


def nested(depth, value=1):
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param([], (0, {}, []), id="nothing"),
        pytest.param([1, "a", None], (3, {}, [[1, "a", None]]), id="values"),
        pytest.param(1, (1, {}, [[1]]), id="a value alone"),
        pytest.param([[1, 2], [3, 4]], (2, {}, [[1, 3], [2, 4]]), id="lists"),
        pytest.param([[[1], [2]], [[3], [4]]], (2, {}, [[1, 3], [2, 4]]), id="nested lists"),
        pytest.param([[1], [2, 3]], (2, {}, [[[1], [2, 3]]]), id="lists of several lengths"),
        pytest.param([[1, 2], 3], (2, {}, [[[1, 2], 3]]), id="lists and values"),
        pytest.param([[], []], (2, {}, [[[], []]]), id="empty lists"),
        pytest.param([{"a": 1}, {"a": 2}], (2, {"a": [1, 2]}, []), id="objects"),
        pytest.param(
            [{"a": 1}, {"b": 2}], (2, {"a": [1, ABSENT], "b": [ABSENT, 2]}, []), id="other objects"
        ),
        pytest.param(
            [{"a": {"b": 1}}, {"a": None}], (2, {"a.b": [1, ABSENT]}, []), id="nested objects"
        ),
        pytest.param([{"a": {"b": 1}}, {"a": 2}], (2, {"a": [{"b": 1}, 2]}, []), id="mixed"),
        pytest.param(
            [{"x": [1, 2]}], (1, {"x.0": [1], "x.1": [2]}, [[1], [2]]), id="one vector of a name"
        ),
        pytest.param(
            [{"x": [1, 2], "y": 3}], (1, {"x.0": [1], "x.1": [2], "y": [3]}, []), id="vectors"
        ),
        pytest.param([{"x": [1]}, {"x": [2]}], (2, {"x": [1, 2]}, [[1, 2]]), id="of one value"),
        pytest.param(
            [{"x": [1, 2]}, {"y": 3}],
            (2, {"x": [[1, 2], ABSENT], "y": [ABSENT, 3]}, []),
            id="one vector, and another name",
        ),
        pytest.param([{"x": [1]}, {}], (2, {"x": [[1], ABSENT]}, []), id="one vector, and none"),
        pytest.param([{"b64": "aGk="}, {"b64": "/w=="}], (2, {}, [["hi", b"\xff"]]), id="bytes"),
        pytest.param([{"x": {"b64": "aGk="}}], (1, {"x": ["hi"]}, []), id="bytes of a name"),
        pytest.param([{}, {}], (2, {}, []), id="empty objects"),
    ],
)
def test_instances(value, expected):
    assert plain(instances(value)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, 2], "b": ["x", "y"]}, (2, {"a": [1, 2], "b": ["x", "y"]}, [])),
        ({"a": [1, 2], "b": "x"}, (2, {"a": [1, 2], "b": ["x", "x"]}, [])),
        ({"a": 1, "b": "x"}, (1, {"a": [1], "b": ["x"]}, [])),
        ({"x": [[1, 2], [3, 4]]}, (2, {"x.0": [1, 3], "x.1": [2, 4]}, [[1, 3], [2, 4]])),
        ({"x": [1, 2]}, (2, {"x": [1, 2]}, [[1, 2]])),
        ({"x": [], "y": []}, (0, {"x": [], "y": []}, [])),
        ({}, (1, {}, [])),
    ],
)
def test_named_columns(value, expected):
    assert plain(named_columns(value)) == expected


def test_table():
    assert plain(table([[1, "a"]], ["age", 7])) == (1, {"age": [1], "7": ["a"]}, [[1], ["a"]])
    assert plain(table([[1, "a"]], ["age"])) == (1, {}, [[1], ["a"]])
    assert plain(table([[1, "a"]], None)) == (1, {}, [[1], ["a"]])


def test_wide_vectors_are_values():
    wide = list(range(MOST_FEATURES + 1))
    assert plain(one_row(wide)) == (1, {}, [[wide]])
    assert plain(one_row({"pixels": wide, "y": 1})) == (1, {"pixels": [wide], "y": [1]}, [])
    assert len(one_row(wide[1:]).places) == MOST_FEATURES


@pytest.mark.parametrize(
    ("read", "reason", "rows"),
    [
        pytest.param(
            lambda: instances([0] * (MOST_ROWS + 1)), "too_large", MOST_ROWS + 1, id="rows"
        ),
        pytest.param(
            lambda: named_columns({"a": [0] * (MOST_ROWS + 1)}),
            "too_large",
            MOST_ROWS + 1,
            id="column",
        ),
        pytest.param(
            lambda: instances([{f"k{row}": 1} for row in range(10_000)]),
            "too_large",
            10_000,
            id="keys",
        ),
        pytest.param(
            lambda: named_columns({"a": [1] * 10_000} | dict.fromkeys(map(str, range(1000)), 1)),
            "too_large",
            10_000,
            id="repeated values",
        ),
        pytest.param(lambda: instances(nested(DEEPEST + 2)), "too_deep", 1, id="lists"),
        pytest.param(lambda: named_columns({"a": [1], "b": [1, 2]}), "ragged_row", 2, id="ragged"),
        pytest.param(lambda: one_row({"x": {"b64": "?"}}), "encoding", 1, id="base64"),
        pytest.param(lambda: one_row({"x": {"b64": 5}}), "malformed", 1, id="base64 of a number"),
    ],
)
def test_bounds(read, reason, rows):
    with pytest.raises(Rejected) as rejection:
        read()
    assert (rejection.value.reason, rejection.value.rows) == (reason, rows)


def test_deep_objects():
    value = 1
    for _ in range(DEEPEST + 2):
        value = {"a": value, "b": 1}
    with pytest.raises(Rejected, match="too_deep"):
        one_row(value)


@pytest.mark.parametrize(
    ("body", "is_error"),
    [
        ({"error": "out of memory"}, True),
        ({"error": {"code": 5}, "status": 500}, True),
        ({"error": 0.25, "prediction": 7}, False),
        ({"error": "typo", "prediction": 7, "score": 0.5}, False),
    ],
)
def test_errors(body, is_error):
    if is_error:
        with pytest.raises(Rejected, match="malformed"):
            an_answer(body)
    else:
        assert an_answer(body) is body
