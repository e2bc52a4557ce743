"""Baseline: what the model looked like at training time, as counts."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np

from ml_exporter.batch import (
    ABSENT,
    LABEL,
    PREDICTION,
    Batch,
    Categories,
    Column,
    Field,
    FieldType,
    Role,
)
from ml_exporter.statistics.bins import (
    ANY,
    INVALID,
    MISSING,
    OTHER,
    Counts,
    Floats,
    bin_labels,
    count_bins,
    quantile_edges,
)

FORMAT = "ml-exporter-baseline/1"

_NUMBERS_SHARE = 0.99  # of present values, for a field to be a number
_LEAST_ROWS = 10  # of a category with a name of its own
_SAMPLE = 1 << 17  # values that quantiles are taken from, at most twice as many
_DISTINCT = 100_000  # values that are told apart while counting categories
_FEW_NUMBERS = 1000  # different numbers in one batch that may still be names of categories


class BaselineError(Exception):
    """A baseline that can't be read or made, and why."""


class BaselineField(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One field: its type, and its values counted by bin.

    `counts` has every bin of the field, special ones included, in the order of exposition.
    """

    role: Role
    name: str
    type: FieldType
    path: str | None = None  # where the model's rows have it
    edges: list[float] | None = None  # of a number: k + 1 edges of k bins
    counts: dict[str, int]

    @property
    def key(self) -> Field:
        return Field(self.role, self.name)

    @property
    def bins(self) -> list[str]:
        return list(self.counts)

    @property
    def rows(self) -> int:
        return sum(self.counts.values())

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
            counted = count_bins(numbers.values, np.array(self.edges))
            return np.append(counted, (numbers.missing, numbers.invalid))
        counts = dict.fromkeys(self.counts, 0)
        rest = ANY if ANY in counts else OTHER
        for name, rows in column.categories.counts.items():
            counts[name if name in counts else rest] += rows
        return np.array(list(counts.values()), dtype=np.int64)

    def wrong_type(self, column: Column) -> int:
        return (column.numbers if self.edges is not None else column.categories).wrong_type


class Outcome(msgspec.Struct, frozen=True):
    """A cell of the confusion matrix."""

    actual: str
    predicted: str
    count: int


class Baseline(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The fields and outcomes of a reference data set."""

    format: str
    model: str
    version: str | None = None
    rows: int
    fields: list[BaselineField]
    classes: list[str] = []
    confusion: list[Outcome] = []

    @cached_property
    def id(self) -> str:
        """8 hex digits of what values are binned and judged by."""
        judged_by = [
            [field.role, field.name, field.type, field.edges, field.counts] for field in self.fields
        ]
        return hashlib.sha256(json.dumps(judged_by).encode()).hexdigest()[:8]

    @cached_property
    def by_key(self) -> Mapping[Field, BaselineField]:
        return {field.key: field for field in self.fields}


def load(path: Path) -> Baseline:
    """Read a baseline file; raises BaselineError with the file's name and what is wrong in it."""
    try:
        baseline = decode(path.read_bytes())
    except OSError as error:
        raise BaselineError(f"{path}: {error.strerror}") from None
    except BaselineError as error:
        raise BaselineError(f"{path}: {error}") from None
    return baseline


def decode(data: bytes) -> Baseline:
    try:
        baseline = msgspec.json.decode(data, type=Baseline)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
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
    return baseline


def encode(baseline: Baseline) -> bytes:
    return msgspec.json.format(msgspec.json.encode(baseline), indent=1) + b"\n"


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


def build(batches: Callable[[], Iterable[Batch]], request: Request) -> Baseline:
    """Make a baseline of rows that can be read twice: once for the bins, once to count.

    Memory depends on the number of fields, not of rows. Raises BaselineError where there are
    no rows.
    """
    profiles: dict[Field, _Profile] = {}
    rows = 0
    for batch in batches():
        rows += batch.rows
        for key, column in batch.fields.items():
            if key not in profiles:
                profiles[key] = _Profile(request.types.get(key))
            profiles[key].update(column)
    if not rows:
        raise BaselineError("no rows to make a baseline of")
    bins = {key: profile.bins(request) for key, profile in profiles.items()}
    fields = {
        key: BaselineField(
            role=key.role,
            name=key.name,
            type="category" if edges is None else "number",
            path=request.paths.get(key, key.name) if key.role == "feature" else None,
            edges=None if edges is None else edges.tolist(),
            counts=dict.fromkeys(names, 0),
        )
        for key, (edges, names) in bins.items()
    }
    totals = {key: np.zeros(len(field.counts), dtype=np.int64) for key, field in fields.items()}
    confusion: Counter[tuple[str, str]] = Counter()
    classes = _classes(profiles, fields, request.categories)
    for batch in batches():
        for key, field in fields.items():
            # Rows may differ in the fields they have where those are being discovered.
            totals[key] += field.count(batch.fields.get(key) or Column([ABSENT] * batch.rows))
        if classes and PREDICTION in batch.fields and LABEL in batch.fields:
            confusion.update(outcomes(batch, classes))
    return Baseline(
        format=FORMAT,
        model=request.model,
        version=request.version,
        rows=rows,
        fields=[
            msgspec.structs.replace(
                field, counts=dict(zip(field.counts, totals[key].tolist(), strict=True))
            )
            for key, field in fields.items()
        ],
        classes=classes,
        confusion=[Outcome(*cell, count) for cell, count in sorted(confusion.items())],
    )


def outcomes(batch: Batch, classes: Sequence[str]) -> Counter[tuple[str, str]]:
    """Actual and predicted class of each row that has both, counted; others are `<other>`."""
    known = set(classes)
    actual, predicted = batch.fields[LABEL].categories, batch.fields[PREDICTION].categories
    cells: Counter[tuple[str, str]] = Counter()
    for (truth, guess), rows in actual.cross(predicted).items():
        if truth not in (MISSING, INVALID) and guess not in (MISSING, INVALID):
            cell = (truth if truth in known else OTHER, guess if guess in known else OTHER)
            cells[cell] += rows
    return cells


def _classes(
    profiles: Mapping[Field, _Profile], fields: Mapping[Field, BaselineField], most: int
) -> list[str]:
    """Every class that is predicted or true, however rare, up to so many."""
    rows: Counter[str] = Counter()
    for key in (LABEL, PREDICTION):
        if key in fields and fields[key].type == "category":
            rows.update(profiles[key].named)
    frequent = sorted(rows, key=lambda name: (-rows[name], name))
    return sorted(frequent[:most])


class _Profile:
    """What the first reading of one field finds out; `type` is given where it isn't a guess."""

    def __init__(self, type: FieldType | None) -> None:
        self._type = type
        self._present = 0
        self._numbers = 0
        self._low, self._high = np.inf, -np.inf
        self._sample: list[Floats] = []
        self._sampled = 0
        self._stride = 1
        self._position = 0
        self._categories: Counter[str] = Counter()
        self._most_differ = False

    def update(self, column: Column) -> None:
        if self._type == "category":
            self._add_categories(column.categories)
            return
        numbers = column.numbers
        valid = numbers.values[~np.isnan(numbers.values)]
        # NaN and infinity are no values, and yet no text.
        broken = 0 if column.text else numbers.invalid - numbers.wrong_type
        present = len(column.values) - numbers.missing - broken
        self._present += present
        self._numbers += valid.size
        if valid.size:
            self._low = min(self._low, float(valid.min()))
            self._high = max(self._high, float(valid.max()))
            self._add_to_sample(valid)
        if self._type == "number":
            return
        if valid.size == present and np.unique(valid).size > _FEW_NUMBERS:
            self._most_differ = True  # if it is to be a category after all
        else:
            self._add_categories(column.categories)

    def _add_categories(self, categories: Categories) -> None:
        if not self._most_differ:
            self._categories.update(categories.counts)
            self._most_differ = len(self._categories) > _DISTINCT

    def _add_to_sample(self, values: Floats) -> None:
        """Keep every so-manieth value, and half of them each time that is too many."""
        start = -self._position % self._stride
        self._position += values.size
        picked = values[start :: self._stride].copy()  # a view would keep all of them
        self._sample.append(picked)
        self._sampled += picked.size
        if self._sampled > 2 * _SAMPLE:
            sample = np.concatenate(self._sample)[::2]
            self._sample, self._sampled = [sample], sample.size
            self._stride *= 2

    @property
    def named(self) -> dict[str, int]:
        """Rows of each category that has a name."""
        special = (MISSING, INVALID, OTHER)
        return {name: n for name, n in self._categories.items() if name not in special}

    def bins(self, request: Request) -> tuple[Floats | None, list[str]]:
        """The edges, if it is a number, and the names of the bins."""
        is_number = self._type == "number" or self._numbers >= _NUMBERS_SHARE * self._present
        if self._numbers and is_number:
            extremes = [self._low, self._high] if self._stride > 1 else []
            edges = quantile_edges(np.concatenate([*self._sample, extremes]), request.bins)
            return edges, [*bin_labels(edges), MISSING, INVALID]
        named = self.named
        too_long = self._categories[OTHER]  # to be told apart
        rows = sum(named.values()) + too_long
        differ = len(named) + too_long > max(rows / 2, _LEAST_ROWS)
        most_differ = self._type is None and differ
        if self._most_differ or most_differ:
            return None, [ANY, MISSING, INVALID]
        frequent = sorted(named.items(), key=lambda item: (-item[1], item[0]))
        kept = [name for name, n in frequent[: request.categories] if n >= _LEAST_ROWS]
        return None, [*sorted(kept), OTHER, MISSING, INVALID]
