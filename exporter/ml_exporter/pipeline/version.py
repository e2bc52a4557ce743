"""One version of a model: its baseline, given or being learned, and its monitors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ml_exporter.baseline.baseline import Baseline, segments_of
from ml_exporter.batch import Batch, Field
from ml_exporter.config.config import Limits, Model
from ml_exporter.config.segments import Segments
from ml_exporter.families import Family
from ml_exporter.monitors.attributions import ProbedAttributions
from ml_exporter.monitors.cohorts import CohortOutcomes, CohortPredictions
from ml_exporter.monitors.components import ComponentValues
from ml_exporter.monitors.constraints import ConstraintViolations
from ml_exporter.monitors.notable import Lines
from ml_exporter.monitors.outcomes import Outcomes
from ml_exporter.monitors.selection import Selection, for_baseline, for_model, notable_predictions
from ml_exporter.pipeline.learning import Learner


@dataclass
class Budget:
    """How many more series may be exposed, and how many were left out for want of it."""

    left: int
    suppressed: int = 0

    def take(self, series: int) -> bool:
        if series > self.left:
            self.suppressed += series
            return False
        self.left -= series
        return True

    def give_back(self, taken: int, suppressed: int) -> None:
        self.left += taken
        self.suppressed -= suppressed


class Version:
    """A version and its monitors; of the versions beyond the limit, all together."""

    def __init__(
        self,
        model: Model,
        name: str,
        watched: Sequence[Field] | None,
        limits: Limits,
        budget: Budget,
        most_lines: int = 0,
    ) -> None:
        """`watched` are the fields that rows are read for; None: all that they have.

        `most_lines` are made of the predictions of one batch that are worth a look.
        """
        self.name = name
        self.baseline: Baseline | None = None
        self.learner: Learner | None = None
        self.active_at = 0.0  # when rows last came, seconds since 1970
        self._taken = self._suppressed = 0  # series
        self._model = model
        self._watched = watched
        self._budget = budget
        self._own = for_model(model, name, limits)
        self._notable = notable_predictions(model, name, self._own, most_lines)
        of_labelled = self._own.of_labelled
        self._outcomes = [one for one in of_labelled if isinstance(one, Outcomes | CohortOutcomes)]
        self.expect([model.positive] if model.positive else [])
        self._segments: Segments | None = None
        self._set_baseline_monitors("learning")

    @property
    def selections(self) -> tuple[Selection, Selection]:
        """Its monitors: those that it always has, and those of its baseline."""
        return self._own, self._judged

    @property
    def families(self) -> list[Family]:
        own, judged = self.selections
        monitors = (
            *(own.of_predictions, judged.of_predictions),
            *(own.of_labelled, judged.of_labelled),
        )
        found = [family for some in monitors for monitor in some for family in monitor.families]
        return [*found, *(self._notable.families if self._notable else ())]

    def judge_by(self, baseline: Baseline, state: str) -> None:
        """Count and judge fields by a baseline from now on; `state` is `file` or `learned`."""
        self.baseline = baseline
        self.learner = None
        self.expect(baseline.classes)
        self._set_baseline_monitors(state)

    def learn(self, batches: Sequence[Batch] = ()) -> None:
        """Take the next rows for the baseline, after those that were taken already."""
        self.learner = Learner(self._model.learn_rows, list(batches))

    def resume(self) -> None:
        """Go on with the series that were restored."""
        for monitor in self._outcomes:
            monitor.resume()

    def pass_time(self) -> bool:
        """Let go of days too long ago, and begin the next; whether that changed anything."""
        monitors = (*self._own.of_predictions, *self._own.of_labelled)
        changed = False
        for one in monitors:
            if isinstance(one, CohortPredictions | CohortOutcomes):
                changed |= one.pass_time()
        return changed

    def withdraw(self) -> None:
        """Give back what its series cost."""
        self._budget.give_back(self._taken, self._suppressed)

    def annotated(self, batch: Batch) -> Batch:
        """Predictions with the segments and the region that they are in, where that is known."""
        if self.baseline is None or self._segments is None:
            return batch
        columns = self._segments.of(batch)
        if self.baseline.regions is not None:
            columns |= self.baseline.regions.columns(batch)
        return replace(batch, fields={**batch.fields, **columns}) if columns else batch

    def update(self, batch: Batch) -> None:
        """Count predictions, as `annotated`."""
        for monitor in self._own.of_predictions:
            monitor.update(batch)
        if self.learner is not None:
            self.learner.batches.append(batch)
        else:
            for monitor in self._judged.of_predictions:
                monitor.update(batch)
        if self._notable is not None:
            self._notable.update(batch)

    def take_lines(self) -> Lines:
        """What is to be said of the last predictions, once."""
        return Lines() if self._notable is None else self._notable.take()

    def update_labelled(self, batch: Batch) -> None:
        """Count predictions whose label is known."""
        for monitor in (*self._own.of_labelled, *self._judged.of_labelled):
            monitor.update(batch)

    def update_probed(self, batch: Batch) -> None:
        """Count attributions that probes have found."""
        for monitor in self._judged.of_predictions:
            if isinstance(monitor, ProbedAttributions):
                monitor.probed(batch)

    def undo(self) -> None:
        """Forget what isn't counted of the last batch: its rows will come again."""
        for monitor in self._own.of_predictions:
            if isinstance(monitor, ConstraintViolations):
                monitor.undo()
        if self._notable is not None:
            self._notable.undo()

    def expect(self, classes: Sequence[str]) -> None:
        for monitor in self._outcomes:
            monitor.expect(classes)

    def _set_baseline_monitors(self, state: str) -> None:
        of = (self._model, self.name, state, self.baseline, self._watched)
        self._judged = for_baseline(*of, lambda series: False)  # what is exposed in any case
        self._charge()
        self._judged = for_baseline(*of, self._take)
        self._charge()
        if self._notable is not None:
            of_judged = self._judged.of_predictions
            components = [one for one in of_judged if isinstance(one, ComponentValues)]
            self._notable.judge_by(self.baseline, self._watched, *components[:1])
        self._segments = None
        if self.baseline is not None:
            known = self.baseline
            self._segments = segments_of(self._model.segments, known.fields, known.segments)

    def _charge(self) -> None:
        """Take from the budget just what there is."""
        there = sum(map(len, self.families))
        self._budget.left -= there - self._taken
        self._taken = there

    def _take(self, series: int) -> bool:
        if self._budget.take(series):
            self._taken += series
            return True
        self._suppressed += series
        return False
