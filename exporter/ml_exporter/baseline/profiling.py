"""Makes a baseline of rows that can be read again: once for the bins, once to count.

Where they have a time they are read once more, for the windows of components.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np

from ml_exporter.baseline import usual_windows
from ml_exporter.baseline.baseline import (
    FORMAT,
    Baseline,
    BaselineError,
    BaselineField,
    Outcome,
    Request,
    segments_of,
)
from ml_exporter.baseline.component_fitting import ComponentsBuilder
from ml_exporter.baseline.components import Components
from ml_exporter.baseline.importance import ImportanceCounter
from ml_exporter.baseline.labelled_baseline import (
    ErrorCounter,
    LossCounter,
    ScoreCounter,
    error_edges,
    errors_of,
    score_edges,
    score_key,
    score_ties,
)
from ml_exporter.baseline.region_fitting import RegionsBuilder
from ml_exporter.baseline.usual_windows import Straying, WindowCounter
from ml_exporter.batch import LABEL, PREDICTION, Batch, Field, FieldType, Role, WatchedRole
from ml_exporter.columns import Categories, Column
from ml_exporter.config.segments import SegmentCounter
from ml_exporter.statistics.bins import (
    ANY,
    INVALID,
    MISSING,
    OTHER,
    Floats,
    bin_labels,
    quantile_edges,
)

_WATCHED: tuple[Role, ...] = get_args(WatchedRole)
_NUMBERS_SHARE = 0.99  # of present values, for a field to be a number
_LEAST_ROWS = 10  # of a category with a name of its own
_SAMPLE = 1 << 17  # values that quantiles are taken from, at most twice as many
_SCORE_SAMPLE = 1 << 14  # of a class's scores, of its own rows and of others
_DISTINCT = 100_000  # values that are told apart while counting categories
_FEW_NUMBERS = 1000  # different numbers in one batch that may still be names of categories


def build(batches: Callable[[], Iterable[Batch]], request: Request) -> Baseline:
    """Make a baseline of rows that can be read up to three times.

    Memory depends on the number of fields, not of rows. Raises BaselineError where there are
    no rows.
    """
    profiles: dict[Field, _Profile] = {}
    errors, truth, attributions = _Sample(), _Mean(), _Attributions()
    score_samples = _ScoreSamples(request.positive)
    rows = 0
    for batch in batches():
        rows += batch.rows
        attributions.add(batch)
        score_samples.add(batch)
        for key, column in batch.fields.items():
            if key.role not in _WATCHED:
                continue
            if key not in profiles:
                profiles[key] = _Profile(request.types.get(key))
            profiles[key].update(column)
        if request.is_regression:
            found, actual = errors_of(batch)
            errors.add(found)
            truth.add(actual)
    if not rows:
        raise BaselineError("no rows to make a baseline of")
    fields = {key: _field(key, profile, request) for key, profile in profiles.items()}
    totals = {key: np.zeros(len(field.counts), dtype=np.int64) for key, field in fields.items()}
    classes = _classes(profiles, fields, request.categories)
    confusion: Counter[tuple[str, str]] = Counter()
    scores = _score_counters(score_samples, classes, request)
    losses = LossCounter(_scored_classes(profiles), request.positive)
    segments = segments_of(request.segments, fields.values())
    segment_counter = SegmentCounter(request.is_regression)
    importance = ImportanceCounter(fields.values())
    regions = RegionsBuilder(fields.values(), classes, request.positive)
    components = ComponentsBuilder(fields.values())
    error_counter = ErrorCounter(truth.mean, error_edges(errors.values)) if truth.rows else None
    windows = WindowCounter({key: field.binned for key, field in fields.items()})
    for batch in batches():
        # Rows may differ in the fields they have where those are being discovered.
        columns = {key: batch.column(key) for key in fields}
        for key, field in fields.items():
            totals[key] += field.count(columns[key])
        windows.update(batch, columns)
        if classes and PREDICTION in batch.fields and LABEL in batch.fields:
            confusion.update(outcomes(batch, classes))
        if scores and LABEL in batch.fields:
            _count_scores(batch, scores, losses)
        if error_counter is not None:
            error_counter.update(batch)
        segment_counter.update(batch, segments.of(batch))
        importance.update(batch)
        components.update(batch)
        if classes or request.is_regression:
            regions.update(batch)
    straying = windows.straying()
    of_scores = [one for counter in scores.values() if any((one := counter.result()).positives)]
    counted = [
        replace(
            field,
            counts=dict(zip(field.counts, totals[key].tolist(), strict=True)),
            **straying[key]._asdict(),
        )
        for key, field in fields.items()
    ]
    fitted = components.fit(counted, request.bins)
    if fitted is not None and any(one.extremes for one in counted):
        fitted = _with_straying(fitted, usual_windows.of_components(batches, fitted, counted))
    return Baseline(
        format=FORMAT,
        model=request.model,
        version=request.version,
        rows=rows,
        fields=counted,
        classes=classes,
        confusion=[Outcome(*cell, count) for cell, count in sorted(confusion.items())],
        scores=of_scores,
        losses=losses.result(),
        errors=None if error_counter is None else error_counter.result(),
        components=fitted,
        regions=regions.fit(of_scores, confusion),
        segments=segment_counter.rows(request.categories),
        attributions=attributions.means,
        importance=importance.result(),
    )


def _with_straying(components: Components, of: Mapping[Field, Straying]) -> Components:
    return replace(
        components,
        components=[
            replace(one, **of[Field("component", one.name)]._asdict())
            for one in components.components
        ],
    )


def _field(key: Field, profile: _Profile, request: Request) -> BaselineField:
    """A field whose values are still to be counted."""
    edges, names = profile.bins(request)
    return BaselineField(
        role=key.role,
        name=key.name,
        type="category" if edges is None else "number",
        path=request.paths.get(key, key.name) if key.role == "feature" else None,
        extractor=request.extracted.get(key),
        edges=None if edges is None else edges.tolist(),
        counts=dict.fromkeys(names, 0),
    )


def _score_counters(
    samples: _ScoreSamples, classes: Sequence[str], request: Request
) -> dict[str, ScoreCounter]:
    """What counts the scores of each class that has some, where there are labels."""
    names = classes if request.positive is None else [request.positive]
    counters = {}
    for name in names:
        key = score_key(name, request.positive)
        sides = samples.of(key)
        of_class, others = (one.values for one in sides)
        if of_class.size or others.size:
            edges = score_edges(of_class, others, len(names))
            rows = sides[0].rows, sides[1].rows
            ties = score_ties(of_class, others, rows, edges)
            counters[name] = ScoreCounter(name, key, edges, ties)
    return counters


def _scored_classes(profiles: Mapping[Field, _Profile]) -> list[str]:
    return sorted(key.name for key in profiles if key.role == "score")


def _count_scores(batch: Batch, counters: Mapping[str, ScoreCounter], losses: LossCounter) -> None:
    label = batch.fields[LABEL].categories
    labelled = np.flatnonzero(~label.is_any(MISSING, INVALID))
    rows = batch if labelled.size == batch.rows else batch.take(labelled)
    label = rows.fields[LABEL].categories
    for name, counter in counters.items():
        counter.update(rows, label.is_any(name))
    losses.update(rows)


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


class _Sample:
    """Every so-manieth of many numbers, and the least and the greatest."""

    def __init__(self, least: int = _SAMPLE) -> None:
        """At least so many are taken of as many, and at most twice as many."""
        self._least = least
        self._low, self._high = np.inf, -np.inf
        self._picked: list[Floats] = []
        self._size = 0
        self._stride = 1
        self.rows = 0  # that were added

    def add(self, values: Floats) -> None:
        if not values.size:
            return
        self._low = min(self._low, float(values.min()))
        self._high = max(self._high, float(values.max()))
        start = -self.rows % self._stride
        self.rows += values.size
        picked = values[start :: self._stride].copy()  # a view would keep all of them
        self._picked.append(picked)
        self._size += picked.size
        if self._size > 2 * self._least:
            half = np.concatenate(self._picked)[::2]
            self._picked, self._size = [half], half.size
            self._stride *= 2

    @property
    def values(self) -> Floats:
        extremes = [self._low, self._high] if self._stride > 1 else []
        return np.concatenate([np.empty(0), *self._picked, extremes])


class _ScoreSamples:
    """Some of the scores of labelled rows, of each class, by whether they are of it."""

    def __init__(self, positive: str | None) -> None:
        self._positive = positive
        self._samples: dict[Field, tuple[_Sample, _Sample]] = {}

    def add(self, batch: Batch) -> None:
        if LABEL not in batch.fields:
            return
        label = batch.fields[LABEL].categories
        known = ~label.is_any(MISSING, INVALID)
        for key, column in batch.fields.items():
            if key.role == "score":
                scores = column.numbers.values
                there = known & np.isfinite(scores)
                is_class = label.is_any(self._positive or key.name)
                sides = self._samples.setdefault(
                    key, (_Sample(_SCORE_SAMPLE), _Sample(_SCORE_SAMPLE))
                )
                for side, rows in zip(sides, (there & is_class, there & ~is_class), strict=True):
                    side.add(scores[rows])

    def of(self, key: Field) -> tuple[_Sample, _Sample]:
        """Those of rows of the class, and of others."""
        return self._samples.get(key, (_Sample(), _Sample()))


class _Attributions:
    """Mean absolute attributions, over the rows that have any."""

    def __init__(self) -> None:
        self._rows = 0
        self._totals: dict[str, float] = {}

    def add(self, batch: Batch) -> None:
        has_any = np.zeros(batch.rows, dtype=np.bool_)
        for key, column in batch.fields.items():
            if key.role == "attribution":
                sizes = np.abs(column.numbers.values)
                has_any |= ~np.isnan(sizes)
                self._totals[key.name] = self._totals.get(key.name, 0.0) + float(np.nansum(sizes))
        self._rows += int(np.count_nonzero(has_any))

    @property
    def means(self) -> dict[str, float]:
        if not self._rows:
            return {}
        return {name: total / self._rows for name, total in self._totals.items()}


class _Mean:
    """The mean of many numbers."""

    def __init__(self) -> None:
        self.rows = 0
        self._total = 0.0

    def add(self, values: Floats) -> None:
        self.rows += values.size
        self._total += float(values.sum())

    @property
    def mean(self) -> float:
        return self._total / self.rows


class _Profile:
    """What the first reading of one field finds out; `type` is given where it isn't a guess."""

    def __init__(self, type: FieldType | None) -> None:
        self._type = type
        self._present = 0
        self._numbers = 0
        self._sample = _Sample()
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
        self._sample.add(valid)
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

    @property
    def sample(self) -> Floats:
        """Some of its numbers, the extremes among them."""
        return self._sample.values

    @property
    def named(self) -> dict[str, int]:
        """Rows of each category that has a name."""
        special = (MISSING, INVALID, OTHER)
        return {name: n for name, n in self._categories.items() if name not in special}

    def bins(self, request: Request) -> tuple[Floats | None, list[str]]:
        """The edges, if it is a number, and the names of the bins."""
        is_number = self._type == "number" or self._numbers >= _NUMBERS_SHARE * self._present
        if self._numbers and is_number:
            edges = quantile_edges(self.sample, request.bins)
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
