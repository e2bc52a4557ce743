"""Columns of Parquet that are read as codes have the values that Arrow reads."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from ml_exporter.formats import HeaderError, _pages
from ml_exporter.formats.arrow import readable
from ml_exporter.formats.arrow_columns import ArrowColumn
from ml_exporter.sources.coded_pages import CodedColumns
from tests.sanitizers import run_sanitized
from tests.support import ROOT

ROWS = 3000
CHANCE = random.Random(5)


def some(values: Sequence[object], nulls: float = 0.0) -> list[object]:
    return [None if CHANCE.random() < nulls else CHANCE.choice(values) for _ in range(ROWS)]


NEARLY_ALL_DIFFER = [CHANCE.random() for _ in range(ROWS)]
TABLE = pa.table(
    {
        "bit": pa.array(some([0.5, 1.5])),
        "few": pa.array(some([1, 2, 3], nulls=0.1), pa.int32()),
        "runs": pa.array([n // 1000 for n in range(ROWS)]),
        "floats": pa.array(some(np.arange(300).tolist(), nulls=0.5), pa.float32()),
        "many": pa.array(some(range(400), nulls=0.01)),
        "same": pa.array([7.0] * ROWS),
        "nulls": pa.array([None] * ROWS, pa.float64()),
        "texts": pa.array(some(["a", "bc", "", "ä"], nulls=0.1)),
        "large": pa.array(some(["a", "b"]), pa.large_string()),
        "not optional": pa.array(some([1, 2])),
        "a.b": pa.array(some([1, 2])),
        # These are left to Arrow:
        "time": pa.array(some([1, 2]), pa.timestamp("us")),
        "whether": pa.array(some([True, False])),
        "small": pa.array(some([1, 2]), pa.int8()),
        "struct": pa.array([{"a": 1}] * ROWS),
        "list": pa.array([[1]] * ROWS),
        "codes": pa.array(some(["a", "b"])).dictionary_encode(),
        "differ": pa.array(NEARLY_ALL_DIFFER),
    },
)
SCHEMA = TABLE.schema.set(9, TABLE.schema.field("not optional").with_nullable(False))
LEFT = {"time", "whether", "small", "struct", "list", "codes", "differ"}


def write(path: Path, table: pa.Table = TABLE, **options: Any) -> Path:
    # Of a dictionary that is too large the rest of the pages are plain: that of "differ".
    usual = {"dictionary_pagesize_limit": 5000, "write_batch_size": 100, "data_page_size": 2000}
    options = usual | options
    parquet.write_table(table.cast(SCHEMA) if table is TABLE else table, path, **options)
    return path


def read(path: Path, start: int, rows: int) -> dict[str, Any]:
    with path.open("rb", buffering=0) as file, readable():
        metadata = parquet.ParquetFile(path).metadata
        columns = CodedColumns(file, metadata)
        names = metadata.schema.to_arrow_schema().names
        return columns.read(start, rows, names, set(names))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="small pages"),
        pytest.param({"data_page_size": 1 << 20}, id="large pages"),
        pytest.param({"row_group_size": 1000}, id="groups"),
        pytest.param({"version": "1.0"}, id="the oldest version"),
        *(
            pytest.param({"compression": codec}, id=codec)
            for codec in ("none", "zstd", "gzip", "brotli")
        ),
    ],
)
def test_values_are_those_that_arrow_reads(tmp_path: Path, options: dict[str, Any]) -> None:
    path = write(tmp_path / "a.parquet", **options)
    for start, rows in ((0, 1000), (0, 1), (7, 900), (1000, 1000), (2999, 1), (2001, 999)):
        found = read(path, start, rows)
        assert set(SCHEMA.names) - found.keys() == LEFT
        for name, column in found.items():
            expected = ArrowColumn(TABLE[name].combine_chunks()[start : start + rows])
            assert repr(list(column.values)) == repr(list(expected.values)), name


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"data_page_version": "2.0"}, id="pages of another version"),
        pytest.param({"use_dictionary": False}, id="no dictionaries"),
        pytest.param({"compression": "lz4"}, id="another compression"),
        pytest.param({"row_group_size": 99}, id="rows of several groups"),
    ],
)
def test_all_else_is_left_to_arrow(tmp_path: Path, options: dict[str, Any]) -> None:
    assert read(write(tmp_path / "a.parquet", **options), 0, 100) == {}


def test_texts_that_are_no_categories_are_left_to_arrow(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet")
    with path.open("rb", buffering=0) as file:
        columns = CodedColumns(file, parquet.ParquetFile(path).metadata)
        assert columns.read(0, 9, ["texts", "large", "few", "none"], {"large"}).keys() == {
            *("large", "few")
        }


@pytest.mark.parametrize(
    ("size", "start", "stretch"),
    [
        pytest.param(1000, 0, 400, id="a part of a group"),
        pytest.param(1000, 800, 200, id="to the end of a group"),
        pytest.param(1000, 1000, 400, id="another group"),
        pytest.param(300, 250, 400, id="over the end of a small group"),
    ],
)
def test_a_stretch_is_of_one_group(tmp_path: Path, size: int, start: int, stretch: int) -> None:
    path = write(tmp_path / "a.parquet", row_group_size=size)
    with path.open("rb", buffering=0) as file:
        columns = CodedColumns(file, parquet.ParquetFile(path).metadata)
        assert columns.stretch(start, 400) == stretch


@pytest.mark.parametrize("compression", ["none", "snappy"])
def test_damage_is_an_error_or_other_values(tmp_path: Path, compression: str) -> None:
    table = TABLE.select(["few", "many", "texts"])
    whole = write(tmp_path / "a.parquet", table, compression=compression).read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    errors = left = 0
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(CHANCE.choice([1, 3])):
            damaged[CHANCE.randrange(4, len(whole) - footer)] = CHANCE.randrange(256)
        path = tmp_path / "damaged.parquet"
        path.write_bytes(damaged)
        try:
            found = read(path, 0, ROWS)
        except HeaderError:
            errors += 1
        else:
            left += len(found) < 3
            assert all(len(column.values) == ROWS for column in found.values())
    assert left > 50
    assert (errors > 50) == (compression == "snappy")


class TestPages:
    """Parts of pages that are cut short, or say what can't be."""

    HEADER = bytes.fromhex("15 00 15 64 15 64 2c 15 c8 01 15 10 15 06 15 06 00 00")

    def test_a_header_is_whole_or_none(self) -> None:
        size = len(self.HEADER)
        assert _pages.header(self.HEADER + b"more") == (size, 0, 50, 50, 100, 8, 3, 3, -1, -1)
        assert all(_pages.header(self.HEADER[:end]) is None for end in range(size))

    @pytest.mark.parametrize(
        "header",
        [
            pytest.param("1c" * 100, id="too deep"),
            pytest.param("19 fc ff ff ff ff ff ff ff 7f", id="a list without an end"),
            pytest.param("18 ff ff ff ff ff ff ff ff ff 01", id="a text without an end"),
            pytest.param("1b 00 00", id="a map"),
            pytest.param("15 ff ff ff ff ff ff ff ff ff ff ff", id="a number without an end"),
        ],
    )
    def test_a_header_is_none_that_can_not_be(self, header: str) -> None:
        assert _pages.header(bytes.fromhex(header)) is None

    @pytest.mark.parametrize(
        ("page", "optional", "codes"),
        [
            pytest.param("02 03 e4 00", False, [0, 1, 2], id="packed"),
            pytest.param("02 06 01", False, [1, 1, 1], id="one run"),
            pytest.param("02 02 02 04 01", False, [2, 1, 1], id="two runs"),
            pytest.param("00 06", False, [0, 0, 0], id="of one value"),
            pytest.param("02 00 00 00 03 05 02 03 06 00", True, [2, 9, 1], id="optional"),
            pytest.param("02 00 00 00 06 00", True, [9, 9, 9], id="nothing"),
            pytest.param("02 04 01", False, None, id="too few"),
            pytest.param("02 06 09", False, None, id="more than there are"),
            pytest.param("02", False, None, id="no run"),
            pytest.param("", False, None, id="no width"),
            pytest.param("19 06 01 00 00 00", False, None, id="too wide"),
            pytest.param("02 05 e4", False, None, id="packed bits that are cut off"),
            pytest.param("11 06 01", False, None, id="a value that is cut off"),
            pytest.param("02 00 01", False, None, id="a run of none"),
            pytest.param("02 ff ff ff ff ff ff ff ff ff 01", False, None, id="too long a run"),
            pytest.param("02 00 00", True, None, id="levels without a size"),
            pytest.param("ff 00 00 00 06 00", True, None, id="levels that are cut off"),
            pytest.param("02 00 00 00 04 01 02 06 01", True, None, id="too few levels"),
        ],
    )
    def test_codes(self, page: str, optional: bool, codes: list[int] | None) -> None:
        found = np.zeros(3, dtype=np.int32)
        assert _pages.codes(bytes.fromhex(page), optional, 0, 9, found) == (codes is not None)
        if codes is not None:
            assert found.tolist() == codes
            part = np.zeros(2, dtype=np.int32)
            assert _pages.codes(bytes.fromhex(page), optional, 1, 9, part)
            assert part.tolist() == codes[1:]

    def test_nothing_makes_it_leave_its_bounds(self, tmp_path: Path) -> None:
        run_sanitized(ROOT / "exporter/ml_exporter/formats/_pages.c", PAGES, tmp_path)


PAGES = """
import random
import _pages

random.seed(1)
fits = 0
for _ in range(20000):
    page = bytes(random.choice([0, 1, 3, 6, 16, 255, random.randrange(256)]) for _ in range(30))
    page = random.choice([b"", bytes([random.randrange(8), 0, 0, 0])]) + page
    page = page[: random.randrange(40)]
    codes = bytearray(4 * random.choice([0, 1, 7, 8, 9, 30, 100]))
    first, distinct = random.choice([0, 1, 8, 13]), random.choice([0, 5, 300, 1 << 30])
    fits += _pages.codes(page, random.random() < 0.5, first, distinct, codes)
    _pages.header(page)
assert fits > 1000
print("done")
"""
