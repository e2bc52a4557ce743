"""Verdicts: what is concluded of models, versions and fields, with what it was concluded from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from ml_exporter.baseline.components import Loading
from ml_exporter.config.thresholds import SEVERITIES, Severity
from ml_exporter.statistics.bins import Floats
from ml_exporter.statistics.concept_drift import Kind
from ml_exporter.statistics.drift import Test

State = Literal["ok", "learning", "no data", "warning", "critical"]
STATES: tuple[State, ...] = get_args(State)
"""From what needs no attention to what needs it most."""

Limits = Mapping[Severity, float]


def rank(state: State) -> int:
    return STATES.index(state)


def worst(states: Iterable[State]) -> State:
    return max(states, key=rank, default="ok")


@dataclass(frozen=True)
class Figure:
    """A figure of performance; `state` is None where nothing judges it."""

    metric: str
    value: float
    interval: tuple[float, float]  # of 95 %; NaN where there is none
    baseline: float | None
    thresholds: Limits  # what it must not be worse than
    state: State | None


@dataclass(frozen=True)
class Share:
    """The share of values that are missing, invalid, out of range or unseen."""

    kind: Test
    ratio: float
    baseline_ratio: float
    thresholds: Limits  # what it must not exceed
    state: State


@dataclass(frozen=True)
class Importance:
    """How important a feature is to the model, by its baseline."""

    of: str  # "attribution": a share of all; "prediction" or "label": what it tells of that
    share: float
    place: int  # from 1
    features: int


@dataclass(frozen=True)
class FieldVerdict:
    """One field against its baseline. Arrays have the shape (bins,); what is undefined is NaN."""

    role: str
    name: str
    type: Literal["number", "category"]
    state: State
    drift: State  # "ok", "warning" or "critical": of the distribution alone
    rows: float
    baseline_rows: float
    bins: tuple[str, ...]
    counts: Floats
    baseline_counts: Floats
    psi: float
    location_shift: float  # NaN for a category
    effects: Mapping[str, float]  # sizes of the change that are judged, by monitor
    thresholds: Mapping[str, Limits]  # of those
    statistics: Mapping[Test, float]
    critical_values: Mapping[Test, float]
    significance: float
    shares: tuple[Share, ...]
    importance: Importance | None = None
    loadings: tuple[Loading, ...] = ()  # of a component, the greatest first
    variance: float = math.nan  # of a component, in the baseline


@dataclass(frozen=True)
class SegmentVerdict:
    """A part of the rows, against what it was in the baseline; what is undefined is NaN."""

    field: str
    name: str
    state: State | None  # None where too few of its rows have a label
    rows: float
    share: float  # of the rows of all segments of the field
    baseline_share: float
    labelled: float
    metric: Literal["accuracy", "mean_absolute_error"]
    value: float
    reference: float  # the segment's own figure in the baseline, else the model's there
    drop: float  # by how much it is worse: of an error, in parts of the reference
    drop_share: float  # in what its field's segments together are worse
    z: float  # standard errors by which it is worse
    thresholds: Limits  # what `drop` must not exceed


@dataclass(frozen=True)
class Violation:
    """Rows in which a field departs from the schema, or violates a constraint."""

    kind: str  # `missing_field`, `extra_field`, `wrong_type`, or the name of a constraint
    field: str
    rows: float
    ratio: float  # of the predictions
    thresholds: Limits  # what it must not exceed
    state: State

    @property
    def is_of_schema(self) -> bool:
        return self.kind in ("missing_field", "extra_field", "wrong_type")


@dataclass(frozen=True)
class EstimateVerdict:
    """What the better estimator expects of the figures, without labels."""

    estimator: str
    rows: float
    figures: tuple[Figure, ...]
    errors: Mapping[str, float]  # expected less true, of labelled predictions, by metric
    calibration_drift: float  # above 1 is significant; NaN without labels
    concept: State | None  # whether outcomes still follow from scores; None without labels

    @property
    def unwell_figures(self) -> list[Figure]:
        return [figure for figure in self.figures if figure.state in SEVERITIES]


@dataclass(frozen=True)
class AttributionVerdict:
    """What predictions rest on: mean absolute attributions by field, now and in the baseline."""

    rows: float
    ndcg: float
    now: Mapping[str, float]
    baseline: Mapping[str, float]
    thresholds: Limits  # what `ndcg` must not be below
    state: State


@dataclass(frozen=True)
class ChampionVerdict:
    """A version against the one with the most predictions."""

    champion: str
    gap: float  # by how much it is worse
    z: float
    thresholds: Limits  # what `gap` must not exceed
    state: State


@dataclass(frozen=True)
class ConstantVerdict:
    """A model against the best constant one: the commonest class, or the mean."""

    metric: Literal["accuracy", "r2"]
    value: float
    constant: float  # the same figure of the constant one
    state: State


@dataclass(frozen=True)
class VersionVerdict:
    """One version of a model; rows are those of the window."""

    version: str
    state: State
    task: str
    positive: str  # "" where there is none
    baseline_id: str  # "" while it is learned
    baseline_state: str  # "file", "learning" or "learned"
    predictions: float
    last_prediction: float | None  # seconds since 1970
    labelled: float
    usual_label_delay: float  # seconds within which half of the labels came; NaN without labels
    figures: tuple[Figure, ...]
    fields: tuple[FieldVerdict, ...]  # the worst first
    segments: tuple[SegmentVerdict, ...]  # the worst first
    violations: tuple[Violation, ...]  # the gravest first
    estimate: EstimateVerdict | None
    attribution: AttributionVerdict | None
    against_champion: ChampionVerdict | None  # None of the champion itself
    against_constant: ConstantVerdict | None  # None without labels
    change_kinds: frozenset[Kind]  # what kind of change it is; empty where there is none
    components: tuple[FieldVerdict, ...] = ()  # the worst first

    @property
    def unwell_fields(self) -> list[FieldVerdict]:
        return [field for field in self.fields if field.state in SEVERITIES]

    @property
    def unwell_segments(self) -> list[SegmentVerdict]:
        return [segment for segment in self.segments if segment.state in SEVERITIES]

    @property
    def unwell_violations(self) -> list[Violation]:
        return [one for one in self.violations if one.state in SEVERITIES]

    @property
    def unwell_components(self) -> list[FieldVerdict]:
        return [one for one in self.components if one.state in SEVERITIES]

    @property
    def unwell_figures(self) -> list[Figure]:
        """The worst first."""
        unwell = [figure for figure in self.figures if figure.state in SEVERITIES]
        return sorted(unwell, key=lambda figure: figure.state != "critical")


@dataclass(frozen=True)
class ModelVerdict:
    """A model: its versions, the worst first, and what belongs to none of them."""

    name: str
    state: State
    versions: tuple[VersionVerdict, ...]
    rejected: Mapping[str, float]  # rows by reason, where there are any
    rejected_state: State
    duplicates: float  # predictions with the id of an earlier one
    duplicates_state: State
    from_future: float  # predictions with a time in the future
    from_future_state: State
    labels: Mapping[str, float]  # by result; empty where labels aren't joined
    lag_bytes: float
    lag_seconds: float
