"""Finds the regions of a baseline: a sample of its labelled rows, and a tree fitted on that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ml_exporter.baseline.calibrated_scores import Expectation, class_codes, known_classes
from ml_exporter.baseline.error_fitting import of_errors
from ml_exporter.baseline.labelled_baseline import ScoreBins, score_counts, score_sums
from ml_exporter.baseline.region_sample import (
    LEAST_ROWS,
    Binned,
    Inputs,
    Sample,
    category_codes,
    number_codes,
)
from ml_exporter.baseline.regions import Answers, Estimator, Region, Regions, corrected
from ml_exporter.batch import LABEL, PREDICTION, Batch, Field
from ml_exporter.statistics import trees
from ml_exporter.statistics.bins import Floats

_MOST_ROWS = 50_000  # of the sample
_MOST_CODES = 20_000_000  # of the sample, over all fields
_MOST_VALUES = 5_000_000  # of a regression, whose numbers are kept as they are
_FOLDS = 5  # of the sample, in the order of its rows
_MOST_TARGETS = 10  # classes that the tree is told apart
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of what regions know, that are tried; 0 is scores alone


class RegionsBuilder:
    """Collects labelled rows while a baseline counts them, and fits the regions at the end.

    `fields` are those of the baseline; `classes` has none for a regression. It keeps every
    so-manieth row, at most 50,000, as the bins of its values, or of a regression as its numbers.
    """

    def __init__(
        self, fields: Iterable[Binned], classes: Sequence[str], positive: str | None = None
    ) -> None:
        self._fields = [one for one in fields if one.key.role in ("feature", "prediction", "score")]
        self._classes = known_classes(classes, positive) if classes else []
        self._positive = positive
        values = _MOST_CODES if self._classes else _MOST_VALUES
        self._most = max(1, min(_MOST_ROWS, values // max(len(self._fields), 1)))
        self._blocks: list[Sample] = []
        self._size = 0
        self._stride = 1
        self._position = 0

    def update(self, batch: Batch) -> None:
        if PREDICTION not in batch.fields or LABEL not in batch.fields:
            return
        if self._classes:
            predicted = class_codes(batch, PREDICTION, self._classes)
            actual = class_codes(batch, LABEL, self._classes)
            usable = np.flatnonzero((predicted >= 0) & (actual >= 0))
        else:
            errors = _values(batch, PREDICTION) - _values(batch, LABEL)
            usable = np.flatnonzero(~np.isnan(errors))
        picked = usable[-self._position % self._stride :: self._stride]
        self._position += usable.size
        self._blocks.append(self._sample(batch.take(picked)))
        self._size += picked.size
        while self._size > 2 * self._most:
            self._blocks = [Sample.joined(self._blocks).of(slice(None, None, 2))]
            self._size = self._blocks[0].rows
            self._stride *= 2

    def fit(
        self, scores: Sequence[ScoreBins], confusion: Mapping[tuple[str, str], float]
    ) -> Regions | None:
        """The regions, or None where there are too few labelled rows to find any.

        `scores` and `confusion` are those of the whole baseline.
        """
        if self._size < 2 * LEAST_ROWS:
            return None
        sample = Sample.joined(self._blocks)
        if not self._classes:
            return of_errors(self._fields, sample)
        known = Expectation(self._classes, self._positive, scores, confusion)
        # What scores know is known before; regions tell by the inputs what they don't know.
        inputs = [one for one in self._fields if one.key.role != "score"]
        return _of_classes(Inputs.of(inputs, sample), sample, known, scores)

    def _sample(self, batch: Batch) -> Sample:
        codes, values = {}, {}
        for one in self._fields:
            column = batch.column(one.key)
            if one.edges is None:
                codes[one.key] = category_codes(column, one.bins)
            elif one.key.role == "feature" and self._classes:
                codes[one.key] = number_codes(column.numbers.values, one.edges[1:])
            else:
                values[one.key] = column.numbers.values
        if self._classes:
            truth = np.stack(
                [class_codes(batch, key, self._classes) for key in (PREDICTION, LABEL)]
            )
        else:
            truth = np.stack([_values(batch, key) for key in (PREDICTION, LABEL)])
        return Sample(codes, values, truth)


def _of_classes(
    inputs: Inputs, sample: Sample, known: Expectation, scores: Sequence[ScoreBins]
) -> Regions | None:
    predicted, actual = sample.truth.astype(np.int64)
    correct = (predicted == actual).astype(np.float64)
    rows = np.arange(sample.rows)
    all_scores = _scores(sample, known)
    if all_scores is not None:
        usable = np.asarray(~np.isnan(known.of_scores(all_scores)).any(axis=1))
        if not usable.all():
            kept = sample.of(usable)
            if kept.rows < 2 * LEAST_ROWS:
                return None
            return _of_classes(inputs.of_rows(usable), kept, known, scores)

    def expected(of: Expectation) -> Floats:
        return of.of_predictions(predicted) if all_scores is None else of.of_scores(all_scores)

    def targets(probabilities: Floats) -> Floats:
        surplus = -probabilities
        surplus[rows, actual] += 1
        if surplus.shape[1] > _MOST_TARGETS:
            surplus = surplus[rows, predicted][:, None]
        return np.column_stack([surplus, correct])

    def regions(
        splits: Sequence[trees.Split], probabilities: Floats, of: NDArray[np.bool_]
    ) -> list[Region]:
        leaves, picked = inputs.leaves(splits)[of], predicted[of]
        size = len(splits) + 1, len(known.classes)
        cells = leaves.astype(np.int64) * size[1] + picked
        counts, right, by_scores = (
            np.bincount(cells, weights, size[0] * size[1]).reshape(size)
            for weights in (None, correct[of], probabilities[rows, predicted][of])
        )
        return [
            Region(
                name=str(code),
                rows=int(counts[code].sum()),
                answers=[
                    Answers(
                        known.classes[one],
                        int(counts[code, one]),
                        int(right[code, one]),
                        round(float(by_scores[code, one]), 6),
                    )
                    for one in np.flatnonzero(counts[code]).tolist()
                ],
            )
            for code in range(size[0])
        ]

    probabilities = expected(known)
    splits = inputs.grow(targets(probabilities))
    if not splits:
        return None
    everything = np.ones(sample.rows, dtype=np.bool_)
    described, names = inputs.described(splits)
    misses: dict[float, list[float]] = {share: [] for share in _SHARES}
    fold = rows * _FOLDS // sample.rows
    for number in range(_FOLDS):
        held, fitted = fold == number, fold != number
        refitted = _refitted(known, scores, all_scores, predicted, actual, fitted)
        by_scores = expected(refitted)
        of_fold = inputs.of_rows(fitted).grow(targets(by_scores)[fitted])
        trial = Regions(splits=[], regions=regions(of_fold, by_scores, fitted), preferred="regions")
        surplus = trial.corrections(known.classes)[inputs.leaves(of_fold), predicted]
        for share, of_share in misses.items():
            estimate = corrected(by_scores, predicted, share * surplus)
            missed = estimate[rows, predicted] - correct
            of_share.extend(_squared_misses(inputs, missed, predicted, held))
    means = {share: float(np.mean(missed)) for share, missed in misses.items() if missed}
    share = min(_SHARES[1:], key=lambda one: means.get(one, 0.0))
    held_out: dict[Estimator, float] = {}
    if means:
        held_out = {"scores": round(means[0.0], 6), "regions": round(means[share], 6)}
    knows_more = bool(held_out) and held_out["regions"] < held_out["scores"]
    return Regions(
        splits=described,
        regions=_named(regions(splits, probabilities, everything), names),
        preferred="regions" if knows_more else "scores",
        share=share if means else 1.0,
        held_out=held_out,
    )


def _squared_misses(
    inputs: Inputs, missed: Floats, predicted: NDArray[np.int64], held: NDArray[np.bool_]
) -> Iterable[float]:
    """The squared sum of misses a row, in each bin of each field that has enough held-out rows.

    A shift of the inputs weighs these parts anew. A miss is the probability of being correct less
    1 or 0, summed by predicted class. Chance adds alike to all estimators.
    """
    classes = int(predicted.max()) + 1
    for codes, shape in zip(inputs.codes, inputs.shapes, strict=True):
        rows = np.bincount(codes[held], minlength=shape.bins)
        cells = codes[held].astype(np.int64) * classes + predicted[held]
        sums = np.bincount(cells, missed[held], shape.bins * classes).reshape(-1, classes)
        enough = rows >= LEAST_ROWS
        yield from (np.square(sums[enough]).sum(axis=1) / rows[enough]).tolist()


def _refitted(
    known: Expectation,
    scores: Sequence[ScoreBins],
    values: Floats | None,
    predicted: NDArray[np.int64],
    actual: NDArray[np.int64],
    rows: NDArray[np.bool_],
) -> Expectation:
    """The same of some rows alone."""
    names = known.classes
    by_name = {one.name: one for one in scores}
    refitted = []
    for column, name in enumerate(known.scored):
        before = by_name[name]
        is_class = actual[rows] == names.index(name)
        of_rows = (values if values is not None else np.empty((0, 0)))[rows, column]
        edges = np.array(before.edges)
        positives, negatives = (
            score_counts(of_rows[some], edges).tolist() for some in (is_class, ~is_class)
        )
        sums = score_sums(of_rows, edges).tolist()
        refitted.append(ScoreBins(name, before.edges, positives, negatives, sums))
    confusion: dict[tuple[str, str], float] = {}
    for truth, guess in zip(actual[rows].tolist(), predicted[rows].tolist(), strict=True):
        cell = names[truth], names[guess]
        confusion[cell] = confusion.get(cell, 0.0) + 1
    return known.like(refitted, confusion)


def _named(regions: Iterable[Region], names: Iterable[str]) -> list[Region]:
    return [
        Region(name=name, rows=one.rows, answers=one.answers)
        for one, name in zip(regions, names, strict=True)
    ]


def _scores(sample: Sample, known: Expectation) -> Floats | None:
    found = [sample.values[key] for key in known.keys if key in sample.values]
    return np.stack(found, axis=1) if found and len(found) == len(known.keys) else None


def _values(batch: Batch, key: Field) -> Floats:
    return batch.fields[key].numbers.values
