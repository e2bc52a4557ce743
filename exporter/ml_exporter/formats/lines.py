"""Lines of a log, and what is said of one that is cut off in its middle."""

from __future__ import annotations

from typing import NamedTuple

from ml_exporter.formats.rejections import Rejections

BOM = b"\xef\xbb\xbf"

_CUT = ("malformed", "encoding")  # what may be wrong with the beginning of a good line


class Line(NamedTuple):
    """A line without what surrounds it; it may be the unfinished last one of what has ended."""

    text: bytes
    is_cut: bool
    start: int  # where it begins in what was read

    @classmethod
    def of(cls, raw: bytes, start: int = 0) -> Line:
        """A line with its line feed, which it lacks where it is cut."""
        return cls(raw.removeprefix(BOM).strip(), not raw.endswith(b"\n"), start)

    def reason(self, reason: str) -> str:
        """Why it is rejected, as it is counted."""
        return "truncated" if self.is_cut and reason in _CUT else reason

    def reject(self, rejected: Rejections, reason: str, rows: int = 1) -> None:
        """Count it as rejected."""
        rejected.reject(self.reason(reason), self.text, offset=self.start, rows=rows)


def whole(data: bytes, end: bool) -> int:
    """How many bytes there are of whole lines; all, where the log `end`s with them."""
    return len(data) if end else data.rfind(b"\n") + 1


def lines_of(data: bytes, end: bool) -> tuple[list[Line], int]:
    """The lines that aren't blank, and how many bytes they and the blank ones are."""
    consumed = whole(data, end)
    lines = []
    start = 0
    while start < consumed:
        stop = data.find(b"\n", start, consumed) + 1 or consumed
        if (line := Line.of(data[start:stop], start)).text:
            lines.append(line)
        start = stop
    return lines, consumed
