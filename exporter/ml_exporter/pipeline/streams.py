"""The logs of a model as streams of batches: its predictions, and its labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np

from ml_exporter.baseline.baseline import Baseline
from ml_exporter.batch import LABEL, PREDICTION, SCORE, Batch, Field
from ml_exporter.columns import ABSENT
from ml_exporter.config import completions
from ml_exporter.config.config import FileSource, Model, ProxySource, SourceSettings, VersionField
from ml_exporter.formats import Decoded, Decoder, HeaderError, Layout, decoder
from ml_exporter.formats.decision import Decision
from ml_exporter.formats.pairing import Pairing
from ml_exporter.formats.rejections import Rejections
from ml_exporter.formats.rows import TRACE_OF_REQUEST
from ml_exporter.sources.parts import Chunk, Part, Source
from ml_exporter.statistics.bins import INVALID, MISSING

CLOCK_TOLERANCE = 300.0  # seconds by which the clock of whoever writes a log may be fast


@dataclass
class Work:
    """Rows of a chunk that are still to be counted, from `done` on, and what follows them."""

    stream: Stream
    chunk: Chunk
    batch: Batch
    rejected: Rejections
    consumed: int
    from_future: int = 0  # rows whose own time is later than that
    done: int = 0
    settle: Callable[[], None] | None = None
    start: int = field(init=False)  # where the chunk begins

    def __post_init__(self) -> None:
        self.start = self.chunk.part.position.offset

    def move(self, stop: int) -> bool:
        """Move the log's position past the rows before `stop`; whether that was all of them."""
        finished = stop >= self.batch.rows
        self.done = stop
        position = self.chunk.after(self.consumed) if finished else self.chunk.within(stop)
        self.stream.source.advance(self.chunk.part, position)
        if finished and self.settle is not None:
            self.settle()
        return finished


@dataclass
class Stream:
    """A log and its decoders, one a file."""

    name: Literal["predictions", "labels"]
    source: Source
    format: str
    layout: Layout
    pairing: Pairing | None = None  # where requests wait for their responses
    captured: ProxySource | None = None  # its bytes are frames of the proxy's buffer
    watcher: Callable[[bytes], None] | None = None  # sees the bytes that rows were read of
    _decoders: WeakKeyDictionary[Part, Decoder] = field(default_factory=WeakKeyDictionary)

    def next(self, now: float) -> Work | None:
        """What the next chunk holds, or None while there is nothing whole."""
        while (chunk := self.source.next()) is not None:
            if work := self._work(chunk, now):
                return work
        return None

    def read_as(self, layout: Layout) -> None:
        self.layout = layout
        self._decoders.clear()

    def decode(self, chunk: Chunk) -> Decoded:
        """The rows of a chunk; raises HeaderError where it makes all of a part unreadable."""
        if chunk.table is not None:
            from ml_exporter.formats.arrow import decode_table

            return decode_table(chunk.table, self.layout)
        return self._decoder(chunk.part).decode(chunk.data, chunk.end)

    def _work(self, chunk: Chunk, now: float) -> Work | None:
        if chunk.too_large or chunk.problem:
            rejected = Rejections()
            if chunk.too_large:
                rejected.reject("too_large", offset=0, rows=chunk.too_large)
            if chunk.problem:
                rejected.reject("unreadable", offset=0, problem=chunk.problem)
            return Work(self, chunk, Batch(0, {}), rejected, chunk.skipped)
        try:
            decoded = self.decode(chunk)
        except HeaderError as error:
            self.source.give_up(chunk.part, str(error))
            rejected = Rejections()
            rejected.reject("unreadable", offset=0, problem=str(error))
            return Work(self, chunk, Batch(0, {}), rejected, consumed=0)
        if not decoded.consumed:
            return None
        if self.watcher is not None:
            self.watcher(chunk.data)
        batch, rejected = decoded.batch, decoded.rejected
        from_future = _from_future(batch, now)
        batch = present_labels(batch, rejected) if self.name == "labels" else _dated(batch, now)
        done = chunk.part.position.rows
        consumed = decoded.consumed
        return Work(self, chunk, batch, rejected, consumed, from_future, done, decoded.settle)

    def _decoder(self, part: Part) -> Decoder:
        if part not in self._decoders or part.position.offset == 0:
            self._decoders[part] = decoder(
                self.format, self.layout, self.pairing, captured=self.captured
            )
            if part.position.offset > 0:
                self._decoders[part].resume(part.head())
        return self._decoders[part]


def _from_future(batch: Batch, now: float) -> int:
    if batch.timestamps is None:
        return 0
    return int(np.count_nonzero(batch.timestamps > now + CLOCK_TOLERANCE))


def _dated(batch: Batch, now: float) -> Batch:
    """Give predictions without a time of their own that of their reading; none is later."""
    if batch.timestamps is None:
        return replace(batch, timestamps=np.full(batch.rows, now))
    return replace(batch, timestamps=np.fmin(batch.timestamps, now))


def present_labels(batch: Batch, rejected: Rejections) -> Batch:
    """The labels that are labels; null is none, and is rejected."""
    names = batch.fields[LABEL].categories.of_rows if batch.rows else []
    rows = [row for row, name in enumerate(names) if name not in (MISSING, INVALID)]
    if len(rows) == batch.rows:
        return batch
    others = batch.take(sorted({*range(batch.rows)} - {*rows}))
    assert others.ids is not None  # by which labels are joined
    for id, label in zip(others.ids, others.fields[LABEL].values, strict=True):
        row = {"id": id, "label": None if label is ABSENT else label}
        written = b"" if rejected.is_full else json.dumps(row, default=str).encode()
        rejected.reject("no_fields", written)
    return batch.take(rows)


def prediction_layout(model: Model, baseline: Baseline | None) -> Layout:
    """What is read of a prediction; the features are the baseline's where none are configured."""
    names = model.fields
    fields = {PREDICTION: names.prediction}
    for name, path in names.scores.items():
        fields[SCORE if model.task == "binary" else Field("score", name)] = path
    if names.label is not None:
        fields[LABEL] = names.label
    features: Mapping[str, str] = names.features or {}
    extracted = names.extracted
    if names.features is None and baseline is not None:
        of_baseline = [one for one in baseline.fields if one.role == "feature"]
        features = {one.name: one.path or one.name for one in of_baseline}
        extracted = {one.name: one.extractor for one in of_baseline if one.extractor}
    fields |= {Field("feature", name): path for name, path in features.items()}
    fields |= {Field("attribution", name): path for name, path in names.attributions.items()}
    for place, path in enumerate(names.ranked, start=1):
        fields[Field("ranked", str(place))] = path
    if model.source.format == completions.FORMAT:
        fields |= {Field("completion", name): path for name, path in completions.COUNTED.items()}
    known = {names.id} if names.id and model.labels is None else set()
    return Layout(
        fields=fields,
        id=names.id if model.labels is not None else None,
        timestamp=names.timestamp,
        version=model.version.path if isinstance(model.version, VersionField) else None,
        trace=names.trace or _trace_of_requests(model),
        known=frozenset(known),
        discover=names.features is None and baseline is None,
        columns=_columns(model.source),
        decision=_decision(model),
        extracted={Field("feature", name): extractor for name, extractor in extracted.items()},
    )


def _trace_of_requests(model: Model) -> str | None:
    """Headers are only looked at where somebody wants to know."""
    wanted = model.notable is not None and isinstance(model.source, ProxySource)
    return TRACE_OF_REQUEST if wanted else None


def label_layout(model: Model) -> Layout:
    assert model.labels is not None
    fields = model.labels.fields
    return Layout(
        {LABEL: fields.label},
        id=fields.id,
        timestamp=fields.timestamp,
        columns=_columns(model.labels.source),
    )


def _columns(settings: SourceSettings) -> tuple[str, ...]:
    return settings.columns if isinstance(settings, FileSource) else ()


def _decision(model: Model) -> Decision | None:
    decided_by = model.fields.decided_by
    return Decision(decided_by, model.task == "binary") if decided_by else None
