"""A table of a database, read in the order of a column that only grows."""

from __future__ import annotations

from collections.abc import Mapping

from ml_exporter.config.source_settings import SqlSource as Settings
from ml_exporter.sources.matching import id_of, source_id
from ml_exporter.sources.parts import Chunk, Part, Start, move
from ml_exporter.sources.sql_database import place
from ml_exporter.sources.sql_reader import TableReader
from ml_exporter.store.store import Position


class SqlSource:
    """A table as lines of JSON, one a row; if not `follow`, up to its present end.

    Offsets are keys: values of the column that only grows.
    """

    def __init__(
        self, settings: Settings, positions: dict[str, Position], follow: bool, start: Start
    ) -> None:
        """Raises SourceError."""
        key = f"{settings.table}:{settings.cursor}"
        known = positions.get(key)
        self._reader = TableReader(settings, known, follow)
        self._place = place(self._reader.url)
        self.name = f"{settings.table} at {self._place}"
        self.start: Start = start
        self.positions = positions
        self.moved: set[str] = set()
        self._part = Part(name=self.name, key=key, position=known or Position(0))
        self._is_placed = known is not None
        # Where a table is begun depends on nothing but a position: it has one part.
        self._begins_at: Start = start
        self._follow = follow
        self._settings = settings
        self._given_up: str | None = None

    @property
    def errors(self) -> Mapping[str, str]:
        problem = self._given_up or self._reader.problem
        return {} if problem is None else {self.name: problem}

    @property
    def source_id(self) -> str:
        url = self._reader.url
        is_file = url.get_backend_name() == "sqlite"
        database = source_id(url.database or "") if is_file else self._place
        return id_of(f"{database}\n{self._settings.table}")

    def look(self) -> None:
        """Begin to read, if that isn't so yet."""
        self._reader.begin(self._begins_at)

    def next(self) -> Chunk | None:
        """The next rows; if not `follow`, it waits until there are any."""
        self.look()
        reader = self._reader
        with reader.changed:
            while True:
                self._take_note()
                if reader.ready and self._given_up is None:
                    rows = reader.ready[0]
                    if rows.data:
                        length = rows.end - rows.offset
                        return Chunk(
                            self._part, rows.data, False, next_offset=rows.end, length=length
                        )
                    self._move(Position(rows.end))  # the rest of a chunk, deleted meanwhile
                elif self._follow or reader.is_over or self._given_up is not None:
                    return None
                else:
                    reader.changed.wait()

    def advance(self, part: Part, position: Position) -> Position:
        with self._reader.changed:
            self._move(position)
        return position

    def committed(self) -> None:
        """A database need not be told."""

    def give_up(self, part: Part, problem: str) -> None:
        self._given_up = problem

    def lag(self) -> int:
        """Keys that aren't counted yet times the mean size of a row: gaps are counted as rows."""
        with self._reader.changed:
            highest = self._reader.highest
            if highest is None or not self._is_placed:
                return 0
            behind = max(0, highest + 1 - self._part.position.offset)
            return int(behind * max(1.0, self._reader.mean_size))

    def close(self) -> None:
        self._reader.stop()

    def _take_note(self) -> None:
        """Remember where the table was begun: its end may be another one next time."""
        if not self._is_placed and self._reader.position is not None:
            self._is_placed = True
            self._move(self._reader.position)

    def _move(self, position: Position) -> None:
        move(self, self._part, position)
        self._reader.drop(position.offset)
