"""Arrow arrays as columns, without a Python object for each value.

https://arrow.apache.org/docs/format/Columnar.html. A value means what it would mean in JSON: times
and UTF-8 bytes are text, decimals are numbers, whatever has parts is of the wrong type.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import types as kinds

from ml_exporter.columns import ABSENT, Categories, Column, Numbers, named, numbers_of
from ml_exporter.statistics import counting
from ml_exporter.statistics.bins import INVALID, MISSING, Floats

Mask = NDArray[np.bool_]

_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_DAY = 86400.0
_MOMENT = pa.timestamp("us", "UTC")
_FIRST_YEAR = -62135596800.0  # seconds; for Arrow there is a year before it
_EXACT = 1 << 53  # up to it a float is exact, and up to 10 ** 22
_MOST_DIGITS = 18  # of a decimal that fits 64 bits


class ArrowColumn(Column):
    """The values of one field, as an Arrow array.

    `absent` are the rows that have no such field, as what would be below a null has not; the
    array is null there.
    """

    def __init__(self, array: pa.Array, absent: Mask | None = None) -> None:
        super().__init__((), text=False)
        self._array = plain(array)
        self._absent = absent

    def __len__(self) -> int:
        return len(self._array)

    @cached_property
    def values(self) -> Sequence[object]:
        values = _values(self._array)
        if self._absent is not None:
            for row in np.flatnonzero(self._absent).tolist():
                values[row] = ABSENT
        return values

    @cached_property
    def absent(self) -> int:
        return 0 if self._absent is None else int(np.count_nonzero(self._absent))

    def absent_mask(self) -> Mask:
        return np.zeros(len(self), dtype=np.bool_) if self._absent is None else self._absent

    @cached_property
    def types(self) -> set[type]:
        one = _type_of_all(self._array.type)
        if one is None:
            return set(map(type, self.values))
        types: set[type] = {one} if self._array.null_count < len(self) else set()
        if self.absent:
            types.add(type(ABSENT))
        if self._array.null_count > self.absent:
            types.add(type(None))
        return types

    def missing_mask(self) -> Mask:
        if _is_text(self._array.type):
            categories = self.categories
            names = list(categories.names)
            missing = names.index(MISSING) if MISSING in names else -1
            return np.equal(categories.codes, missing)
        return ~valid_mask(self._array)

    def take(self, rows: NDArray[np.intp]) -> ArrowColumn:
        picked = rows.astype(np.int64, copy=False)
        absent = None if self._absent is None else self._absent[picked]
        return ArrowColumn(_take(self._array, picked), absent)

    def without_contents(self) -> ArrowColumn:
        return self

    def texts(self) -> list[str] | None:
        if not _is_text(self._array.type):
            return None
        values: list[Any] = list(self.values)
        return values if all(value and value is not ABSENT for value in values) else None

    def seconds(self) -> tuple[Floats, list[int]] | None:
        array = self._array
        if kinds.is_timestamp(array.type):  # of UTC; one without a zone is taken for it
            values = view_of(array.view(pa.int64())) / _PER_SECOND[array.type.unit]
        elif kinds.is_date32(array.type):
            values = view_of(array.view(pa.int32())) * _DAY
        elif kinds.is_date64(array.type):
            values = view_of(array.view(pa.int64())) / 1e3
        elif kinds.is_string(array.type) or kinds.is_large_string(array.type):
            try:
                values = view_of(array.cast(_MOMENT).view(pa.int64())) / 1e6
            except pa.ArrowInvalid:
                return None  # some are no ISO 8601 with an offset, or none that Arrow knows
            if np.fmin.reduce(_without_nulls(values, array), initial=0.0) < _FIRST_YEAR:
                return None
        else:
            return None
        return _without_nulls(values, array), []

    def item_counts(self) -> list[object]:
        sizes = _sizes(self._array)
        if sizes is None:
            return super().item_counts()
        counts: list[object] = sizes.tolist()
        for row in np.flatnonzero(~valid_mask(self._array)).tolist():
            counts[row] = None
        for row in np.flatnonzero(self.absent_mask()).tolist():
            counts[row] = ABSENT
        return counts

    @cached_property
    def numbers(self) -> Numbers:
        array = self._array
        if not _is_number(array.type):
            missing = int(np.count_nonzero(self.missing_mask()))
            wrong_type = len(self) - missing
            return Numbers(np.full(len(self), np.nan), missing, wrong_type, wrong_type)
        values, finite = _floats(array)
        if finite == len(self) - array.null_count:
            return Numbers(values, array.null_count, invalid=0, wrong_type=0)
        return numbers_of(values, array.null_count, wrong_type=0)

    @cached_property
    def categories(self) -> Categories:
        if _has_parts(self._array.type):
            valid = valid_mask(self._array)
            codes = np.where(valid, 0, 1).astype(np.int32)
            return Categories(codes, [INVALID, MISSING], int(np.count_nonzero(valid)))
        codes, values = _encoded(self._array)
        no_text = [code for code, value in enumerate(values) if isinstance(value, list)]
        wrong_type = int(np.count_nonzero(np.isin(codes, no_text))) if no_text else 0
        return named(codes, values, text=False, wrong_type=wrong_type)


def plain(array: pa.Array) -> pa.Array:
    """The same values as one of few types."""
    type = array.type
    if isinstance(type, pa.BaseExtensionType):
        if type.extension_name == "arrow.uuid":
            return pa.array([None if v is None else str(v) for v in array.to_pylist()], pa.string())
        if type.extension_name == "arrow.bool8":
            return array.storage.cast(pa.bool_())
        return plain(array.storage)
    if kinds.is_run_end_encoded(type):
        from pyarrow import compute

        return plain(compute.run_end_decode(array))
    if kinds.is_dictionary(type):
        if kinds.is_string(type.value_type) or kinds.is_large_string(type.value_type):
            return array
        distinct = plain(array.dictionary)
        coded = pa.DictionaryArray.from_arrays(array.indices, distinct)
        return coded if _is_text(distinct.type) else plain(coded.dictionary_decode())
    if kinds.is_string_view(type):
        return array.cast(pa.large_string())
    if kinds.is_binary(type) or kinds.is_large_binary(type) or kinds.is_binary_view(type):
        try:
            return array.cast(pa.large_string())
        except pa.ArrowInvalid:  # some of it is no text
            return array.cast(pa.large_binary()).view(pa.large_string())
    if kinds.is_duration(type):
        seconds = view_of(array.view(pa.int64())) / _PER_SECOND[type.unit]
        return plain_array(seconds, valid_mask(array))
    if kinds.is_float16(type):  # which Arrow has few kernels for
        return plain_array(view_of(array).astype(np.float64), valid_mask(array))
    if kinds.is_decimal32(type) or kinds.is_decimal64(type):
        return array.cast(pa.decimal128(type.precision, type.scale))
    return array


def plain_array(
    values: NDArray[Any], valid: Mask | None = None, type: pa.DataType | None = None
) -> pa.Array:
    """Numbers as Arrow has them. `pa.array` imports pandas, where there is one, to look at them."""
    bitmap = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    type = type or pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(
        type, len(values), [bitmap, pa.py_buffer(np.ascontiguousarray(values))]
    )


def _take(array: pa.Array, rows: NDArray[np.int64]) -> pa.Array:
    """Some rows; the most common types without Arrow's kernels, which take time to load."""
    if kinds.is_dictionary(array.type):
        return pa.DictionaryArray.from_arrays(_take(array.indices, rows), array.dictionary)
    if kinds.is_integer(array.type) or kinds.is_floating(array.type):
        valid = valid_mask(array)[rows] if array.null_count else None
        return plain_array(view_of(array)[rows], valid, array.type)
    return array.take(plain_array(rows))


def _is_text(type: pa.DataType) -> bool:
    return bool(kinds.is_string(type) or kinds.is_large_string(type) or kinds.is_dictionary(type))


def _is_number(type: pa.DataType) -> bool:
    return bool(kinds.is_integer(type) or kinds.is_floating(type) or kinds.is_decimal(type))


def _has_parts(type: pa.DataType) -> bool:
    """Whether it is of the wrong type wherever it isn't null: that, or some bytes or interval."""
    simple = _is_text(type) or _is_number(type) or kinds.is_boolean(type) or kinds.is_null(type)
    return kinds.is_interval(type) or not (simple or kinds.is_temporal(type))


def _type_of_all(type: pa.DataType) -> type | None:
    """The Python type of all values, if that is known without looking at them."""
    if kinds.is_integer(type):
        return int
    if kinds.is_floating(type):
        return float
    return bool if kinds.is_boolean(type) else None


def view_of(array: pa.Array) -> NDArray[Any]:
    """The values of a plain array, whatever stands where it is null."""
    buffer = array.buffers()[1]
    dtype = np.dtype(array.type.to_pandas_dtype())
    if buffer is None:
        return np.zeros(len(array), dtype)
    return np.frombuffer(buffer, dtype, len(array), array.offset * dtype.itemsize)


def valid_mask(array: pa.Array) -> Mask:
    """Which rows aren't null."""
    if not array.null_count:
        return np.ones(len(array), dtype=np.bool_)
    bitmap = array.buffers()[0]
    if bitmap is None:  # as of the type whose values are all null
        return np.zeros(len(array), dtype=np.bool_)
    first, skipped = divmod(array.offset, 8)
    bits = np.frombuffer(bitmap, np.uint8, (skipped + len(array) + 7) // 8, first)
    valid = np.unpackbits(bits, count=skipped + len(array), bitorder="little")[skipped:]
    return valid.view(np.bool_)


def _sizes(array: pa.Array) -> NDArray[Any] | None:
    """How many items the lists, maps or structs of an array have; None where it is of none."""
    type = array.type
    if kinds.is_struct(type):
        return np.full(len(array), type.num_fields)
    if kinds.is_map(type):
        return np.diff(view_of(array.offsets))
    if not _has_parts(type) or not hasattr(type, "value_type"):
        return None
    from pyarrow import compute

    return view_of(compute.list_value_length(array))


def _room(rows: int, dtype: type) -> NDArray[Any]:
    """Memory of Arrow's pool, which has some left; NumPy has the system clear new pages of it."""
    return np.frombuffer(pa.allocate_buffer(rows * np.dtype(dtype).itemsize), dtype)


def _without_nulls(values: Floats, array: pa.Array) -> Floats:
    """The values with NaN where the array is null."""
    if not array.null_count:
        return values
    # All bits set is a NaN, and setting them takes no branch: nulls that come at random cost less.
    bits = _room(len(values), np.int64)
    np.subtract(valid_mask(array).view(np.int8), 1, out=bits)
    np.bitwise_or(bits, values.view(np.int64), out=bits)
    return bits.view(np.float64)


def _floats(array: pa.Array) -> tuple[Floats, int]:
    """Numbers as floats, NaN where the array is null, and how many are finite."""
    is_whole = kinds.is_int64(array.type)
    if is_whole or kinds.is_float64(array.type):
        numbers = view_of(array)
    else:
        numbers = _decimals(array) if kinds.is_decimal(array.type) else view_of(array).astype(float)
    valid = array.buffers()[0] if array.null_count else None
    bits = b"" if valid is None else np.frombuffer(valid, np.uint8)
    values = _room(len(array), np.float64)
    return values, counting.floats(numbers, is_whole, bits, array.offset, values)


def _decimals(array: pa.Array) -> Floats:
    precision, scale = array.type.precision, array.type.scale
    if kinds.is_decimal128(array.type) and precision <= _MOST_DIGITS and scale >= 0:
        buffer = array.buffers()[1] or b""
        words = np.frombuffer(buffer, np.int64, 2 * len(array), 16 * array.offset)
        digits = np.where(valid_mask(array), words[::2], 0)
        if not digits.size or max(-int(digits.min()), int(digits.max())) < _EXACT:
            return digits / float(10**scale)  # both are exact, so that the quotient is rounded once
    numbers = [0.0 if value is None else float(value) for value in array.to_pylist()]
    return np.array(numbers, dtype=np.float64)


def _encoded(array: pa.Array) -> tuple[NDArray[np.int32], list[Any]]:
    """A code for each row, and the value of each code."""
    if kinds.is_temporal(array.type):
        array = _spelled(array)
    if not kinds.is_dictionary(array.type):
        array = array.dictionary_encode()
    dictionary, indices = array.dictionary, array.indices
    null = len(dictionary)
    codes = view_of(indices).astype(np.int32, copy=False)
    if indices.null_count:
        codes = np.where(valid_mask(indices), codes, np.int32(null))
    if len(dictionary) > len(array):
        used, places = np.unique(codes, return_inverse=True)
        dictionary = dictionary.take(plain_array(used[used < null].astype(np.int64)))
        codes = places.astype(np.int32)
    return codes, [*_values(dictionary), None]


def _values(array: pa.Array) -> list[Any]:
    """What JSON would have; empty lists and dicts for what has parts."""
    type = array.type
    if _has_parts(type):
        part = dict if kinds.is_struct(type) or kinds.is_map(type) else list
        return [part() if valid else None for valid in valid_mask(array).tolist()]
    if kinds.is_temporal(type):
        return _texts(_spelled(array))
    if kinds.is_dictionary(type):
        codes, distinct = _encoded(array)
        return [distinct[code] for code in codes.tolist()]
    if _is_text(type):
        return _texts(array)
    if kinds.is_decimal(type):
        return [None if value is None else _number(value) for value in array.to_pylist()]
    if not _is_number(type):
        return list(array.to_pylist())
    values: list[Any] = view_of(array).tolist()
    if array.null_count:
        for row in np.flatnonzero(~valid_mask(array)).tolist():
            values[row] = None
    return values


def _texts(array: pa.Array) -> list[Any]:
    try:
        return list(array.to_pylist())
    except UnicodeDecodeError:
        binary = pa.binary() if kinds.is_string(array.type) else pa.large_binary()
        return [None if data is None else _text(data) for data in array.cast(binary).to_pylist()]


def _text(data: bytes) -> str | list[Any]:
    """A text, or what is none."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return []


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _spelled(array: pa.Array) -> pa.Array:
    """Times as texts; those of a zone as UTC."""
    if kinds.is_timestamp(array.type) and array.type.tz is not None:
        from pyarrow import compute

        texts = array.cast(pa.timestamp(array.type.unit)).cast(pa.string())
        return compute.binary_join_element_wise(texts, "Z", "")
    return array.cast(pa.string())
