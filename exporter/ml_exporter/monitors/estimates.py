"""Performance as it is expected to be before any label comes: expected outcomes and errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ml_exporter.baseline.baseline import Baseline
from ml_exporter.baseline.calibrated_scores import Expectation, class_codes
from ml_exporter.baseline.labelled_baseline import ScoreBins
from ml_exporter.baseline.regions import Estimator, Regions, corrected
from ml_exporter.batch import EXPECTED_ERROR, PREDICTION, REGION, Batch
from ml_exporter.families import Family
from ml_exporter.monitors.estimated_scores import BinaryScores, ExpectedLosses, ExpectedScores
from ml_exporter.statistics.bins import OTHER, Floats
from ml_exporter.statistics.calibration import critical_values

_MOST_CLASSES_IN_FULL = 10  # of more, wrong outcomes are counted by the class of one side alone
_CELLS_AT_ONCE = 1 << 20  # of rows and classes


class Estimates:
    """Counts what the estimators of a baseline expect of predictions.

    `labelled` says that the rows are those whose label has come: the same sums over them are
    compared with what came true. Their scores, regions and expected errors were carried along; a
    row without is not counted. `classes` has none for a regression. There may be no estimator at
    all. By `score_bins` the preferred one counts what it expects of scores.
    """

    def __init__(
        self,
        model: str,
        version: str,
        baseline: Baseline,
        classes: Sequence[str],
        positive: str | None,
        labelled: bool = False,
        score_bins: Sequence[ScoreBins] = (),
    ) -> None:
        of = {"model": model, "version": version, "baseline_id": baseline.id}
        name = "ml_labelled_estimated" if labelled else "ml_estimated"
        rows = "Labelled predictions" if labelled else "Predictions"
        kinds = {
            "predictions": (f"{rows} that an estimator has counted.", ()),
            "outcomes": (
                "Outcomes as they are expected to be, in rows and parts of rows.",
                ("actual", "predicted", "correct"),
            ),
            "absolute_error": ("Expected absolute errors.", ()),
            "squared_error": ("Expected squared errors.", ()),
        }
        self._predictions, self._outcomes, self._absolute, self._squared = (
            Family(
                f"{name}_{kind}_total",
                help,
                "counter",
                ("estimator", *labels),
                of=of,
                complete=True,
            )
            for kind, (help, labels) in kinds.items()
        )
        self._labelled = labelled
        self._regions = baseline.regions
        self._cells: dict[Estimator, _Cells] = {}
        self._losses: ExpectedLosses | None = None
        self._score_bins: ExpectedScores | None = None
        self.families: tuple[Family, ...] = (self._predictions, self._outcomes)
        if not classes:
            self.families = (self._predictions, self._absolute, self._squared)
            for family in self.families if self._regions is not None else ():
                family.add("regions")
        else:
            confusion = {(one.actual, one.predicted): one.count for one in baseline.confusion}
            self._known = Expectation(classes, positive, baseline.scores, confusion)
            self._surplus = np.empty((0, 0))
            if self._regions is not None:
                self._surplus = self._regions.corrections(self._known.classes)
            found = estimators(self._known, self._regions)
            for estimator in found:
                self._predictions.add(estimator)
                self._cells[estimator] = _Cells(self._outcomes, estimator, self._known.classes)
            self._preferred = preferred(found, self._regions)
            if self._known.has_scores:
                self._add_scores(name, rows, of, score_bins)

    def _add_scores(
        self, name: str, rows: str, of: Mapping[str, str], score_bins: Sequence[ScoreBins]
    ) -> None:
        self._losses = ExpectedLosses(name, of, list(self._cells), rows)
        self.families += self._losses.families
        bins = [one for one in score_bins if one.name in self._known.scored]
        if bins and self._preferred is not None:
            columns = [self._known.scored.index(one.name) for one in bins]
            self._score_bins = ExpectedScores(of, self._preferred, bins, columns)
            self.families += self._score_bins.families

    def update(self, batch: Batch) -> None:
        if not self._cells:
            if self._regions is not None:
                self._add_errors(batch, self._regions)
            return
        positive = self._known.positive_code
        if positive is not None and self._known.has_scores:
            self._add_binary(batch, positive)
            return
        size = max(1, _CELLS_AT_ONCE // len(self._known.classes))
        for start in range(0, batch.rows, size):
            self._add_outcomes(batch.slice(start, start + size))

    def _add_binary(self, batch: Batch, positive: int) -> None:
        """As `_add_outcomes`, with one probability a row: that of the positive class."""
        predicted = class_codes(batch, PREDICTION, self._known.classes)
        scores = self._known.scores(batch)
        if scores is None:
            return
        chance = self._known.of_positive(scores[:, 0])
        usable = (predicted >= 0) & ~np.isnan(chance)
        if not usable.all():
            chance, predicted, scores = chance[usable], predicted[usable], scores[usable]
        of_scores = BinaryScores(scores[:, 0])
        self._add_chances("scores", chance, predicted, positive, of_scores)
        if "regions" not in self._cells or self._regions is None:
            return
        region = self._codes(batch, self._regions)
        region = region if usable.all() else region[usable]
        found = region >= 0
        if not found.all():
            chance, predicted, region = chance[found], predicted[found], region[found]
            of_scores = BinaryScores(scores[found, 0])
        # A region says how much likelier the predicted class is, which may be the other one.
        of_positive = np.where(np.arange(2) == positive, self._surplus, -self._surplus)
        surplus = of_positive.ravel().take(region * 2 + predicted)
        corrected_chance = np.clip(chance + surplus, 0.0, 1.0)
        self._add_chances("regions", corrected_chance, predicted, positive, of_scores)

    def _add_chances(
        self,
        estimator: Estimator,
        chance: Floats,
        predicted: NDArray[np.int64],
        positive: int,
        scores: BinaryScores,
    ) -> None:
        """Count chances of the positive class."""
        self._predictions.inc(chance.size, estimator)
        self._cells[estimator].add_binary(chance, predicted, positive)
        if self._losses is not None:
            self._losses.add_binary(estimator, chance, scores)
        if self._score_bins is not None and estimator == self._preferred:
            self._score_bins.add(chance[:, None], scores.scores[:, None])

    def _expect(self, estimator: Estimator, chances: Floats, scores: Floats) -> None:
        """Count what is expected of scores; both are of the classes that have some."""
        if self._losses is not None:
            self._losses.add(estimator, chances, scores)
        if self._score_bins is not None and estimator == self._preferred:
            self._score_bins.add(chances, scores)

    def _add_outcomes(self, batch: Batch) -> None:
        predicted = class_codes(batch, PREDICTION, self._known.classes)
        usable = predicted >= 0
        scores = np.empty((batch.rows, 0))
        if self._known.has_scores:
            found_scores = self._known.scores(batch)
            if found_scores is None:
                return
            scores = found_scores
            expected = self._known.of_scores(scores)
            usable &= ~np.isnan(expected).any(axis=1)
        else:
            expected = self._known.of_predictions(np.maximum(predicted, 0))
        expected, predicted, scores = expected[usable], predicted[usable], scores[usable]
        if "scores" in self._cells:
            self._add("scores", expected, predicted)
            self._expect("scores", self._known.of_scored(expected), scores)
        if "regions" in self._cells and self._regions is not None:
            region = self._codes(batch, self._regions)[usable]
            found = region >= 0
            expected, predicted, region = expected[found], predicted[found], region[found]
            better = corrected(expected, predicted, self._surplus[region, predicted])
            self._add("regions", better, predicted)
            self._expect("regions", self._known.of_scored(better), scores[found])

    def _add(self, estimator: Estimator, expected: Floats, predicted: NDArray[np.int64]) -> None:
        self._predictions.inc(predicted.size, estimator)
        self._cells[estimator].add(expected, predicted)

    def _add_errors(self, batch: Batch, regions: Regions) -> None:
        column = batch.fields.get(PREDICTION)
        if column is None:
            return
        predicted = ~np.isnan(column.numbers.values)
        if regions.trees:
            errors = self._expected_errors(batch, regions)
            errors = errors[predicted & ~np.isnan(errors)]
            rows, absolute = errors.size, float(errors.sum())
            squared = regions.square_ratio * float(np.square(errors).sum())
        else:
            region = self._codes(batch, regions)[predicted]
            region = region[region >= 0]
            rows = region.size
            absolute, squared = regions.errors[region].sum(axis=0).tolist()
        self._predictions.inc(rows, "regions")
        self._absolute.inc(absolute, "regions")
        self._squared.inc(squared, "regions")

    def _expected_errors(self, batch: Batch, regions: Regions) -> Floats:
        """The absolute error that is expected of each row, NaN where that isn't known."""
        column = batch.fields.get(EXPECTED_ERROR)
        if column is not None:
            return column.numbers.values
        if self._labelled:
            return np.full(batch.rows, np.nan)
        return regions.expected_errors(batch)

    def _codes(self, batch: Batch, regions: Regions) -> NDArray[np.int64]:
        """The region of each row, -1 where that isn't known."""
        column = batch.fields.get(REGION)
        if column is None and not self._labelled:
            return regions.codes(batch).astype(np.int64)
        return class_codes(batch, REGION, regions.names)


class EstimatorInfo:
    """Which estimators a model has, the better one, and when its calibration has broken."""

    def __init__(
        self,
        model: str,
        version: str,
        baseline: Baseline,
        classes: Sequence[str],
        positive: str | None,
        false_alarms: float,
    ) -> None:
        of = {"model": model, "version": version, "baseline_id": baseline.id}
        info = Family(
            "ml_estimator_info",
            "1; preferred is the estimator that knew held-out rows of the baseline better.",
            "gauge",
            ("estimator", "preferred"),
            of=of,
        )
        critical = Family(
            "ml_calibration_critical_value",
            "What the statistic of a test of calibration must exceed to be significant.",
            "gauge",
            ("class", "test"),
            of=of,
        )
        made_of = Family(
            "ml_estimator_baseline_rows",
            "Labelled rows of the baseline that the estimators were made of.",
            "gauge",
            of=of,
        )
        self.families = (info, critical, made_of)
        regions = baseline.regions
        rows = sum(cell.count for cell in baseline.confusion)
        found: list[Estimator] = []
        if classes:
            found = estimators(Expectation(classes, positive, baseline.scores, {}), regions)
        elif regions is not None:
            found = ["regions"]
            rows = sum(region.rows for region in regions.regions)
        best = preferred(found, regions)
        for estimator in found:
            info.set(1, estimator, "true" if estimator == best else "false")
        if not found:
            return
        made_of.set(rows)
        tests = 2 * len(baseline.scores) + 1
        of_all = critical_values(1, tests=tests, false_alarms=false_alarms)
        critical.set(of_all["overall"], "", "error")
        for one in baseline.scores:
            bins = int(np.count_nonzero(np.add(one.positives, one.negatives)))
            if bins:
                values = critical_values(bins, tests=tests, false_alarms=false_alarms)
                for test, value in values.items():
                    critical.set(value, one.name, test)

    def update(self, batch: Batch) -> None:
        """Nothing to count."""


def estimators(known: Expectation, regions: Regions | None) -> list[Estimator]:
    """The estimators that a classifier's baseline has what it takes for."""
    found: list[Estimator] = []
    if known.has_scores:
        found.append("scores")
    if regions is not None:
        found.append("regions")
    return found


def preferred(found: Sequence[Estimator], regions: Regions | None) -> Estimator | None:
    if regions is not None and regions.preferred in found:
        return regions.preferred
    return found[0] if found else None


class _Cells:
    """The samples of one estimator's expected confusion matrix.

    Of many classes only what each class's figures need is counted: rows that are right, rows of
    the class that are predicted to be of another, `<other>`, and the reverse.
    """

    def __init__(self, family: Family, estimator: Estimator, classes: Sequence[str]) -> None:
        self._family = family
        self._classes = len(classes)
        self._full = len(classes) <= _MOST_CLASSES_IN_FULL
        labels = self._full_cells(classes) if self._full else self._one_sided_cells(classes)
        self._indices = family.add_all((estimator, *cell) for cell in labels)

    @staticmethod
    def _full_cells(classes: Sequence[str]) -> Iterator[tuple[str, str, str]]:
        for predicted in classes:
            for actual in classes:
                yield actual, predicted, "true" if actual == predicted else "false"

    @staticmethod
    def _one_sided_cells(classes: Sequence[str]) -> Iterator[tuple[str, str, str]]:
        yield from ((name, name, "true") for name in classes)
        yield from ((name, OTHER, "false") for name in classes)
        yield from ((OTHER, name, "false") for name in classes)

    def add_binary(self, chance: Floats, predicted: NDArray[np.int64], positive: int) -> None:
        """Of two classes, by the chance of the positive one."""
        rows = np.bincount(predicted, minlength=2)
        of_positive = np.bincount(predicted, chance, minlength=2)
        by_predicted = np.empty((2, 2))
        by_predicted[:, positive], by_predicted[:, 1 - positive] = of_positive, rows - of_positive
        self._family.values[self._indices] += by_predicted.ravel()

    def add(self, expected: Floats, predicted: NDArray[np.int64]) -> None:
        by_predicted = np.stack(
            [np.bincount(predicted, of_class, minlength=self._classes) for of_class in expected.T],
            axis=1,
        )
        if self._full:
            self._family.values[self._indices] += by_predicted.ravel()
            return
        right = np.diag(by_predicted)
        missed = by_predicted.sum(axis=0) - right
        false = by_predicted.sum(axis=1) - right
        self._family.values[self._indices] += np.concatenate((right, missed, false))
