"""Segments: the parts of a model's traffic that are watched apart, by one feature or two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml_exporter.batch import LABEL, PREDICTION, Batch, Field
from ml_exporter.carried import Names
from ml_exporter.columns import Categories, Column, encode
from ml_exporter.config.yaml_nodes import Node, suggestion
from ml_exporter.statistics.bins import ANY, INVALID, MISSING, OTHER, bin_labels

KEYS = {"segment": ("field", "fields", "protected")}

REGION_FIELD = "<region>"  # what segments are called that nobody has named
AND = " & "

_MOST_FIELDS = 2
_LEAST_ROWS = 10  # of a segment of the baseline with a name of its own


@dataclass(frozen=True)
class Segment:
    """One feature whose values are segments, or two whose pairs are.

    A model must not treat the segments of a `protected` one unequally.
    """

    fields: tuple[str, ...]
    protected: bool = False

    @property
    def name(self) -> str:
        return AND.join(self.fields)

    @property
    def key(self) -> Field:
        return Field("segment", self.name)


def read_segments(node: Node, features: Sequence[str] | None) -> tuple[Segment, ...]:
    """`features` are the names there are; None: not known before the baseline is."""
    segments: list[Segment] = []
    for item in node.items():
        segment = _segment(item, features)
        same = (one for one in segments if {*one.fields} == {*segment.fields})
        alike = (one for one in segments if one.name == segment.name)
        if segment.fields and any((*same, *alike)):
            item.error(f"{segment.name!r} is already in the list")
        segments.append(segment)
    return tuple(segments)


def _segment(node: Node, features: Sequence[str] | None) -> Segment:
    if node.kind != "a mapping":
        return Segment(_fields(node, features))
    section = node.mapping()
    section.check_keys(KEYS["segment"])
    one, several = section.get("field"), section.get("fields")
    if (one is None) == (several is None):
        node.error("must have either 'field' or 'fields'")
    named = one or several
    return Segment(
        _fields(named, features) if named is not None else (),
        section.read("protected", Node.boolean, False),
    )


def _fields(node: Node, features: Sequence[str] | None) -> tuple[str, ...]:
    items = list(node.items()) if node.kind == "a list" else [node]
    names = tuple(item.text() for item in items)
    for item, name in zip(items, names, strict=True):
        if features is not None and name and name not in features:
            item.error(f"unknown feature{suggestion(name, features)}")
    if not 1 <= len(names) <= _MOST_FIELDS or len({*names}) < len(names):
        node.error("must name one feature, or two different ones")
    return names


@dataclass(frozen=True)
class BinnedField:
    """How the values of a feature are segments: the names of a category, the bins of a number."""

    names: Sequence[str]
    edges: Sequence[float] | None = None

    def categories(self, column: Column) -> Categories:
        """The segment of each row."""
        if self.edges is None:
            found = column.categories
            known = {*self.names, MISSING, INVALID}
            rest = ANY if ANY in known else OTHER
            return _renamed(found, [one if one in known else rest for one in found.names])
        numbers = column.numbers
        codes = numbers.binned(self.edges).codes.astype(np.int32)
        names = [*bin_labels(np.array(self.edges)), MISSING, INVALID]
        if numbers.invalid:
            unknown = np.flatnonzero(codes == len(names) - 2)
            codes[unknown] += ~column.missing_mask()[unknown]
        return Categories(codes, names)

    def codes(self, column: Column) -> NDArray[np.intp]:
        """The place of each row's segment among the names."""
        found = self.categories(column)
        place = {name: number for number, name in enumerate(self.names)}
        return np.array([place[name] for name in found.names], dtype=np.intp)[found.codes]


class Segments:
    """Tells which segments rows are in.

    `fields` are the features that can be told apart, by name. Of the pairs of two features only
    `pairs` have a name of their own, by segment; others are `<other>`.
    """

    def __init__(
        self,
        segments: Sequence[Segment],
        fields: Mapping[str, BinnedField],
        pairs: Mapping[str, frozenset[str]],
    ) -> None:
        self.segments = tuple(one for one in segments if all(name in fields for name in one.fields))
        self._fields = fields
        self._pairs = pairs

    def of(self, batch: Batch) -> dict[Field, Column]:
        """The segment of each row, as a column for each way of segmenting."""
        single: dict[str, Categories] = {}
        columns: dict[Field, Column] = {}
        for segment in self.segments:
            for name in segment.fields:
                if name not in single:
                    column = batch.column(Field("feature", name))
                    single[name] = self._fields[name].categories(column)
            found = [single[name] for name in segment.fields]
            if len(found) == 1:
                columns[segment.key] = Names(found[0])
            else:
                columns[segment.key] = Names(self._crossed(segment, *found))
        return columns

    def _crossed(self, segment: Segment, one: Categories, other: Categories) -> Categories:
        width = len(other.names)
        found = one.codes.astype(np.int64) * width + other.codes
        # Bins are few, so that an array of all pairs is fast.
        pairs = np.flatnonzero(np.bincount(found, minlength=1))
        place = np.zeros(len(one.names) * width, dtype=np.int32)
        place[pairs] = np.arange(pairs.size)
        codes = place[found]
        names = [
            f"{one.names[pair // width]}{AND}{other.names[pair % width]}" for pair in pairs.tolist()
        ]
        known = self._pairs.get(segment.name)
        if known is not None:
            names = [name if name in known else OTHER for name in names]
        return _renamed(Categories(codes, names), names)


def _renamed(categories: Categories, names: Sequence[str]) -> Categories:
    """The same rows under names of which several may be one."""
    codes, distinct = encode(names)
    return Categories(codes[categories.codes], list(distinct))


@dataclass(frozen=True, kw_only=True)
class SegmentRows:
    """A segment in the baseline: its rows, and how right the model was on the labelled ones."""

    field: str
    segment: str
    rows: int
    labelled: int = 0
    correct: int = 0
    absolute_error: float = 0.0


class SegmentCounter:
    """Counts the rows of segments, and how right they were."""

    def __init__(self, regression: bool) -> None:
        self._regression = regression
        self._rows: Counter[tuple[str, str]] = Counter()
        self._labelled: Counter[tuple[str, str]] = Counter()
        self._correct: Counter[tuple[str, str]] = Counter()
        self._errors: dict[tuple[str, str], float] = {}

    def update(self, batch: Batch, columns: Mapping[Field, Column]) -> None:
        """Count a batch's rows by columns of segments."""
        is_labelled, is_correct, errors = self._answers(batch)
        for key, column in columns.items():
            found = column.categories
            size = len(found.names)
            rows = np.bincount(found.codes, minlength=size).tolist()
            labelled = np.bincount(found.codes, weights=is_labelled, minlength=size).tolist()
            correct = np.bincount(found.codes, weights=is_correct, minlength=size).tolist()
            sums = np.bincount(found.codes, weights=errors, minlength=size).tolist()
            for number, name in enumerate(found.names):
                of = key.name, name
                if rows[number]:
                    self._rows[of] += rows[number]
                    self._labelled[of] += int(labelled[number])
                    self._correct[of] += int(correct[number])
                    self._errors[of] = self._errors.get(of, 0.0) + sums[number]

    def rows(self, most: int) -> list[SegmentRows]:
        """The segments, of each way of segmenting the `most` frequent; the rest is `<other>`."""
        kept: list[SegmentRows] = []
        for field in dict.fromkeys(field for field, _ in self._rows):
            names = [(n, name) for (of, name), n in self._rows.items() if of == field]
            frequent = sorted(names, key=lambda item: (-item[0], item[1]))
            own = [name for n, name in frequent if name != OTHER and n >= _LEAST_ROWS][:most]
            rest = [name for _, name in frequent if name not in own]
            kept += [self._sum(field, name, [name]) for name in sorted(own)]
            if rest:
                kept.append(self._sum(field, OTHER, rest))
        return kept

    def _sum(self, field: str, segment: str, names: Sequence[str]) -> SegmentRows:
        of = [(field, name) for name in names]
        return SegmentRows(
            field=field,
            segment=segment,
            rows=sum(self._rows[one] for one in of),
            labelled=sum(self._labelled[one] for one in of),
            correct=sum(self._correct[one] for one in of),
            absolute_error=sum(self._errors[one] for one in of),
        )

    def _answers(
        self, batch: Batch
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64]]:
        """Which rows are labelled, which of them are right, and how large each error is."""
        nothing, no = np.zeros(batch.rows), np.zeros(batch.rows, dtype=np.bool_)
        if LABEL not in batch.fields or PREDICTION not in batch.fields:
            return no, no, nothing
        if self._regression:
            distance = np.abs(
                batch.fields[PREDICTION].numbers.values - batch.fields[LABEL].numbers.values
            )
            return ~np.isnan(distance), no, np.nan_to_num(distance)
        label, predicted = batch.fields[LABEL].categories, batch.fields[PREDICTION].categories
        labelled = ~label.is_any(MISSING, INVALID)
        return labelled, labelled & label.equals(predicted), nothing
