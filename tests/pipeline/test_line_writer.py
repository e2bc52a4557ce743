"""The log of predictions worth a look: how many lines, and what becomes of those that can't be."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ml_exporter.config import config
from ml_exporter.config.line_log import LineLog
from ml_exporter.pipeline.line_writer import NOTABLE, LineWriter
from ml_exporter.publication import Publication
from ml_exporter.service.telemetry import Telemetry
from ml_exporter.store.store import Store
from tests.support import full_disk, wait_until

LINES = [b'{"n": %d}\n' % number for number in range(20)]

Write = Callable[..., LineWriter]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def counts(writer: LineWriter) -> dict[str, int]:
    (family,) = writer.families
    return {
        labels[0]: int(value)
        for labels, value in zip(family.label_sets, family.values.tolist(), strict=True)
    }


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_writer(tmp_path: Path, clock: Clock) -> Iterator[Write]:
    made = []

    def write(rate: float = 10, size: int = 1 << 20, path: str = "notable.jsonl") -> LineWriter:
        made.append(LineWriter(NOTABLE, LineLog(tmp_path / path, rate, size), clock))
        return made[-1]

    yield write
    for one in made:
        one.close()


def test_a_model_has_so_many_lines_a_second(
    open_writer: Write, clock: Clock, tmp_path: Path
) -> None:
    writer = open_writer(rate=5)
    writer.write("a", LINES)
    writer.write("a", LINES[:1], others=100)
    writer.write("b", LINES[:2])
    clock.now = 0.6
    writer.write("a", LINES)
    clock.now = 1000
    writer.write("a", LINES)
    wait_until(lambda: counts(writer)["written"] == 5 + 2 + 3 + 5)
    assert counts(writer) == {"written": 15, "over_rate": 15 + 101 + 17 + 15, "failed": 0}
    written = (tmp_path / "notable.jsonl").read_bytes().splitlines(keepends=True)
    assert written == [*LINES[:5], *LINES[:2], *LINES[:3], *LINES[:5]]


def test_without_settings_nothing_is_written_or_counted() -> None:
    writer = LineWriter(NOTABLE, None)
    writer.write("a", LINES)
    assert writer.families == ()
    assert writer.most_lines == 0


def test_a_file_that_is_large_is_renamed(open_writer: Write, tmp_path: Path) -> None:
    writer = open_writer(rate=20, size=100)
    (tmp_path / "notable.jsonl").write_bytes(b"{}\n" * 30)
    writer.write("a", LINES)
    wait_until(lambda: counts(writer)["written"] == 20)
    assert (tmp_path / "notable.jsonl.1").read_bytes() == b"{}\n" * 30
    assert (tmp_path / "notable.jsonl").read_bytes() == b"".join(LINES)


def test_a_file_that_others_rename_is_begun_anew(open_writer: Write, tmp_path: Path) -> None:
    writer = open_writer()
    path = tmp_path / "notable.jsonl"
    writer.write("a", LINES[:1])
    wait_until(lambda: counts(writer)["written"] == 1)
    path.rename(tmp_path / "notable.jsonl.old")
    writer.write("a", LINES[1:2])
    wait_until(lambda: counts(writer)["written"] == 2)
    assert path.read_bytes() == LINES[1]


def test_what_cannot_be_written_is_counted_and_the_rest_written_again(
    open_writer: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = open_writer(path="logs/notable.jsonl")
    writer.write("a", LINES[:3])
    wait_until(lambda: counts(writer)["failed"] == 3)
    writer.write("a", LINES[:3])
    wait_until(lambda: counts(writer)["failed"] == 6)
    assert [one.message for one in caplog.records] == ["predictions worth a look can't be written"]
    (tmp_path / "logs").mkdir()
    with full_disk():
        writer.write("a", LINES[:1])
        wait_until(lambda: counts(writer)["failed"] == 7)
    writer.write("a", LINES[:1])
    wait_until(lambda: counts(writer)["written"] == 1)
    assert (tmp_path / "logs/notable.jsonl").read_bytes() == LINES[0]


def test_nobody_waits_for_a_reader_that_is_stuck(open_writer: Write, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = open_writer(rate=1000, path="pipe")
    written = threading.Event()

    def write() -> None:
        for _ in range(3):
            writer.write("a", LINES * 50)
        written.set()

    threading.Thread(target=write).start()
    assert written.wait(10)
    found = counts(writer)
    assert found["over_rate"] == 2000
    with (tmp_path / "pipe").open("rb") as reader:
        assert reader.read(9) == LINES[0]


CONFIG = """\
models:
  - name: m
    task: binary
    positive: a
    version: {field: v}
    source: {type: file, path: log.jsonl, from: start}
    fields: {prediction: p, features: [x], trace: request}
    constraints: {x: {max: 1}}
notable_log: {path: notable.jsonl}
"""


def test_a_row_that_is_taken_up_again_has_one_line(tmp_path: Path) -> None:
    (tmp_path / "ml-exporter.yml").write_text(CONFIG)
    rows = [{"p": "a", "x": x, "v": "new", "request": f"r{x}"} for x in (0, 1, 2)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    store, publication = Store(None), Publication(60)
    telemetry = Telemetry(config.load(tmp_path / "ml-exporter.yml"), store, publication, None)

    def scrape() -> None:
        for _ in range(2):
            publication.scraped(publication.current.number)

    scrape()
    telemetry.step()  # the version has series of its own, which are to be seen first
    scrape()
    telemetry.step()
    path = tmp_path / "notable.jsonl"
    wait_until(lambda: path.exists() and path.read_text())
    telemetry.commit()
    (counter,) = (one for one in telemetry.families() if one.name == "ml_notable_predictions_total")
    assert counter.value("constraint") == 1
    (line,) = map(json.loads, path.read_text().splitlines())
    assert (line["trace_id"], line["constraints"]) == ("r2", {"x": "max"})
    telemetry.close()
    store.close()
