"""Cohorts: predictions of one UTC day, and how right they were, whenever their labels came."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from ml_exporter.batch import LABEL, PREDICTION, Batch
from ml_exporter.columns import Categories
from ml_exporter.families import Family
from ml_exporter.monitors.outcomes import correctness
from ml_exporter.statistics.bins import ANY, INVALID, MISSING, OTHER
from ml_exporter.statistics.regression import LARGEST

DAYS = 35  # that are held, today among them
_MOST_CLASSES = 3  # of more, an outcome is right or wrong and no more
_SECONDS = 86400.0
_EPOCH = date(1970, 1, 1)

_Rows = NDArray[np.intp]


class Calendar:
    """Which days are held at the moment: the last 35, and tomorrow's to be."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now

    @property
    def today(self) -> int:
        """Days since 1970."""
        return int(self._now() // _SECONDS)

    @property
    def oldest(self) -> str:
        return day_name(self.today - DAYS + 1)

    @property
    def current(self) -> list[str]:
        """Today and tomorrow, whose series begin a day early so that midnight keeps no row."""
        return [day_name(self.today), day_name(self.today + 1)]

    def by_day(self, batch: Batch) -> Iterator[tuple[str, _Rows]]:
        """The rows of each day that is held; those without a time are of today."""
        today = self.today
        if batch.timestamps is None:
            yield day_name(today), np.arange(batch.rows)
            return
        days = np.fmin(np.floor(batch.timestamps / _SECONDS), today)
        held = days[days > today - DAYS]
        for day in range(int(held.min(initial=today)), today + 1) if held.size else ():
            rows = np.flatnonzero(days == day)
            if rows.size:
                yield day_name(day), rows


def day_name(number: int) -> str:
    """The date so many days after 1970-01-01, as in ISO 8601."""
    return (_EPOCH + timedelta(days=number)).isoformat()


class CohortPredictions:
    """Counts predictions by their day."""

    def __init__(self, model: str, version: str, calendar: Calendar | None = None) -> None:
        self._calendar = calendar or Calendar()
        self._predictions = Family(
            "ml_cohort_predictions_total",
            "Predictions by the UTC day they were made on.",
            "counter",
            ("day",),
            of={"model": model, "version": version},
        )
        self.pass_time()

    @property
    def families(self) -> Sequence[Family]:
        return (self._predictions,)

    def update(self, batch: Batch) -> None:
        for day, rows in self._calendar.by_day(batch):
            self._predictions.inc(rows.size, day)

    def pass_time(self) -> bool:
        """Let tomorrow's series begin, and go of days too long ago; whether that changed anything.

        A family never loses a series: it is replaced by one that has the rest of them.
        """
        self._predictions, changed = _rolled(self._predictions, self._calendar)
        for day in self._calendar.current:
            changed |= _begin(self._predictions, day)
        return changed


class CohortOutcomes:
    """Counts labelled predictions by the day of the prediction.

    Of a model with more than three classes an outcome is only right or wrong: its classes are
    `<any>`. `classified` is False where the prediction is a number.
    """

    def __init__(
        self, model: str, version: str, classified: bool, calendar: Calendar | None = None
    ) -> None:
        self._calendar = calendar or Calendar()
        self._classified = classified
        self._classes: dict[str, None] = {}
        self._in_full = True
        of = {"model": model, "version": version}
        self._outcomes = Family(
            "ml_cohort_outcomes_total",
            "Labelled predictions by the prediction's UTC day, and actual and predicted class.",
            "counter",
            ("day", "actual", "predicted", "correct"),
            of=of,
        )
        self._labelled = Family(
            "ml_cohort_labelled_predictions_total",
            "Labelled predictions of a regression by the UTC day of the prediction.",
            "counter",
            ("day",),
            of=of,
        )
        self._errors = Family(
            "ml_cohort_absolute_error_total",
            "Absolute errors by the UTC day of the prediction, summed.",
            "counter",
            ("day",),
            of=of,
        )
        self.pass_time()

    @property
    def families(self) -> Sequence[Family]:
        return (self._outcomes,) if self._classified else (self._labelled, self._errors)

    def expect(self, classes: Sequence[str]) -> None:
        """Let the series of classes begin, before any of them occurs."""
        self._classes |= dict.fromkeys(classes)
        self._in_full = self._in_full and len(self._classes) <= _MOST_CLASSES
        self.pass_time()

    def resume(self) -> None:
        """Know the classes of series that were restored, and let go of days too long ago."""
        for *_, actual, predicted, _ in self._outcomes.label_sets:
            named = {actual, predicted} - {MISSING, INVALID, OTHER, ANY}
            self._classes |= dict.fromkeys(sorted(named))
        self.pass_time()

    def update(self, batch: Batch) -> None:
        for day, rows in self._calendar.by_day(batch):
            if self._classified:
                self._count_classes(batch, day, rows)
            else:
                self._sum_errors(batch, day, rows)

    def pass_time(self) -> bool:
        """As that of `CohortPredictions`."""
        changed = False
        self._outcomes, dropped = _rolled(self._outcomes, self._calendar)
        self._labelled, of_labelled = _rolled(self._labelled, self._calendar)
        self._errors, _ = _rolled(self._errors, self._calendar)
        changed = dropped or of_labelled
        for day in self._calendar.current:
            if self._classified:
                for cell in self._cells():
                    changed |= _begin(self._outcomes, day, *cell)
            else:
                changed |= _begin(self._labelled, day) | _begin(self._errors, day)
        return changed

    def _cells(self) -> Iterator[tuple[str, str, str]]:
        """The outcomes that a day will have, as far as classes are known."""
        if not self._in_full:
            yield from ((ANY, ANY, correct) for correct in ("true", "false"))
            return
        for actual in self._classes:
            for predicted in self._classes:
                yield actual, predicted, correctness(actual, predicted)

    def _count_classes(self, batch: Batch, day: str, of_day: _Rows) -> None:
        actual, predicted = (
            Categories(column.codes[of_day], column.names)
            for column in (batch.fields[key].categories for key in (LABEL, PREDICTION))
        )
        for (truth, guess), rows in actual.cross(predicted).items():
            if truth not in (MISSING, INVALID):  # what is no class is no truth
                classes = (self._class(truth), self._class(guess)) if self._in_full else (ANY, ANY)
                self._outcomes.inc(rows, day, *classes, correctness(truth, guess))

    def _class(self, name: str) -> str:
        if name in self._classes or name in (MISSING, INVALID):
            return name
        if len(self._classes) >= _MOST_CLASSES:
            return OTHER
        self._classes[name] = None
        return name

    def _sum_errors(self, batch: Batch, day: str, of_day: _Rows) -> None:
        actual, predicted = (
            batch.fields[key].numbers.values[of_day] for key in (LABEL, PREDICTION)
        )
        usable = (np.abs(actual) <= LARGEST) & (np.abs(predicted) <= LARGEST)  # NaN isn't
        self._labelled.inc(int(np.count_nonzero(usable)), day)
        self._errors.inc(float(np.abs(predicted - actual)[usable].sum()), day)


def _begin(family: Family, *labels: str) -> bool:
    """Let a series begin; whether it is new."""
    before = len(family)
    family.add(*labels)
    return len(family) > before


def _rolled(family: Family, calendar: Calendar) -> tuple[Family, bool]:
    """A family without the days that are too long ago, and whether there were any."""
    of = family.label_names.index("day")
    kept = [labels[of] >= calendar.oldest for labels in family.label_sets]
    if all(kept):
        return family, False
    constant = dict(zip(family.label_names[:of], family.label_sets[0][:of], strict=True))
    rest = Family(family.name, family.help, family.kind, family.label_names[of:], of=constant)
    for is_kept, labels, value in zip(kept, family.label_sets, family.values.tolist(), strict=True):
        if is_kept:
            rest.set(value, *labels[of:])
    return rest, True
