"""Baseline: what the model looked like at training time, as counts; and its file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ml_exporter.baseline.components import Components
from ml_exporter.baseline.labelled_baseline import Errors, Losses, ScoreBins
from ml_exporter.baseline.regions import Regions
from ml_exporter.batch import PREDICTION, Field, FieldType, Role
from ml_exporter.columns import Column
from ml_exporter.config.extractors import Extractor
from ml_exporter.config.segments import BinnedField, Segment, SegmentRows, Segments
from ml_exporter.serialization import typed
from ml_exporter.serialization.json_text import indented
from ml_exporter.statistics.bins import ANY, INVALID, MISSING, OTHER, Counts, bin_labels
from ml_exporter.statistics.drift import Test, TestedAs

FORMAT = "ml-exporter-baseline/1"


class BaselineError(Exception):
    """A baseline that can't be read or made, and why."""


@dataclass(frozen=True, kw_only=True)
class BaselineField:
    """One field: its type, and its values counted by bin.

    `counts` has every bin of the field, special ones included, in the order of exposition.
    """

    role: Role
    name: str
    type: FieldType
    path: str | None = None  # where the model's rows have it
    extractor: Extractor | None = None  # what of the value there it is, if not that itself
    edges: list[float] | None = None  # of a number: k + 1 edges of k bins
    counts: dict[str, int]
    # By the length of a window and the test, of the baseline's own windows: the greatest statistic,
    # and by how much statistics are wider than of independent rows, where they are.
    extremes: dict[str, dict[Test, float]] = dataclasses.field(default_factory=dict)
    overdispersions: dict[str, dict[Test, float]] = dataclasses.field(default_factory=dict)

    @property
    def key(self) -> Field:
        return Field(self.role, self.name)

    @property
    def bins(self) -> list[str]:
        return list(self.counts)

    @property
    def binned(self) -> BinnedField:
        return BinnedField(self.bins, self.edges)

    @property
    def rows(self) -> int:
        return sum(self.counts.values())

    @property
    def tested_as(self) -> TestedAs:
        """Which tests it gets."""
        return "component" if self.role == "component" else self.type

    @property
    def ranked_bins(self) -> list[str]:
        """The bins of a number that have an order."""
        return [bin for bin in self.counts if bin not in (MISSING, INVALID)] if self.edges else []

    def array(self) -> Counts:
        return np.array(list(self.counts.values()), dtype=np.int64)

    def count(self, column: Column) -> Counts:
        """Count a column's values into the field's bins: every value lands in exactly one."""
        if self.edges is not None:
            numbers = column.numbers
            counted = numbers.binned(self.edges).counts[:-1]
            return np.append(counted, (numbers.missing, numbers.invalid))
        counts = dict.fromkeys(self.counts, 0)
        rest = ANY if ANY in counts else OTHER
        for name, rows in column.categories.counts.items():
            counts[name if name in counts else rest] += rows
        return np.array(list(counts.values()), dtype=np.int64)

    def places(self, column: Column) -> NDArray[np.intp]:
        """The bin of each row, as its place in `bins`."""
        return self.binned.codes(column)

    def wrong_type(self, column: Column) -> int:
        return (column.numbers if self.edges is not None else column.categories).wrong_type


@dataclass(frozen=True)
class Outcome:
    """A cell of the confusion matrix."""

    actual: str
    predicted: str
    count: int


@dataclass(frozen=True)
class Importance:
    """How much each feature tells of the prediction: `statistics.importance`, from 0 to 1.

    Of rows without predictions it is of the label.
    """

    of: Literal["prediction", "label"]
    shares: dict[str, float]  # by feature


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The fields and outcomes of a reference data set."""

    format: str
    model: str
    version: str | None = None
    rows: int
    fields: list[BaselineField]
    classes: list[str] = dataclasses.field(default_factory=list)
    confusion: list[Outcome] = dataclasses.field(default_factory=list)
    # Of each class that has scores.
    scores: list[ScoreBins] = dataclasses.field(default_factory=list)
    losses: Losses | None = None  # of all classes' scores
    errors: Errors | None = None  # of a regression
    segments: list[SegmentRows] = dataclasses.field(default_factory=list)
    # Mean absolute attribution, by feature.
    attributions: dict[str, float] = dataclasses.field(default_factory=dict)
    importance: Importance | None = None
    components: Components | None = None  # relations between features
    regions: Regions | None = None  # where the model is right more or less often than it thinks

    @cached_property
    def id(self) -> str:
        """8 hex digits of what values are binned and judged by."""
        judged_by: list[object] = [
            [field.role, field.name, field.type, field.edges, field.counts] for field in self.fields
        ]
        if extremes := [field.extremes for field in self.fields if field.extremes]:
            judged_by.append(extremes)
        if wide := [field.overdispersions for field in self.fields if field.overdispersions]:
            judged_by.append(["overdispersions", wide])
        if self.scores:
            judged_by.append([typed.plain(one) for one in self.scores])
        if self.errors is not None:
            judged_by.append([self.errors.edges, self.errors.mean_actual])
        if self.regions is not None:
            judged_by.append([typed.plain(self.regions)])
        if self.components is not None:
            judged_by.append(["components", typed.plain(self.components)])
        return hashlib.sha256(json.dumps(judged_by).encode()).hexdigest()[:8]

    @cached_property
    def component_fields(self) -> list[BaselineField]:
        """The components as fields, which are counted and judged like any number."""
        return [
            BaselineField(
                role="component",
                name=one.name,
                type="number",
                edges=one.edges,
                counts=one.counts,
                extremes=one.extremes,
                overdispersions=one.overdispersions,
            )
            for one in (self.components.components if self.components else ())
        ]

    @cached_property
    def by_key(self) -> Mapping[Field, BaselineField]:
        return {field.key: field for field in self.fields}


def load(path: Path) -> Baseline:
    """Read a baseline file; raises BaselineError with the file's name and what is wrong in it."""
    with naming(path):
        return decode(path.read_bytes())


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have a BaselineError say which file it is about, and raise one if that can't be read."""
    try:
        yield
    except FileNotFoundError:
        raise BaselineError(f"{path}: no such file; `ml-exporter baseline` makes it") from None
    except OSError as error:
        raise BaselineError(f"{path}: {error.strerror}") from None
    except BaselineError as error:
        raise BaselineError(f"{path}: {error}") from None


def decode(data: bytes) -> Baseline:
    try:
        baseline = typed.read(data, Baseline)
    except (ValueError, RecursionError) as error:
        raise BaselineError(f"not a baseline: {error}") from None
    if baseline.format != FORMAT:
        raise BaselineError(f"format is {baseline.format!r}; this version reads {FORMAT!r}")
    for number, field in enumerate(baseline.fields):
        if problem := _problem(field):
            raise BaselineError(f"fields[{number}] ({field.name}): {problem}")
    if len(baseline.by_key) < len(baseline.fields):
        key, _ = Counter(field.key for field in baseline.fields).most_common(1)[0]
        raise BaselineError(f"fields: {key.role} {key.name!r} occurs twice")
    classes = {*baseline.classes, OTHER}
    for number, cell in enumerate(baseline.confusion):
        for name in (cell.actual, cell.predicted):
            if name not in classes:
                raise BaselineError(f"confusion[{number}]: {name!r} is not among the classes")
        if cell.count < 0:
            raise BaselineError(f"confusion[{number}]: counts can't be negative")
    for number, one in enumerate(baseline.scores):
        if one.problem:
            raise BaselineError(f"scores[{number}] ({one.name}): {one.problem}")
    for name, part in (
        ("errors", baseline.errors),
        ("regions", baseline.regions),
        ("components", baseline.components),
    ):
        if part is not None and part.problem:
            raise BaselineError(f"{name}: {part.problem}")
    _check_components(baseline)
    return baseline


def _check_components(baseline: Baseline) -> None:
    """Raise BaselineError where components are not those of the baseline's features."""
    for field in baseline.component_fields:
        if problem := _problem(field):
            raise BaselineError(f"components ({field.name}): {problem}")
    names = [field.name for field in baseline.component_fields]
    if len(set(names)) < len(names):
        raise BaselineError("components: names must differ")
    for one in baseline.components.inputs if baseline.components else ():
        feature = baseline.by_key.get(Field("feature", one.field))
        if feature is None or (feature.edges is None) != (one.category is not None):
            raise BaselineError(f"components: {one.field!r} is no such feature")
        if one.category is None and not any(feature.counts[bin] for bin in feature.ranked_bins):
            raise BaselineError(f"components: {one.field!r} has no rows")
        if one.category is not None and one.category not in feature.counts:
            raise BaselineError(f"components: {one.field!r} has no category {one.category!r}")


def encode(baseline: Baseline) -> bytes:
    return indented(typed.plain(baseline), 1)


def _problem(field: BaselineField) -> str | None:
    if field.type == "number":
        edges = np.array(field.edges or [])
        if edges.size < 2 or not np.all(np.isfinite(edges)) or np.any(edges[1:] < edges[:-1]):
            return "a number needs two or more finite edges in ascending order"
        if field.bins != [*bin_labels(edges), MISSING, INVALID]:
            return "counts must name <below>, each bin's upper edge, <above>, <missing>, <invalid>"
    elif field.edges is not None:
        return "a category has no edges"
    elif not {MISSING, INVALID} < set(field.counts) or not {OTHER, ANY} & set(field.counts):
        return "counts of a category must name <other> or <any>, <missing> and <invalid>"
    if any(count < 0 for count in field.counts.values()):
        return "counts can't be negative"
    for name, of in (("extremes", field.extremes), ("overdispersions", field.overdispersions)):
        if any(value < 0 for tests in of.values() for value in tests.values()):
            return f"{name} can't be negative"
    return None


@dataclass(frozen=True)
class Request:
    """What a baseline is made of."""

    model: str
    version: str | None
    types: Mapping[Field, FieldType]  # fields whose type isn't a guess
    paths: Mapping[Field, str]
    bins: int
    categories: int
    positive: str | None = None  # binary: the positive class
    segments: tuple[Segment, ...] = ()
    extracted: Mapping[Field, Extractor] = dataclasses.field(default_factory=dict)

    @property
    def is_regression(self) -> bool:
        return self.types.get(PREDICTION) == "number"


def segments_of(
    segments: Sequence[Segment], fields: Iterable[BaselineField], rows: Iterable[SegmentRows] = ()
) -> Segments:
    """What tells rows their segments, by the bins of a baseline's fields.

    Of pairs, those have a name that `rows` has, if it has any.
    """
    pairs: dict[str, set[str]] = {}
    for one in rows:
        pairs.setdefault(one.field, set()).add(one.segment)
    return Segments(
        segments,
        {one.name: one.binned for one in fields if one.role == "feature"},
        {name: frozenset(known) for name, known in pairs.items()},
    )
