"""Predictions worth a look: how many by reason, and a line about each of the first."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from ml_exporter.baseline.baseline import Baseline, BaselineField
from ml_exporter.baseline.labelled_baseline import class_scores
from ml_exporter.batch import LABEL, PREDICTION, SCORE, Batch, Field
from ml_exporter.columns import ABSENT, LONGEST_NAME, Column
from ml_exporter.config.line_log import REDACTED, found_in
from ml_exporter.config.notable import Notable
from ml_exporter.families import Family
from ml_exporter.monitors.components import ComponentValues
from ml_exporter.monitors.constraints import ConstraintViolations
from ml_exporter.statistics.bins import ABOVE, ANY, BELOW, INVALID, MISSING, OTHER, Floats

REASONS = (
    *("out_of_range", "unseen", "missing", "invalid", "outlier"),
    *("constraint", "low_confidence"),
)
RARE = 0.01  # share of a baseline's rows: what more of them have is nothing to look at

_MOST_NAMED = 20  # fields in one line
_LONGEST_SEARCHED = 10 * LONGEST_NAME  # characters: a match may go beyond what is told of a text
_REASON_OF = {BELOW: "out_of_range", ABOVE: "out_of_range", OTHER: "unseen"} | {
    MISSING: "missing",
    INVALID: "invalid",
}

_Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Finding:
    """Rows of a batch that something is remarkable about: which field, and what of it, if any."""

    reason: str
    rows: _Mask
    field: str = ""
    what: str = ""


@dataclass
class Lines:
    """Lines about the first rows worth a look, and how many more rows there were."""

    texts: list[bytes] = field(default_factory=list)
    others: int = 0


class NotablePredictions:
    """Counts predictions by what is worth a look in them; one may be so for several reasons.

    A value is, where the baseline has hardly any such (`RARE`): outside its range, not among its
    categories, missing or invalid; a row, that is farther from the others than any in the baseline,
    violates a constraint, or has two scores as close as `margin`. Values are in a line only where
    the configuration names their field.
    """

    def __init__(
        self,
        model: str,
        version: str,
        settings: Notable,
        scores: Sequence[str],
        positive: str | None,
        constraints: ConstraintViolations | None,
        most_lines: int,
    ) -> None:
        """`scores` are the classes that have one; `most_lines` are made of one batch."""
        self._notable = Family(
            "ml_notable_predictions_total",
            "Predictions worth a look, by reason.",
            "counter",
            ("reason",),
            of={"model": model, "version": version},
            complete=True,
        )
        for reason in REASONS:
            if _is_possible(reason, settings, constraints):
                self._notable.add(reason)
        self.families = (self._notable,)
        self._about = {"model": model, "version": version}
        self._settings = settings
        self._patterns = [found_in(pattern) for pattern in settings.redact]
        self._scores = scores
        self._positive = positive
        self._constraints = constraints
        self._components: ComponentValues | None = None
        self._fields: list[tuple[BaselineField, frozenset[str]]] = []
        self._most_lines = most_lines
        self._lines = Lines()

    def judge_by(
        self,
        baseline: Baseline | None,
        watched: Sequence[Field] | None,
        components: ComponentValues | None = None,
    ) -> None:
        """Compare values with a baseline from now on, those of fields that are `watched`."""
        self._components = components
        self._fields = [
            (one, rare)
            for one in (baseline.fields if baseline is not None else ())
            if one.key != LABEL and (watched is None or one.key in watched)
            if (rare := _rare_bins(one))
        ]

    def update(self, batch: Batch) -> None:
        """Count a batch that the other monitors have counted."""
        self._lines = Lines()
        if not batch.rows:
            return
        findings = [one for one in self._find(batch) if one.rows.any()]
        if not findings:
            return
        by_reason: dict[str, _Mask] = {}
        for one in findings:
            before = by_reason.get(one.reason)
            by_reason[one.reason] = one.rows if before is None else before | one.rows
        for reason, rows in by_reason.items():
            self._count(reason, rows, batch)
        notable = np.flatnonzero(np.logical_or.reduce([*by_reason.values()]))
        first = notable[: self._most_lines]
        self._lines = Lines(self._write(first, findings, batch), notable.size - first.size)

    def undo(self) -> None:
        """Say nothing of the last batch, whose rows will come again."""
        self._lines = Lines()

    def take(self) -> Lines:
        """What is to be said of the last batch, once."""
        lines, self._lines = self._lines, Lines()
        return lines

    def _find(self, batch: Batch) -> Iterator[Finding]:
        for one, rare in self._fields:
            for bin, rows in _in_bins(one, batch.column(one.key), rare):
                yield Finding(_REASON_OF[bin], rows, one.name, _REASON_OF[bin])
        if self._components is not None:
            yield Finding("outlier", self._components.outliers(batch))
        if self._constraints is not None:
            for name, constraint, rows in self._constraints.found:
                yield Finding("constraint", rows, name, constraint)
        if self._settings.margin is not None:
            yield Finding("low_confidence", self._margins(batch) < self._settings.margin)

    def _margins(self, batch: Batch) -> Floats:
        """How far the best score is above the second best; NaN where one is missing."""
        if self._positive is not None:
            of_binary = np.abs(2 * batch.column(SCORE).numbers.values - 1)
            return np.asarray(of_binary)
        scores = class_scores(batch, self._scores)
        if scores is None or scores.shape[1] < 2:
            return np.full(batch.rows, np.nan)
        best = np.partition(scores, -2, axis=1)[:, -2:]
        margins: Floats = np.where(np.isnan(scores).any(axis=1), np.nan, best[:, 1] - best[:, 0])
        return margins

    def _count(self, reason: str, rows: _Mask, batch: Batch) -> None:
        index = self._notable.add(reason)
        self._notable.values[index] += np.count_nonzero(rows)
        if batch.traces is not None and batch.timestamps is not None:
            last = int(np.flatnonzero(rows)[-1])
            time = float(batch.timestamps[last])
            self._notable.exemplify(index, batch.traces[last], 1.0, time)

    def _write(
        self, rows: NDArray[np.intp], findings: Sequence[Finding], batch: Batch
    ) -> list[bytes]:
        """A line about each of some rows."""
        values = self._values(rows, batch)
        lines = []
        for place, row in enumerate(rows.tolist()):
            found = [one for one in findings if one.rows[row]]
            line: dict[str, object] = {"time": _time_of(batch, row)}
            line |= self._about
            if batch.traces is not None and batch.traces[row] is not None:
                line["trace_id"] = batch.traces[row]
            # Text, for Loki's parser of JSON passes over lists.
            line["reasons"] = ",".join(dict.fromkeys(one.reason for one in found))
            fields: dict[str, str] = {}
            constraints: dict[str, str] = {}
            for one in found:
                named = constraints if one.reason == "constraint" else fields
                if one.field and (one.field in named or len(named) < _MOST_NAMED):
                    so_far = named.get(one.field)
                    named[one.field] = f"{so_far},{one.what}" if so_far else one.what
            line |= {
                key: of for key, of in (("fields", fields), ("constraints", constraints)) if of
            }
            if values:
                line["values"] = {name: of_rows[place] for name, of_rows in values.items()}
            lines.append(json.dumps(line).encode() + b"\n")
        return lines

    def _values(self, rows: NDArray[np.intp], batch: Batch) -> Mapping[str, Sequence[object]]:
        """What may be told of rows, by field."""
        found: dict[str, Sequence[object]] = {}
        for name in self._settings.values:
            if name == "id":
                of_rows: Sequence[object] = [batch.ids[row] if batch.ids else None for row in rows]
                found[name] = [self._told(value) for value in of_rows]
                continue
            for label, key in self._keys(name):
                column = batch.column(key).take(rows)
                found[label] = [self._told(value) for value in column.values]
        return found

    def _keys(self, name: str) -> Iterator[tuple[str, Field]]:
        if name == PREDICTION.name:
            yield name, PREDICTION
        elif name == SCORE.name and self._scores:
            if self._positive is not None:
                yield name, SCORE
            else:
                yield from ((f"score.{one}", Field("score", one)) for one in self._scores)
        else:
            yield name, Field("feature", name)

    def _told(self, value: object) -> object:
        """A value as a line may have it."""
        if value is ABSENT or value is None or isinstance(value, bool):
            return None if value is ABSENT else value
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)
        if not isinstance(value, str | int | float):
            return f"<{type(value).__name__}>"  # only that it was no single value is known
        text = str(value)
        if any(pattern.matches(text[:_LONGEST_SEARCHED]) for pattern in self._patterns):
            return REDACTED
        return text[:LONGEST_NAME] if isinstance(value, str) else value


def _is_possible(reason: str, settings: Notable, constraints: ConstraintViolations | None) -> bool:
    if reason == "low_confidence":
        return settings.margin is not None
    return reason != "constraint" or constraints is not None


def _rare_bins(field: BaselineField) -> frozenset[str]:
    """The bins that make a value worth a look; a text that is any has no other."""
    bins = (bin for bin in _REASON_OF if bin in field.counts)
    most = RARE * max(field.rows, 1)
    return frozenset(bin for bin in bins if field.counts[bin] <= most)


def _in_bins(
    field: BaselineField, column: Column, bins: frozenset[str]
) -> Iterator[tuple[str, _Mask]]:
    """The rows that are in some of a field's special bins."""
    if field.edges is None:
        categories = column.categories
        rest = ANY if ANY in field.counts else OTHER
        for bin in bins:
            names = [
                name for name in categories.names if (name if name in field.counts else rest) == bin
            ]
            if names:
                yield bin, categories.is_any(*names)
        return
    numbers = column.numbers
    if BELOW in bins:
        yield BELOW, numbers.values < field.edges[0]
    if ABOVE in bins:
        yield ABOVE, numbers.values > field.edges[-1]
    if MISSING in bins and numbers.missing:
        yield MISSING, column.missing_mask()
    if INVALID in bins and numbers.invalid:
        yield INVALID, np.isnan(numbers.values) & ~column.missing_mask()


def _time_of(batch: Batch, row: int) -> str | None:
    return None if batch.timestamps is None else time_text(float(batch.timestamps[row]))


def time_text(seconds: float) -> str | None:
    """Seconds since 1970 in ISO 8601; None where they are no time."""
    if not math.isfinite(seconds):
        return None
    try:
        time = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
