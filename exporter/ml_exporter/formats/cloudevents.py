"""CloudEvents 1.0, one a line: what payload loggers send, in pairs, or rows.

https://github.com/cloudevents/spec. KServe's logger gives a request and its response one `id`,
Seldon's one `requestid`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml_exporter.batch import Batch
from ml_exporter.columns import ABSENT, Column
from ml_exporter.formats.envelopes import Event, event_of, is_json, one_line
from ml_exporter.formats.exchanges import Exchange, Invocation
from ml_exporter.formats.json_objects import value_at
from ml_exporter.formats.jsonl import JsonLines
from ml_exporter.formats.lines import BOM, Line, lines_of
from ml_exporter.formats.messages import Rejected, json_value
from ml_exporter.formats.pairing import Half, Memory, Pair, Pairing, Side
from ml_exporter.formats.protocols import reader
from ml_exporter.formats.rejections import Rejections
from ml_exporter.formats.rows import LONGEST_ROW, Decoded, Layout
from ml_exporter.formats.tabulation import Tabulator

_SIDES: Mapping[str, Side] = {
    "org.kubeflow.serving.inference.request": "request",
    "org.kubeflow.serving.inference.response": "response",
    "io.seldon.serving.inference.request": "request",
    "io.seldon.serving.inference.response": "response",
}
_SELDON = "io.seldon."
_FEEDBACK = "io.seldon.serving.feedback"
# One id goes with a request through all parts of a service, each of which may log.
_PART = ("inferenceservicename", "namespace", "component", "endpoint", "modelid")
_TIME = "ce-time"  # the path of a row's time, where none is configured
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])


class CloudEvents:
    """Decodes lines of one event, or of an array of them, in the JSON event format.

    `pairing` is where requests and responses wait for each other, whichever file or process they
    come in; without one, they do in this decoder alone.
    """

    def __init__(self, layout: Layout, pairing: Pairing | None = None) -> None:
        self._layout = layout if layout.timestamp else replace(layout, timestamp=_TIME)
        self._pairing = pairing or Pairing(Memory())
        self._read = reader("auto", layout)
        self._exchanges = Tabulator(layout)
        self._rows = JsonLines(self._layout)

    def resume(self, head: bytes) -> None:
        """Events need no header."""

    def decode(self, data: bytes, end: bool) -> Decoded:
        lines, consumed = lines_of(data, end)
        rejected = Rejections()
        halves: list[tuple[bytes, Side, bytes]] = []
        events: dict[bytes, Event] = {}
        rows: list[bytes] = []
        for line in lines:
            for text, event in _events(line, rejected):
                try:
                    if side := _SIDES.get(event.type):
                        halves.append((_key(event), side, text))
                        events[text] = event
                    else:
                        rows.append(self._row(event))
                except Rejected as rejection:
                    rejected.reject(rejection.reason, text, offset=line.start, rows=rejection.rows)
        paired = self._pairing.pair(halves)
        rejected.update(+Counter(no_id=paired.repeated, no_fields=paired.let_go))
        invocations = self._invocations(paired.pairs, events, rejected)
        of_pairs = self._exchanges.decode(invocations, rejected, consumed)
        of_rows = self._rows.decode(b"\n".join(rows), end=True)
        batch = _together(of_pairs.batch, of_rows.batch)
        rejected.take_in(of_rows.rejected)
        return Decoded(batch, rejected, consumed, paired.settle)

    def _invocations(
        self, pairs: Iterable[Pair], events: Mapping[bytes, Event], rejected: Rejections
    ) -> Iterator[Invocation]:
        def event(half: Half) -> Event:
            return events.get(half.data) or event_of(half.data)

        for pair in pairs:
            written = pair.request.data, pair.response.data
            try:
                one = self._read(_exchange(event(pair.request), event(pair.response)))
            except Rejected as rejection:
                rejected.reject(rejection.reason, b"\n".join(written), rows=rejection.rows)
                continue
            one.written = written
            yield one

    def _row(self, event: Event) -> bytes:
        """The data of an event that is a row, with id and time of the event where it has none."""
        if not event.id:
            raise Rejected("no_id")
        if event.data is None or event.type == _FEEDBACK:
            raise Rejected("no_fields")
        if not is_json(event.data.content_type):
            raise Rejected("malformed")
        row = event.data.json
        if not isinstance(row, dict):
            raise Rejected("malformed")
        own = {self._layout.id: event.id, self._layout.timestamp: event.time}
        missing = {
            path: value
            for path, value in own.items()
            if path and value and value_at(row, path, tuple(path.split("."))) is ABSENT
        }
        text = one_line(event.data.content.removeprefix(BOM).strip())
        if not missing:
            return text
        return msgspec.json.encode(missing)[:-1] + (b"," if row else b"") + text[1:]


def _events(line: Line, rejected: Rejections) -> Iterator[tuple[bytes, Event]]:
    """The events of a line, each with its text."""
    texts = [line.text]
    try:
        if len(line.text) > LONGEST_ROW:
            raise Rejected("too_large")
        if line.text.startswith(b"["):
            texts = _elements(line.text)
            line = line._replace(is_cut=False)  # all of it is there
    except Rejected as rejection:
        line.reject(rejected, rejection.reason)
        return
    for text in texts:
        try:
            event = event_of(text)
        except Rejected as rejection:
            line.reject(rejected, rejection.reason)
        else:
            yield text, event


def _elements(line: bytes) -> list[bytes]:
    try:
        return [bytes(raw) for raw in _ARRAY.decode(line)]
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        # As lenient, and as exact about what is wrong, as it can be.
        return [json.dumps(value).encode() for value in json_value(line)]


def _key(event: Event) -> bytes:
    """What a request and its response have in common, and nothing else has."""
    id = event.text("requestid") if event.type.startswith(_SELDON) else event.id
    if not id:
        raise Rejected("no_id")
    parts = [event.type.rpartition(".")[0], id, *map(event.text, _PART)]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).digest()


def _exchange(request: Event, response: Event) -> Exchange:
    return Exchange(
        id=request.text("requestid") or request.id,
        time=request.time or response.time,
        request=request.data,
        response=response.data,
        model=request.text("modelid") or request.text("inferenceservicename") or None,
    )


def _together(first: Batch, second: Batch) -> Batch:
    """The rows of two batches of one layout."""
    if not first.rows or not second.rows:
        return first if first.rows else second
    assert first.timestamps is not None
    assert second.timestamps is not None
    none = Column([ABSENT] * first.rows), Column([ABSENT] * second.rows)
    return Batch(
        rows=first.rows + second.rows,
        fields={
            key: Column(
                [*first.fields.get(key, none[0]).values, *second.fields.get(key, none[1]).values]
            )
            for key in {**first.fields, **second.fields}
        },
        ids=first.ids and second.ids and [*first.ids, *second.ids],
        timestamps=np.concatenate([first.timestamps, second.timestamps]),
        versions=first.versions and second.versions and [*first.versions, *second.versions],
        extra={
            name: np.concatenate([_mask(first, name), _mask(second, name)])
            for name in {**first.extra, **second.extra}
        },
    )


def _mask(batch: Batch, name: str) -> NDArray[np.bool_]:
    return batch.extra.get(name, np.zeros(batch.rows, dtype=np.bool_))
