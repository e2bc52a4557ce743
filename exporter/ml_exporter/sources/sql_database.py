"""A database by its URL: opened within bounds, and its troubles in words without the password."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ml_exporter.config.source_settings import SqlSource as Settings
from ml_exporter.config.yaml_nodes import suggestion
from ml_exporter.sources.parts import SourceError
from ml_exporter.sources.sql_rows import Kind

if TYPE_CHECKING:
    from sqlalchemy import URL, Column, Connection, Engine, Table

_LONGEST_TEXT = 300  # characters of a message
_STATEMENT = "60s"  # for one query
_CONNECT = 10  # seconds
# Options that notice a database which has gone away, by the driver's name, unless the URL has them.
_LIBPQ = {
    "connect_timeout": _CONNECT,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
_CONNECT_ARGS: dict[str, dict[str, int]] = {
    "psycopg": _LIBPQ,
    "psycopg2": _LIBPQ,
    "pymysql": {"connect_timeout": _CONNECT, "read_timeout": 2 * 60},
    "mysqldb": {"connect_timeout": _CONNECT, "read_timeout": 2 * 60},
    "pysqlite": {"timeout": 5},
}


class Unreadable(Exception):
    """Why a table can't be read at the moment."""


def parse_url(settings: Settings) -> URL:
    """Raises SourceError."""
    try:
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError
    except ImportError:
        raise SourceError(
            "type: reading a database needs SQLAlchemy: pip install 'ml-exporter[sql]'"
        ) from None
    try:
        return make_url(settings.url)
    except (ArgumentError, ValueError):
        raise SourceError(
            "url: is no URL of a database, such as postgresql+psycopg://user@host/database"
        ) from None


def open_engine(url: URL) -> Engine:
    """An engine that has connected to nothing yet; raises SourceError."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError
    from sqlalchemy.pool import QueuePool

    try:
        driver = url.get_dialect().driver
        options = _CONNECT_ARGS.get(driver, {})
        engine = create_engine(
            url,
            connect_args={key: v for key, v in options.items() if key not in url.query},
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=0,
            pool_pre_ping=True,
        )
    except NoSuchModuleError:
        raise SourceError(f"url: SQLAlchemy knows no {url.drivername!r}") from None
    except ImportError as error:
        raise SourceError(f"url: its driver is missing: pip install {error.name}") from None
    except (SQLAlchemyError, TypeError, ValueError) as error:
        raise SourceError(f"url: {without_password(str(error), url)}") from None
    if engine.dialect.is_async:
        raise SourceError(f"url: {engine.dialect.driver} is asynchronous; use another driver")
    if engine.dialect.name == "sqlite":
        _take_any_text(engine)
    return engine


def place(url: URL) -> str:
    """Which database it is, whoever logs in."""
    host = f"{url.host or ''}{f':{url.port}' if url.port else ''}"
    return f"{url.get_backend_name()}://{host}/{url.database or ''}"


def without_password(text: str, url: URL) -> str:
    """The first line of a message, without the secrets of the URL."""
    secrets = [str(url.password or ""), *(str(value) for value in url.query.values())]
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return (text.strip().splitlines() or [""])[0][:_LONGEST_TEXT]


def begin_reading(connection: Connection) -> None:
    """Keep a query from taking too long, where that can be said."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{_STATEMENT}'")


def check_file(url: URL) -> None:
    """Raises Unreadable where SQLite would make a file that isn't there."""
    name = url.database
    is_file = url.get_backend_name() == "sqlite" and name and not name.startswith("file:")
    if name and is_file and not os.path.exists(name):
        raise Unreadable("no such file")


def find_table(connection: Connection, settings: Settings) -> tuple[Table, Column[Any]]:
    """The table and its cursor; raises Unreadable."""
    from sqlalchemy import MetaData, Table, inspect

    name = settings.table
    inspector = inspect(connection)
    schema = None
    if "." in name and not inspector.has_table(name):
        schema, _, name = name.rpartition(".")
    if not inspector.has_table(name, schema):
        names = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
        raise Unreadable(f"no table {settings.table!r}{_named(name, names)}")
    table = Table(name, MetaData(), schema=schema, autoload_with=connection, resolve_fks=False)
    if settings.cursor not in table.columns:
        names = list(table.columns.keys())
        raise Unreadable(
            f"table {settings.table!r} has no column {settings.cursor!r}"
            f"{_named(settings.cursor, names)}"
        )
    column = table.columns[settings.cursor]
    if not _is_whole(column):
        raise Unreadable(
            f"column {column.name!r} is {str(column.type).lower()}; a cursor has to be"
            " whole numbers, each once, that only grow"
        )
    return table, column


def kind_of(column: Column[Any]) -> Kind:
    from sqlalchemy import JSON, Boolean

    if isinstance(column.type, JSON):
        return "json"
    return "boolean" if isinstance(column.type, Boolean) else ""


def _is_whole(column: Column[Any]) -> bool:
    from sqlalchemy import Integer, Numeric
    from sqlalchemy.types import NullType

    type = column.type
    # SQLite has columns without a type, and a view's may be unknown: their values will show.
    return isinstance(type, Integer | NullType) or (isinstance(type, Numeric) and type.scale == 0)


def _named(name: str, names: list[str]) -> str:
    return suggestion(name, sorted(names)) if names else ", nor any other"


def _take_any_text(engine: Engine) -> None:
    """Let SQLite hand over text that isn't UTF-8: it spoils its own row, not the whole query."""
    from sqlalchemy import event

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: object) -> None:
        connection.text_factory = lambda data: data.decode(errors="surrogateescape")
