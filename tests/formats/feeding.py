"""Feeds a decoder as a source does, shows rows as plain values, and compares columns."""

from collections import Counter

import numpy as np

from ml_exporter.batch import Field
from ml_exporter.columns import Column


def feature(name):
    return Field("feature", name)


def feed(decoder, pieces):
    """Decode a file that comes in pieces: what isn't consumed is given again with the next one."""
    rows, rejected, kept = [], Counter(), b""
    for number, piece in enumerate(pieces):
        data, end = kept + piece, number == len(pieces) - 1
        decoded = decoder.decode(data, end)
        assert 0 <= decoded.consumed <= len(data)
        kept = data[decoded.consumed :]
        rows += plain_rows(decoded.batch)
        rejected += decoded.rejected
    assert kept == b""
    return rows, rejected


def plain_rows(batch):
    """All that is known of each row, as texts, for NaN is unequal to itself."""
    return [
        repr(
            (
                {key: column.values[row] for key, column in sorted(batch.fields.items())},
                batch.ids and batch.ids[row],
                None if batch.timestamps is None else batch.timestamps[row],
                batch.versions and batch.versions[row],
                sorted(name for name, mask in batch.extra.items() if mask[row]),
            )
        )
        for row in range(batch.rows)
    ]


def cut(data, places):
    """The pieces of some bytes, cut at so many places."""
    stops = sorted(min(place, len(data)) for place in places)
    starts = [0, *stops]
    return [data[start:stop] for start, stop in zip(starts, [*stops, len(data)], strict=True)]


def same(column, values):
    """Hold a column equal to one of Python values, in all that anybody asks of it."""
    plain = Column(values)
    assert len(column) == len(values)
    assert repr(list(column.values)) == repr(values)
    assert column.types == plain.types
    assert column.absent == plain.absent
    assert column.absent_mask().tolist() == plain.absent_mask().tolist()
    assert column.missing_mask().tolist() == plain.missing_mask().tolist()
    mine, theirs = column.numbers, plain.numbers
    assert np.array_equal(mine.values, theirs.values, equal_nan=True)
    assert (mine.missing, mine.invalid, mine.wrong_type) == (
        *(theirs.missing, theirs.invalid, theirs.wrong_type),
    )
    assert column.categories.of_rows == plain.categories.of_rows
    assert column.categories.wrong_type == plain.categories.wrong_type


def plain(column):
    """Values, categories and numbers of a column, in words; NaN is like NaN."""
    numbers, categories = column.numbers, column.categories
    values = [type(v)() if isinstance(v, dict | list) else v for v in column.values]
    return [
        repr(values),
        repr(numbers.values.tolist()),
        repr((numbers.missing, numbers.invalid, numbers.wrong_type)),
        repr((categories.of_rows, categories.wrong_type)),
        repr((column.absent, column.missing_mask().tolist())),
    ]
