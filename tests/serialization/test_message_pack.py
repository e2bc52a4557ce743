"""Maps are read alike by msgspec and in Python."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_exporter.serialization.message_pack import FLOAT_64, head, maps, maps_in_python, text

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
MAPS = st.dictionaries(TEXTS, TEXTS | st.floats(allow_nan=False), max_size=20)


@given(st.lists(MAPS, max_size=5))
def test_maps_are_read_alike(values: list[dict[str, float | str]]) -> None:
    rows = [msgspec.msgpack.encode(value) for value in values]
    assert maps(rows) == maps_in_python(rows) == values


@pytest.mark.parametrize("size", [0, 31, 32, 255, 256, 65535, 65536])
def test_texts_of_any_length(size: int) -> None:
    assert text("x" * size) == msgspec.msgpack.encode("x" * size)
    row = head(1) + text("x" * size) + text("é" * (size // 2))
    assert maps_in_python([row]) == maps([row]) == [{"x" * size: "é" * (size // 2)}]


@pytest.mark.parametrize("entries", [0, 1, 15, 16, 300])
def test_maps_of_any_size(entries: int) -> None:
    row = head(entries) + b"".join(text(str(n)) + FLOAT_64 + bytes(8) for n in range(entries))
    assert maps_in_python([row]) == maps([row]) == [{str(n): 0.0 for n in range(entries)}]


@pytest.mark.parametrize(
    "row",
    [
        b"\xc1",
        b"\x81",
        b"\x82\xa1a",
        b"\x81\xa1\xff\xa0",
        b"\x80\x80",
        b"\x91\x01",
        b"\xde\x00",
        b"\x81\xa1a\xcb\x00",
        b"\x81\xd9\x05a\xa0",
        b"\x81\xa1a\xc0",
        b"\x81\xcb" + bytes(8) + b"\xa0",
    ],
)
def test_what_can_not_be_read(row: bytes) -> None:
    good = msgspec.msgpack.encode({"a": "b"})
    assert maps([row, good]) == [{}, {"a": "b"}]
    with pytest.raises(ValueError, match=r"map|cut off|codec"):
        maps_in_python([row])
    assert maps_in_python([good, b""]) == [{"a": "b"}, {}]
