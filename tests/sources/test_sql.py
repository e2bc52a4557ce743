"""Tables as they grow, with transactions that commit late, and databases that go away."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import create_engine, text

from ml_exporter.config.source_settings import SqlSource as Settings
from ml_exporter.sources import SourceError, open_source, sql_reader
from ml_exporter.sources.parts import Chunk, Start
from ml_exporter.sources.sql import SqlSource
from ml_exporter.sources.sql_rows import UNREADABLE, line
from ml_exporter.store.store import Position
from tests.counting import Counting
from tests.postgresql import PASSWORD, postgresql
from tests.support import free_port, wait_until

TABLE = "predictions"
KEY = f"{TABLE}:id"


class Reader:
    """Takes all lines of a source, as a pipeline does."""

    def __init__(self, source: SqlSource) -> None:
        self.source = source
        self.lines: list[bytes] = []

    def read(self) -> list[bytes]:
        """What is there now; all lines so far."""
        while (chunk := self.source.next()) is not None:
            self.take(chunk)
        return self.lines

    def take(self, chunk: Chunk) -> None:
        self.lines += chunk.data.splitlines()
        self.source.advance(chunk.part, chunk.after(len(chunk.data)))

    def await_chunk(self) -> Chunk:
        return wait_until(self.source.next)

    def await_ids(self, count: int) -> list[int]:
        wait_until(lambda: len(self.read()) >= count, what=f"{count} rows")
        return self.ids

    @property
    def ids(self) -> list[int]:
        return [json.loads(line)["id"] for line in self.lines]

    def await_look(self) -> None:
        """Wait until the database was asked twice more: what was there then is known."""
        for _ in range(2):
            before = self.source._reader.asked
            wait_until(lambda: self.source._reader.asked > before)  # noqa: B023


class Database:
    """A database with a table of predictions."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = create_engine(url)

    def run(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def insert(self, *ids: int) -> None:
        self.run(*(f"INSERT INTO {TABLE} (id, x) VALUES ({id}, {id}.5)" for id in ids))


Open = Callable[..., Reader]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path}/log.db")
    else:
        database = Database(request.getfixturevalue("server"))
        database.run(f"DROP TABLE IF EXISTS {TABLE}")
    database.run(f"CREATE TABLE {TABLE} (id INTEGER PRIMARY KEY, x FLOAT)")
    yield database
    database.engine.dispose()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as connection:
        yield connection


@pytest.fixture
def open_reader() -> Iterator[Open]:
    """`open_reader(url)` reads the table of a database until the test ends."""
    with ExitStack() as ends:

        def open_reader(
            url: str,
            positions: dict[str, Position] | None = None,
            *,
            follow: bool = True,
            start: Start = "start",
            **changes: Any,
        ) -> Reader:
            settings = Settings(url, TABLE, "id", interval=0.01)
            source = open_source(replace(settings, **changes), positions or {}, follow, start)
            assert isinstance(source, SqlSource)
            ends.callback(source.close)
            source.look()
            return Reader(source)

        yield open_reader


class TestRows:
    def test_each_is_a_line_in_the_order_of_the_keys(
        self, database: Database, open_reader: Open
    ) -> None:
        database.insert(2, 1, 3)
        reader = open_reader(database.url, follow=False)
        assert reader.read() == [b'{"id":1,"x":1.5}', b'{"id":2,"x":2.5}', b'{"id":3,"x":3.5}']

    def test_new_ones_follow(self, database: Database, open_reader: Open) -> None:
        database.insert(1, 2)
        reader = open_reader(database.url)
        assert reader.await_ids(2) == [1, 2]
        database.insert(3)
        assert reader.await_ids(3) == [1, 2, 3]

    def test_many_come_in_chunks(
        self, database: Database, open_reader: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sql_reader, "_CHUNK", 500)
        database.insert(*range(1, 301))
        reader = open_reader(database.url, follow=False)
        sizes = []
        while chunk := reader.source.next():
            sizes.append(len(chunk.data))
            reader.take(chunk)
        assert reader.ids == list(range(1, 301))
        assert max(sizes) < 600

    def test_reading_ahead_is_bounded(
        self, database: Database, open_reader: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sql_reader, "_CHUNK", 100)
        database.insert(*range(1, 101))
        reader = open_reader(database.url)
        ready = reader.source._reader.ready
        wait_until(lambda: len(ready) == 2)
        before = reader.source._reader.asked
        assert reader.source.next() == reader.source.next()
        assert (len(ready), reader.source._reader.asked) == (2, before)

    def test_once_means_up_to_the_present_end(self, database: Database, open_reader: Open) -> None:
        database.insert(1, 2)
        reader = open_reader(database.url, follow=False)
        first = reader.source.next()
        assert first is not None
        database.insert(3)
        reader.take(first)
        reader.read()
        assert reader.ids == [1, 2]

    def test_an_empty_table(self, database: Database, open_reader: Open) -> None:
        assert open_reader(database.url, follow=False).read() == []
        reader = open_reader(database.url)
        reader.await_look()
        database.insert(1)
        assert reader.await_ids(1) == [1]


class TestPositions:
    def test_a_new_process_goes_on_where_the_old_one_had_saved(
        self, database: Database, open_reader: Open
    ) -> None:
        database.insert(1, 2)
        first = open_reader(database.url)
        first.await_ids(2)
        saved = dict(first.source.positions)
        assert saved == {KEY: Position(3)}
        database.insert(3)
        assert open_reader(database.url, saved).await_ids(1) == [3]

    def test_of_a_chunk_of_which_some_rows_are_counted_the_same_rows_come_again(
        self, database: Database, open_reader: Open
    ) -> None:
        database.insert(1, 2, 3)
        first = open_reader(database.url)
        chunk = first.await_chunk()
        first.source.advance(chunk.part, chunk.within(2))
        assert first.await_chunk().data == chunk.data
        saved = dict(first.source.positions)
        assert saved == {KEY: Position(1, length=3, rows=2)}
        database.insert(4)
        again = open_reader(database.url, saved)
        chunk_again = again.await_chunk()
        assert (chunk_again.data, chunk_again.part.position) == (chunk.data, saved[KEY])
        again.take(chunk_again)
        assert again.await_ids(4) == [1, 2, 3, 4]

    def test_rows_that_were_deleted_meanwhile_are_passed_over(
        self, database: Database, open_reader: Open
    ) -> None:
        database.insert(4)
        positions = {KEY: Position(1, length=3, rows=2)}
        assert open_reader(database.url, positions).await_ids(1) == [4]

    def test_from_the_end(self, database: Database, open_reader: Open) -> None:
        """Which is remembered before anything comes."""
        database.insert(1, 2)
        first = open_reader(database.url, start="end")
        wait_until(lambda: first.read() or first.source.positions)
        assert first.source.positions == {KEY: Position(3)}
        assert first.source.moved == {KEY}
        database.insert(3)
        assert first.await_ids(1) == [3]

    def test_lag(self, database: Database, open_reader: Open) -> None:
        database.insert(*range(1, 11))
        reader = open_reader(database.url)
        chunk = reader.await_chunk()
        assert reader.source.lag() == len(chunk.data)
        reader.take(chunk)
        assert reader.source.lag() == 0


class TestGaps:
    """A number that is missing may belong to a transaction that commits later."""

    def test_what_commits_late_is_read(
        self, server: str, database: Database, open_reader: Open
    ) -> None:
        if database.url != server:
            pytest.skip("SQLite has one writer at a time")
        database.insert(1)
        reader = open_reader(database.url)
        reader.await_ids(1)
        with database.engine.connect() as late:
            late.execute(text(f"INSERT INTO {TABLE} VALUES (2, 0)"))
            database.insert(3)
            reader.await_look()
            assert reader.read() == [b'{"id":1,"x":1.5}']
            late.commit()
        assert reader.await_ids(3) == [1, 2, 3]

    def test_a_gap_that_stays_is_passed_when_it_is_old(
        self, database: Database, open_reader: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        database.insert(1, 3, 7)
        reader = open_reader(database.url)
        reader.await_look()
        reader.read()
        assert reader.ids == [1]
        later = time.monotonic() + sql_reader._GRACE
        monkeypatch.setattr(sql_reader.time, "monotonic", lambda: later)
        assert reader.await_ids(3) == [1, 3, 7]

    def test_behind_the_highest_number_of_then_gaps_are_young(
        self, database: Database, open_reader: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        database.insert(1, 3)
        reader = open_reader(database.url)
        reader.await_look()
        later = time.monotonic() + sql_reader._GRACE
        monkeypatch.setattr(sql_reader.time, "monotonic", lambda: later)
        database.insert(5)
        assert reader.await_ids(2) == [1, 3]
        reader.await_look()
        assert len(reader.read()) == 2
        database.insert(4)
        assert reader.await_ids(4) == [1, 3, 4, 5]

    def test_a_table_whose_beginning_was_deleted(
        self, database: Database, open_reader: Open
    ) -> None:
        database.insert(1000, 1001)
        reader = open_reader(database.url)
        reader.await_look()
        assert reader.read() == []
        assert open_reader(database.url, follow=False).read() != []


class TestValues:
    @pytest.mark.parametrize(
        ("value", "kind", "json"),
        [
            (1, "", "1"),
            (None, "", "null"),
            ("ä", "", '"ä"'),
            (True, "", "true"),
            (1, "boolean", "true"),
            (0, "boolean", "false"),
            (2, "boolean", "2"),
            (2**80, "", str(2**80)),
            (Decimal("1.50"), "", "1.50"),
            (Decimal("NaN"), "", '"nan"'),
            (float("inf"), "", '"inf"'),
            (datetime(2026, 3, 1, 12), "", '"2026-03-01T12:00:00"'),
            (datetime(2026, 3, 1, 12, tzinfo=UTC), "", '"2026-03-01T12:00:00Z"'),
            (date(2026, 3, 1), "", '"2026-03-01"'),
            (timedelta(minutes=1), "", "60.0"),
            (b"\0\xff", "", '"AP8="'),
            (UUID(int=1), "", '"00000000-0000-0000-0000-000000000001"'),
            (range(3), "", '"range(0, 3)"'),
            ({"a": [1, {"b": None}]}, "", '{"a":[1,{"b":null}]}'),
            ('{"a": [1]}', "json", '{"a":[1]}'),
            ('{"a": ', "json", '"{\\"a\\": "'),
            ('{"a": [1]}', "", '"{\\"a\\": [1]}"'),
        ],
    )
    def test_as_json(self, value: Any, kind: Any, json: str) -> None:
        assert line(["v"], [kind], [value]).decode() == f'{{"v":{json}}}\n'

    def test_text_that_is_none_is_rejected(self) -> None:
        assert line(["v"], [""], ["\udcff"]) == UNREADABLE

    def test_of_postgresql(self, server: str, open_reader: Open) -> None:
        database = Database(server)
        database.run(
            f"DROP TABLE IF EXISTS {TABLE}",
            f"CREATE TABLE {TABLE} (id BIGSERIAL PRIMARY KEY, at TIMESTAMPTZ, n NUMERIC(8, 2),"
            " inputs JSONB, ok BOOLEAN, who UUID, address INET, tags TEXT[])",
            f"INSERT INTO {TABLE} VALUES (1, '2026-03-01 12:00+02', 1.50, '{{\"age\": 31}}',"
            " true, '00000000-0000-0000-0000-000000000001', '10.0.0.1', '{a,b}')",
        )
        database.engine.dispose()
        (line,) = open_reader(server, follow=False).read()
        row = json.loads(line)
        # In whatever zone the session has.
        assert datetime.fromisoformat(row.pop("at")) == datetime(2026, 3, 1, 10, tzinfo=UTC)
        assert row == {
            "id": 1,
            "n": 1.5,
            "inputs": {"age": 31},
            "ok": True,
            "who": "00000000-0000-0000-0000-000000000001",
            "address": "10.0.0.1",
            "tags": ["a", "b"],
        }

    def test_of_sqlite(self, sqlite: sqlite3.Connection, tmp_path: Path, open_reader: Open) -> None:
        """Whose columns hold anything."""
        sqlite.execute(
            f"CREATE TABLE {TABLE}"
            " (id INTEGER PRIMARY KEY, at DATETIME, n NUMERIC, j JSON, ok BOOLEAN)"
        )
        for row in (
            "1, '2026-03-01 12:00:00', 1.5, '{\"a\": 1}', 1",
            "2, 'yesterday', 'many', '{', 'yes'",
            "3, CAST(X'ff' AS TEXT), NULL, NULL, NULL",
            "4, 5, X'00', 6, 0",
        ):
            sqlite.execute(f"INSERT INTO {TABLE} VALUES ({row})")
        lines = open_reader(f"sqlite:///{tmp_path}/log.db", follow=False).read()
        assert lines == [
            b'{"id":1,"at":"2026-03-01 12:00:00","n":1.5,"j":{"a":1},"ok":true}',
            b'{"id":2,"at":"yesterday","n":"many","j":"{","ok":"yes"}',
            UNREADABLE.rstrip(),
            b'{"id":4,"at":5,"n":"AA==","j":6,"ok":false}',
        ]

    def test_a_row_that_the_driver_cannot_read_costs_no_other(
        self, server: str, open_reader: Open
    ) -> None:
        database = Database(server)
        database.run(
            f"DROP TABLE IF EXISTS {TABLE}",
            f"CREATE TABLE {TABLE} (id INTEGER PRIMARY KEY, at TIMESTAMP)",
            *(
                f"INSERT INTO {TABLE} VALUES"
                f" ({id}, '{'infinity' if id in (5, 6) else '2026-03-01'}')"
                for id in range(1, 11)
            ),
        )
        database.engine.dispose()
        reader = open_reader(server, follow=False)
        lines = reader.read()
        assert reader.source.errors == {}
        ids = [None if one == UNREADABLE.rstrip() else json.loads(one)["id"] for one in lines]
        assert ids == [1, 2, 3, 4, None, None, 7, 8, 9, 10]


def problem(reader: Reader) -> str:
    """The error of a source, once there is one."""
    (text,) = wait_until(lambda: reader.source.errors).values()
    assert reader.read() == []
    return text


class TestErrors:
    @pytest.mark.parametrize(
        ("changes", "text"),
        [
            ({"table": "predictons"}, "no table 'predictons'; did you mean 'predictions'?"),
            ({"table": "other"}, "no table 'other'; known: predictions"),
            ({"cursor": "key"}, "table 'predictions' has no column 'key'; known: id, x"),
        ],
    )
    def test_of_names(
        self, database: Database, open_reader: Open, changes: dict[str, str], text: str
    ) -> None:
        assert problem(open_reader(database.url, **changes)) == text

    def test_a_cursor_that_is_no_whole_number(self, database: Database, open_reader: Open) -> None:
        assert problem(open_reader(database.url, cursor="x")) in (
            "column 'x' is float; a cursor has to be whole numbers, each once, that only grow",
            "column 'x' is double precision; a cursor has to be whole numbers, each once,"
            " that only grow",
        )

    def test_a_cursor_whose_numbers_are_there_twice(
        self, database: Database, open_reader: Open
    ) -> None:
        database.run(
            f"DROP TABLE {TABLE}",
            f"CREATE TABLE {TABLE} (id INTEGER)",
            f"INSERT INTO {TABLE} VALUES (1), (2), (2)",
        )
        assert problem(open_reader(database.url)) == (
            "column 'id' has a number twice; each may be there once"
        )

    def test_a_table_that_is_begun_anew(self, database: Database, open_reader: Open) -> None:
        database.insert(*range(1, 11))
        reader = open_reader(database.url)
        reader.await_ids(10)
        database.run(f"DELETE FROM {TABLE}")
        database.insert(1)
        reader.await_look()
        assert reader.source.errors == {}  # old rows may be deleted
        database.insert(2)
        (text,) = wait_until(lambda: reader.source.errors).values()
        assert text.startswith("its numbers began again")

    def test_a_table_of_another_schema(self, server: str, open_reader: Open) -> None:
        database = Database(server)
        database.run(
            "DROP SCHEMA IF EXISTS ml CASCADE",
            "CREATE SCHEMA ml",
            "CREATE TABLE ml.log (id INTEGER)",
            "INSERT INTO ml.log VALUES (1)",
        )
        database.engine.dispose()
        assert open_reader(server, table="ml.log", follow=False).read() == [b'{"id":1}']

    def test_a_table_that_comes_later(
        self,
        sqlite: sqlite3.Connection,
        tmp_path: Path,
        open_reader: Open,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(sql_reader, "_RETRY", 0.01)
        reader = open_reader(f"sqlite:///{tmp_path}/log.db")
        assert problem(reader) == "no table 'predictions', nor any other"
        sqlite.execute(f"CREATE TABLE {TABLE} (id INTEGER)")
        sqlite.execute(f"INSERT INTO {TABLE} VALUES (1)")
        assert reader.await_ids(1) == [1]
        assert reader.source.errors == {}

    def test_no_file(self, tmp_path: Path, open_reader: Open) -> None:
        """And none is made."""
        path = tmp_path / "none.db"
        reader = open_reader(f"sqlite:///{path}", follow=False)
        assert reader.read() == []
        assert reader.source.errors == {f"predictions at sqlite:///{path}": "no such file"}
        assert not path.exists()

    def test_a_server_that_goes_away_and_comes_back(
        self, server: str, open_reader: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sql_reader, "_RETRY", 0.01)
        database = Database(server)
        database.run(f"DROP TABLE IF EXISTS {TABLE}", f"CREATE TABLE {TABLE} (id INTEGER)")
        reader = open_reader(server)
        reader.await_look()
        database.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
            f"INSERT INTO {TABLE} VALUES (1)",
        )
        database.engine.dispose()
        assert reader.await_ids(1) == [1]
        assert reader.source.errors == {}

    def test_no_server(self, open_reader: Open) -> None:
        port = free_port()
        url = f"postgresql+psycopg://me:hunter2@127.0.0.1:{port}/db?application_name=hunter3"
        reader = open_reader(url)
        assert problem(reader).startswith("connection failed: connection to server")
        assert list(reader.source.errors) == [f"predictions at postgresql://127.0.0.1:{port}/db"]

    def test_a_wrong_password_is_not_shown(self, server: str, open_reader: Open) -> None:
        shown = problem(open_reader(server.replace(PASSWORD, "hunter2")))
        assert "password authentication failed" in shown
        assert "hunter2" not in shown

    @pytest.mark.parametrize(
        ("url", "text"),
        [
            (
                "hunter2",
                "url: is no URL of a database, such as postgresql+psycopg://user@host/database",
            ),
            ("oracel://u:hunter2@h/d", "url: SQLAlchemy knows no 'oracel'"),
            ("postgresql+pg8000://u:hunter2@h/d", "url: its driver is missing: pip install pg8000"),
        ],
    )
    def test_urls(self, url: str, text: str) -> None:
        with pytest.raises(SourceError) as caught:
            open_source(Settings(url, TABLE, "id"), {}, True, "start")
        assert str(caught.value) == text


class TestSourceId:
    def test_is_alike_for_whoever_reads_one_table(self, server: str, open_reader: Open) -> None:
        other_user = server.replace("tester", "other").replace(PASSWORD, "x")
        ids = [open_reader(url).source.source_id for url in (server, other_user)]
        assert ids[0] == ids[1]
        assert open_reader(server, table="t").source.source_id != ids[0]

    def test_of_files(self, tmp_path: Path, open_reader: Open) -> None:
        one, two = (open_reader(f"sqlite:///{tmp_path}/{name}.db") for name in "ab")
        assert one.source.source_id != two.source.source_id


TEXT = """\
models:
  - name: m
    task: binary
    positive: a
    source: {{type: sql, url: "{url}", table: predictions, cursor: id, interval: 10ms}}
    fields: {{prediction: p, label: y, features: [x]}}
    learn: {{rows: 50}}
"""


def test_each_row_is_counted_once_over_crashes(database: Database, tmp_path: Path) -> None:
    database.run(
        f"DROP TABLE {TABLE}", f"CREATE TABLE {TABLE} (id INTEGER, p TEXT, y TEXT, x FLOAT)"
    )

    def insert(first: int, last: int) -> None:
        database.run(
            *(f"INSERT INTO {TABLE} VALUES ({n}, 'a', 'b', 1.5)" for n in range(first, last + 1))
        )

    counting = Counting(tmp_path, TEXT.format(url=database.url))

    def count_to(rows: int) -> None:
        def is_counted() -> bool:
            counting.count()
            return counting.value("ml_predictions_total") >= rows

        wait_until(is_counted)

    try:
        insert(1, 60)
        count_to(60)  # of which 50 make the baseline
        counting.save()
        insert(61, 70)
        count_to(70)
        counting.start_again()
        insert(71, 80)
        count_to(80)
        counting.save()
        counting.start_again()
        insert(81, 81)
        count_to(81)
        assert counting.value("ml_predictions_total") == 81
        assert counting.value("ml_field_values_total", field="x") == 81 - 50
    finally:
        counting.close()
