"""Log lines as logfmt or JSON, on stderr."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Literal

LEVELS = ("debug", "info", "warn", "error")
LogFormat = Literal["logfmt", "json"]

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def configure(level: str, format: LogFormat) -> None:
    """Send the program's log lines to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Logfmt() if format == "logfmt" else _Json())
    logger = logging.getLogger("ml_exporter")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel({"warn": "WARNING"}.get(level, level.upper()))


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """What a line says, in order; whatever was given as `extra` comes last."""
    time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    fields: dict[str, object] = {
        "time": time.replace("+00:00", "Z"),
        "level": record.levelname.lower().replace("warning", "warn"),
        "msg": record.getMessage(),
    }
    fields |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
    if record.exc_info:
        fields["exception"] = logging.Formatter().formatException(record.exc_info)
    return fields


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(_fields(record), default=str)


class _Logfmt(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{key}={_quoted(str(value))}" for key, value in _fields(record).items())


def _quoted(value: str) -> str:
    plain = value.isprintable() and not any(mark in value for mark in ' "=')
    return value if value and plain else json.dumps(value)
