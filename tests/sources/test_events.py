"""What is posted, as a source."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_exporter.sources.events import PostedSource
from ml_exporter.sources.parts import Source
from ml_exporter.sources.spool import Spool
from ml_exporter.store.store import Position

LIMIT = 1 << 20


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path)
    yield spool
    spool.close()


def take(source: Source) -> bytes:
    """All that there is, counted."""
    found = b""
    while (chunk := source.next()) is not None:
        source.advance(chunk.part, chunk.after(len(chunk.data)))
        found += chunk.data
    return found


def test_yields_what_is_posted_once(spool: Spool) -> None:
    source = PostedSource(spool, {})
    assert source.next() is None
    spool.append(b"1\n2\n", LIMIT)
    assert source.lag() == 4
    chunk = source.next()
    assert chunk is not None
    assert (chunk.data, chunk.end) == (b"1\n2\n", False)
    assert source.next() == chunk  # until it is moved
    assert take(source) == b"1\n2\n"
    assert source.next() is None
    assert source.lag() == 0
    assert source.moved == set(source.positions)


def test_yields_the_same_rows_within_a_chunk(spool: Spool) -> None:
    spool.append(b"1\n2\n3\n", LIMIT)
    source = PostedSource(spool, {})
    chunk = source.next()
    assert chunk is not None
    position = source.advance(chunk.part, chunk.within(2))
    spool.append(b"4\n", LIMIT)
    again = PostedSource(spool, {"spool": position})
    same = again.next()
    assert same is not None
    assert same.data == chunk.data
    assert same.part.position.rows == 2
    assert take(again) == b"1\n2\n3\n4\n"


def test_keeps_files_until_they_are_counted_for_good(tmp_path: Path, spool: Spool) -> None:
    spool.append(b"1\n", LIMIT)
    later = Spool(tmp_path)
    source = PostedSource(later, {})
    assert take(source) == b"1\n"
    assert len(list(tmp_path.iterdir())) == 1
    PostedSource(later, source.positions)  # a position that is known needn't be saved
    assert len(list(tmp_path.iterdir())) == 1
    source.committed()
    assert list(tmp_path.iterdir()) == []


def test_goes_on_after_a_restart(tmp_path: Path, spool: Spool) -> None:
    positions: dict[str, Position] = {}
    spool.append(b"1\n2\n", LIMIT)
    source = PostedSource(spool, positions)
    assert take(source) == b"1\n2\n"
    source.committed()
    spool.append(b"3\n", LIMIT)
    later = Spool(tmp_path)
    later.append(b"4\n", LIMIT)
    assert take(PostedSource(later, positions)) == b"3\n4\n"
    later.close()


def test_tells_what_it_cannot_read(spool: Spool) -> None:
    spool.append(b"1\n", LIMIT)
    source = PostedSource(spool, {})
    next(spool.folder.iterdir()).unlink()
    assert source.next() is None
    assert source.errors == {str(spool.folder): "no such file or directory"}
    assert source.next() is None
    assert source.errors == {}


def test_of_nothing_is_nothing() -> None:
    source = PostedSource(None, {})
    assert source.next() is None
    assert source.lag() == 0
    source.committed()


def test_is_alike_only_for_one_folder(tmp_path: Path, spool: Spool) -> None:
    other = Spool(tmp_path / "other")
    ids = [PostedSource(one, {}).source_id for one in (spool, spool, other)]
    assert ids[0] == ids[1] != ids[2]
