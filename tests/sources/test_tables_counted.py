"""Tables from file to counters: the counts are those of the same rows in JSON Lines."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from ml_exporter.baseline.baseline import BaselineError
from ml_exporter.commands.training import profile
from ml_exporter.sources import table_file, tables
from ml_exporter.store.store import Store
from tests.counting import Counting

CONFIG = """\
models:
  - name: m
    task: binary
    positive: a
    source: {{type: file, path: "{pattern}"}}
    fields: {{id: id, timestamp: t, prediction: p, score: s, features: {{x: in.x, c: in.c, n: n}}}}
    labels:
      source: {{type: file, path: "{labels}"}}
      fields: {{id: id, label: y}}
    learn: {{rows: 70}}
"""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_file, "ROWS", 16)
    monkeypatch.setattr(tables, "_LOOK_AGAIN", 0.0)


def predictions(count: int) -> list[dict[str, Any]]:
    chance = random.Random(7)
    return [
        {
            "id": f"r{n}",
            "t": 1.6e9 + n,
            "p": chance.choice("ab"),
            "s": chance.choice([0.25, 0.75, None]),
            "in": {"x": chance.gauss(0, 1), "c": chance.choice(["u", "v", "", None])}
            if chance.random() < 0.9
            else None,
            "n": chance.choice([1, 2, 2**53 + 1, None]),
            "new": True,
        }
        for n in range(count)
    ]


def labels(count: int) -> list[dict[str, Any]]:
    return [{"id": f"r{n}", "y": "ab"[n % 2] if n % 7 else None} for n in range(count)]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=25)
    else:
        table = pa.Table.from_pylist(rows)
        with ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=25)


def counting(folder: Path, suffix: str, store: Store | None = None) -> Counting:
    text = CONFIG.format(pattern=f"log*.{suffix}", labels=f"labels*.{suffix}")
    return Counting(folder, text, store=store)


def counters(folder: Path, suffix: str) -> dict[str, float]:
    counted = counting(folder, suffix)
    counted.count()
    found = counted.counters()
    counted.close()
    return found


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_counts_are_those_of_json(tmp_path: Path, suffix: str) -> None:
    for format in ("jsonl", suffix):
        write(tmp_path / f"log1.{format}", predictions(200)[:90])
        write(tmp_path / f"log2.{format}", predictions(200)[90:])
        write(tmp_path / f"labels.{format}", labels(150))
    expected = counters(tmp_path, "jsonl")
    assert (
        expected[
            'ml_schema_violations_total{version="unversioned",violation="extra_field",field="new"}'
        ]
        == 130
    )
    # Sums are added up in other batches.
    assert counters(tmp_path, suffix) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
@pytest.mark.parametrize("seed", range(3))
def test_restarts_anywhere_make_no_difference(tmp_path: Path, suffix: str, seed: int) -> None:
    for part in (0, 1):
        write(tmp_path / f"log{part}.{suffix}", predictions(200)[part * 90 : 90 + part * 110])
    write(tmp_path / f"labels.{suffix}", labels(150))
    expected = counters(tmp_path, suffix)
    chance = random.Random(seed)
    counted = counting(tmp_path, suffix)
    while counted.pipeline.step(births_wait=chance.random() < 0.3) != "idle":
        if chance.random() < 0.5:
            counted.save()
        if chance.random() < 0.3:
            counted.start_again()
    counted.count()
    assert counted.counters() == expected
    counted.close()


class TestSchemaThatChanges:
    """From one file to the next: a column goes, another one comes, a third has another type."""

    @pytest.fixture
    def counted(self, tmp_path: Path) -> Counting:
        rows = predictions(100)
        write(tmp_path / "log1.parquet", rows)
        for row in rows:
            row["id"] += "-later"
            del row["n"], row["new"]
            row["in"] = {"x": "text", "c": 7}
            row["more"] = 1
        write(tmp_path / "log2.parquet", rows)
        counted = counting(tmp_path, "parquet")
        counted.count()
        return counted

    @pytest.mark.parametrize(
        ("violation", "field", "rows"),
        [
            ("missing_field", "n", 100),
            ("extra_field", "more", 100),
            ("extra_field", "new", 30),
            ("wrong_type", "x", 100),
            ("wrong_type", "c", 0),
        ],
    )
    def test_is_counted(self, counted: Counting, violation: str, field: str, rows: int) -> None:
        name = "ml_schema_violations_total"
        assert counted.value(name, violation=violation, field=field) == rows
        assert counted.value("ml_predictions_total") == 200

    def test_costs_no_value(self, counted: Counting) -> None:
        values = "ml_field_values_total"
        assert counted.value(values, field="x", bin="<invalid>") == 100
        assert counted.value(values, field="c", bin="<other>") == 100
        assert counted.value(values, field="n", bin="<missing>") >= 100


def test_a_broken_file_is_counted_once(tmp_path: Path) -> None:
    write(tmp_path / "log1.parquet", predictions(20))
    (tmp_path / "log0.parquet").write_bytes(b"PAR1" * 5)
    write(tmp_path / "labels.parquet", labels(10))
    text = CONFIG.format(pattern="log*.parquet", labels="labels.parquet")
    counted = Counting(tmp_path, text, follow=False)
    counted.count()
    assert counted.value("ml_rows_rejected_total", reason="unreadable") == 1
    assert counted.value("ml_predictions_total") == 20
    assert list(counted.pipeline.errors) == [str(tmp_path / "log0.parquet")]
    counted.save()
    counted.start_again()
    counted.count()
    assert counted.value("ml_rows_rejected_total", reason="unreadable") == 1
    counted.close()


class TestTraining:
    def test_makes_the_baseline_that_json_makes(self, tmp_path: Path) -> None:
        counted = counting(tmp_path, "parquet")
        made = []
        for suffix in ("jsonl", "parquet", "arrow"):
            path = tmp_path / f"train.{suffix}"
            write(path, [row | {"y": row["p"]} for row in predictions(300)])
            baseline, rejected = profile(counted.model, counted.config.limits, str(path), suffix)
            assert not rejected
            made.append(baseline)
        assert made[0].rows == 300
        expected, *losses = (asdict(one.losses) for one in made)
        assert losses == [pytest.approx(expected)] * 2  # they are summed up in other batches
        made = [replace(one, losses=None) for one in made]
        assert made[0] == made[1] == made[2]
        counted.close()

    def test_says_what_cannot_be_read(self, tmp_path: Path) -> None:
        counted = counting(tmp_path, "parquet")
        path = tmp_path / "train.parquet"
        path.write_bytes(b"PAR1" * 5)
        with pytest.raises(BaselineError, match=f"^{path}: Parquet file size is 20 bytes"):
            profile(counted.model, counted.config.limits, str(path), "parquet")
        counted.close()
