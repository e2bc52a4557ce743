"""Which monitors a version of a model has: by its task, its configuration and its baseline."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ml_exporter.baseline.baseline import Baseline, BaselineField
from ml_exporter.baseline.labelled_baseline import ScoreBins
from ml_exporter.batch import LABEL, PREDICTION, SCORE, Field
from ml_exporter.config import completions
from ml_exporter.config.config import Limits, Model, ProxySource
from ml_exporter.config.thresholds import Threshold
from ml_exporter.monitors import Monitor
from ml_exporter.monitors.attributions import Attributions, BaselineAttributions, ProbedAttributions
from ml_exporter.monitors.cohorts import CohortOutcomes, CohortPredictions
from ml_exporter.monitors.completions import Completions
from ml_exporter.monitors.components import ComponentValues
from ml_exporter.monitors.constraints import ConstraintViolations
from ml_exporter.monitors.errors import ErrorDistribution, ErrorSums
from ml_exporter.monitors.estimated_scores import ExpectedScores
from ml_exporter.monitors.estimates import Estimates, EstimatorInfo
from ml_exporter.monitors.fields import FieldValues
from ml_exporter.monitors.figures import baseline_performance
from ml_exporter.monitors.importance import BaselineImportance
from ml_exporter.monitors.info import BaselineInfo, ModelInfo
from ml_exporter.monitors.money import OutcomeValue
from ml_exporter.monitors.mutes import Mutes
from ml_exporter.monitors.notable import NotablePredictions
from ml_exporter.monitors.outcomes import Outcomes
from ml_exporter.monitors.ranks import ListRanks, ScoreRanks
from ml_exporter.monitors.schema import SchemaViolations
from ml_exporter.monitors.scores import (
    BaselineTies,
    LabelledScores,
    ScoreLosses,
    ScoreViolations,
    affordable,
)
from ml_exporter.monitors.segments import SegmentOutcomes, SegmentPredictions
from ml_exporter.monitors.segments import series as segment_series
from ml_exporter.monitors.thresholds import Thresholds
from ml_exporter.monitors.traffic import Traffic

_MOST_SCORES = 20  # whose drift is watched


@dataclass
class Selection:
    """What counts predictions, and what counts those whose label is known."""

    of_predictions: list[Monitor] = field(default_factory=list)
    of_labelled: list[Monitor] = field(default_factory=list)


def has_labels(model: Model) -> bool:
    return model.labels is not None or model.fields.label is not None


def for_model(model: Model, version: str, limits: Limits) -> Selection:
    """The monitors that a version has whatever its baseline is."""
    of = (model.name, version)
    selection = Selection([ModelInfo(*of, model.task, model.positive), Traffic(*of)])
    if model.source.format == completions.FORMAT:
        selection.of_predictions.append(Completions(*of))
    if model.mutes or model.wait:
        selection.of_predictions.append(Mutes(*of, model.mutes, model.wait))
    scores = list(model.fields.scores)
    if scores:
        selection.of_predictions.append(ScoreViolations(*of, scores, model.positive))
    if model.constraints:
        named = [SCORE if model.task == "binary" else Field("score", name) for name in scores]
        violations = ConstraintViolations(*of, model.constraints, named)
        selection.of_predictions.append(violations)
    if model.fields.attributions:
        selection.of_predictions.append(Attributions(*of, model.fields.attributions))
    if not has_labels(model):
        return selection
    classified = model.task != "regression"
    selection.of_predictions.append(CohortPredictions(*of))
    selection.of_labelled += [
        Outcomes(*of, classified, limits.categories),
        CohortOutcomes(*of, classified),
    ]
    if scores:
        selection.of_labelled.append(ScoreLosses(*of, scores, model.positive))
    if model.fields.ranked:
        items = [Field("ranked", str(place + 1)) for place in range(len(model.fields.ranked))]
        selection.of_labelled.append(ListRanks(*of, items))
    elif scores and model.task == "multiclass":
        selection.of_labelled.append(ScoreRanks(*of, scores))
    if model.task == "regression":
        selection.of_labelled.append(ErrorSums(*of))
    if model.outcome_values is not None:
        selection.of_labelled.append(OutcomeValue(*of, model.outcome_values))
    return selection


def notable_predictions(
    model: Model, version: str, own: Selection, most_lines: int
) -> NotablePredictions | None:
    """What sees, after all others, which predictions are worth a look; None if nobody asks.

    `own` are the version's monitors `for_model`.
    """
    if model.notable is None:
        return None
    violations = [one for one in own.of_predictions if isinstance(one, ConstraintViolations)]
    return NotablePredictions(
        *(model.name, version, model.notable, list(model.fields.scores), model.positive),
        violations[0] if violations else None,
        most_lines,
    )


def for_baseline(
    model: Model,
    version: str,
    state: str,
    baseline: Baseline | None,
    watched: Sequence[Field] | None,
    take: Callable[[int], bool],
) -> Selection:
    """The monitors that count and judge by a baseline; there is none while it is learned.

    `watched` are the fields that rows are read for; None: all that they have. `take` says whether
    so many more series may be exposed.
    """
    of = (model.name, version)
    figures, by_class = baseline_performance(baseline, model.positive)
    fields = [
        one
        for one in (_fields(baseline) if baseline else ())
        if (watched is None or one.key in watched or one.key == LABEL) and take(cost(one))
    ]
    of_predictions = [one for one in fields if one.key != LABEL]
    selection = Selection(
        [
            BaselineInfo(*of, state, baseline, figures, by_class),
            Thresholds(
                *(*of, baseline, figures),
                *(
                    [*model.thresholds, *_of_own_time(model), *_of_completions(model)],
                    model.thresholds_off,
                ),
                false_alarms=model.false_alarms,
            ),
            SchemaViolations(*of, of_predictions),
        ]
    )
    if model.task == "regression" and has_labels(model):
        errors = (baseline.id, baseline.errors) if baseline else ("", None)
        selection.of_labelled.append(ErrorDistribution(*of, *errors))
    if baseline is None:
        return selection
    of_labels = [one for one in fields if one.key == LABEL]
    for monitors, some in (
        (selection.of_predictions, of_predictions),
        (selection.of_labelled, of_labels),
    ):
        monitors.append(FieldValues(*of, baseline, some, model.false_alarms))
    if has_labels(model):
        scores = _affordable_scores(baseline, model, take)
        if scores:
            counted = LabelledScores(*of, model.positive, baseline.id, scores)
            selection.of_labelled.append(counted)
    if isinstance(model.source, ProxySource) and model.source.probe_rate:
        features = [one.name for one in fields if one.role == "feature"]
        selection.of_predictions.append(ProbedAttributions(*of, features))
    elif baseline.attributions:
        usual = {
            name: mean
            for name, mean in baseline.attributions.items()
            if name in model.fields.attributions
        }
        selection.of_predictions.append(BaselineAttributions(*of, usual))
    selection.of_predictions.append(BaselineImportance(*of, baseline, [one.name for one in fields]))
    _add_segments(selection, model, version, baseline, take)
    _add_estimates(selection, model, version, baseline, take)
    tied = [one for one in affordable(_read_scores(baseline, model)) if one.ties]
    if tied and take(BaselineTies.series(tied)):
        selection.of_predictions.append(BaselineTies(*of, baseline.id, tied))
    components = [
        one for one in _components(baseline, watched) if take(ComponentValues.series(one))
    ]
    if components:
        values = ComponentValues(*of, baseline, components, model.false_alarms)
        selection.of_predictions.append(values)
    return selection


def cost(field: BaselineField) -> int:
    """How many series a field has: of its values, violations of its schema, and its importance."""
    return FieldValues.series(field) + 3


def _of_own_time(model: Model) -> list[Threshold]:
    """The hour or the day of the prediction's own time may be constant, unless that is set."""
    said = {one.field for one in model.thresholds if one.monitor == "constant_z"}
    return [
        Threshold("constant_z", "warning", math.inf, "feature", name)
        for name, extractor in model.fields.extracted.items()
        if extractor in ("hour", "weekday")
        and (model.fields.features or {})[name] == model.fields.timestamp
        and name not in said
    ]


def _of_completions(model: Model) -> list[Threshold]:
    """What a language model is judged by, unless that is set."""
    if model.source.format != completions.FORMAT:
        return []
    said = {(one.monitor, one.severity) for one in model.thresholds}
    return [
        Threshold(monitor, severity, value)
        for monitor, values in completions.THRESHOLDS.items()
        for severity, value in values.items()
        if (monitor, severity) not in said
    ]


def _fields(baseline: Baseline) -> list[BaselineField]:
    """The fields that are watched: of very many scores, those of the classes predicted most."""
    scores = [one for one in baseline.fields if one.role == "score"]
    predicted = baseline.by_key.get(PREDICTION)
    if len(scores) <= _MOST_SCORES or predicted is None:
        return baseline.fields
    most = sorted(scores, key=lambda one: -predicted.counts.get(one.name, 0))[:_MOST_SCORES]
    left_out = {one.name for one in scores} - {one.name for one in most}
    return [one for one in baseline.fields if one.role != "score" or one.name not in left_out]


def _components(baseline: Baseline, watched: Sequence[Field] | None) -> list[BaselineField]:
    """The components that are watched: all, where all features are read that count in them."""
    if baseline.components is None or watched is None:
        return baseline.component_fields
    read = {one.name for one in watched if one.role == "feature"}
    return baseline.component_fields if read.issuperset(baseline.components.fields) else []


def _add_segments(
    selection: Selection,
    model: Model,
    version: str,
    baseline: Baseline,
    take: Callable[[int], bool],
) -> None:
    features = {one.name for one in baseline.fields if one.role == "feature"}
    segments = [one for one in model.segments if features.issuperset(one.fields)]
    if not segments and baseline.regions is None:
        return
    if not take(segment_series(segments, baseline, model.task, model.positive)):
        return
    of = (model.name, version, segments, baseline)
    selection.of_predictions.append(SegmentPredictions(*of, model.positive))
    if has_labels(model):
        selection.of_labelled.append(SegmentOutcomes(*of, model.task))


def _add_estimates(
    selection: Selection,
    model: Model,
    version: str,
    baseline: Baseline,
    take: Callable[[int], bool],
) -> None:
    of = (model.name, version, baseline)
    classes = [] if model.task == "regression" else baseline.classes
    if model.task != "regression" and not classes:
        return
    info = EstimatorInfo(*of, classes, model.positive, model.false_alarms)
    bins = [
        one
        for one in affordable(_read_scores(baseline, model))
        if take(ExpectedScores.series([one]))
    ]
    expected = Estimates(*of, classes, model.positive, score_bins=bins)
    selection.of_predictions += [info, expected]
    if has_labels(model):
        selection.of_labelled.append(Estimates(*of, classes, model.positive, labelled=True))


def _affordable_scores(
    baseline: Baseline, model: Model, take: Callable[[int], bool]
) -> list[ScoreBins]:
    """The classes whose scores are read, and may be counted."""
    read = _read_scores(baseline, model)
    return [one for one in affordable(read) if take(LabelledScores.series([one]))]


def _read_scores(baseline: Baseline, model: Model) -> list[ScoreBins]:
    return [one for one in baseline.scores if one.name in model.fields.scores]
