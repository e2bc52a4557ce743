"""Rejected rows are kept as they were read, with what is wrong with them, and cost no other row."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_exporter.config import config
from ml_exporter.formats.problems import problem_of
from ml_exporter.formats.rows import REASONS, Layout
from ml_exporter.publication import Publication
from ml_exporter.service.telemetry import Telemetry
from ml_exporter.store.store import Store
from tests.support import wait_until

CONFIG = """\
models:
  - name: m
    task: binary
    positive: a
    source: {{type: file, path: log.{format}, from: start}}
    fields: {{id: id, prediction: p, timestamp: ts, features: [x]}}
    labels:
      source: {{type: file, path: labels.jsonl, from: start}}
      fields: {{id: id, label: y}}
dead_letters: {{path: dead.jsonl, rate: {rate}, redact: ['[0-9]{{8,}}']}}
"""
GOOD = b'{"id": "1", "p": "a", "ts": 1, "x": 1}\n'

Line = dict[str, Any]


class Folder:
    """A log, and the telemetry that reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: list[Telemetry] = []

    def count(
        self, log: bytes, *, format: str = "jsonl", rate: int = 100, labels: bytes = b""
    ) -> Telemetry:
        (self.path / "ml-exporter.yml").write_text(CONFIG.format(format=format, rate=rate))
        (self.path / f"log.{format}").write_bytes(log)
        (self.path / "labels.jsonl").write_bytes(labels)
        read = config.load(self.path / "ml-exporter.yml")
        telemetry = Telemetry(read, Store(None), Publication(0), None)
        self._opened.append(telemetry)
        while telemetry.step():
            pass
        return telemetry

    def lines(self, telemetry: Telemetry) -> list[Line]:
        """What was written, without the time and what is the same in all."""
        wait_until(lambda: sum(results(telemetry).values()) >= rejected(telemetry))
        found = [json.loads(line) for line in (self.path / "dead.jsonl").read_text().splitlines()]
        for line in found:
            assert line.pop("time").endswith("Z")
            assert line.pop("model") == "m"
            assert line.pop("source").startswith(str(self.path))
        return found

    def close(self) -> None:
        for one in self._opened:
            one.close()


def results(telemetry: Telemetry) -> dict[str, int]:
    (family,) = (x for x in telemetry.families() if x.name == "ml_exporter_dead_letters_total")
    return {result: int(family.value(result)) for result in ("written", "over_rate", "failed")}


def rejected(telemetry: Telemetry) -> int:
    (family,) = (x for x in telemetry.families() if x.name == "ml_rows_rejected_total")
    return int(family.values.sum())


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path)
    yield made
    made.close()


def test_lines_are_kept_with_where_they_begin(folder: Folder) -> None:
    bad = [b"{broken\n", b'"\xff"\n', b"[1, 2]\n"]
    telemetry = folder.count(GOOD + bad[0] + GOOD + bad[1] + bad[2])
    assert folder.lines(telemetry) == [
        {
            "log": "predictions",
            "offset": len(GOOD),
            "reason": "malformed",
            "problem": "is no JSON object",
            "row": "{broken",
        },
        {
            "log": "predictions",
            "offset": 2 * len(GOOD) + len(bad[0]),
            "reason": "encoding",
            "problem": "is not UTF-8, or has half a surrogate pair",
            "row_base64": base64.b64encode(b'"\xff"').decode(),
        },
        {
            "log": "predictions",
            "offset": 2 * len(GOOD) + len(bad[0]) + len(bad[1]),
            "reason": "malformed",
            "problem": "is no JSON object",
            "row": "[1, 2]",
        },
    ]


def test_of_rows_that_can_be_read_the_fields_are_kept(folder: Folder) -> None:
    telemetry = folder.count(
        GOOD + b'{"id": "2", "p": "b", "ts": "soon", "other": 1}\n{"p": "a", "ts": 1}\n',
        labels=b'{"id": "2", "y": null}\n',
    )
    assert folder.lines(telemetry) == [
        {
            "log": "predictions",
            "from_offset": 0,
            "reason": "bad_timestamp",
            "problem": "has a time at 'ts' that can't be read",
            "row": '{"p": "b", "id": "2", "ts": "soon"}',
        },
        {
            "log": "predictions",
            "from_offset": 0,
            "reason": "no_id",
            "problem": "has no id at 'id'",
            "row": '{"p": "a", "ts": 1}',
        },
        {
            "log": "labels",
            "from_offset": 0,
            "reason": "no_fields",
            "problem": "has no label at 'y'",
            "row": '{"id": "2", "label": null}',
        },
    ]


def test_records_of_csv(folder: Folder) -> None:
    telemetry = folder.count(b'id,p,ts,x\n1,a,1,2\n2,a\n3,"a\n', format="csv")
    telemetry.commit()
    assert [(line["offset"], line["row"]) for line in folder.lines(telemetry)] == [(18, "2,a")]


def test_long_rows_are_cut_and_what_is_secret_is_not_told(folder: Folder) -> None:
    cut = "a" + "é" * 4000
    telemetry = folder.count(f"{cut}\ncard 4000123412341234\n".encode())
    long, secret = folder.lines(telemetry)
    assert (long["row"], long["size"]) == (cut[:2048], 8001)
    assert secret["row"] == "<redacted>"


def test_there_are_no_more_than_may_be(folder: Folder) -> None:
    telemetry = folder.count(b"bad\n" * 1000 + GOOD, rate=5)
    assert len(folder.lines(telemetry)) == 5
    assert results(telemetry) == {"written": 5, "over_rate": 995, "failed": 0}


def test_what_cannot_be_written_stops_no_counting(folder: Folder) -> None:
    (folder.path / "dead.jsonl").mkdir()
    telemetry = folder.count(GOOD + b"bad\n" + GOOD)
    wait_until(lambda: results(telemetry)["failed"] == 1)
    (counted,) = (x for x in telemetry.families() if x.name == "ml_predictions_total")
    assert (counted.values.sum(), rejected(telemetry)) == (2, 1)


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_has_words(reason: str) -> None:
    for format in ("jsonl", "csv", "cloudevents"):
        assert problem_of(reason, Layout({}, id="id", timestamp="ts"), format) != reason
