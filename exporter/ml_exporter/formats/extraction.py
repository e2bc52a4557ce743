"""What an extractor makes of a column: numbers of texts and lists, hours and weekdays of times.

What is missing stays missing, and what is no text, list or time is of the wrong type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ml_exporter.columns import ABSENT, Column
from ml_exporter.config.extractors import Extractor
from ml_exporter.formats.timestamps import parse_timestamps
from ml_exporter.statistics.bins import Floats

LONGEST_LOOK = 1 << 16  # characters of a text that are looked at one by one

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_EPOCH_DAY = 3  # 1970 began on a Thursday
_LAST_TIME = 253402300800.0  # seconds: the end of the year 9999


def extract(extractor: Extractor, column: Column) -> Column:
    """The extracted value of each row, a number but for `weekday`."""
    match extractor:
        case "items":
            return Column(column.item_counts())
        case "hour" | "weekday":
            return _of_times(extractor, column)
        case "length" if (lengths := column.text_lengths()) is not None:
            return Column(lengths)
    return _of_texts(_OF_TEXT[extractor], column)


def _words(text: str) -> int:
    """Runs of anything but white space."""
    return len(text[:LONGEST_LOOK].split())


def _non_ascii(text: str) -> float:
    """The share of characters beyond ASCII."""
    if text.isascii():
        return 0.0
    looked_at = text[:LONGEST_LOOK]
    return 1 - len(looked_at.encode("ascii", "ignore")) / len(looked_at)


_OF_TEXT: Mapping[Extractor, Callable[[str], float]] = {
    "length": len,
    "words": _words,
    "non_ascii": _non_ascii,
}


def _of_texts(measure: Callable[[str], float], column: Column) -> Column:
    texts = column.texts()
    if texts is not None:
        return Column([*map(measure, texts)])

    def of(value: object) -> object:
        if isinstance(value, str):
            return measure(value) if value else None
        return value if value is None or value is ABSENT else []

    return Column([*map(of, column.values)])


def _of_times(extractor: Extractor, column: Column) -> Column:
    """The hour in UTC, from 0, or the name of the day."""
    seconds, bad = parse_timestamps(column)
    known = np.abs(seconds) < _LAST_TIME
    of_known = _hours(seconds[known]) if extractor == "hour" else _weekdays(seconds[known])
    if known.all():
        return Column(of_known)
    values: list[object] = [None] * len(column)
    for row, value in zip(np.flatnonzero(known).tolist(), of_known, strict=True):
        values[row] = value
    for row in [*bad, *np.flatnonzero(np.abs(seconds) >= _LAST_TIME).tolist()]:
        values[row] = []
    for row in np.flatnonzero(column.absent_mask()).tolist() if column.absent else ():
        values[row] = ABSENT
    return Column(values)


def _hours(seconds: Floats) -> Sequence[object]:
    hours: list[object] = (seconds // 3600 % 24).astype(np.int64).tolist()
    return hours


def _weekdays(seconds: Floats) -> Sequence[object]:
    days = ((seconds // 86400).astype(np.int64) + _EPOCH_DAY) % len(_DAYS)
    return [_DAYS[day] for day in days.tolist()]
