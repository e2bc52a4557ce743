"""A service that writes and rotates at random, and a reader that is killed at random.

Every row is read once. Two things are left out, for nobody can do them: rows that are written
between copying a log and truncating it, and not read until then, are in no file; and a log with a
few rows that is copied, and not truncated at once, looks like another log with the same rows.
"""

from __future__ import annotations

import gzip
import os
import random
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest
import zstandard

from ml_exporter.sources import files
from ml_exporter.store.store import Position
from tests.reading import following

STEPS = 60


@pytest.fixture(autouse=True)
def look_at_copies_each_time(look_each_time: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_COPY_AGAIN", 0.0)


class Saved(NamedTuple):
    """What a process that starts knows."""

    positions: dict[str, Position]
    lines: list[str]


@dataclass
class World:
    folder: Path
    chosen: random.Random
    written: list[str] = field(default_factory=list)
    may_be_lost: set[str] = field(default_factory=set)
    rotated: list[Path] = field(default_factory=list)
    rotations: int = 0

    def __post_init__(self) -> None:
        self.log = self.folder / "log"
        self.row_length = self.chosen.choice([1, 40, 300, 3000])
        self.reader = following(self.folder / "log*")
        self.saved = [Saved({}, [])]

    def append(self) -> None:
        rows = self.chosen.choice([1, 2, 5, 50, 400])
        with self.log.open("a", buffering=1) as file:
            for _ in range(rows):
                row = f"{len(self.written)} ".ljust(self.row_length, "x")
                self.written.append(row)
                middle = self.chosen.randrange(len(row))
                file.write(row[:middle])
                if rows == 1:
                    self.read()
                file.write(row[middle:] + "\n")

    def rename(self) -> None:
        if self.log.exists():
            self.log.rename(self.next_name())

    def copy_and_truncate(self) -> None:
        if not self.log.exists():
            return
        copy = self.next_name()
        seen = self.log.stat().st_size > 50_000 and self.chosen.random() < 0.5
        if seen:
            self.read_all()
            half = self.chosen.randrange(20_000, 50_000)
            copy.write_bytes(self.log.read_bytes()[:half])
            self.read()
        shutil.copyfile(self.log, copy)
        if seen:
            self.read()
            before = len(self.written)
            self.append()
            self.may_be_lost |= set(self.written[before:])
            self.read()
        os.truncate(self.log, 0)

    def next_name(self) -> Path:
        self.rotations += 1
        self.rotated.append(self.folder / f"log.{self.rotations}")
        return self.rotated[-1]

    def compress(self) -> None:
        plain = [path for path in self.rotated if path.suffix not in (".gz", ".zst")]
        if not plain:
            return
        path = self.chosen.choice(plain)
        data = path.read_bytes()
        if self.chosen.random() < 0.5:
            packed, archive = gzip.compress(data), path.with_name(path.name + ".gz")
        else:
            packed, archive = zstandard.compress(data), path.with_name(path.name + ".zst")
        if len(data) > 50_000 and self.chosen.random() < 0.5:
            self.read_all()
            archive.write_bytes(packed[: self.chosen.randrange(len(packed))])
            self.read()
        archive.write_bytes(packed)
        path.unlink()
        self.rotated[self.rotated.index(path)] = archive

    def copy_back(self) -> None:
        """Give a file another number, as `cp -p` and `mv` do."""
        if self.rotated:
            path = self.chosen.choice(self.rotated)
            shutil.copy2(path, self.folder / "copy")
            (self.folder / "copy").rename(path)

    def delete(self) -> None:
        """The oldest one, once it was read and that is saved."""
        if len(self.rotated) > 3:
            self.read_all()
            self.save()
            self.saved = self.saved[-1:]
            self.rotated.pop(0).unlink()

    def read(self) -> None:
        for _ in range(self.chosen.randrange(4)):
            if chunk := self.reader.source.next():
                self.reader.take(chunk)

    def read_all(self) -> None:
        self.reader.read()

    def read_in_part(self) -> None:
        """Count a row of a chunk; the others wait until their series were seen."""
        chunk = self.reader.source.next()
        if chunk and b"\n" in chunk.data and not chunk.part.position.rows:
            self.reader.lines.append(chunk.data.split(b"\n")[0].decode())
            self.reader.source.advance(chunk.part, chunk.within(1))

    def save(self) -> None:
        self.saved.append(Saved(dict(self.reader.source.positions), list(self.reader.lines)))

    def kill(self) -> None:
        """Start again from something saved, perhaps long ago."""
        self.reader.source.close()
        self.saved = self.saved[: self.chosen.randrange(len(self.saved)) + 1]
        self.reader = following(self.folder / "log*", dict(self.saved[-1].positions))
        self.reader.lines = list(self.saved[-1].lines)


@pytest.mark.parametrize("seed", range(60))
def test_every_row_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    chosen = random.Random(seed)
    world = World(tmp_path, chosen)
    for _ in range(STEPS):
        act = chosen.choice(
            [
                *(world.append, world.append, world.read, world.read_in_part, world.read_all),
                *(world.save, world.save, world.kill, world.rename, world.copy_and_truncate),
                *(world.compress, world.copy_back, world.delete),
            ]
        )
        act()
        assert not [row for row, times in Counter(world.reader.lines).items() if times > 1], act
    world.read_all()
    monkeypatch.setattr(files, "_GRACE", 0.0)  # files that are gone are let go
    for _ in range(3):
        world.read_all()
    read = Counter(world.reader.lines)
    assert {row for row, times in read.items() if times > 1} == set()
    assert set(world.written) - set(read) <= world.may_be_lost
    assert set(read) <= set(world.written)
    assert world.reader.source.lag() == 0
