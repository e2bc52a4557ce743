"""One version of a model: its baseline, given or being learned, and its monitors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ml_exporter import baseline as baselines
from ml_exporter import sagemaker_baseline
from ml_exporter.baseline import Baseline, segments_of
from ml_exporter.batch import (
    ABSENT,
    CARRIED,
    LABEL,
    PREDICTION,
    REGION,
    Batch,
    Column,
    Field,
    FieldType,
)
from ml_exporter.config import Limits, Model
from ml_exporter.families import Family
from ml_exporter.formats import Layout
from ml_exporter.formats.rows import UNVERSIONED
from ml_exporter.monitors.attributions import ProbedAttributions
from ml_exporter.monitors.cohorts import CohortOutcomes, CohortPredictions
from ml_exporter.monitors.components import ComponentValues
from ml_exporter.monitors.constraints import ConstraintViolations
from ml_exporter.monitors.notable import Lines
from ml_exporter.monitors.outcomes import Outcomes
from ml_exporter.monitors.selection import (
    Selection,
    for_baseline,
    for_model,
    notable_predictions,
)
from ml_exporter.segments import Segments

OTHER_VERSIONS = "<other>"

_LIMITS = Limits()


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


@dataclass
class Learner:
    """Collects the first rows, of which the baseline is to be made."""

    wanted: int
    batches: list[Batch] = field(default_factory=list)

    @property
    def missing(self) -> int:
        return self.wanted - sum(batch.rows for batch in self.batches)


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
            columns[REGION] = self.baseline.regions.of(batch)
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
        self._judged = for_baseline(
            self._model, self.name, state, self.baseline, self._watched, self._take
        )
        if self._notable is not None:
            of_judged = self._judged.of_predictions
            components = [one for one in of_judged if isinstance(one, ComponentValues)]
            self._notable.judge_by(self.baseline, self._watched, *components[:1])
        self._segments = None
        if self.baseline is not None:
            of = self.baseline
            self._segments = segments_of(self._model.segments, of.fields, of.segments)

    def _take(self, series: int) -> bool:
        if self._budget.take(series):
            self._taken += series
            return True
        self._suppressed += series
        return False


def default_version(model: Model, given: Mapping[str | None, Baseline]) -> str:
    """The version of rows that don't say it themselves."""
    if isinstance(model.version, str):
        return model.version
    baseline = given.get(None)
    if model.version is None and baseline is not None and baseline.version:
        return baseline.version
    return UNVERSIONED


def baseline_paths(model: Model) -> dict[str | None, Path]:
    """The baseline files that the configuration names, by version; None is all versions."""
    if model.baseline is None:
        return {}
    if isinstance(model.baseline, Path):
        return {None: model.baseline}
    return dict(model.baseline.items())


def given_baselines(model: Model, limits: Limits = _LIMITS) -> dict[str | None, Baseline]:
    """The baselines that the configuration names, by version; raises BaselineError."""
    return {
        version: load_baseline(path, model, version, limits)
        for version, path in baseline_paths(model).items()
    }


def load_baseline(path: Path, model: Model, version: str | None, limits: Limits) -> Baseline:
    """Read a baseline of a model, whatever wrote it; raises BaselineError."""
    wanted = request(model, version, limits)
    return sagemaker_baseline.load(path, wanted, sagemaker_baseline.roles(model))


def request(model: Model, version: str | None, limits: Limits) -> baselines.Request:
    """What a baseline of a model is to have."""
    classification: FieldType = "number" if model.task == "regression" else "category"
    types: dict[Field, FieldType] = {PREDICTION: classification, LABEL: classification}
    types |= {Field("feature", name): type for name, type in model.types.items()}
    features = model.fields.features or {}
    return baselines.Request(
        model=model.name,
        version=version,
        types=types,
        paths={Field("feature", name): path for name, path in features.items()},
        extracted={Field("feature", name): one for name, one in model.fields.extracted.items()},
        bins=model.bins,
        categories=limits.categories,
        positive=model.positive,
        segments=model.segments,
    )


def without_labels_yet(batch: Batch) -> Batch:
    """A batch less its label column, where no row has a label."""
    column = batch.fields.get(LABEL)
    if column is None or not column.missing_mask().all():
        return batch
    fields = {key: values for key, values in batch.fields.items() if key != LABEL}
    return replace(batch, fields=fields)


def labelled(batch: Batch) -> Batch:
    """The rows that have their label with them, as a labelled batch."""
    fields = {
        key: column
        for key, column in batch.fields.items()
        if key in (PREDICTION, LABEL) or key.role in CARRIED
    }
    rows = np.flatnonzero(~fields[LABEL].missing_mask())
    without_features = replace(batch, fields=fields, extra={})
    return without_features if rows.size == batch.rows else without_features.take(rows)


def learnable(batches: Sequence[Batch], layout: Layout) -> list[Batch]:
    """Rows to learn from, all with the same fields, whatever chunks they came in.

    They are the fields that are read, less labels that are still to come, and whatever some row
    has where features are being discovered.
    """
    found = {key for batch in batches for key, column in batch.fields.items() if _has_any(column)}
    fields = [key for key in layout.fields if key != LABEL or key in found]
    if layout.discover:
        fields += sorted(found - set(layout.fields))
    return [
        replace(
            batch,
            fields={key: batch.column(key) for key in fields},
        )
        for batch in batches
    ]


def _has_any(column: Column) -> bool:
    return not column.missing_mask().all()


def dump_rows(batch: Batch) -> bytes:
    """The values of a batch, for `load_rows` to read; the rest of it isn't kept."""
    columns = []
    for key, column in batch.fields.items():
        absent = [row for row, value in enumerate(column.values) if value is ABSENT]
        values = [None if value is ABSENT else value for value in column.values]
        columns.append([*key, column.text, values, absent])
    return json.dumps([batch.rows, columns]).encode()


def load_rows(data: bytes) -> Batch:
    rows, columns = json.loads(data)
    fields = {}
    for role, name, text, values, absent in columns:
        for row in absent:
            values[row] = ABSENT
        fields[Field(role, name)] = Column(values, text)
    return Batch(rows, fields)
