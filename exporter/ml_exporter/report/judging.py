"""Reads logs to their end and judges all that they hold as one window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from ml_exporter.commands.once import read_all
from ml_exporter.config.config import Config, Model
from ml_exporter.config.thresholds import SEVERITIES
from ml_exporter.judgement import advice, explanation
from ml_exporter.judgement.alarms import Alarm, alarms, alarms_of
from ml_exporter.judgement.judgement import judge
from ml_exporter.judgement.trends import Onset
from ml_exporter.judgement.verdicts import (
    FieldVerdict,
    ModelVerdict,
    State,
    VersionVerdict,
    rank,
    worst,
)
from ml_exporter.judgement.wording import count
from ml_exporter.report.timeline import Timeline

_LENGTHS = {"1h": 3600.0, "24h": 86400.0, "7d": 604800.0}
_USUAL_WINDOW = "24h"  # of logs that don't tell when


@dataclass(frozen=True)
class ModelReport:
    """A model's log: its verdict, and when what is in it was."""

    verdict: ModelVerdict
    timeline: Timeline
    window: str  # whose critical values it was judged by

    def alarms(self, version: VersionVerdict) -> list[Alarm]:
        """Those of a version, and of all versions."""
        return alarms_of(self.verdict, version)

    def since(self, version: VersionVerdict) -> Onset | None:
        return self.timeline.since(version)

    def field_since(self, version: VersionVerdict, field: FieldVerdict) -> Onset | None:
        if field.state not in SEVERITIES:
            return None
        return self.timeline.field_since(version.version, field)

    def summary(self, version: VersionVerdict) -> str:
        return explanation.summarize(version, "log")

    def advice(self, version: VersionVerdict) -> list[str]:
        return advice.advise(self.verdict, version)

    @property
    def period(self) -> str:
        """When the rows are of; "" where they don't tell, or there are none."""
        of = self.timeline
        if not of.has_times or of.first > of.last:
            return ""
        return f"{moment(of.first)} to {moment(of.last)} UTC"

    def when(self, onset: Onset) -> str:
        """An onset in words."""
        if not onset.seen:
            return "from the log's beginning"
        if self.timeline.has_times:
            return f"since about {moment(onset.time)} UTC"
        return f"since about row {count(onset.time)}"


@dataclass(frozen=True)
class Report:
    models: tuple[ModelReport, ...]  # the worst first
    unread: Mapping[str, str]  # files that couldn't be read, and why

    @cached_property
    def alarms(self) -> list[Alarm]:
        return alarms(model.verdict for model in self.models)

    @property
    def state(self) -> State:
        return worst(model.verdict.state for model in self.models)

    def notes(self) -> Iterator[str]:
        """What can't be judged, and why."""
        for model in self.models:
            for version in model.verdict.versions:
                name = f"{model.verdict.name} {version.version}"
                if not version.predictions:
                    yield f"{name}: no predictions to judge"
                elif version.baseline_state == "learning":
                    rows = count(version.predictions, "row")
                    yield f"{name}: {rows} are too few to learn a baseline from: nothing is judged"


def judge_logs(config: Config, progress: Callable[[int], None] = lambda rows: None) -> Report:
    """Judge each model by all rows of its logs together.

    `progress` is told how many rows were read so far. Raises BaselineError and ConfigError.
    """
    timelines: dict[str, Timeline] = {}

    def observe(model: Model) -> Timeline:
        has_times = model.fields.timestamp is not None
        timelines[model.name] = Timeline(has_times=has_times, classified=model.task != "regression")
        return timelines[model.name]

    reading = read_all(config, observe=observe, progress=progress)
    windows = {name: _window(timeline) for name, timeline in timelines.items()}
    models = [
        ModelReport(verdict, timelines[verdict.name], window)
        for window in sorted({*windows.values()})
        for verdict in judge(reading.samples, window)
        if windows[verdict.name] == window
    ]
    order = [model.name for model in config.models]
    models.sort(key=lambda one: (-rank(one.verdict.state), order.index(one.verdict.name)))
    return Report(tuple(models), reading.errors)


def moment(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M")


def _window(timeline: Timeline) -> str:
    """The window of the rules that is as long as the log, or the longest."""
    if not timeline.has_times:
        return _USUAL_WINDOW
    seconds = timeline.last - timeline.first
    return next((name for name, length in _LENGTHS.items() if seconds <= length), "7d")
