"""Python's own JSON is read and written as msgspec's is."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_exporter.serialization import json_text
from ml_exporter.serialization.json_text import by_msgspec, indented, standard

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda of: st.lists(of) | st.dictionaries(st.text("aé\"\n"), of),
)  # fmt: skip

TEXTS = [
    *(b"1", b"-0", b"1.0", b"1e5", b"1E+2", b"1.5e-7", b"9" * 19, b"9" * 20, b"1" * 305),
    *(b"01", b"1.", b".5", b"+1", b"1e", b"0x1", b"NaN", b"-Infinity", b"1e400", b"[-1e999]"),
    *(b"true", b"null", b"True", b'"a"', b'"\\u00e9\\n\\/"', b'"\xc3\xa9"', b"'a'", b'"\\x"'),
    *(b'"\xff"', b'"\xed\xa0\x80"', b'"\\ud800"', b'{"\\udc00": 1}', b'"\\ud83d\\ude00"'),
    *(b'"\x01"', b'"a', b"[1,]", b"[1 2]", b'{"a":1,}', b'{"a" 1}', b"{1: 2}", b"[", b"", b"  "),
    *(b'{"a": 1, "a": 2}', b" [1 , 2]\r\n\t", b"1 2", b"\xef\xbb\xbf1", b"[[]]", b'{"": {}}'),
    *(b"[" * 100_000, b'{"a":' * 100_000),
]


def outcome(function: Callable[[Any], Any], argument: object, not_json: type[Exception]) -> object:
    """What a function says, or why it can't."""
    try:
        return repr(function(argument))
    except UnicodeError:
        return UnicodeError
    except not_json:
        return json_text.NotJson
    except RecursionError:
        return RecursionError


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:20]))
def test_texts_are_read_alike(text: bytes) -> None:
    found = outcome(standard.decode, text, standard.NotJson)
    assert found == outcome(by_msgspec.decode, text, by_msgspec.NotJson)


@given(VALUES)
def test_values_are_read_and_written_alike(value: object) -> None:
    for text in (standard.encode(value), by_msgspec.encode(value)):
        assert standard.decode(text) == by_msgspec.decode(text) == value


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("[1, 2.5, null, -1e-3]", [1.0, 2.5, None, -1e-3]),
        ("[]", []),
        ("[true]", None),
        ('["1"]', None),
        ("[[1]]", None),
        ("[1 2]", None),
        ("[NaN]", None),
        ("[1e999]", None),
        ("1", None),
        ('{"a": 1}', None),
    ],
)
def test_lists_of_decimals(text: str, read: list[float | None] | None) -> None:
    for module in (standard, by_msgspec):
        if read is None:
            with pytest.raises(module.NotJson):
                module.decimals(text)
        else:
            assert module.decimals(text) == read


@pytest.mark.parametrize(
    ("text", "size"),
    [(b"[]", 0), (b"{}", 0), (b'[1, [2, 3], {"a": 4}]', 3), (b'{"a": 1, "b": [], "a": 2}', 2)],
)
def test_sizes(text: bytes, size: int) -> None:
    assert standard.size(text) == by_msgspec.size(text) == size


def test_encoders_write_what_is_plain_in_place_of_anything_else() -> None:
    value = {"a": complex(1), "b": [complex(2)], "é": "\n"}
    for module in (standard, by_msgspec):
        written = module.encoder(lambda one: {"real": one.real})(value)  # type: ignore[attr-defined]
        assert written == '{"a":{"real":1.0},"b":[{"real":2.0}],"é":"\\n"}'.encode()


def test_nan_is_never_written_as_a_number() -> None:
    assert by_msgspec.encoder(repr)([math.nan]) == b"[null]"
    with pytest.raises(ValueError, match="not JSON compliant"):
        standard.encoder(repr)([math.nan])


class TestIndented:
    @given(VALUES)
    def test_is_written_as_msgspec_would(self, value: object) -> None:
        for spaces in (1, 2):
            expected = msgspec.json.format(msgspec.json.encode(value), indent=spaces) + b"\n"
            assert indented(value, spaces) == expected

    @pytest.mark.parametrize(
        ("number", "text"),
        [(1e-5, "0.00001"), (-1.25e-5, "-0.0000125"), (1e-6, "1e-6"), (1e16, "1e16"), (0.0, "0.0")],
    )
    def test_numbers_have_no_more_of_an_exponent_than_it_takes(
        self, number: float, text: str
    ) -> None:
        assert indented(number, 1) == text.encode() + b"\n"

    def test_what_is_no_number_is_null(self) -> None:
        assert indented([math.nan, -math.inf], 1) == b"[\n null,\n null\n]\n"

    @pytest.mark.parametrize("value", [Decimal(1), {"a": {1}}])
    def test_what_json_does_not_know_is_an_error(self, value: object) -> None:
        with pytest.raises(TypeError, match="not JSON serializable"):
            indented(value, 1)


def test_integers_too_large_for_anything_are_floats() -> None:
    read = json.loads(f"[{'9' * 299}, {'9' * 400}, {'9' * 5000}]", parse_int=json_text.integer)
    assert read == [int("9" * 299), math.inf, math.inf]
