"""Times of rows, however a log writes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ml_exporter.columns import ABSENT, Column, number_of_json, number_of_text
from ml_exporter.statistics.bins import Floats

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GREATEST_DATE = 99991231


def parse_timestamps(column: Column) -> tuple[Floats, list[int]]:
    """Seconds since 1970 of a column, NaN where there is none, and the rows that can't be read.

    ISO 8601 (without an offset it is UTC), or a number since 1970 in seconds, milliseconds,
    microseconds or nanoseconds, by its magnitude. A text of eight digits is a date, if it can be.
    """
    known = column.seconds()
    if known is not None:
        seconds, rest = known
        if rest:
            others = Column([column.values[row] for row in rest], column.text)
            values, bad = parse_timestamps(others)
            seconds[rest] = values
            return seconds, [rest[row] for row in bad]
        return seconds, []
    if column.types <= {int, float}:
        values = column.numbers.values
        return _seconds(values), np.flatnonzero(np.isnan(values)).tolist()
    try:
        return _seconds_of_iso(column.values), []
    except (TypeError, ValueError):
        pass
    if column.text and np.all(column.numbers.values > _GREATEST_DATE):
        return _seconds(column.numbers.values), []
    return _timestamps_one_by_one(column.values)


def _seconds_of_iso(texts: Sequence[Any]) -> Floats:
    """What all are if each is a text with an offset; raises TypeError or ValueError if not."""
    since = [datetime.fromisoformat(text) - _EPOCH for text in texts]
    return np.array([duration.total_seconds() for duration in since], dtype=np.float64)


def _timestamps_one_by_one(values: Sequence[object]) -> tuple[Floats, list[int]]:
    seconds = np.full(len(values), np.nan)
    bad = []
    for row, value in enumerate(values):
        if value is None or value is ABSENT or value == "":
            continue
        parsed = _timestamp(value)
        if parsed is None:
            bad.append(row)
        else:
            seconds[row] = parsed
    return seconds, bad


def _timestamp(value: object) -> float | None:
    number = number_of_text(value) if isinstance(value, str) else number_of_json(value)
    if isinstance(value, str) and (number is None or len(value) == len(str(_GREATEST_DATE))):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            pass
        else:
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if number is None or not math.isfinite(number):
        return None
    return float(_seconds(np.array([number]))[0])


def _seconds(values: Floats) -> Floats:
    size = np.abs(values)
    unit = np.select([size < 1e11, size < 1e14, size < 1e17], [1.0, 1e3, 1e6], 1e9)
    return np.asarray(values / unit, dtype=np.float64)
