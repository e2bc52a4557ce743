"""How many rows violate the constraints of the configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from ml_exporter.batch import PREDICTION, Batch, Field
from ml_exporter.columns import Column
from ml_exporter.config.constraints import Constraint
from ml_exporter.config.patterns import Pattern
from ml_exporter.families import Family
from ml_exporter.monitors.uniqueness import RecentValues
from ml_exporter.statistics.bins import INVALID, MISSING, OTHER, Floats

_Mask = NDArray[np.bool_]
_Holds = Callable[[Floats, Floats], _Mask]

_HOLDS: Mapping[str, _Holds] = {
    "above": np.greater,
    "at_least": np.greater_equal,
    "below": np.less,
    "at_most": np.less_equal,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ConstraintViolations:
    """Counts rows by field and constraint.

    A missing value violates `required` alone. Any other one violates what it can't be seen to
    satisfy: text is within no bounds, and a list is none of the values. Where a model has scores of
    several classes, each must satisfy what is said of `score`.
    """

    def __init__(
        self,
        model: str,
        version: str,
        constraints: Sequence[Constraint],
        scores: Sequence[Field],
    ) -> None:
        """`scores` are the fields that `score` stands for."""
        violations = Family(
            "ml_constraint_violations_total",
            "Rows in which a field violates a constraint.",
            "counter",
            ("field", "constraint"),
            of={"model": model, "version": version},
            complete=True,
        )
        self.families = (violations,)
        self._violations = violations
        self._found: dict[int, _Mask] = {}
        self._checks = [
            (one.field, check, violations.add(one.field, name))
            for one in constraints
            for name, check in _checks(one)
        ]
        self._comparisons = [
            (one.field, _HOLDS[name], other, violations.add(one.field, name))
            for one in constraints
            for name, other in one.comparisons
        ]
        names = {name for one in constraints for name in one.fields}
        self._keys = {name: _keys(name, scores) for name in names}
        self._unique = [
            (
                one.field,
                [RecentValues() for _ in self._keys[one.field]],
                violations.add(one.field, "unique"),
            )
            for one in constraints
            if one.unique
        ]

    @property
    def found(self) -> Iterable[tuple[str, str, _Mask]]:
        """What the last batch violated: field, constraint, and the rows that did."""
        for index, rows in self._found.items():
            field, constraint = self._violations.label_sets[index][-2:]
            yield field, constraint, rows

    def update(self, batch: Batch) -> None:
        self._found.clear()
        columns = {name: [batch.column(key) for key in keys] for name, keys in self._keys.items()}
        for name, check, index in self._checks:
            self._count(index, (check(column) for column in columns[name]))
        for name, holds, other, index in self._comparisons:
            self._count(
                index,
                (_contrary(one, two, holds) for one in columns[name] for two in columns[other]),
            )

        for name, recent, index in self._unique:
            pairs = zip(recent, columns[name], strict=True)
            self._count(index, (values.repeated(column) for values, column in pairs))
        self._exemplify(batch)

    def undo(self) -> None:
        """Forget the values of the last batch, whose rows will come again."""
        for _, recent, _ in self._unique:
            for values in recent:
                values.undo()

    def _count(self, index: int, masks: Iterable[_Mask]) -> None:
        rows = np.logical_or.reduce([*masks])
        if count := np.count_nonzero(rows):
            self._violations.values[index] += count
            self._found[index] = rows

    def _exemplify(self, batch: Batch) -> None:
        if batch.traces is None or batch.timestamps is None:
            return
        for index, rows in self._found.items():
            row = int(np.flatnonzero(rows)[-1])
            time = float(batch.timestamps[row])
            self._violations.exemplify(index, batch.traces[row], 1.0, time)


def _keys(name: str, scores: Sequence[Field]) -> Sequence[Field]:
    if name == PREDICTION.name:
        return [PREDICTION]
    if name == "score" and scores:
        return scores
    return [Field("feature", name)]


def _checks(constraint: Constraint) -> Iterable[tuple[str, Callable[[Column], _Mask]]]:
    """What tells the rows of a column that violate each constraint of one field alone."""
    low, high = constraint.min, constraint.max
    if low is not None:
        yield "min", lambda column: _out_of_bounds(column, column.numbers.values >= low)
    if high is not None:
        yield "max", lambda column: _out_of_bounds(column, column.numbers.values <= high)
    if values := constraint.values:
        yield "values", lambda column: _rows_of(column, lambda name: name not in values)
    if constraint.pattern is not None:
        pattern = Pattern(constraint.pattern)
        yield "pattern", lambda column: _rows_of(column, lambda name: not _matches(pattern, name))
    if constraint.required:
        yield "required", lambda column: column.missing_mask()


def _out_of_bounds(column: Column, within: _Mask) -> _Mask:
    return ~(within | column.missing_mask()) if column.numbers.missing else ~within


def _rows_of(column: Column, violates: Callable[[str], bool]) -> _Mask:
    """The rows whose name violates something, which is asked once for each distinct one."""
    categories = column.categories
    found = [name != MISSING and violates(name) for name in categories.names]
    return np.array(found, dtype=np.bool_)[categories.codes]


def _matches(pattern: Pattern, name: str) -> bool:
    if name in (INVALID, OTHER):  # no text, or a very long one
        return False
    return pattern.matches(name[1:] if name.startswith("\\<") else name)


def _contrary(one: Column, other: Column, holds: _Holds) -> _Mask:
    """The rows that have both values, which aren't to each other as they should be."""
    contrary = ~holds(_ordered(one), _ordered(other))
    if contrary.any():
        contrary &= ~(one.missing_mask() | other.missing_mask())
    return contrary


def _ordered(column: Column) -> Floats:
    """Numbers, and times as seconds since 1970; NaN where a row has neither."""
    values = column.numbers.values
    if not column.numbers.invalid:
        return values
    values = values.copy()
    unknown = np.flatnonzero(np.isnan(values))
    values[unknown] = _times(column.take(unknown))
    return values


def _times(column: Column) -> Floats:
    """Seconds since 1970 of texts in ISO 8601, without an offset of UTC; NaN for anything else."""
    seconds, rest = column.seconds() or (np.empty(len(column)), range(len(column)))
    if rest:
        rows = np.array(rest, dtype=np.intp)
        others = column.take(rows).categories
        seconds[rows] = np.array([_time(name) for name in others.names])[others.codes]
    return seconds


def _time(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
        return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH).total_seconds()
    except (ValueError, OverflowError):
        return np.nan
