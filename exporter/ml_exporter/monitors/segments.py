"""Segments: how many predictions each had, and how right they were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ml_exporter.baseline.baseline import Baseline
from ml_exporter.batch import LABEL, PREDICTION, REGION, Batch, Field
from ml_exporter.columns import Categories
from ml_exporter.config.segments import REGION_FIELD, Segment, SegmentRows
from ml_exporter.families import Family
from ml_exporter.monitors.outcomes import correctness
from ml_exporter.statistics.bins import ANY, INVALID, MISSING, OTHER
from ml_exporter.statistics.regression import LARGEST

LEAST_LABELLED = 30  # rows of a segment in the baseline, for its figure to be told
_MOST_CLASSES = 5  # of more, an outcome is right or wrong and no more

_Mask = NDArray[np.bool_]


class SegmentNames:
    """The segments that have series; all others are `<other>` together."""

    def __init__(self, expected: Sequence[str]) -> None:
        self._places = {name: place for place, name in enumerate(dict.fromkeys([*expected, OTHER]))}

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def known(self, name: str) -> str:
        return name if name in self._places else OTHER

    def sums(self, counts: NDArray[np.intp], names: Sequence[str]) -> NDArray[np.intp]:
        """Counts of names, (names, ...), as those of the segments that they are, in order."""
        other = self._places[OTHER]
        sums = np.zeros((len(self._places), *counts.shape[1:]), dtype=np.intp)
        np.add.at(sums, [self._places.get(name, other) for name in names], counts)
        return sums


def expected_segments(baseline: Baseline, segment: Segment) -> list[str]:
    """The segments that there will be, as far as a baseline tells."""
    if len(segment.fields) == 1:
        return list(baseline.by_key[Field("feature", segment.name)].counts)
    return [one.segment for one in baseline.segments if one.field == segment.name]


def _named(
    segments: Sequence[Segment], baseline: Baseline
) -> list[tuple[Field, str, SegmentNames]]:
    """Where batches have each way of segmenting, what it is called, and its segments."""
    ways = [(one.key, one.name, SegmentNames(expected_segments(baseline, one))) for one in segments]
    if baseline.regions is not None:
        ways.append((REGION, REGION_FIELD, SegmentNames(baseline.regions.names)))
    return ways


class SegmentPredictions:
    """Counts predictions by segment; of protected ones, those that are positive, too."""

    def __init__(
        self,
        model: str,
        version: str,
        segments: Sequence[Segment],
        baseline: Baseline,
        positive: str | None,
    ) -> None:
        of = {"model": model, "version": version}
        labels = ("segment_field", "segment")
        self._predictions = Family(
            "ml_segment_predictions_total", "Predictions by segment.", "counter", labels, of=of
        )
        self._positive_predictions = Family(
            "ml_segment_positive_predictions_total",
            "Predictions of the positive class, by segment of a protected field.",
            "counter",
            labels,
            of=of,
        )
        info = Family(
            "ml_segment_info",
            "1; whether the model must not treat the segments of a field unequally.",
            "gauge",
            ("segment_field", "protected"),
            of=of,
        )
        self._positive = positive
        protected = {one.name for one in segments if one.protected}
        self._segments = _named(segments, baseline)
        self._protected = protected if positive is not None else set()
        self._indices: dict[str, NDArray[np.intp]] = {}
        for _, field, names in self._segments:
            info.set(1, field, "true" if field in protected else "false")
            self._indices[field] = self._predictions.add_all((field, name) for name in names)
            if field in self._protected:
                self._positive_predictions.add_all((field, name) for name in names)
        self.families = (self._predictions, self._positive_predictions, info)

    def update(self, batch: Batch) -> None:
        for key, field, names in self._segments:
            if (column := batch.fields.get(key)) is None:
                continue
            found = column.categories
            rows = np.bincount(found.codes, minlength=len(found.names))
            self._predictions.values[self._indices[field]] += names.sums(rows, found.names)
            if field in self._protected and PREDICTION in batch.fields:
                predicted = batch.fields[PREDICTION].categories
                for (name, said), many in found.cross(predicted).items():
                    if said == self._positive:
                        self._positive_predictions.inc(many, field, names.known(name))


class SegmentOutcomes:
    """Counts labelled predictions by segment, as the confusion matrix or as sums of errors.

    Of a model with more than five classes an outcome is only right or wrong: its classes are
    `<any>`.
    """

    def __init__(
        self,
        model: str,
        version: str,
        segments: Sequence[Segment],
        baseline: Baseline,
        task: str,
    ) -> None:
        of = {"model": model, "version": version}
        labels = ("segment_field", "segment")
        self._outcomes = Family(
            "ml_segment_outcomes_total",
            "Labelled predictions by segment, actual and predicted class.",
            "counter",
            (*labels, "actual", "predicted", "correct"),
            of=of,
        )
        self._labelled = Family(
            "ml_segment_labelled_predictions_total",
            "Labelled predictions of a regression, by segment.",
            "counter",
            labels,
            of=of,
        )
        self._absolute, self._squared = (
            Family(
                f"ml_segment_{name}_error_total",
                f"{name.capitalize()} errors by segment, summed.",
                "counter",
                labels,
                of=of,
            )
            for name in ("absolute", "squared")
        )
        self._usual = Family(
            "ml_segment_baseline_performance",
            "How right the model was on a segment of the baseline.",
            "gauge",
            (*labels, "metric"),
            of=of,
        )
        self._usual_rows = Family(
            "ml_segment_baseline_labelled_rows",
            "Labelled rows of a segment behind its figure in the baseline.",
            "gauge",
            labels,
            of=of,
        )
        self._usual_ratio = Family(
            "ml_segment_baseline_ratio",
            "Share of a segment in the baseline.",
            "gauge",
            labels,
            of=of,
        )
        self._classified = task != "regression"
        in_full = len(baseline.classes) <= _MOST_CLASSES
        self._classes = list(baseline.classes) if in_full else []
        shown = [*self._classes, OTHER] if self._classes else [ANY]
        self._cells = [
            (actual, predicted, correct)
            for actual in shown
            for predicted in shown
            for correct in ("false", "true")
        ]
        self._segments = _named(segments, baseline)
        self._indices: dict[str, NDArray[np.intp]] = {}  # (segments, cells); -1: not begun
        for _, field, names_of in self._segments:
            for name in names_of:
                self._begin(field, name)
            self._indices[field] = np.full((len([*names_of]), len(self._cells)), -1)
        self._set_usual(baseline, {field for _, field, _ in self._segments})
        of_task = (
            (self._outcomes,)
            if self._classified
            else (self._labelled, self._absolute, self._squared)
        )
        self.families = (*of_task, self._usual, self._usual_rows, self._usual_ratio)

    def update(self, batch: Batch) -> None:
        outcomes = self._outcome_codes(batch) if self._classified else None
        for key, field, names in self._segments:
            if (column := batch.fields.get(key)) is None:
                continue
            has_segment = ~column.absent_mask()  # older predictions were not told theirs
            if outcomes is not None:
                self._count_classes(outcomes, column.categories, has_segment, field, names)
            else:
                self._sum_errors(batch, column.categories, has_segment, field, names)

    def _begin(self, field: str, name: str) -> None:
        """Let the series of a segment begin, before any of its rows occurs."""
        if not self._classified:
            for family in (self._labelled, self._absolute, self._squared):
                family.add(field, name)
            return
        if self._classes:
            for actual in self._classes:
                for predicted in self._classes:
                    correct = correctness(actual, predicted)
                    self._outcomes.add(field, name, actual, predicted, correct)
        else:
            for correct in ("true", "false"):
                self._outcomes.add(field, name, ANY, ANY, correct)

    def _outcome_codes(self, batch: Batch) -> NDArray[np.int32]:
        """The outcome of each row, by its place in `_cells`; the place after for what is none."""
        actual, predicted = (batch.fields[key].categories for key in (LABEL, PREDICTION))
        size = len(self._classes) + 1
        truth, guess = self._shown(actual), self._shown(predicted)
        codes = (truth * size + np.where(guess < 0, size - 1, guess)) * 2 + actual.equals(predicted)
        return np.where(truth < 0, len(self._cells), codes).astype(np.int32)

    def _count_classes(
        self,
        outcomes: NDArray[np.int32],
        of: Categories,
        among: _Mask,
        field: str,
        names: SegmentNames,
    ) -> None:
        width = len(self._cells) + 1
        codes = of.codes * np.int32(width) + outcomes
        size = len(of.names) * width
        counts = np.bincount(codes if among.all() else codes[among], minlength=size)
        by_segment = names.sums(counts.reshape(-1, width)[:, :-1], of.names)
        indices, known = self._indices[field], [*names]
        for segment, cell in np.argwhere((by_segment > 0) & (indices < 0)).tolist():
            labels = field, known[segment], *self._cells[cell]
            indices[segment, cell] = self._outcomes.add(*labels)
        met = by_segment > 0
        self._outcomes.values[indices[met]] += by_segment[met]

    def _shown(self, column: Categories) -> NDArray[np.int32]:
        """Classes of rows as they are shown: by place, the last for others; -1 for none."""
        place = {name: number for number, name in enumerate(self._classes)}
        other = len(self._classes)
        codes = [
            -1 if name in (MISSING, INVALID) else place.get(name, other) for name in column.names
        ]
        return np.array(codes, dtype=np.int32)[column.codes]

    def _sum_errors(
        self, batch: Batch, of: Categories, among: _Mask, field: str, names: SegmentNames
    ) -> None:
        predicted, actual = (batch.fields[key].numbers.values for key in (PREDICTION, LABEL))
        errors = np.abs(predicted - actual)
        usable = among & (np.abs(predicted) <= LARGEST) & (np.abs(actual) <= LARGEST)
        codes, errors = of.codes[usable], errors[usable]
        size = len(of.names)
        rows = np.bincount(codes, minlength=size).tolist()
        absolute = np.bincount(codes, weights=errors, minlength=size).tolist()
        squared = np.bincount(codes, weights=np.square(errors), minlength=size).tolist()
        for number, count in enumerate(rows):
            if count:
                labels = field, names.known(of.names[number])
                self._labelled.inc(count, *labels)
                self._absolute.inc(absolute[number], *labels)
                self._squared.inc(squared[number], *labels)

    def _set_usual(self, baseline: Baseline, fields: set[str]) -> None:
        for one in [*baseline.segments, *self._regions(baseline)]:
            if one.field not in fields:
                continue
            segment = one.field, one.segment
            self._usual_ratio.set(one.rows / baseline.rows, *segment)
            if one.labelled < LEAST_LABELLED:
                continue
            self._usual_rows.set(one.labelled, *segment)
            if self._classified:
                self._usual.set(one.correct / one.labelled, *segment, "accuracy")
            else:
                error = one.absolute_error / one.labelled
                self._usual.set(error, *segment, "mean_absolute_error")

    def _regions(self, baseline: Baseline) -> list[SegmentRows]:
        """The regions of a baseline as segments."""
        return [
            SegmentRows(
                field=REGION_FIELD,
                segment=one.name,
                rows=one.rows,
                labelled=sum(of.rows for of in one.answers) if self._classified else one.rows,
                correct=sum(of.correct for of in one.answers),
                absolute_error=one.absolute,
            )
            for one in (baseline.regions.regions if baseline.regions else ())
        ]


def series(segments: Sequence[Segment], baseline: Baseline, task: str, positive: str | None) -> int:
    """How many series segments cost."""
    many = sum(len([*names]) for _, _, names in _named(segments, baseline))
    classes = len(baseline.classes)
    outcomes = 3 if task == "regression" else classes**2 if classes <= _MOST_CLASSES else 2
    return many * (1 + (positive is not None) + outcomes + 3)
