import pytest

from ml_exporter.formats.lines import Line, lines_of


@pytest.mark.parametrize(
    ("data", "end", "lines", "consumed"),
    [
        (b"", True, [], 0),
        (b"a\nb\n", False, [("a", False), ("b", False)], 4),
        (b"a\nb", False, [("a", False)], 2),
        (b"a\nb", True, [("a", False), ("b", True)], 3),
        (b" a \r\n\n\t\nb\r\n", True, [("a", False), ("b", False)], 11),
        (b"a", False, [], 0),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbf\n", True, [("a", False)], 9),
        (b"a\n ", True, [("a", False)], 3),
    ],
)
def test_whole_lines_and_the_one_that_is_cut(data, end, lines, consumed) -> None:
    found, size = lines_of(data, end)
    assert [(line.text.decode(), line.is_cut) for line in found] == lines
    assert size == consumed


@pytest.mark.parametrize(
    ("raw", "reason", "said"),
    [
        (b'{"a"', "malformed", "truncated"),
        (b'{"a": "\xc3', "encoding", "truncated"),
        (b'{"a"', "too_large", "too_large"),
        (b'{"a"\n', "malformed", "malformed"),
    ],
)
def test_what_is_cut_is_truncated(raw, reason, said) -> None:
    assert Line.of(raw).reason(reason) == said
