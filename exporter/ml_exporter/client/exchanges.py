"""Requests and responses that middleware has copied, as observations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ml_exporter.batch import PREDICTION, SCORE, Batch, Field
from ml_exporter.client.arguments import layout_of
from ml_exporter.client.lines import Observation
from ml_exporter.columns import ABSENT, Column
from ml_exporter.config.config import Model
from ml_exporter.formats.exchanges import Exchange
from ml_exporter.formats.messages import Message, Rejected
from ml_exporter.formats.protocols import reader
from ml_exporter.formats.rejections import Rejections
from ml_exporter.formats.tabulation import Tabulator

_REQUEST = "request."  # what paths of plain JSON begin with


# What was sent, and the content type and encoding that its headers say.
Body = tuple[bytes, str, str]
# A request and the response to it, an id and a time that are known anyhow, and the URL's path.
Copied = tuple[Body, Body, str | None, float, str]


class Reading:
    """How one application's requests and responses are read."""

    def __init__(self, model: Model, fields: Mapping[str, object] | None, format: str) -> None:
        """`fields` and `format` are those of a model in ml-exporter.yml; raises ValueError."""
        layout = layout_of(model, fields, format)
        self._read = reader(format, layout)
        self._table = Tabulator(layout)
        self._scores = [Field("score", name) for name in model.fields.scores]
        self._attributed = list(model.fields.attributions)
        self._ranked = range(1, len(model.fields.ranked) + 1)
        if model.task == "binary":
            self._scores = [SCORE] if self._scores else []

    def observations(self, copied: Copied) -> tuple[list[Observation], Counter[str]]:
        """One a row, and rows that can't be read by their reasons."""
        rejected = Rejections()
        request, response, id, time, path = copied
        exchange = Exchange(id, time, Message(*request), Message(*response), path=path)
        try:
            invocations = [self._read(exchange)]
        except Rejected as rejection:
            rejected.reject(rejection.reason, rows=rejection.rows)
            return [], rejected
        decoded = self._table.decode(invocations, rejected, 0)
        return list(self._rows(decoded.batch, time)), decoded.rejected

    def _rows(self, batch: Batch, time: float) -> Iterable[Observation]:
        features = {
            key.name.removeprefix(_REQUEST): column.values
            for key, column in batch.fields.items()
            if key.role == "feature"
        }
        predictions = batch.fields[PREDICTION].values
        for row in range(batch.rows):
            values = {name: column[row] for name, column in features.items()}
            known = {name: value for name, value in values.items() if value is not ABSENT}
            known |= {name: None for name, mask in batch.extra.items() if mask[row]}
            scores = [_value(batch.fields.get(key), row) for key in self._scores]
            if len(scores) > 1:
                score: Any = scores
            else:
                score = scores[0] if scores else None
            yield Observation(
                known,
                None if predictions[row] is ABSENT else predictions[row],
                score=score,
                id=None if batch.ids is None else batch.ids[row],
                version=None if batch.versions is None else batch.versions[row],
                time=time,
                attributions=self._attributions(batch, row),
                ranked=self._items(batch, row),
            )

    def _attributions(self, batch: Batch, row: int) -> dict[str, Any] | None:
        keys = ((name, Field("attribution", name)) for name in self._attributed)
        found = {name: _value(batch.fields.get(key), row) for name, key in keys}
        return {name: value for name, value in found.items() if value is not None} or None

    def _items(self, batch: Batch, row: int) -> list[Any] | None:
        keys = (Field("ranked", str(place)) for place in self._ranked)
        found = [_value(batch.fields.get(key), row) for key in keys]
        return [item for item in found if item is not None] or None


def _value(column: Column | None, row: int) -> Any:
    value = None if column is None else column.values[row]
    return None if value is ABSENT else value
