import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_exporter.proxy.bodies import Body, Copy
from ml_exporter.proxy.heads import CHUNKED, UNTIL_CLOSE, BadMessage
from tests.proxy.wires import cut

CHUNKS = b"5;a=b\r\nhello\r\n1 ; x\r\n \r\n00005\r\nworld\r\n0\r\nDigest: abc\r\nX: \r\n\r\n"


@pytest.mark.parametrize(
    ("length", "data", "says"),
    [
        (0, b"", b""),
        (11, b"hello world", b"hello world"),
        (CHUNKED, CHUNKS, b"hello world"),
        (CHUNKED, b"0\r\n\r\n", b""),
        (CHUNKED, b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    ],
)
@given(sizes=st.lists(st.integers(0, 9)))
def test_a_body_ends_where_it_does_however_it_is_cut(
    length: int, data: bytes, says: bytes, sizes: list[int]
) -> None:
    copy = Copy(100)
    body = Body(length, copy)
    taken = 0
    for piece in cut(data + b"NEXT", sizes):
        if not body.is_done:
            taken += body.take(piece)
    assert body.is_done
    assert taken == len(data)
    assert b"".join(copy.pieces) == says


def test_a_body_may_last_as_long_as_the_connection() -> None:
    body = Body(UNTIL_CLOSE, None)
    assert (body.take(b"0\r\n\r\n"), body.is_done, body.until_close) == (5, False, True)


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"x\r\n",
        b"-1\r\n",
        b"+5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"5\nhello\r\n",
        b"5\rhello\r\n",
        b"5\r\nhello!\r\n",
        b"5\r\nhello\n",
        b"5;a=\x00\r\nhello\r\n",
        b"5;a\nhello\r\n",
        b"1" * 16 + b"\r\n",
        b"5;" + b"a" * 5000,
        b"0\r\nX : y\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\n" + b"X: y\r\n" * 20_000,
    ],
)
def test_chunks_that_could_be_understood_in_two_ways(data: bytes) -> None:
    with pytest.raises(BadMessage):
        Body(CHUNKED, None).take(data)


def test_what_is_too_large_is_not_copied() -> None:
    copy = Copy(5)
    body = Body(12, copy)
    body.take(b"hello ")
    body.take(b"world!")
    assert (copy.is_cut, copy.pieces) == (True, [])
