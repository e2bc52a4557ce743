"""A field of a request replaced by that of another request, and how much the answer changes.

It is permutation importance, row by row: Breiman, Random Forests (2001), section 10, with the
change of the answer in place of that of the error, which would need the label.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from ml_exporter.batch import PREDICTION, Batch, Field
from ml_exporter.capture import Frame, write_frame
from ml_exporter.config.config import ProxySource
from ml_exporter.formats import decoder
from ml_exporter.formats.captured import exchange
from ml_exporter.formats.messages import Rejected
from ml_exporter.formats.rows import Layout

_LARGEST_BODY = 64 << 10  # bytes
_MOST_LEAVES = 1000  # of a body
_DEEPEST = 32
_MARK = "\0ml-exporter-probe"  # a value that no request has

Path = tuple[str | int, ...]  # keys and places that lead to a value of a JSON body


class Unprobed(ValueError):
    """A request of which no other can be made, or an answer that can't be read."""


@dataclass(frozen=True)
class Sample:
    """A request that was answered, one of its rows, and where its fields stand in its body."""

    frame: Frame
    body: Any
    row: int
    answered: Batch
    places: Mapping[str, Path]  # by the path of the feature in the layout

    @property
    def version(self) -> str | None:
        return None if self.answered.versions is None else self.answered.versions[self.row]

    def value(self, path: str) -> object:
        return _at(self.body, self.places[path])

    def with_value(self, path: str, value: object) -> bytes:
        """The body of a request that is the same, but for one field of one row."""
        return _encoded_with(self.body, self.places[path], value)

    def unchanged(self) -> bytes:
        """The body of the same request, written as those are."""
        path = next(iter(self.places))
        return self.with_value(path, self.value(path))


class Requests:
    """Reads requests of one model, whatever protocol they are in, as long as that is JSON.

    No protocol needs to know how it is written: a value of a body is a field's where the row that
    is read of the body has what was put in its place.
    """

    def __init__(self, layout: Layout, source: ProxySource) -> None:
        self._layout = replace(layout, extracted={})
        self._source = source
        features = [(path, key) for key, path in layout.fields.items() if key.role == "feature"]
        self._features: dict[str, Field] = dict(features)
        self.names: dict[str, list[str]] = {}  # of the features that are taken of one path
        for path, key in features:
            self.names.setdefault(path, []).append(key.name)

    def sample(self, frame: Frame, random: np.random.Generator) -> Sample:
        """One of the rows of a request, at random; raises Unprobed."""
        if len(frame.request_body) > _LARGEST_BODY:
            raise Unprobed("the request is large")
        message = exchange(frame).request
        assert message is not None
        try:
            body = message.json
        except Rejected:
            raise Unprobed("the request is no JSON") from None
        answered = self.read(frame)
        if not answered.rows:
            raise Unprobed("the exchange has no rows")
        row = int(random.integers(answered.rows))
        return Sample(frame, body, row, answered, self._places(frame, body, row, answered))

    def read(self, frame: Frame) -> Batch:
        """The rows of an exchange, none of them rejected; raises Unprobed."""
        of_frames = decoder(self._source.format, self._layout, captured=self._source)
        decoded = of_frames.decode(_encoded(frame), end=True)
        if decoded.rejected:
            raise Unprobed("the exchange can't be read")
        return decoded.batch

    def _places(self, frame: Frame, body: Any, row: int, answered: Batch) -> dict[str, Path]:
        values = {path: answered.column(key).values[row] for path, key in self._features.items()}
        places: dict[str, Path] = {}
        for number, (place, value) in enumerate(_leaves(body, ())):
            if number >= _MOST_LEAVES:
                raise Unprobed("the request has too many values")
            wanted = [p for p, known in values.items() if p not in places and _same(known, value)]
            if not wanted:
                continue
            marked = replace(frame, request_body=_encoded_with(body, place, _MARK))
            try:
                batch = self.read(without_coding(marked))
            except Unprobed:
                continue  # it was no value: a shape, say
            if batch.rows == answered.rows:
                for path in wanted:
                    if batch.column(self._features[path]).values[row] == _MARK:
                        places[path] = place
        return places


def changed(before: Batch, after: Batch, row: int, *, regression: bool) -> float:
    """How much a row's answer changed: its score, or the number predicted, in absolute value.

    Of several scores half the sum of their changes: the total variation distance. 0 or 1 of a class
    without scores. Raises Unprobed where there is no such answer.
    """
    if before.rows != after.rows:
        raise Unprobed("the answer has another number of rows")
    if regression:
        change = _difference(before, after, PREDICTION, row)
        if np.isnan(change):
            raise Unprobed("the answer is no number")
        return change
    scores = [key for key in before.fields if key.role == "score"]
    change = sum(_difference(before, after, key, row) for key in scores)
    if scores and not np.isnan(change):
        return change / (2 if len(scores) > 1 else 1)
    was, now = before.column(PREDICTION), after.column(PREDICTION)
    return float(was.categories.of_rows[row] != now.categories.of_rows[row])


def without_coding(frame: Frame) -> Frame:
    """An exchange whose request says nothing of how its body is compressed."""
    lines = frame.request_head.split(b"\r\n")
    kept = [line for line in lines if not line.lower().startswith(b"content-encoding:")]
    return replace(frame, request_head=b"\r\n".join(kept))


def _difference(before: Batch, after: Batch, key: Field, row: int) -> float:
    was, now = before.column(key), after.column(key)
    return abs(float(now.numbers.values[row]) - float(was.numbers.values[row]))


def _encoded(frame: Frame) -> bytes:
    return write_frame(
        *(frame.model, frame.status, frame.time, frame.duration, frame.upstream),
        frame.first,
        *(frame.request_head, frame.request_body, frame.response_head, frame.response_body),
    )


def _leaves(value: Any, place: Path) -> Iterator[tuple[Path, object]]:
    """Every single value of a body, and where it stands."""
    if len(place) > _DEEPEST:
        raise Unprobed("the request is too deep")
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _leaves(below, (*place, key))
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from _leaves(below, (*place, number))
    else:
        yield place, value


def _same(known: object, value: object) -> bool:
    return type(known) is type(value) and known == value


def _at(body: Any, place: Path) -> Any:
    for step in place:
        body = body[step]
    return body


def _encoded_with(body: Any, place: Path, value: object) -> bytes:
    """A body as JSON, with another value in one place; the body itself is as it was."""
    if not place:
        return msgspec.json.encode(value)
    parent, last = _at(body, place[:-1]), place[-1]
    kept = parent[last]
    parent[last] = value
    try:
        return msgspec.json.encode(body)
    except (OverflowError, RecursionError):
        raise Unprobed("the request can't be written anew") from None
    finally:
        parent[last] = kept
