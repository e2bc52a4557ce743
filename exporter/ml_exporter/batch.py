"""Batch: the columnar predictions that flow through everything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml_exporter.columns import ABSENT, Column
from ml_exporter.statistics.bins import Floats

WatchedRole = Literal["feature", "prediction", "score", "label", "component"]
Role = WatchedRole | Literal["segment", "region", "expected", "attribution", "ranked", "completion"]
FieldType = Literal["number", "category"]


class Field(NamedTuple):
    """What a column is: its role and its name."""

    role: Role
    name: str


PREDICTION = Field("prediction", "prediction")
SCORE = Field("score", "score")
LABEL = Field("label", "label")
REGION = Field("region", "region")
EXPECTED_ERROR = Field("expected", "error")
CARRIED_NUMBERS: frozenset[Role] = frozenset({"score", "expected"})  # until the label comes
CARRIED: frozenset[Role] = CARRIED_NUMBERS | {"segment", "region", "ranked"}


@dataclass(frozen=True)
class Batch:
    """n accepted rows of one model as columns, each with n values, in the log's order.

    Labels that come apart from their predictions are a batch too, of ids and one column.
    """

    rows: int
    fields: Mapping[Field, Column]
    ids: Sequence[str] | None = None
    timestamps: Floats | None = None  # seconds since 1970; NaN where a row has none
    versions: Sequence[str] | None = None  # None: all are the model's one version
    traces: Sequence[str | None] | None = None  # None: nobody asked for them
    extra: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)  # unknown field -> rows
    delays: Floats | None = None  # seconds from prediction to label; NaN where unknown

    def column(self, key: Field) -> Column:
        """The values of a field, of which no row has any where the batch lacks it."""
        found = self.fields.get(key)
        return self._absent if found is None else found

    @cached_property
    def _absent(self) -> Column:
        return Column([ABSENT] * self.rows)

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> Batch:
        """Some of the rows, in the given order."""
        picked = np.asarray(rows, dtype=np.intp)
        named = (self.ids, self.versions, self.traces)
        listed = picked.tolist() if any(names is not None for names in named) else []
        return replace(
            self,
            rows=picked.size,
            fields={key: column.take(picked) for key, column in self.fields.items()},
            ids=None if self.ids is None else [self.ids[row] for row in listed],
            timestamps=None if self.timestamps is None else self.timestamps[picked],
            versions=None if self.versions is None else [self.versions[row] for row in listed],
            traces=None if self.traces is None else [self.traces[row] for row in listed],
            extra={name: mask[picked] for name, mask in self.extra.items()},
            delays=None if self.delays is None else self.delays[picked],
        )

    def slice(self, start: int, stop: int) -> Batch:
        if start == 0 and stop >= self.rows:
            return self
        return self.take(range(start, min(stop, self.rows)))

    def by_version(self, default: str) -> Iterable[tuple[str, Batch]]:
        """The rows of each version, versions in the order of their first row."""
        if self.versions is None:
            yield default, self
            return
        rows: dict[str, list[int]] = {}
        for row, version in enumerate(self.versions):
            rows.setdefault(version, []).append(row)
        if len(rows) == 1:
            yield next(iter(rows)), self
            return
        for version, of_version in rows.items():
            yield version, self.take(of_version)
