"""What goes along with a prediction until its label comes, as bytes of each row."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from itertools import chain, pairwise, takewhile
from operator import add
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml_exporter.batch import CARRIED, CARRIED_NUMBERS, Batch, Field, Role
from ml_exporter.columns import ABSENT, Categories, Column, Numbers, encode
from ml_exporter.serialization import message_pack
from ml_exporter.statistics.bins import MISSING, Floats

_AT_ONCE = 4 << 20  # bytes put together at once
_ROWS = 1024  # taken apart at once
_ROLES: dict[str, Role] = {role: role for role in CARRIED}

_Mask = NDArray[np.bool_]
_Places = NDArray[np.intp]  # of rows among all


class Names(Column):
    """Names that are categories already: `<missing>` and its like are not escaped again."""

    def __init__(self, categories: Categories, absent: _Mask | None = None) -> None:
        """`absent` are rows without a name, which are `<missing>` as categories."""
        super().__init__(())
        self._categories = categories
        self._absent = absent

    @staticmethod
    def of(names: Sequence[str | None]) -> Names:
        """From the name of each row, which is absent where it is None."""
        absent = np.array([name is None for name in names], dtype=np.bool_)
        categories = Categories.of([MISSING if name is None else name for name in names])
        return Names(categories, absent if absent.any() else None)

    def __len__(self) -> int:
        return self._categories.codes.size

    @cached_property
    def values(self) -> Sequence[object]:
        values: list[object] = [*self._categories.of_rows]
        for row in np.flatnonzero(self.absent_mask()).tolist():
            values[row] = ABSENT
        return values

    @cached_property
    def categories(self) -> Categories:
        return self._categories

    def absent_mask(self) -> _Mask:
        return np.zeros(len(self), dtype=np.bool_) if self._absent is None else self._absent

    def missing_mask(self) -> _Mask:
        names = list(self._categories.names)
        missing = names.index(MISSING) if MISSING in names else -1
        return np.equal(self._categories.codes, missing)

    def take(self, rows: NDArray[np.intp]) -> Names:
        categories = Categories(self._categories.codes[rows], self._categories.names)
        return Names(categories, None if self._absent is None else self._absent[rows])


class Scores(Column):
    """Numbers: NaN where a row has none, which as a value is None."""

    def __init__(self, numbers: Floats) -> None:
        super().__init__(())
        self._numbers = numbers

    def __len__(self) -> int:
        return self._numbers.size

    @cached_property
    def values(self) -> Sequence[object]:
        return [None if math.isnan(number) else number for number in self._numbers.tolist()]

    @cached_property
    def numbers(self) -> Numbers:
        missing = int(np.count_nonzero(self.missing_mask()))
        return Numbers(self._numbers, missing, invalid=0, wrong_type=0)

    def missing_mask(self) -> _Mask:
        return np.isnan(self._numbers)

    def take(self, rows: NDArray[np.intp]) -> Scores:
        return Scores(self._numbers[rows])


def pack(batch: Batch) -> list[bytes]:
    """What each row has of the columns that are carried: MessagePack, empty where that is nothing.

    It is a map. A score is a float64 under `score/NAME`, if the row has one, as is its expected
    error under `expected/error`; anything else is its name, such as `DE` under `segment/country`.
    So a row tells itself what it has, whatever is carried by now.
    https://github.com/msgpack/msgpack/blob/master/spec.md
    """
    carried = {key: column for key, column in batch.fields.items() if key.role in CARRIED}
    if not carried:
        return [b""] * batch.rows
    scores = [
        (_key(key), c.numbers.values) for key, c in carried.items() if key.role in CARRIED_NUMBERS
    ]
    names = [
        (_key(key), c.categories) for key, c in carried.items() if key.role not in CARRIED_NUMBERS
    ]
    counts = np.full(batch.rows, len(names))
    for _, numbers in scores:
        counts += ~np.isnan(numbers)
    heads = [message_pack.head(count) for count in range(len(carried) + 1)]
    packed = [heads[count] for count in counts.tolist()]
    for key, categories in names:
        entries = [key + message_pack.text(name) for name in categories.names]
        packed = [*map(add, packed, map(entries.__getitem__, categories.codes.tolist()))]
    # Numbers are last: rows with the same names begin alike, and all rows end alike.
    return [*map(add, packed, chain.from_iterable(_entries(scores)))] if scores else packed


def _key(key: Field) -> bytes:
    return message_pack.text(f"{key.role}/{key.name}")


def _entries(scores: Sequence[tuple[bytes, Floats]]) -> Iterator[list[bytes]]:
    """Those of each row, one after the other; some rows at a time."""
    rows = scores[0][1].size
    parts = [key + message_pack.FLOAT_64 + bytes(8) for key, _ in scores]
    widths = np.array([len(part) for part in parts])
    template = np.frombuffer(b"".join(parts), dtype=np.uint8)
    at_once = max(1, _AT_ONCE // template.size)
    for start in range(0, rows, at_once):
        stop = min(start + at_once, rows)
        lines = np.tile(template, (stop - start, 1))
        there = np.empty((stop - start, len(scores)), dtype=np.bool_)
        for place, (end, (_, numbers)) in enumerate(zip(widths.cumsum(), scores, strict=True)):
            some = numbers[start:stop]
            lines[:, end - 8 : end] = some.astype(">f8").view(np.uint8).reshape(-1, 8)
            there[:, place] = ~np.isnan(some)
        data = (lines if there.all() else lines[np.repeat(there, widths, axis=1)]).tobytes()
        ends = [0, *(there @ widths).cumsum().tolist()]
        yield [data[a:b] for a, b in pairwise(ends)]


def unpack(rows: Sequence[bytes]) -> dict[Field, Column]:
    """The columns that some of the rows have, as they were packed."""
    columns = _Columns(len(rows))
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        if any(some):
            _unpack(some, start, columns)
    return {
        **{key: Scores(numbers) for key, numbers in columns.scores.items()},
        **{key: Names.of(names.tolist()) for key, names in columns.names.items()},
    }


def _unpack(rows: Sequence[bytes], start: int, columns: _Columns) -> None:
    """Numbers of rows that end alike are taken from where they are.

    Of those among them that also begin alike, one is decoded; of all others, each.
    """
    end = _End.of(max(rows, key=len))
    size = end.template.size
    data = b"".join([row[len(row) - size :] if len(row) >= size else bytes(size) for row in rows])
    lines = np.frombuffer(data, dtype=np.uint8).reshape(len(rows), size)
    is_alike = (np.equal(lines, end.template) | end.free).all(axis=1)
    alike, others = np.flatnonzero(is_alike), np.flatnonzero(~is_alike)
    lines = lines if alike.size == len(rows) else lines[alike]
    for key, at in end.numbers.items():
        numbers = np.ascontiguousarray(lines[:, at : at + 8]).view(">f8").ravel()
        columns.put_numbers(key, start + alike, numbers)
    same = [rows[row] for row in alike.tolist()]
    beginnings = [row[: len(row) - size] for row in same]
    codes, _ = encode(beginnings)
    distinct = [*dict(zip(beginnings, same, strict=True)).values()]
    columns.put(start + alike, distinct, codes, known=end.numbers.keys())
    each = np.arange(others.size)
    columns.put(start + others, [rows[row] for row in others.tolist()], each, known=())


class _End(NamedTuple):
    """The numbers at the end of a row, and of many others."""

    numbers: dict[str, int]  # the key of each, and where its bytes are
    template: NDArray[np.uint8]
    free: _Mask  # which bytes are a number's

    @staticmethod
    def of(row: bytes) -> _End:
        entries = message_pack.maps([row])[0]
        last = [*takewhile(lambda key: isinstance(entries[key], float), reversed(entries))]
        numbers, template, free = {}, b"", b""
        for key in reversed(last):
            known = message_pack.text(key) + message_pack.FLOAT_64
            numbers[key] = len(template) + len(known)
            template += known + bytes(8)
            free += bytes(len(known)) + b"\1" * 8
        return _End(numbers, np.frombuffer(template, np.uint8), np.frombuffer(free, np.bool_))


class _Columns:
    """The columns of so many rows, as they are found."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.scores: dict[Field, Floats] = {}
        self.names: dict[Field, NDArray[np.object_]] = {}  # None where a row has none

    def put(
        self,
        places: _Places,
        distinct: Sequence[bytes],
        codes: NDArray[np.integer],
        known: Collection[str],
    ) -> None:
        """What rows at some places have, but for what is known; `codes` tell which row each is."""
        maps = message_pack.maps(distinct)
        for text in dict.fromkeys(chain.from_iterable(maps)):
            if text in known:
                continue
            values = [entries.get(text) for entries in maps]
            if (key := _field(text)) is None:
                continue
            if key.role in CARRIED_NUMBERS:
                numbers = [value if isinstance(value, float) else math.nan for value in values]
                self.put_numbers(text, places, np.array(numbers)[codes])
            else:
                if key not in self.names:
                    self.names[key] = np.full(self._rows, None)
                names = [value if isinstance(value, str) else None for value in values]
                self.names[key][places] = np.array(names, dtype=np.object_)[codes]

    def put_numbers(self, text: str, places: _Places, numbers: Floats) -> None:
        if (key := _field(text)) and key.role in CARRIED_NUMBERS:
            if key not in self.scores:
                self.scores[key] = np.full(self._rows, np.nan)
            self.scores[key][places] = numbers


def _field(text: str) -> Field | None:
    """What a key stands for, if that is carried still."""
    role, slash, name = text.partition("/")
    return Field(_ROLES[role], name) if slash and role in _ROLES else None
