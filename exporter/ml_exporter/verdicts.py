"""Verdicts: what is concluded of models, versions and fields, with what it was concluded from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from ml_exporter.statistics.bins import Floats
from ml_exporter.statistics.drift import Test
from ml_exporter.thresholds import SEVERITIES, Severity

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

    @property
    def unwell_fields(self) -> list[FieldVerdict]:
        return [field for field in self.fields if field.state in SEVERITIES]

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
    labels: Mapping[str, float]  # by result; empty where labels aren't joined
    lag_bytes: float
    lag_seconds: float
