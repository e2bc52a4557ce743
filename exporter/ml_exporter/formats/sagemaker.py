"""SageMaker's data capture and ground truth: a line is an invocation, of one row or of many.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html and
model-monitor-model-quality-merge.html; docs/formats/sagemaker.md says what is read as what.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import msgspec

from ml_exporter.batch import LABEL
from ml_exporter.columns import number_of_json
from ml_exporter.formats.exchanges import MOST_COLUMNS, Invocation, Rows, row_ids
from ml_exporter.formats.lines import Line, lines_of
from ml_exporter.formats.messages import Rejected, json_value
from ml_exporter.formats.rejections import Rejections
from ml_exporter.formats.rows import LONGEST_ROW, Decoded, Layout, Table, assemble
from ml_exporter.formats.sagemaker_payloads import Payload, inputs_of, labels_of, outputs_of
from ml_exporter.formats.tabulation import Tabulator

_LONGEST_RECORD = 2 * LONGEST_ROW  # bytes: more than this no source is sure to read at once
_PLACE = re.compile(r"_c(\d{1,4})")
_OVER = re.compile(r"(\S+) ?> ?(\d+(?:\.\d+)?)")  # `score > 0.8`


class _Captured(msgspec.Struct, frozen=True):
    endpointInput: Payload | None = None
    endpointOutput: Payload | None = None
    batchTransformInput: Payload | None = None
    batchTransformOutput: Payload | None = None


class _Metadata(msgspec.Struct, frozen=True):
    eventId: str | int | None = None
    inferenceId: str | int | None = None  # as the caller passed it
    inferenceTime: str | float | None = None

    @property
    def id(self) -> str | None:
        """What predictions and labels are joined by."""
        for id in (self.inferenceId, self.eventId):
            if id is not None and id != "":
                return str(id)
        return None


class _Record(msgspec.Struct, frozen=True):
    """A captured invocation, its ground truth, or both, as merge jobs write them."""

    captureData: _Captured | None = None
    groundTruthData: Payload | None = None
    eventMetadata: _Metadata = _Metadata()


_RECORDS = msgspec.json.Decoder(_Record)


class SageMakerCapture:
    """Decodes captured invocations, merged with their ground truth or not."""

    def __init__(self, layout: Layout) -> None:
        self._tabulator = Tabulator(layout)
        paths = {key: path for key, path in layout.fields.items() if key.role == "feature"}
        self._features = list(dict.fromkeys(paths.values()))
        self._last_place = _last_place(self._features)
        self._discover = layout.discover
        self._label = layout.fields.get(LABEL)
        self._limits = {
            path: (over[1], float(over[2]))
            for path in layout.fields.values()
            if (over := _OVER.fullmatch(path))
        }

    def resume(self, head: bytes) -> None:
        """Lines of JSON need no header."""

    def decode(self, data: bytes, end: bool) -> Decoded:
        rejected = Rejections()
        lines, consumed = lines_of(data, end)
        return self._tabulator.decode(self._invocations(lines, rejected), rejected, consumed)

    def _invocations(self, lines: Iterable[Line], rejected: Rejections) -> Iterator[Invocation]:
        for line, record in _records(lines, rejected):
            try:
                one = self._invocation(record)
            except Rejected as rejection:
                whole = line._replace(is_cut=False)  # as it could be read
                whole.reject(rejected, rejection.reason, rejection.rows)
                continue
            one.written, one.start = (line.text,), line.start
            yield one

    def _invocation(self, record: _Record) -> Invocation:
        captured = record.captureData
        if captured is None:
            raise Rejected("malformed")
        given = captured.endpointInput or captured.batchTransformInput
        said = captured.endpointOutput or captured.batchTransformOutput
        inputs = inputs_of(given, self._features)
        outputs = outputs_of(said, inputs.rows)
        for side in (inputs, outputs):
            if max(len(side.columns), len(side.places)) > MOST_COLUMNS:
                raise Rejected("too_large", side.rows or 1)
        inputs, outputs = self._named_inputs(inputs, outputs), self._named_outputs(outputs)
        if self._label is not None and record.groundTruthData is not None:
            labels = labels_of(record.groundTruthData, self._label)
            if outputs.rows is None:
                outputs = Rows(len(labels))
            if len(labels) != outputs.rows:
                raise Rejected("ragged_row", len(labels))
            outputs = replace(outputs, columns={**outputs.columns, self._label: labels})
        about = record.eventMetadata
        return Invocation(about.id, about.inferenceTime, None, inputs, outputs)

    def _named_inputs(self, inputs: Rows, outputs: Rows) -> Rows:
        """Give columns without names those of the features, in their order."""
        places, features = inputs.places, self._features
        if not places or (features and inputs.columns.keys() >= set(features)):
            return inputs
        # A headerless baseline whose first column is the label names n features _c1 to _cn: where
        # there is no such place, these are but names.
        if self._discover or (self._last_place is not None and self._last_place < len(places)):
            return Rows(inputs.rows, _by_place(places))
        # Model Monitor holds its baseline against the outputs, followed by the inputs.
        before = len(features) - len(places)
        if before == len(outputs.places) and outputs.rows == inputs.rows:
            places = (*outputs.places, *places)
        named = dict(zip(features, places, strict=False))
        return Rows(inputs.rows, named | _by_place(places, len(features)))

    def _named_outputs(self, outputs: Rows) -> Rows:
        columns = dict(outputs.columns)
        for place, values in enumerate(outputs.places):
            columns |= {f"_c{place}": values, f"prediction.{place}": values}
        if len(outputs.places) == 1:
            columns |= dict.fromkeys(("prediction", "score"), outputs.places[0])
        for path, (name, limit) in self._limits.items():
            if (scores := columns.get(name)) is not None:
                columns[path] = _classes(scores, limit)
        return Rows(outputs.rows, columns, outputs.places)


class SageMakerGroundTruth:
    """Decodes labels, as model quality monitoring takes them."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._label = layout.fields.get(LABEL, "label")

    def resume(self, head: bytes) -> None:
        """Lines of JSON need no header."""

    def decode(self, data: bytes, end: bool) -> Decoded:
        rejected = Rejections()
        lines, consumed = lines_of(data, end)
        labels: list[object] = []
        ids: list[object] = []
        times: list[object] = []
        for line, record in _records(lines, rejected):
            about = record.eventMetadata
            try:
                if record.groundTruthData is None:
                    raise Rejected("malformed")
                found = labels_of(record.groundTruthData, self._label)
            except Rejected as rejection:
                whole = line._replace(is_cut=False)
                whole.reject(rejected, rejection.reason, rejection.rows)
                continue
            labels += found
            ids += row_ids(about.id, len(found))
            times += [about.inferenceTime] * len(found)
        columns: dict[str, Sequence[object]] = {self._label: labels}
        if self._layout.id is not None:
            columns[self._layout.id] = ids
        if self._layout.timestamp is not None:
            columns[self._layout.timestamp] = times
        return assemble(Table(len(labels), columns), self._layout, rejected, consumed)


def _records(lines: Iterable[Line], rejected: Rejections) -> Iterator[tuple[Line, _Record]]:
    for line in lines:
        try:
            record = _record(line.text)
        except Rejected as rejection:
            line.reject(rejected, rejection.reason)
        else:
            yield line, record


def _record(line: bytes) -> _Record:
    if len(line) > _LONGEST_RECORD:
        raise Rejected("too_large")
    try:
        return _RECORDS.decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        value = json_value(line)  # it knows what is wrong
    try:
        return msgspec.convert(value, _Record)
    except msgspec.ValidationError:
        raise Rejected("malformed") from None


def _last_place(features: Sequence[str]) -> int | None:
    """The highest place that features are named by; None where they have names of their own."""
    places = [_PLACE.fullmatch(name) for name in features]
    return max((int(place[1]) for place in places if place), default=None) if all(places) else None


def _by_place(places: Sequence[Sequence[object]], first: int = 0) -> dict[str, Sequence[object]]:
    return {f"_c{place}": places[place] for place in range(first, len(places))}


def _classes(scores: Sequence[object], limit: float) -> Sequence[object]:
    """1 for a score above the limit, else 0, as model quality monitoring has it."""
    numbers = [number_of_json(score) for score in scores]
    return [
        score if number is None or math.isnan(number) else int(number > limit)
        for score, number in zip(scores, numbers, strict=True)
    ]
