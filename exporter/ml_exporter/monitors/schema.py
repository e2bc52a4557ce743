"""How rows depart from the schema: fields that are gone, new, or of another type."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml_exporter.baseline.baseline import BaselineField
from ml_exporter.batch import Batch
from ml_exporter.families import Family
from ml_exporter.formats.rows import extra_name


class SchemaViolations:
    def __init__(self, model: str, version: str, fields: Sequence[BaselineField]) -> None:
        self._violations = Family(
            "ml_schema_violations_total",
            "Rows in which a field was missing altogether, of the wrong type, or unknown.",
            "counter",
            ("violation", "field"),
            of={"model": model, "version": version},
        )
        self.families = (self._violations,)
        self._fields = fields
        for field in fields:
            self._violations.add("missing_field", field.name)
            self._violations.add("wrong_type", field.name)

    def update(self, batch: Batch) -> None:
        for field in self._fields:
            column = batch.fields.get(field.key)
            absent = batch.rows if column is None else column.absent
            wrong = 0 if column is None else field.wrong_type(column)
            if absent:
                self._violations.inc(absent, "missing_field", field.name)
            if wrong:
                self._violations.inc(wrong, "wrong_type", field.name)
        for name, mask in batch.extra.items():
            if rows := int(np.count_nonzero(mask)):
                self._violations.inc(rows, "extra_field", extra_name(name, self._extra_names()))

    def _extra_names(self) -> set[str]:
        label_sets = self._violations.label_sets
        return {field for *_, violation, field in label_sets if violation == "extra_field"}
