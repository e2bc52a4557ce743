"""What history says of a verdict: since when, and how its figures went."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ml_exporter.families import Values
from ml_exporter.judgement.history import History, Window
from ml_exporter.judgement.trends import Line, Onset, line, onset
from ml_exporter.judgement.verdicts import FieldVerdict, Figure, VersionVerdict, Violation
from ml_exporter.statistics import drift, performance
from ml_exporter.statistics.bins import Floats

_LOOK_BACK = 4  # windows, in which the beginning of a change is looked for
_STRETCHES = 12  # of a window: what each point of a line is of
_LEAST_LABELLED = 30  # predictions with a label, for a point


@dataclass(frozen=True)
class _Past:
    """Counters of one name over time, with the labels of each series but model and version."""

    times: Floats  # (snapshots,)
    values: Values  # (snapshots, series)
    labels: list[tuple[str, ...]]

    def last(self, seconds: float) -> _Past:
        """The past from the snapshot on that is so many seconds old."""
        start = np.searchsorted(self.times, self.times[-1] - seconds, side="right") - 1
        start = max(int(start), 0)
        return _Past(self.times[start:], self.values[start:], self.labels)


class Hindsight:
    """The past of one version of a model, which was judged by a window of history."""

    def __init__(
        self, history: History, window: Window, model: str, version: VersionVerdict
    ) -> None:
        self._history = history
        self._window = window
        self._key = model, version.version
        self._version = version

    @property
    def now(self) -> float:
        """The end of the window, in seconds since 1970."""
        return self._window.end

    @cached_property
    def since(self) -> Onset | None:
        """When the first began of all that is unwell now; None where nothing is."""
        version = self._version
        fields = (*version.unwell_fields, *version.unwell_components)
        unwell = [self.field_since(field) for field in fields]
        unwell += [self.violation_since(one) for one in version.unwell_violations]
        unwell += [self.figure_since] if version.unwell_figures else []
        begun = [one for one in unwell if one is not None]
        return min(begun, key=lambda one: one.time, default=None)

    def field_since(self, field: FieldVerdict) -> Onset | None:
        """When a field's values became what they are now; None where that is for the better."""
        past = self._fields
        index = self._bins.get((field.role, field.name), {})
        if not index.keys() >= set(field.bins):
            return None

        def is_worse(before: Floats, after: Floats) -> bool:
            usual = field.baseline_counts
            return drift.psi(after, usual) > drift.psi(before, usual)

        of_field = past.values[:, [index[bin] for bin in field.bins]]
        return onset(past.times, of_field, is_worse)

    def violation_since(self, violation: Violation) -> Onset | None:
        """When rows began to violate schema or constraint as often as they do now."""
        return self._violations_since[violation.kind, violation.field]

    @cached_property
    def _violations_since(self) -> Mapping[tuple[str, str], Onset | None]:
        """By kind and field, of all that the version violates."""
        seconds = _LOOK_BACK * self._window.seconds
        schema, constraint, every = (
            self._past(f"ml_{of}_total").last(seconds)
            for of in ("schema_violations", "constraint_violations", "predictions")
        )
        return {
            (one.kind, one.field): _since(one, schema if one.is_of_schema else constraint, every)
            for one in self._version.violations
        }

    @cached_property
    def figure_since(self) -> Onset | None:
        """When the share of correct predictions began to be less."""
        past = self._outcomes.last(_LOOK_BACK * self._window.seconds)
        correct = np.array([labels[2] == "true" for labels in past.labels], dtype=bool)
        right, wrong = (past.values[:, some].sum(axis=1) for some in (correct, ~correct))

        def is_worse(before: Floats, after: Floats) -> bool:
            return bool(after[0] * before.sum() < before[0] * after.sum())

        return onset(past.times, np.stack((right, wrong), axis=1), is_worse)

    def figure_line(self, figure: Figure) -> Line:
        """How a figure of performance went over the window."""
        labels, positive = self._outcomes.labels, self._version.positive or None

        def value(counts: Floats, _: float) -> float:
            if counts.sum() < _LEAST_LABELLED:
                return np.nan
            cells = [
                (labels[i][0], labels[i][1], labels[i][2] == "true", float(counts[i]))
                for i in np.flatnonzero(counts)
            ]
            classes = performance.of_cells(cells)
            return performance.model_figures(classes, positive).get(figure.metric, np.nan)

        return self._line(self._outcomes, value)

    def traffic_line(self) -> Line:
        """Predictions a second over the window."""
        past = self._past("ml_predictions_total")
        return self._line(past, lambda counts, seconds: float(counts.sum()) / seconds)

    def _line(self, past: _Past, figure: Callable[[Floats, float], float]) -> Line:
        seconds = self._window.seconds
        stretch = seconds / _STRETCHES
        return line(past.times, past.values, figure, seconds=seconds, stretch=stretch)

    @cached_property
    def _fields(self) -> _Past:
        return self._past("ml_field_values_total").last(_LOOK_BACK * self._window.seconds)

    @cached_property
    def _bins(self) -> Mapping[tuple[str, ...], Mapping[str, int]]:
        """Columns of the fields' past, by role and name, and by bin."""
        columns: dict[tuple[str, ...], dict[str, int]] = defaultdict(dict)
        for column, (_, *of, bin) in enumerate(self._fields.labels):
            columns[tuple(of)][bin] = column
        return columns

    @cached_property
    def _outcomes(self) -> _Past:
        return self._past("ml_outcomes_total")

    def _past(self, name: str) -> _Past:
        families = [
            frozen.family
            for frozen in self._window.samples
            if frozen.family.name == name
            and frozen.family.label_sets
            and frozen.family.label_sets[0][:2] == self._key
        ]
        times, values = self._history.over_time(families)
        labels = [
            of[2:]
            for family, columns in zip(families, values, strict=True)
            for of in family.label_sets[: columns.shape[1]]
        ]
        both = np.concatenate([np.empty((times.size, 0)), *values], axis=1)
        return _Past(times, both, labels)


def _since(violation: Violation, past: _Past, every: _Past) -> Onset | None:
    """Since when it is as frequent as now, by its own rows and those of all predictions."""
    key = {violation.field, violation.kind}
    columns = [i for i, labels in enumerate(past.labels) if set(labels) == key]
    if not columns or past.times.size != every.times.size:
        return None
    rows = past.values[:, columns].sum(axis=1)
    others = np.maximum(every.values.sum(axis=1) - rows, 0)

    def is_worse(before: Floats, after: Floats) -> bool:
        return bool(after[0] * before.sum() > before[0] * after.sum())

    return onset(past.times, np.stack((rows, others), axis=1), is_worse)
