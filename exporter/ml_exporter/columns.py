"""Column: the values of one field, as numbers and as categories."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from ml_exporter.serialization import json_text
from ml_exporter.statistics import counting
from ml_exporter.statistics.bins import (
    INVALID,
    MISSING,
    OTHER,
    Binned,
    Codes,
    Floats,
    bin_codes,
    binned,
    looked_up,
)


class _Absent:
    """The type of ABSENT, of which there is one in each process."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "ABSENT"

    def __reduce__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()  # the row has no such field at all; null is None

LONGEST_NAME = 200  # characters; no longer text is made a category, or a label, of its own

Value = TypeVar("Value")

_FEW_PAIRS = 1 << 16  # of names: no more are counted in an array of them all

_WHOLE_DECIMAL = re.compile(r"[+-]?\d+\.0*")


class Numbers:
    """A column as numbers: NaN wherever a row has none."""

    def __init__(self, values: Floats, missing: int, invalid: int, wrong_type: int) -> None:
        self._values = values
        self.missing = missing  # null, absent or empty
        self.invalid = invalid  # the wrong type, NaN or infinite
        self.wrong_type = wrong_type
        self._binned: dict[tuple[float, ...], Binned] = {}
        self._codes: dict[tuple[float, ...], Codes] = {}

    @property
    def values(self) -> Floats:
        """Of shape (rows,)."""
        return self._values

    def binned(self, edges: Sequence[float]) -> Binned:
        """The bins that values are in: worked out once, since several monitors ask for the same."""
        key = tuple(edges)
        if key not in self._binned:
            self._binned[key] = self._in_bins(key)
        return self._binned[key]

    def codes(self, uppers: tuple[float, ...]) -> Codes:
        """The first of the ascending uppers that each value doesn't exceed; see `bin_codes`."""
        if uppers not in self._codes:
            self._codes[uppers] = self._up_to(uppers)
        return self._codes[uppers]

    def _in_bins(self, edges: tuple[float, ...]) -> Binned:
        return binned(self.values, np.array(edges))

    def _up_to(self, uppers: tuple[float, ...]) -> Codes:
        return bin_codes(self.values, np.array(uppers))


@dataclass(frozen=True)
class Categories:
    """A column as categories: `<missing>` or `<invalid>` where a row has none."""

    codes: NDArray[np.int32]  # (rows,), indices into names
    names: Sequence[str]  # each once, in any order; some may be of no row
    wrong_type: int = 0

    @staticmethod
    def of(names: Sequence[str], wrong_type: int = 0) -> Categories:
        """From the name of each row."""
        codes, distinct = encode(names)
        return Categories(codes, list(distinct), wrong_type)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Rows of each name that has any."""
        rows = np.zeros(len(self.names), dtype=np.int64)
        counting.count_codes(np.ascontiguousarray(self.codes, dtype=np.int32), rows)
        return {name: n for name, n in zip(self.names, rows.tolist(), strict=True) if n}

    @cached_property
    def of_rows(self) -> list[str]:
        """The name of each row."""
        names = self.names
        return [names[code] for code in self.codes.tolist()]

    def among(self, names: Sequence[str]) -> NDArray[np.int64]:
        """The place of each row's name among those given; -1 where it is none of them."""
        if list(names) == list(self.names):
            return self.codes.astype(np.int64)
        place = {name: number for number, name in enumerate(names)}
        return np.array([place.get(name, -1) for name in self.names], np.int64).take(self.codes)

    def is_any(self, *names: str) -> NDArray[np.bool_]:
        """Rows that have one of these names."""
        table = np.array([name in names for name in self.names], np.uint8)
        return looked_up(self.codes, table, 2).codes.view(np.bool_)

    def equals(self, other: Categories) -> NDArray[np.bool_]:
        """Rows that have the same name in another column."""
        same: NDArray[np.bool_] = other.codes == self.among(other.names)
        return same

    def cross(self, other: Categories) -> dict[tuple[str, str], int]:
        """Rows of each pair of names, this column's first, that has any."""
        width = len(other.names)
        pairs = self.codes.astype(np.int64) * width + other.codes
        if width * len(self.names) <= _FEW_PAIRS:
            rows = np.bincount(pairs)
            distinct = np.flatnonzero(rows)
            rows = rows[distinct]
        else:
            distinct, rows = np.unique(pairs, return_counts=True)
        return {
            (self.names[pair // width], other.names[pair % width]): count
            for pair, count in zip(distinct.tolist(), rows.tolist(), strict=True)
        }


def encode(values: Sequence[Value]) -> tuple[NDArray[np.int32], dict[Value, int]]:
    """Codes of hashable values, and the code of each distinct one, in the order of occurrence."""
    index: dict[Value, int] = {}
    for value in dict.fromkeys(values):
        index[value] = len(index)
    return np.fromiter(map(index.__getitem__, values), np.int32, len(values)), index


class Column:
    """The values of one field as the log has them.

    `text` says that every value is text because the format knows nothing else (CSV).
    What the values are as numbers or as categories is worked out once, when first asked for.
    Formats have columns of their own, which know it without a Python object for each value.
    """

    def __init__(self, values: Sequence[object], text: bool = False) -> None:
        self._values = values
        self.text = text

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Column):
            return NotImplemented
        return self.text == other.text and list(self.values) == list(other.values)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Column({list(self.values)!r}, text={self.text})"

    @property
    def values(self) -> Sequence[object]:
        """All values; what is neither text, number, boolean nor null is an empty dict or list."""
        return self._values

    @cached_property
    def absent(self) -> int:
        """Rows that have no such field at all."""
        return int(np.count_nonzero(self.absent_mask())) if type(ABSENT) in self.types else 0

    def absent_mask(self) -> NDArray[np.bool_]:
        return np.array([value is ABSENT for value in self.values], dtype=np.bool_)

    @cached_property
    def types(self) -> set[type]:
        return {str} if self.text else set(map(type, self.values))

    def missing_mask(self) -> NDArray[np.bool_]:
        if not self.text and self.types <= {int, float, bool}:
            return np.zeros(len(self.values), dtype=np.bool_)
        return np.array([v is None or v is ABSENT or v == "" for v in self.values], dtype=np.bool_)

    def take(self, rows: NDArray[np.intp]) -> Column:
        return Column([self.values[row] for row in rows.tolist()], self.text)

    def without_contents(self) -> Column:
        """The same with empty dicts and lists: all to remember is that their type is wrong."""
        if not self.types & {dict, list}:
            return self
        return Column([type(v)() if isinstance(v, dict | list) else v for v in self.values])

    def texts(self) -> list[str] | None:
        """All values, if each is text, and not empty; None if not, or if that isn't known yet."""
        return None

    def text_lengths(self) -> list[int] | None:
        """Characters of each of `texts`; None if there are none, or counting them takes as long."""
        return None

    def seconds(self) -> tuple[Floats, list[int]] | None:
        """Seconds since 1970 of values that are times, NaN where a row has none.

        Rows in the list have a value that is anything else. None if that isn't known yet.
        """
        return None

    def item_counts(self) -> list[object]:
        """How many items each list or object has; an empty list stands for what is neither."""

        def of(value: object) -> object:
            if isinstance(value, list | dict):
                return len(value)
            if value is None or value is ABSENT:
                return value
            return None if value == "" else []

        return [*map(of, self.values)]

    @cached_property
    def numbers(self) -> Numbers:
        try:
            return self._numbers_of_text() if self.text else self._numbers_of_json()
        except (OverflowError, json_text.NotJson):
            return self._numbers_one_by_one()

    def _numbers_of_json(self) -> Numbers:
        types = self.types
        if not types <= {float, int, type(None)}:
            return self._numbers_one_by_one()
        values = np.array(self.values, dtype=np.float64)
        missing = self.values.count(None) if type(None) in types else 0
        return numbers_of(values, missing, wrong_type=0)

    def _numbers_of_text(self) -> Numbers:
        texts: Sequence[str] = self.values  # type: ignore[assignment]
        # Nearly all numbers are written as in JSON, whose decoder is the fastest there is.
        listed = f",{','.join(texts)},"
        missing = 0
        if ",," in listed:
            missing = texts.count("")
            listed = listed.replace(",,", ",null,").replace(",,", ",null,")
        values = np.array(json_text.decimals(f"[{listed[1:-1]}]"), dtype=np.float64)
        if values.size != len(texts) or np.count_nonzero(np.isnan(values)) != missing:
            return self._numbers_one_by_one()  # a text of its own said "null", or "1,2"
        return Numbers(values, missing, invalid=0, wrong_type=0)

    def _numbers_one_by_one(self) -> Numbers:
        values = np.full(len(self.values), np.nan)
        missing = wrong_type = 0
        for row, value in enumerate(self.values):
            if value is None or value is ABSENT or value == "":
                missing += 1
                continue
            number = number_of_text(str(value)) if self.text else number_of_json(value)
            if number is None:
                wrong_type += 1
            else:
                values[row] = number
        return numbers_of(values, missing, wrong_type)

    @cached_property
    def categories(self) -> Categories:
        types = self.types
        if types & {dict, list} or (bool in types and types & {int, float}):
            # These don't hash, or have equal hashes and unequal names.
            wrong_type = sum(isinstance(value, dict | list) for value in self.values)
            return Categories.of([category_name(value) for value in self.values], wrong_type)
        codes, values = encode(self.values)
        return named(codes, values, self.text)


def named(
    codes: NDArray[np.int32], values: Iterable[object], text: bool, wrong_type: int = 0
) -> Categories:
    """Categories of rows whose distinct values are these, of which some may have one name."""
    if text:
        names = [_name_of_text(str(value), decimal=True) for value in values]
    else:
        names = [category_name(value) for value in values]
    if len(set(names)) == len(names):
        return Categories(codes, names, wrong_type)
    same, distinct = encode(names)
    return Categories(same[codes], list(distinct), wrong_type)


def numbers_of(values: Floats, missing: int, wrong_type: int) -> Numbers:
    """Numbers without those that are NaN or infinite."""
    finite = np.isfinite(values)
    valid = int(np.count_nonzero(finite))
    if valid < values.size:
        values = np.where(finite, values, np.nan)
    return Numbers(values, missing, values.size - valid - missing, wrong_type)


def number_of_json(value: object) -> float | None:
    """A number, infinite where it is too large; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def number_of_text(text: str) -> float | None:
    """What a text says as a number, NaN and infinity among them; None if it says none."""
    if "_" in text:  # float() takes 1_000
        return None
    try:
        return float(text)
    except ValueError:
        return None


def category_name(value: object) -> str:
    """The name of a category or class: the value's own text.

    A whole number has no fraction, a boolean is `true` or `false`, and a name that begins
    with `<` is given a backslash, so that it can't be taken for a special bin.
    """
    if value is ABSENT:
        return MISSING
    match value:
        case None | "":
            return MISSING
        case bool():
            return "true" if value else "false"
        case str():
            return _name_of_text(value, decimal=False)
        case int():
            return _name_of_whole(value)
        case float() if math.isfinite(value):
            return _name_of_whole(int(value)) if value.is_integer() else repr(value)
        case _:
            return INVALID


def _name_of_whole(value: int) -> str:
    if number_of_json(value) == math.inf:
        return INVALID
    text = str(value)
    return text if len(text) <= LONGEST_NAME else OTHER


def _name_of_text(text: str, decimal: bool) -> str:
    """`decimal`: a format without types, where `1.0` is the number."""
    if not text:
        return MISSING
    if len(text) > LONGEST_NAME:
        return OTHER
    if text[0] == "<":
        return "\\" + text
    return without_fraction(text) if decimal else text


def without_fraction(text: str) -> str:
    """`1.0` as `1`; any other text as it is."""
    if text[-1] in "0." and _WHOLE_DECIMAL.fullmatch(text):
        return str(int(text.partition(".")[0]))
    return text
