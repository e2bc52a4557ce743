import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_exporter.formats import _scanner
from ml_exporter.formats.free_values import ALL, FreeValues
from ml_exporter.formats.templates import Template, marked_place, template

finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.one_of(st.booleans(), st.integers(), finite, st.text(max_size=6))
values = st.recursive(
    scalars | st.none(),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3),
    max_leaves=8,
)


def made(text: bytes, free: FreeValues = ALL) -> Template:
    found = template(text, free)
    assert found is not None
    return found


def found(like: Template, *texts: bytes) -> list[list[object] | None]:
    """The values of each text; None where it isn't alike."""
    ends = np.cumsum([len(text) for text in texts]).astype(np.int32)
    begins = ends - np.array([len(text) for text in texts], np.int32)
    matches = like.match(b"".join(texts), begins, ends)
    places = range(len(like.nullable))
    return [
        [*matches.column(places, np.array([text])).values]
        if is_match and places
        else []
        if is_match
        else None
        for text, is_match in enumerate(matches.matched)
    ]


def leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for below in value.values() for leaf in leaves(below)]
    if isinstance(value, list):
        return [leaf for below in value for leaf in leaves(below)]
    return [value]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (b'{"a": 2, "b": ["y", null]}', [2, "y", None]),
        (b'{"a": "q\\"\\u00e9", "b": [true, -1.5e3]}  \r\n', ['q"é', True, -1500.0]),
        (b'{"a": 2, "b": ["y"]}', None),
        (b'{"a": 2,"b": ["y", 3]}', None),
        (b'{"a": 2, "b": ["y", 3]} {}', None),
        (b'{"a": 2, "b": ["y", 3', None),
        (b'{"a": [2], "b": ["y", 3]}', None),
        (b'{"a": {}, "b": ["y", 3]}', None),
        (b'{"a": NaN, "b": ["y", 3]}', None),
        (b'{"a": 01, "b": ["y", 3]}', None),
        (b'{"a": "\\ud800", "b": ["y", 3]}', None),
        (b'{"a": "\xff", "b": ["y", 3]}', None),
        (b"", None),
    ],
)
def test_texts_that_differ_in_values_are_alike(text: bytes, values: list[object] | None) -> None:
    like = made(b'{"a": 1, "b": ["x", 2]}\n')
    assert found(like, text) == [values]
    whole = b'{"a": 5, "b": [6, 7]}'
    assert found(like, whole, text, whole) == [[5, 6, 7], values, [5, 6, 7]]


@given(value=st.dictionaries(st.text(max_size=3), values, max_size=4))
def test_a_text_is_like_itself(value: dict[str, object]) -> None:
    text = json.dumps(value).encode()
    assert repr(found(made(text), text)) == repr([leaves(json.loads(text))])


def test_only_what_is_free_may_differ() -> None:
    free = FreeValues(within=[("inputs", None, "data")], said=[("id",)], fixed=[("inputs", "no")])
    text = b'{"id": "a", "inputs": [{"name": "x", "shape": [1], "data": [[1]]}], "model": "m"}'
    like = made(text, free)
    assert found(like, text.replace(b'"a"', b"7").replace(b"[[1]]", b"[[null]]")) == [[7, None]]
    for before, after in ((b'"a"', b"null"), (b'"m"', b'"n"'), (b"[1]", b"[2]"), (b'"x"', b'"y"')):
        assert found(like, text.replace(before, after, 1)) == [None]


def test_marks_stand_for_values() -> None:
    marked = json.loads(made(b'{"a": 1, "b": ["x", null], "a": 2}').marked(5))
    assert {name: marked_place(value) for name, value in marked.items() if name == "a"} == {"a": 8}
    assert [*map(marked_place, marked["b"])] == [6, 7]
    assert marked_place(1) is marked_place("x") is marked_place(True) is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"1",
        b" {}",
        b"{",
        b'\xef\xbb\xbf{"a": 1}',
        b"\x1f\x8b",
        b'{"a": 7203186954000000001}',
        b"[%b1]" % (b"1," * 2048),
        b'["%b"]' % (b"a" * 20_000),
    ],
)
def test_unusual_texts_have_no_template(text: bytes) -> None:
    assert template(text, ALL) is None


def test_arrays_that_dont_belong_together_are_refused() -> None:
    like = made(b'{"a": 1}')
    one = np.zeros(1, np.int32)
    for begins, ends in ((one, one + 9), (one + 1, one), (one - 1, one), (one, np.r_[one, one])):
        with pytest.raises(ValueError, match="belong together"):
            like.match(b'{"a": 2}', begins, ends)
    sizes = np.array([5, 50], np.int32)
    spans = (np.zeros((1, 1), np.int32), np.zeros((1, 1), np.int32), np.zeros((1, 1), np.uint8))
    with pytest.raises(ValueError, match="belong together"):
        _scanner.match(
            b'{"a": }', sizes, b"\1", b'{"a": 2}', one, one + 8, *spans, np.zeros((1, 1)), one
        )
