"""What templates show of verdicts, and how they write numbers, names and times."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from markupsafe import Markup, escape

from ml_exporter.config.thresholds import SEVERITIES
from ml_exporter.judgement import advice, explanation, field_explanation
from ml_exporter.judgement.alarms import Alarm, alarms_of
from ml_exporter.judgement.field_explanation import Move
from ml_exporter.judgement.trends import Onset
from ml_exporter.judgement.verdicts import (
    FieldVerdict,
    Figure,
    ModelVerdict,
    VersionVerdict,
    Violation,
)
from ml_exporter.judgement.wording import count, figure, metric, percent
from ml_exporter.statistics.drift import STATISTICS
from ml_exporter.web import drawings


@dataclass(frozen=True)
class FieldView:
    verdict: FieldVerdict
    since: str  # when it began, in words; "" where that isn't known

    @property
    def explanation(self) -> str:
        return field_explanation.explain(self.verdict)

    @property
    def importance(self) -> str:
        of = self.verdict.importance
        return "" if of is None else explanation.explain_importance(of)

    @property
    def bars(self) -> drawings.Bars:
        return drawings.bars(self.verdict)

    @property
    def distribution(self) -> drawings.Distribution:
        return drawings.distribution(self.verdict)

    @property
    def tests(self) -> list[tuple[str, float, float]]:
        """What was tested: name, statistic, and what it must exceed to be significant."""
        critical = self.verdict.critical_values
        return [
            (STATISTICS[test], value, critical.get(test, math.nan))
            for test, value in self.verdict.statistics.items()
            if not math.isnan(value)
        ]

    @property
    def moved_bins(self) -> tuple[list[Move], list[Move]]:
        """The bins that gained, and those that lost."""
        return field_explanation.moved_bins(self.verdict)

    @property
    def is_unwell(self) -> bool:
        return self.verdict.state in SEVERITIES


@dataclass(frozen=True)
class ViolationView:
    verdict: Violation
    since: str  # as of a field

    @property
    def explanation(self) -> str:
        return explanation.explain_violation(self.verdict)


@dataclass(frozen=True)
class FigureView:
    verdict: Figure
    curve: drawings.Curve | None = None


@dataclass(frozen=True)
class VersionView(ABC):
    """One version of a model, whatever it is that tells of its past."""

    model: ModelVerdict
    verdict: VersionVerdict

    @property
    @abstractmethod
    def summary(self) -> str: ...

    @property
    @abstractmethod
    def figures(self) -> list[FigureView]: ...

    @property
    @abstractmethod
    def onset(self) -> Onset | None:
        """When the first began of all that is unwell."""

    @abstractmethod
    def field_since(self, field: FieldVerdict) -> Onset | None: ...

    def violation_since(self, violation: Violation) -> Onset | None:
        """None where the past doesn't tell."""
        return None

    @abstractmethod
    def when(self, onset: Onset) -> str:
        """An onset in words."""

    @property
    def advice(self) -> list[str]:
        return advice.advise(self.model, self.verdict)

    @property
    def alarms(self) -> list[Alarm]:
        return alarms_of(self.model, self.verdict)

    @property
    def since(self) -> str:
        return self._told(self.onset)

    @cached_property
    def fields(self) -> list[FieldView]:
        return self._views(self.verdict.fields)

    @cached_property
    def components(self) -> list[FieldView]:
        return self._views(self.verdict.components)

    def _views(self, fields: Iterable[FieldVerdict]) -> list[FieldView]:
        return [FieldView(field, self._told(self.field_since(field))) for field in fields]

    @property
    def violations(self) -> list[ViolationView]:
        return [
            ViolationView(one, self._told(self.violation_since(one)))
            for one in self.verdict.violations
        ]

    def _told(self, onset: Onset | None) -> str:
        return "" if onset is None else self.when(onset)


def number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"


def marked(text: str) -> Markup:
    """A sentence as HTML: names in backticks are set as code, and no percent sign stands alone."""
    coded = re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(text)))
    return Markup(coded.replace(" %", "\N{NO-BREAK SPACE}%"))


def clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%H:%M:%S")


def duration(seconds: float) -> str:
    """About how long: `40 s`, `12 min`, `3 h`, `5 d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (seconds >= size and unit == "d"):
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


FILTERS: Mapping[str, Callable[..., object]] = {
    "clock": clock,
    "duration": duration,
    "figure": figure,
    "number": number,
    "marked": marked,
    "percent": percent,
    "count": count,
    "metric": metric,
    "segment_name": explanation.segment_name,
}
