"""The loop that counts, one step after the other."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ml_exporter.capture import Capture, write_frame
from ml_exporter.config import config
from ml_exporter.exposition import render
from ml_exporter.judgement.history import History
from ml_exporter.publication import Edition, Publication
from ml_exporter.service import telemetry
from ml_exporter.service.telemetry import Telemetry
from ml_exporter.sources import files
from ml_exporter.sources.capture import Attachment
from ml_exporter.sources.spool import Spools
from ml_exporter.store import database
from ml_exporter.store.state_folder import StateFolder
from ml_exporter.store.store import Store
from tests.support import full_disk

MODEL = """\
  - name: {name}
    task: binary
    positive: a
    source: {{type: file, path: {name}.jsonl}}
    fields: {{prediction: p, label: y, features: [x]}}
"""
QUEUES = """\
models:
  - name: posts
    task: regression
    source: {type: events}
    fields: {prediction: p}
  - name: requests
    task: regression
    source: {type: proxy, path: /requests}
    fields: {prediction: p}
proxy: {upstream: "http://127.0.0.1:8080"}
"""
STATE = "state: {path: state}\n"
PREDICTIONS = "ml_predictions_total"
LAST_SAVE = "ml_exporter_state_last_save_timestamp_seconds"


class Running:
    """A telemetry without its loop: each `step` is taken by the test."""

    def __init__(self, folder: Path, text: str, wait: float) -> None:
        self.folder = folder
        self.path = folder / "ml-exporter.yml"
        self.path.write_text(text)
        self.wait = wait
        self.place = "here"
        self.start()

    def start(self) -> None:
        loaded = config.load(self.path)
        self.store = Store(loaded.state)
        self.publication = Publication(self.wait)
        self.telemetry = Telemetry(
            loaded, self.store, self.publication, History(), place=self.place
        )

    def restart(self) -> None:
        self.close()
        self.start()

    def append(self, name: str, *rows: dict[str, Any]) -> None:
        with (self.folder / name).open("a") as log:
            log.writelines(json.dumps(row) + "\n" for row in rows)

    def count(self) -> None:
        while self.telemetry.step():
            pass
        self.telemetry.commit()

    def reload(self, text: str) -> list[str]:
        self.path.write_text(text)
        return self.telemetry.reload(config.load(self.path))

    def scrape(self) -> Edition:
        edition = self.publication.current
        self.publication.scraped(edition.number)
        return edition

    def seen(self, name: str = PREDICTIONS, **labels: str) -> float | None:
        """What a scrape shows of a family: the sum of its samples with these labels."""
        found = [
            value
            for frozen in self.publication.current.samples
            if frozen.family.name == name
            for values, value in zip(frozen.family.label_sets, frozen.values.tolist(), strict=False)
            if labels.items() <= dict(zip(frozen.family.label_names, values, strict=False)).items()
        ]
        return sum(found) if found else None

    def close(self) -> None:
        self.telemetry.close()
        self.store.close()


Run = Callable[..., Running]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with ExitStack() as ends:

        def run(text: str, wait: float = 0) -> Running:
            running = Running(tmp_path, text, wait)
            ends.callback(running.close)
            return running

        yield run


@pytest.fixture(autouse=True)
def look_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_LOOK_AGAIN", 0.0)


def models(*names: str) -> str:
    return "models:\n" + "".join(MODEL.format(name=name) for name in names)


def rows(count: int) -> Sequence[dict[str, Any]]:
    return [{"p": "a", "y": "a", "x": 1}] * count


class TestScrapes:
    def test_show_what_is_committed_and_nothing_ahead_of_it(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(telemetry, "_COMMIT_EVERY", 1e9)
        running = run(models("m") + STATE)
        running.count()
        running.append("m.jsonl", *rows(3))
        while running.telemetry.step():
            pass
        assert running.seen() == 0
        running.telemetry.commit()
        assert running.seen() == 3

    def test_are_waited_for_before_anything_counts(self, run: Run) -> None:
        running = run(models("m") + STATE, wait=3600)
        running.append("m.jsonl", *rows(3))
        for seen in (0, 0):
            running.count()
            assert running.seen() == seen
            running.scrape()
        running.count()
        # Both classes were predicted before: only rows of a new one wait.
        assert running.seen() == 3
        running.append("m.jsonl", *rows(2), {"p": "new", "y": "a", "x": 1})
        for _ in range(2):
            running.count()
            assert running.seen() == 3
            assert running.seen("ml_outcomes_total", predicted="new") == 0
            running.scrape()
        running.count()
        assert running.seen() == 6
        assert running.seen("ml_outcomes_total", predicted="new") == 1

    def test_are_waited_for_by_the_model_they_concern(self, run: Run) -> None:
        running = run(models("m", "n") + STATE, wait=3600)
        for _ in range(2):
            running.scrape()
        running.append("m.jsonl", {"p": "new", "y": "a", "x": 1})
        running.append("n.jsonl", *rows(2))
        running.count()
        assert running.seen(model="m") == 0
        assert running.seen(model="n") == 2

    def test_see_every_row_that_came_while_they_were_waited_for(self, run: Run) -> None:
        """Without state, old rows aren't counted; those of the first minute are new."""
        running = run(models("m"), wait=3600)
        running.append("m.jsonl", *rows(2))
        for _ in range(2):
            running.count()
            running.scrape()
        running.append("m.jsonl", *rows(1))
        running.count()
        assert running.seen() == 3


class TestSavingThatFails:
    @pytest.fixture(autouse=True)
    def at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every step is committed, and room is looked for each time."""
        monkeypatch.setattr(telemetry, "_COMMIT_EVERY", 0.0)
        monkeypatch.setattr(database, "_DELAY", 0.0)

    @pytest.fixture
    def running(self, run: Run) -> Running:
        """Ten rows are counted, and saved."""
        running = run(models("m") + STATE)
        running.append("m.jsonl", *rows(10))
        running.count()
        return running

    def test_counts_on_in_memory_and_saves_when_there_is_room(
        self, running: Running, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        saved = running.seen(LAST_SAVE)
        for number in (20, 30, 40):
            running.append("m.jsonl", *rows(10))
            with full_disk():
                running.count()
            assert running.seen() == number
            assert running.seen(LAST_SAVE) == saved
        running.count()
        assert running.seen(LAST_SAVE) > saved
        assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
            ("ERROR", "state can't be saved; counting goes on in memory"),
            ("INFO", "state is saved again"),
        ]
        running.restart()
        assert running.seen() == 40

    def test_begins_at_0_where_more_was_shown_than_saved(self, running: Running) -> None:
        running.append("m.jsonl", *rows(5))
        with full_disk():
            running.count()
            assert running.seen() == 15
            running.restart()
            assert running.seen() == 0
            running.count()
            assert running.seen() == 5
            running.restart()
            assert running.seen() == 0
        running.count()
        assert running.seen() == 5
        running.restart()
        assert running.seen() == 5

    def test_never_shows_less_than_before(
        self, running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """There seems to be room, and there is none when it comes to saving."""
        running.append("m.jsonl", *rows(20))
        with full_disk():
            running.count()
            assert running.seen() == 30
            monkeypatch.setattr(StateFolder, "has_room", lambda self, size: True)
            for _ in range(5):
                running.telemetry.step()
                assert running.seen() == 30
        running.append("m.jsonl", *rows(2))
        running.count()
        assert running.seen() == 32
        running.restart()
        assert running.seen() == 32

    def test_begins_at_0_where_what_was_shown_can_not_be_read_again(
        self, running: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        running.append("m.jsonl", *rows(20))
        with full_disk():
            running.count()
            (running.folder / "m.jsonl").unlink()
            running.telemetry._start_over(sqlite3.OperationalError("disk I/O error"))
        running.telemetry.step()
        assert running.seen() == 30
        monkeypatch.setattr(telemetry, "_PATIENCE", 0.0)
        running.telemetry.step()
        assert running.seen() == 0

    def test_waits_where_memory_is_full_too(
        self, running: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database, "_MOST_IN_MEMORY", 0)
        running.append("m.jsonl", *rows(10))
        with full_disk():
            running.count()
            assert running.seen() == 20  # a chunk is always taken
        running.append("m.jsonl", *rows(10))
        with full_disk():
            running.count()
            assert running.seen() == 20
        running.count()  # which only saves
        running.count()
        assert running.seen() == 30

    def test_waits_where_it_could_not_be_told_afterwards(
        self, running: Running, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A start can't know that counters are to begin at 0 if `saved` can't be removed."""
        saved = running.folder / "state" / "saved"
        saved.unlink()
        saved.mkdir()
        running.append("m.jsonl", *rows(10))
        with full_disk():
            for _ in range(3):
                running.telemetry.step()
                assert running.seen() == 10
        assert [record.getMessage() for record in caplog.records] == [
            "state can't be saved; trying again"
        ]
        running.count()
        assert running.seen() == 20

    def test_of_what_is_damaged_begins_anew(
        self, running: Running, caplog: pytest.LogCaptureFixture
    ) -> None:
        running.store._db.execute("UPDATE counters SET counts = zeroblob(8)")
        assert running.reload(models("m") + STATE) == ["state can't be read: a checksum is wrong"]
        assert running.seen() == 0
        running.count()
        assert running.seen() == 10
        assert len(list(running.folder.glob("state/state.db.corrupt-*Z"))) == 1
        running.restart()
        assert running.seen() == 10

    def test_within_a_step_does_no_harm_either(self, running: Running) -> None:
        running.store.commit()
        running.store._db.execute("COMMIT")
        running.store._db.execute("PRAGMA query_only = ON")
        running.store._db.execute("BEGIN")
        running.append("m.jsonl", *rows(5))
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            running.store.set_position("m", "predictions", "x", files.Position(0))
        running.store._db.execute("PRAGMA query_only = OFF")
        running.count()
        assert running.seen() == 15

    def test_survives_a_baseline_file_that_is_gone(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(telemetry, "_COMMIT_EVERY", 0.0)
        text = models("m").replace("    fields", "    baseline: b.json\n    fields") + STATE
        make_baseline(tmp_path)
        running = run(text)
        (tmp_path / "b.json").unlink()
        running.append("m.jsonl", *rows(3))
        running.telemetry._start_over(sqlite3.OperationalError("disk I/O error"))
        running.count()
        assert running.seen() == 3
        assert running.seen("ml_field_values_total", field="x") == 3


class TestScrapesAfterARestart:
    """What was saved and seen of late is not waited for again."""

    def running(self, run: Run) -> Running:
        running = run(models("m") + STATE, wait=3600)
        running.append("m.jsonl", *rows(3))
        for _ in range(2):
            running.scrape()
            running.count()
        assert running.seen() == 3
        return running

    def test_are_not_waited_for(self, run: Run) -> None:
        running = self.running(run)
        running.append("m.jsonl", *rows(1))
        running.restart()
        running.count()
        assert running.seen() == 4

    def test_are_waited_for_at_another_address(self, run: Run) -> None:
        running = self.running(run)
        running.append("m.jsonl", *rows(1))
        running.place = "elsewhere"
        running.restart()
        for seen in (3, 3):
            running.count()
            assert running.seen() == seen
            running.scrape()
        running.count()
        assert running.seen() == 4

    def test_are_waited_for_where_they_were_before(self, run: Run) -> None:
        running = self.running(run)
        running.append("m.jsonl", {"p": "new", "y": "a", "x": 1})
        running.count()
        running.restart()
        running.count()
        running.scrape()
        running.count()
        assert running.seen() == 3
        running.scrape()
        running.count()
        assert running.seen() == 4


class TestReload:
    def test_keeps_the_counters_and_the_place(self, run: Run) -> None:
        running = run(models("m"))
        running.append("m.jsonl", *rows(3))
        running.count()
        assert running.reload(models("m", "n")) == []
        assert running.seen(model="m") == 3
        assert running.seen(model="n") == 0
        running.append("m.jsonl", *rows(1))
        running.append("n.jsonl", *rows(2))
        running.count()
        assert running.seen(model="m") == 4
        assert running.seen(model="n") == 2

    def test_brings_back_a_model_that_was_taken_out(self, run: Run) -> None:
        running = run(models("m", "n") + STATE)
        running.append("n.jsonl", *rows(2))
        running.count()
        running.reload(models("m") + STATE)
        assert running.seen(model="n") is None
        running.append("n.jsonl", *rows(1))
        running.reload(models("m", "n") + STATE)
        running.count()
        assert running.seen(model="n") == 3

    def test_with_a_bad_baseline_goes_on_as_before(self, run: Run, tmp_path: Path) -> None:
        running = run(models("m") + STATE)
        running.append("m.jsonl", *rows(3))
        running.count()
        (tmp_path / "b.json").write_text("{}")
        text = models("m").replace("    fields", "    baseline: b.json\n    fields") + STATE
        errors = running.reload(text)
        assert errors == [f"{tmp_path}/b.json: not a baseline: $.format: is missing"]
        assert running.seen("ml_exporter_config_last_reload_successful") == 0
        running.append("m.jsonl", *rows(1))
        running.count()
        assert running.seen() == 4
        make_baseline(tmp_path)
        assert running.reload(text) == []
        assert running.seen() == 4
        assert running.seen("ml_exporter_config_last_reload_successful") == 1
        assert running.seen("ml_field_values_total", field="x") == 0
        running.append("m.jsonl", *rows(1))
        running.count()
        assert running.seen() == 5
        assert running.seen("ml_field_values_total", field="x") == 1

    def test_forgets_fields_that_are_watched_no_more(self, run: Run, tmp_path: Path) -> None:
        make_baseline(tmp_path)
        text = models("m").replace("    fields", "    baseline: b.json\n    fields") + STATE
        running = run(text)
        running.append("m.jsonl", *rows(3))
        running.count()
        assert running.seen("ml_field_values_total", field="x") == 3
        running.reload(text.replace("features: [x]", "features: []"))
        assert running.seen("ml_field_values_total", field="x") is None
        assert running.seen("ml_field_values_total", field="prediction") == 3

    def test_with_another_file_begins_at_its_end(self, run: Run) -> None:
        running = run(models("m"))
        running.append("other.jsonl", *rows(7))
        running.reload(models("m").replace("m.jsonl", "other.jsonl"))
        running.append("other.jsonl", *rows(2))
        running.count()
        assert running.seen() == 2


class TestRestart:
    def test_gives_no_series_twice(self, run: Run, tmp_path: Path) -> None:
        make_baseline(tmp_path)
        text = models("m").replace("    fields", "    baseline: b.json\n    fields") + STATE
        running = run(text)
        running.append("m.jsonl", *rows(3), {"p": "new", "y": "a", "x": 1, "extra": 1})
        running.count()
        before = all_series(running)
        running.close()
        running.start()
        after = all_series(running)
        # A new class has been seen, and may have more series tomorrow.
        assert set(after) >= set(before)
        assert len(after) == len(set(after))


def all_series(running: Running) -> list[str]:
    text = render(running.publication.current.samples).decode()
    lines = (line.rpartition(" ")[0] for line in text.splitlines() if line[0] != "#")
    return sorted(line for line in lines if "ml_source_lag" not in line and "_save_" not in line)


def test_what_can_not_be_read_is_said_once(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    running = run(models("m"))
    for _ in range(3):
        running.count()
    running.append("m.jsonl", *rows(1))
    for _ in range(2):
        running.count()
    path = str(running.folder / "m.jsonl")
    of_sources = [record for record in caplog.records if hasattr(record, "path")]
    said = [(r.getMessage(), r.path, getattr(r, "error", "")) for r in of_sources]
    assert said == [
        ("can't read a source", path, "no such file"),
        ("a source can be read now", path, ""),
    ]


def test_the_loop_ends_with_a_commit(run: Run) -> None:
    running = run(models("m") + STATE)
    running.append("m.jsonl", *rows(3))
    stopping = threading.Event()
    running.telemetry.run(stopping, stopping.set)
    assert running.seen() == 3
    running.close()
    running.start()
    assert running.seen() == 3


def make_baseline(folder: Path) -> None:
    from ml_exporter.baseline import baseline
    from ml_exporter.commands.training import profile

    (folder / "training.yml").write_text(models("m"))
    loaded = config.load(folder / "training.yml")
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(50)))
    made, _ = profile(loaded.models[0], loaded.limits, str(folder / "data.jsonl"), "jsonl")
    (folder / "b.json").write_bytes(baseline.encode(made))


def test_what_waits_to_be_counted_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "ml-exporter.yml"
    path.write_text(QUEUES)
    capture, spools, publication = Capture.create(1 << 20), Spools(None), Publication(0)
    running = Telemetry(
        config.load(path),
        Store(None),
        publication,
        None,
        spools,
        attachment=Attachment(capture),
    )
    row = b'{"p": 1}\n'
    spools.of("posts", "predictions").append(row, limit=100)
    frame = write_frame(0, 200, 0.0, 0.0, 0.0, 0.0, b"", b"[]", b"", b"[]")
    assert capture.put(frame)

    def queued() -> dict[tuple[str, ...], float]:
        running.commit()
        (shown,) = (
            one
            for one in publication.current.samples
            if one.family.name == "ml_exporter_queue_length"
        )
        return dict(zip(shown.family.label_sets, shown.values.tolist(), strict=True))

    assert queued() == {("captured",): -(-len(frame) // 8) * 8, ("posted",): len(row)}
    while running.step():
        pass
    assert queued() == {("captured",): 0, ("posted",): 0}
    running.close()
    spools.close()
    capture.close()
