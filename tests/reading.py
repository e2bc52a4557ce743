"""Files that are read line by line, as by a decoder, and written as by a service."""

from __future__ import annotations

from pathlib import Path

from ml_exporter.sources.files import FileSource
from ml_exporter.sources.parts import Chunk
from ml_exporter.store.store import Position

OPENED: list[FileSource] = []


class Reader:
    """Takes whole lines from a source, as a decoder does."""

    def __init__(self, source: FileSource) -> None:
        self.source = source
        OPENED.append(source)
        self.lines: list[str] = []
        self.too_large = 0
        self.problems: list[str] = []

    def read(self) -> list[str]:
        """What is new."""
        before = len(self.lines)
        while (chunk := self.source.next()) is not None:
            self.take(chunk)
        return self.lines[before:]

    def take(self, chunk: Chunk) -> None:
        if chunk.problem:
            self.problems.append(chunk.problem)
        elif chunk.too_large:
            self.too_large += chunk.too_large
            self.source.advance(chunk.part, chunk.after(chunk.skipped))
        elif length := len(chunk.data) if chunk.end else chunk.data.rfind(b"\n") + 1:
            counted = chunk.part.position.rows
            self.lines += chunk.data[:length].decode().splitlines()[counted:]
            self.source.advance(chunk.part, chunk.after(length))

    def again(self) -> Reader:
        """The reader of a process that comes after this one."""
        self.source.close()
        return following(Path(self.source.name), dict(self.source.positions))


def close_all() -> None:
    while OPENED:
        OPENED.pop().close()


def write(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def rows(first: int, last: int) -> str:
    """Lines that are all different."""
    return "".join(f'{{"n": {n}, "x": "{n * 7919 % 10007}"}}\n' for n in range(first, last + 1))


def following(pattern: Path, positions: dict[str, Position] | None = None) -> Reader:
    return Reader(FileSource(str(pattern), {} if positions is None else positions))


def reading_once(pattern: Path) -> Reader:
    return Reader(FileSource(str(pattern), {}, follow=False))
