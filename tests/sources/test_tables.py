"""Table files as a daily job writes, copies, corrects and breaks them."""

from __future__ import annotations

import logging
import os
import random
import shutil
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from ml_exporter.batch import Field
from ml_exporter.columns import ABSENT
from ml_exporter.formats import HeaderError
from ml_exporter.formats.arrow import decode_table
from ml_exporter.formats.rows import Layout
from ml_exporter.sources import table_file, tables
from ml_exporter.sources.parts import Chunk, SourceError
from ml_exporter.sources.table_file import partition_keys
from ml_exporter.sources.tables import TableFiles
from ml_exporter.store.store import Position

X = Field("feature", "x")
LAYOUT = Layout({X: "x"})


class Reader:
    """Takes whole chunks from a source, as a pipeline does."""

    def __init__(self, source: TableFiles, layout: Layout = LAYOUT) -> None:
        self.source = source
        self.layout = layout
        self.problems: list[str] = []
        OPENED.append(source)

    def read(self) -> list[object]:
        """What is new."""
        values: list[object] = []
        while (chunk := self.source.next()) is not None:
            values += self.take(chunk)
        return values

    def take(self, chunk: Chunk) -> list[object]:
        if chunk.problem:
            self.problems.append(chunk.problem)
            self.source.advance(chunk.part, chunk.after(0))
            return []
        assert chunk.table is not None
        try:
            decoded = decode_table(chunk.table, self.layout)
        except HeaderError as error:
            self.problems.append(str(error))
            self.source.give_up(chunk.part, str(error))
            self.source.advance(chunk.part, chunk.after(0))
            return []
        self.source.advance(chunk.part, chunk.after(decoded.consumed))
        return list(decoded.batch.fields[X].values)


OPENED: list[TableFiles] = []


@pytest.fixture(autouse=True)
def look_each_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tables, "_LOOK_AGAIN", 0.0)
    yield
    while OPENED:
        OPENED.pop().close()


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_file, "ROWS", 10)


def write(path: Path, values: list[Any], group: int = 1000, **columns: list[Any]) -> Path:
    """A file of one column and others, in the format that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"x": values, **columns})
    if path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=group)
        return path
    options = ipc.IpcWriteOptions(compression="zstd" if path.stem == "zstd" else None)
    opened = ipc.new_stream if path.suffix == ".arrows" else ipc.new_file
    with opened(path, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=group)
    return path


def reading(pattern: Path, *, follow: bool = False, **given: Any) -> Reader:
    format = "parquet" if pattern.suffix == ".parquet" else "arrow"
    given.setdefault("positions", {})
    return Reader(TableFiles(str(pattern), format, follow=follow, **given))


def age(path: Path, seconds: float) -> None:
    when = time.time() - seconds
    os.utime(path, (when, when))


NAMES = ["a.parquet", "a.arrow", "zstd.arrow", "a.arrows", "zstd.arrows"]


@pytest.mark.usefixtures("small_chunks")
class TestRows:
    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("group", [1, 7, 10, 1000])
    def test_are_all_read_in_order(self, tmp_path: Path, name: str, group: int) -> None:
        path = write(tmp_path / name, list(range(45)), group)
        assert reading(path).read() == list(range(45))

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("group", [7, 1000])
    def test_are_read_on_from_any_one(self, tmp_path: Path, name: str, group: int) -> None:
        path = write(tmp_path / name, list(range(45)), group)
        positions: dict[str, Position] = {}
        seen: list[object] = []
        for _ in range(10):  # a process for each chunk
            reader = reading(path, positions=positions)
            if chunk := reader.source.next():
                seen += reader.take(chunk)
        assert seen == list(range(45))

    @pytest.mark.parametrize("name", NAMES)
    def test_come_again_where_some_of_them_are_counted(self, tmp_path: Path, name: str) -> None:
        path = write(tmp_path / name, list(range(45)), 7)
        positions: dict[str, Position] = {}
        reader = reading(path, positions=positions)
        first = reader.source.next()
        assert first
        assert reader.take(first) == list(range(10))
        second = reader.source.next()
        assert second
        reader.source.advance(second.part, second.within(3))
        for again in (reader, reading(path, positions=positions)):
            chunk = again.source.next()
            assert chunk
            assert chunk.part.position.rows == 3
            assert chunk.table
            assert decode_table(chunk.table, LAYOUT).batch.fields[X].values == list(range(10, 20))

    def test_are_read_anew_where_other_columns_are_asked_for(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.parquet", list(range(45)), 7, y=[*"abcde"] * 9)
        reader = reading(path)
        seen = []
        for n in range(5):
            layout = LAYOUT if n % 2 else Layout({X: "y"})
            chunk = reader.source.next()
            assert chunk
            assert chunk.table
            decode_table(chunk.table, layout)
            seen += reader.take(chunk)
        assert seen == list(range(45))

    @pytest.mark.parametrize("name", NAMES)
    def test_of_texts_that_differ_from_group_to_group(self, tmp_path: Path, name: str) -> None:
        values = [f"{chr(97 + n // 7)}{n % 3}" for n in range(45)]
        assert reading(write(tmp_path / name, values, 7)).read() == values

    @pytest.mark.parametrize("name", NAMES)
    def test_there_may_be_none(self, tmp_path: Path, name: str) -> None:
        reader = reading(write(tmp_path / name, []))
        assert reader.read() == []
        assert not reader.source.errors
        assert not reader.problems

    @pytest.mark.parametrize("name", NAMES)
    def test_without_a_column_that_anybody_wants(self, tmp_path: Path, name: str) -> None:
        path = write(tmp_path / name, list(range(45)), 7)
        reader = reading(path)
        reader.layout = Layout({X: "nowhere"})
        assert reader.read() == []
        assert reader.source.lag() == 0


def test_rows_that_were_read_take_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"x": [float(n) for n in range(500_000)]})
    parquet.write_table(
        table, path, row_group_size=50_000, compression="none", use_dictionary=False
    )
    reader = reading(path)
    tracemalloc.start()
    while (chunk := reader.source.next()) is not None:
        assert chunk.table
        decode_table(chunk.table, LAYOUT)
        reader.source.advance(chunk.part, chunk.after(chunk.table.rows))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < path.stat().st_size / 2


class TestFiles:
    def test_are_read_in_the_order_of_their_names(self, tmp_path: Path) -> None:
        for day in ("02", "01", "03"):
            write(tmp_path / f"date=2026-11-{day}" / "part-0.parquet", [day])
        assert reading(tmp_path / "**" / "*.parquet").read() == ["01", "02", "03"]

    def test_that_come_later_are_read(self, tmp_path: Path) -> None:
        reader = reading(tmp_path / "*.parquet", follow=True)
        assert reader.read() == []
        assert reader.source.errors == {str(tmp_path / "*.parquet"): "no file matches"}
        for name in ("b", "a"):
            write(tmp_path / f"{name}.parquet", [name])
            assert reader.read() == [name]
        assert reader.source.errors == {}

    @pytest.mark.parametrize("hidden", ["_temporary/0/a", ".a", "_metadata", "x/_a", "x/.y/a"])
    def test_that_are_hidden_are_no_data(self, tmp_path: Path, hidden: str) -> None:
        folder = tmp_path / "_mine"
        write(folder / f"{hidden}.parquet", [1])
        write(folder / "b.parquet", [2])
        assert reading(folder / "**" / "*.parquet").read() == [2]

    def test_may_be_hidden_where_they_are_named(self, tmp_path: Path) -> None:
        assert reading(write(tmp_path / "_a.parquet", [1])).read() == [1]

    @pytest.mark.parametrize(
        ("name", "problem"),
        [
            ("none.parquet", "no such file"),
            ("folder.parquet", "is a folder; name its files, as in **/*.parquet"),
            ("pipe.parquet", "is no regular file"),
        ],
    )
    def test_that_are_none(self, tmp_path: Path, name: str, problem: str) -> None:
        (tmp_path / "folder.parquet").mkdir()
        os.mkfifo(tmp_path / "pipe.parquet")
        reader = reading(tmp_path / name)
        assert reader.read() == []
        assert reader.source.errors == {str(tmp_path / name): problem}

    def test_at_the_end_of_which_reading_starts(self, tmp_path: Path) -> None:
        positions: dict[str, Position] = {}
        write(tmp_path / "a.parquet", [1])
        (tmp_path / "b.parquet").write_bytes(b"PAR1")  # still being written
        reader = reading(tmp_path / "*.parquet", follow=True, start="end", positions=positions)
        assert reader.read() == []
        write(tmp_path / "b.parquet", [2])
        write(tmp_path / "c.parquet", [3])
        assert reader.read() == [2, 3]
        again = reading(tmp_path / "*.parquet", positions=positions)
        assert again.read() == []

    def test_lag_is_what_is_not_read(self, tmp_path: Path, small_chunks: None) -> None:
        sizes = [write(tmp_path / f"{name}.parquet", [name] * 20).stat().st_size for name in "ab"]
        shutil.copy(tmp_path / "a.parquet", tmp_path / "copy.parquet")
        reader = reading(tmp_path / "*.parquet")
        reader.source.look()
        assert reader.source.lag() == sum(sizes)
        chunk = reader.source.next()
        assert chunk
        reader.take(chunk)
        assert reader.source.lag() == sizes[0] - sizes[0] // 2 + sizes[1]
        reader.read()
        assert reader.source.lag() == 0

    def test_that_were_read_are_not_opened_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        positions: dict[str, Position] = {}
        write(tmp_path / "a.parquet", [1])
        assert reading(tmp_path / "*.parquet", positions=positions).read() == [1]
        monkeypatch.setattr("ml_exporter.sources.table_readers.open_table", None)
        assert reading(tmp_path / "*.parquet", positions=positions).read() == []

    def test_need_pyarrow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        for format, title in (("parquet", "Parquet"), ("arrow", "Arrow")):
            with pytest.raises(SourceError) as error:
                TableFiles("*", format, {})
            assert error.value.key == "format"
            assert error.value.text == (
                f"reading {title} needs pyarrow: pip install 'ml-exporter[parquet]'"
            )


class TestIdentity:
    @pytest.mark.parametrize("move", [Path.rename, shutil.copy, shutil.copy2, os.link])
    def test_a_file_at_another_place_is_counted_once(self, tmp_path: Path, move: Any) -> None:
        positions: dict[str, Position] = {}
        path = write(tmp_path / "a.parquet", [1, 2])
        pattern = tmp_path / "*.parquet"
        reader = reading(pattern, follow=True, positions=positions)
        assert reader.read() == [1, 2]
        move(path, tmp_path / "b.parquet")
        assert reader.read() == []
        assert reading(pattern, positions=positions).read() == []

    def test_a_file_that_is_away_for_a_while_is_counted_once(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.parquet", [1, 2])
        reader = reading(tmp_path / "*.parquet", follow=True)
        assert reader.read() == [1, 2]
        path.rename(tmp_path / "away")
        assert reader.read() == []
        (tmp_path / "away").rename(path)
        assert reader.read() == []

    def test_two_copies_are_counted_once(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.parquet", [1, 2])
        shutil.copy(path, tmp_path / "b.parquet")
        assert reading(tmp_path / "*.parquet").read() == [1, 2]

    def test_partitions_with_the_same_rows_are_not_copies(self, tmp_path: Path) -> None:
        for day in (1, 2):
            write(tmp_path / f"day={day}" / "a.parquet", [7])
        assert reading(tmp_path / "**" / "*.parquet").read() == [7, 7]

    @pytest.mark.parametrize("suffix", ["parquet", "arrow", "arrows"])
    def test_files_that_differ_in_nothing_but_a_value(self, tmp_path: Path, suffix: str) -> None:
        for number in range(5):
            write(tmp_path / f"{number}.{suffix}", [number] * 100)
        assert len(reading(tmp_path / f"*.{suffix}").read()) == 500

    @pytest.mark.parametrize("restarted", [False, True])
    def test_a_partition_that_is_written_anew_is_another_file(
        self, tmp_path: Path, restarted: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        positions: dict[str, Position] = {}
        path = write(tmp_path / "a.parquet", [1, 2])
        reader = reading(path, follow=True, positions=positions)
        assert reader.read() == [1, 2]
        assert not caplog.records
        write(path, [1, 3, 4])
        if restarted:
            reader = reading(path, follow=True, positions=positions)
        assert reader.read() == [1, 3, 4]
        assert reader.read() == []
        assert [(one.levelno, one.getMessage()) for one in caplog.records] == [
            (
                logging.WARNING,
                f"{path}: was counted before, and has been written anew: all its rows are counted",
            )
        ]

    def test_a_file_that_is_deleted_while_it_is_read_is_read_to_its_end(
        self, tmp_path: Path, small_chunks: None
    ) -> None:
        path = write(tmp_path / "a.parquet", list(range(25)))
        reader = reading(path, follow=True)
        chunk = reader.source.next()
        assert chunk
        seen = reader.take(chunk)
        path.unlink()
        assert seen + reader.read() == list(range(25))


class TestIncompleteFiles:
    @pytest.mark.parametrize("name", NAMES)
    def test_are_waited_for(self, tmp_path: Path, name: str) -> None:
        whole = write(tmp_path / "whole" / name, [1, 2]).read_bytes()
        path = tmp_path / name
        reader = reading(path, follow=True)
        for stop in (0, 1, 6, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:stop])
            assert reader.read() == []
            assert not reader.source.errors
        path.write_bytes(whole)
        assert reader.read() == [1, 2]
        assert not reader.problems

    @pytest.mark.parametrize("name", NAMES)
    def test_are_given_up_where_they_stay_so(self, tmp_path: Path, name: str) -> None:
        positions: dict[str, Position] = {}
        path = write(tmp_path / name, [1, 2])
        path.write_bytes(path.read_bytes()[:-10])
        age(path, 59)
        reader = reading(path, follow=True, positions=positions)
        assert reader.read() == []
        assert not reader.problems
        age(path, 61)
        for _ in range(3):
            assert reader.read() == []
            assert reader.source.errors == {str(path): reader.problems[0]}
        assert len(reader.problems) == 1
        # Neither is it counted again after a restart.
        again = reading(path, follow=True, positions=positions)
        assert again.read() == []
        assert not again.problems
        write(path, [1, 2])
        assert reader.read() == [1, 2]
        assert not reader.source.errors

    def test_are_given_up_at_once_where_nothing_is_followed(self, tmp_path: Path) -> None:
        path = tmp_path / "a.parquet"
        path.write_bytes(b"PAR1")
        write(tmp_path / "b.parquet", [1])
        reader = reading(tmp_path / "*.parquet")
        assert reader.read() == [1]
        assert list(reader.source.errors) == [str(path)]
        assert len(reader.problems) == 1

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b"", "Parquet file size is 0 bytes"),
            (b"PAR1" + b"\0" * 8 + b"PAR1", "Couldn't deserialize thrift"),
            (b"PAR1" + b"\xff" * 8 + b"PAR1", "Parquet file size is 16 bytes"),
            (b"x,y\n1,2\n" * 10, "Parquet magic bytes not found in footer"),
        ],
    )
    def test_say_what_is_wrong(self, tmp_path: Path, content: bytes, problem: str) -> None:
        path = tmp_path / "a.parquet"
        path.write_bytes(content)
        reader = reading(path)
        reader.read()
        assert reader.problems[0].startswith(problem)
        assert "\n" not in reader.problems[0]

    def test_feather_of_version_1(self, tmp_path: Path) -> None:
        path = tmp_path / "a.arrow"
        path.write_bytes(b"FEA1" + b"\0" * 20 + b"FEA1")
        reader = reading(path)
        reader.read()
        assert reader.problems == ["is Feather of version 1; write it as version 2"]


@pytest.mark.usefixtures("small_chunks")
class TestDamage:
    def test_in_the_middle_costs_the_rows_after_it(self, tmp_path: Path) -> None:
        positions: dict[str, Position] = {}
        path = write(tmp_path / "a.parquet", [n / 7 for n in range(100)], 20)
        group = parquet.read_metadata(path).row_group(2).column(0)
        data = bytearray(path.read_bytes())
        start = group.dictionary_page_offset or group.data_page_offset
        data[start : start + group.total_compressed_size] = bytes(group.total_compressed_size)
        path.write_bytes(data)
        write(tmp_path / "b.parquet", [1.0])
        reader = reading(tmp_path / "*.parquet", positions=positions)
        assert reader.read() == [*(n / 7 for n in range(40)), 1.0]
        assert len(reader.problems) == 1
        assert reader.source.errors == {str(path): reader.problems[0]}
        assert reading(tmp_path / "*.parquet", positions=positions).read() == []

    @pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.arrows"])
    def test_anywhere_is_a_problem_and_no_more(self, tmp_path: Path, name: str) -> None:
        values = [random.Random(1).choice("abc") for _ in range(30)]
        table = pa.table(
            {
                "x": pa.array(values).dictionary_encode(),
                "y": [[1, 2]] * 30,
                "z": [{"a": n, "b": str(n)} for n in range(30)],
            }
        )
        path = tmp_path / name
        if name == "a.parquet":
            parquet.write_table(table, path, row_group_size=15)
        else:
            opened = ipc.new_file if name == "a.arrow" else ipc.new_stream
            with opened(path, table.schema) as writer:
                writer.write_table(table)
        whole = path.read_bytes()
        layout = Layout({X: "x", **{Field("feature", at): at for at in ("y.1", "z.a", "z.b")}})
        chance = random.Random(0)
        problems = 0
        for _ in range(150):
            data = bytearray(whole)
            for _ in range(chance.choice((1, 1, 4))):
                data[chance.randrange(len(data))] = chance.randrange(256)
            path.write_bytes(data)
            reader = reading(path)
            reader.layout = layout
            assert len(reader.read()) <= 30
            problems += len(reader.problems)
        assert problems > 50

    def test_a_code_of_no_text(self, tmp_path: Path) -> None:
        """Arrow reads it, and whatever stands behind its dictionary."""
        path = tmp_path / "a.parquet"
        parquet.write_table(pa.table({"x": [*"aabc"] * 2}), path, compression="none")
        data = path.read_bytes()
        codes = bytes([2, 0b11, 0b10_01_00_00, 0b10_01_00_00])  # two bits each: a run of 0, 0, 1, 2
        assert data.count(codes) == 1
        path.write_bytes(data.replace(codes, codes[:2] + b"\xff" + codes[3:]))
        reader = reading(path)
        assert reader.read() == []
        assert reader.problems


def test_partition_keys() -> None:
    path = "/data/date=2026-11-24/city=S%C3%A3o%20Paulo/n=__HIVE_DEFAULT_PARTITION__/a=b.parquet"
    assert partition_keys(path) == {"date": "2026-11-24", "city": "São Paulo", "n": ""}


def test_partition_keys_are_columns(tmp_path: Path) -> None:
    for day in (1, 2):
        write(tmp_path / f"day={day}" / "a.parquet", [day, day])
    reader = reading(tmp_path / "**" / "*.parquet")
    reader.layout = Layout({X: "day"})
    assert reader.read() == ["1", "1", "2", "2"]


def test_nested_columns_are_read_in_part(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.parquet",
        [1, 2],
        y=[{"a": {"b": "u", "c": 1}, "d": [5, 6]}] * 2,
        **{"y.d": [8, 9]},
    )
    for at, values in {"y.a.b": ["u", "u"], "y.d": [8, 9], "y.d.0": [5, 5]}.items():
        reader = reading(path)
        reader.layout = Layout({X: at})
        assert reader.read() == values


class TestOtherWriters:
    """What DuckDB 2.0 and Polars 2.1 wrote: three rows with something of every kind."""

    FOLDER = Path(__file__).parent / "tables"
    PATHS = (
        *("inputs.age", "inputs.country", "scores.1", "predicted", "amount", "day", "approved"),
        "inputs",
    )
    ROWS = (
        (31, "DE", 0.93, "good", 12.5, "2026-03-01", True, {}),
        (None, "FR", 0.4, "bad", None, None, False, {}),
        (ABSENT, ABSENT, ABSENT, None, 3, "2026-03-02", None, None),
    )

    @pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
    def test_are_read(self, path: Path) -> None:
        layout = Layout(
            {Field("feature", at): at for at in self.PATHS}, id="request_id", timestamp="ts"
        )
        chunk = reading(path).source.next()
        assert chunk
        assert chunk.table
        batch = decode_table(chunk.table, layout).batch
        rows = zip(*(column.values for column in batch.fields.values()), strict=True)
        assert tuple(rows) == self.ROWS
        assert batch.ids == ["a1", "a2", "a3"]
        assert batch.timestamps is not None
        noon = 1772366400.0  # 2026-03-01T12:00:00Z
        assert batch.timestamps[:2].tolist() == [noon, noon + 1]
        assert not batch.extra
