"""The first rows of a version, of which its baseline is made where none is given."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ml_exporter.batch import LABEL, Batch, Field
from ml_exporter.columns import ABSENT, Column
from ml_exporter.formats import Layout


@dataclass
class Learner:
    """Collects the first rows, of which the baseline is to be made."""

    wanted: int
    batches: list[Batch] = field(default_factory=list)

    @property
    def missing(self) -> int:
        return self.wanted - sum(batch.rows for batch in self.batches)


def without_labels_yet(batch: Batch) -> Batch:
    """A batch less its label column, where no row has a label."""
    column = batch.fields.get(LABEL)
    if column is None or not column.missing_mask().all():
        return batch
    fields = {key: values for key, values in batch.fields.items() if key != LABEL}
    return replace(batch, fields=fields)


def learnable(batches: Sequence[Batch], layout: Layout) -> list[Batch]:
    """Rows to learn from, all with the same fields, whatever chunks they came in.

    They are the fields that are read, less labels that are still to come, and whatever some row
    has where features are being discovered.
    """
    found = {key for batch in batches for key, column in batch.fields.items() if _has_any(column)}
    fields = [key for key in layout.fields if key != LABEL or key in found]
    if layout.discover:
        fields += sorted(found - set(layout.fields))
    return [
        replace(
            batch,
            fields={key: batch.column(key) for key in fields},
        )
        for batch in batches
    ]


def _has_any(column: Column) -> bool:
    return not column.missing_mask().all()


def dump_rows(batch: Batch) -> bytes:
    """The values of a batch, for `load_rows` to read; the rest of it isn't kept."""
    columns = []
    for key, column in batch.fields.items():
        absent = [row for row, value in enumerate(column.values) if value is ABSENT]
        values = [None if value is ABSENT else value for value in column.values]
        columns.append([*key, column.text, values, absent])
    return json.dumps([batch.rows, columns]).encode()


def load_rows(data: bytes) -> Batch:
    rows, columns = json.loads(data)
    fields = {}
    for role, name, text, values, absent in columns:
        for row in absent:
            values[row] = ABSENT
        fields[Field(role, name)] = Column(values, text)
    return Batch(rows, fields)
