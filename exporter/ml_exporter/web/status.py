"""The status page, for whoever was paged: which model, since when, which fields, what to do.

All it says comes from the editions that Prometheus scrapes, by the twins of its rules.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from flask import Blueprint, Response, abort, jsonify, render_template, request
from markupsafe import Markup, escape

from ml_exporter import explanation
from ml_exporter.hindsight import Hindsight
from ml_exporter.history import History, Window
from ml_exporter.judgement import judge
from ml_exporter.statistics.drift import STATISTICS
from ml_exporter.thresholds import SEVERITIES
from ml_exporter.trends import Onset
from ml_exporter.verdicts import FieldVerdict, Figure, ModelVerdict, State, VersionVerdict, worst
from ml_exporter.web import drawings

WINDOWS: Mapping[str, float] = {"5m": 300.0, "1h": 3600.0, "24h": 86400.0}
_SPOKEN = {"5m": "last five minutes", "1h": "last hour", "24h": "last day"}
_ENOUGH = 1000  # predictions, for an hour to be told by
_LATE = 15.0  # seconds after which what is shown is old
_LAGGING = 30.0  # seconds behind the log that are worth a word
_CRITICAL_VALUES = {"5m": "1h"}  # of which window, where there are none of its own
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True)
class FieldView:
    verdict: FieldVerdict
    since: Onset | None

    @property
    def explanation(self) -> str:
        return explanation.explain_field(self.verdict)

    @property
    def bars(self) -> drawings.Bars:
        return drawings.bars(self.verdict)

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
    def moved_bins(self) -> list[tuple[str, float, float]]:
        """The bins whose share has changed the most: name, share now, share in the baseline."""
        of = self.verdict
        now, usual = of.counts / max(of.rows, 1), of.baseline_counts / max(of.baseline_rows, 1)
        order = sorted(range(len(of.bins)), key=lambda index: -abs(now[index] - usual[index]))
        return [
            (explanation.bin_range(of, index), float(now[index]), float(usual[index]))
            for index in order[:5]
        ]


@dataclass(frozen=True)
class FigureView:
    verdict: Figure
    curve: drawings.Curve


@dataclass(frozen=True)
class VersionView:
    model: ModelVerdict
    verdict: VersionVerdict
    hindsight: Hindsight
    window: str

    @property
    def summary(self) -> str:
        return explanation.summarize(self.verdict, self.window)

    @property
    def advice(self) -> list[str]:
        return explanation.advise(self.model, self.verdict)

    @property
    def since(self) -> Onset | None:
        return self.hindsight.since

    @property
    def traffic(self) -> drawings.Curve:
        return drawings.curve(self.hindsight.traffic_line(), floor=0.0)

    @property
    def figures(self) -> list[FigureView]:
        return [
            FigureView(
                figure, drawings.curve(self.hindsight.figure_line(figure), figure.thresholds)
            )
            for figure in self.verdict.figures
        ]

    @cached_property
    def fields(self) -> list[FieldView]:
        return [
            FieldView(
                field, self.hindsight.field_since(field) if field.state in SEVERITIES else None
            )
            for field in self.verdict.fields
        ]


@dataclass(frozen=True)
class Page:
    """What one look at history shows."""

    name: str  # of the window
    span: float  # seconds that are remembered
    window: Window | None
    models: list[ModelVerdict]
    versions: dict[str, list[VersionView]]  # by model

    @property
    def state(self) -> State:
        return worst(model.state for model in self.models) if self.models else "no data"

    @property
    def windows(self) -> list[tuple[str, bool]]:
        """Names of windows, and whether there is more in them than in the shorter one."""
        shorter = dict(zip(WINDOWS, (0.0, *WINDOWS.values()), strict=False))
        return [(name, self.span > shorter[name] or name == self.name) for name in WINDOWS]


def status_pages(history: History, *, telemetry_path: str = "/metrics") -> Blueprint:
    """`/`, `/api/v1/status` and the page's static files."""
    pages = Blueprint(
        "status", __name__, template_folder="templates", static_folder="static",
        static_url_path="/assets",
    )  # fmt: skip
    pages.add_app_template_filter(_clock, "clock")
    pages.add_app_template_filter(_duration, "duration")
    pages.add_app_template_filter(_number, "number")
    pages.add_app_template_filter(_marked, "marked")
    for function in (explanation.percent, explanation.count, explanation.metric):
        pages.add_app_template_filter(function)

    @pages.after_request
    def add_headers(response: Response) -> Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @pages.get("/")
    def page() -> Response:
        look = _look(history, _window_name(history))
        late = time.time() - look.window.end if look.window else 0.0
        html = render_template(
            "status.html",
            page=look,
            late=late if late > _LATE else None,
            lagging=_LAGGING,
            telemetry_path=telemetry_path,
        )
        # Names come from logs, where there may be halves of surrogate pairs.
        response = Response(
            html.encode("utf-8", "replace"), content_type="text/html; charset=utf-8"
        )
        response.headers["Cache-Control"] = "no-store"
        return response

    @pages.get("/api/v1/status")
    def status() -> Response:
        response = jsonify(_document(_look(history, _window_name(history))))
        response.headers["Cache-Control"] = "no-store"
        return response

    return pages


def _window_name(history: History) -> str:
    """The window that was asked for, or the shortest that alerts look at with enough rows."""
    name = request.args.get("window")
    if name is None:
        hour = history.window(WINDOWS["1h"])
        rows = [
            frozen.values.sum()
            for frozen in (hour.samples if hour else ())
            if frozen.family.name == "ml_predictions_total"
        ]
        return (
            "1h" if hour is None or not hour.complete or max(rows, default=0) >= _ENOUGH else "24h"
        )
    if name not in WINDOWS:
        abort(Response(f"window must be one of {', '.join(WINDOWS)}\n", 400, mimetype="text/plain"))
    return name


def _look(history: History, name: str) -> Page:
    window = history.window(WINDOWS[name])
    if window is None:
        return Page(name, 0.0, None, [], {})
    spoken = _SPOKEN[name] if window.complete else f"last {_duration(window.seconds)}"
    models = judge(window.samples, _CRITICAL_VALUES.get(name, name))
    versions = {
        model.name: [
            VersionView(model, one, Hindsight(history, window, model.name, one), spoken)
            for one in model.versions
        ]
        for model in models
    }
    return Page(name, history.span, window, models, versions)


def _document(page: Page) -> dict[str, Any]:
    """The page as JSON: what is undefined is null, times are seconds since 1970."""
    window = page.window
    return {
        "state": page.state,
        "window": {
            "name": page.name,
            "start": window.start if window else None,
            "end": window.end if window else None,
            "complete": window.complete if window else False,
        },
        "models": [
            {
                "model": model.name,
                "state": model.state,
                "rejected_rows": model.rejected,
                "labels": model.labels,
                "source_lag_bytes": model.lag_bytes,
                "source_lag_seconds": model.lag_seconds,
                "versions": [_version(view) for view in page.versions[model.name]],
            }
            for model in page.models
        ],
    }


def _version(view: VersionView) -> dict[str, Any]:
    of = view.verdict
    return {
        "version": of.version,
        "state": of.state,
        "summary": view.summary,
        "since": _since(view.since),
        "advice": view.advice,
        "task": of.task,
        "positive": of.positive or None,
        "baseline": {"id": of.baseline_id or None, "state": of.baseline_state},
        "predictions": of.predictions,
        "last_prediction": of.last_prediction,
        "labelled_predictions": of.labelled,
        "performance": {
            figure.metric: {
                "value": figure.value,
                "interval": None if math.isnan(figure.interval[0]) else figure.interval,
                "baseline": figure.baseline,
                "thresholds": figure.thresholds,
                "state": figure.state,
            }
            for figure in of.figures
        },
        "fields": [_field(field) for field in view.fields],
    }


def _field(view: FieldView) -> dict[str, Any]:
    of = view.verdict
    return {
        "role": of.role,
        "field": of.name,
        "type": of.type,
        "state": of.state,
        "explanation": view.explanation,
        "since": _since(view.since),
        "rows": of.rows,
        "psi": _defined(of.psi),
        "location_shift": _defined(of.location_shift),
        "effects": {name: _defined(size) for name, size in of.effects.items()},
        "significance": _defined(of.significance),
        "thresholds": of.thresholds,
        "tests": {
            name: {"statistic": statistic, "critical_value": _defined(critical)}
            for name, statistic, critical in view.tests
        },
        "shares": {
            share.kind: {
                "ratio": share.ratio,
                "baseline_ratio": share.baseline_ratio,
                "thresholds": share.thresholds,
                "state": share.state,
            }
            for share in of.shares
        },
        "bins": [
            {"bin": bin, "rows": rows, "baseline_rows": usual}
            for bin, rows, usual in zip(
                of.bins, of.counts.tolist(), of.baseline_counts.tolist(), strict=True
            )
        ],
    }


def _since(onset: Onset | None) -> dict[str, Any] | None:
    return None if onset is None else {"time": onset.time, "seen": onset.seen}


def _defined(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"


def _marked(text: str) -> Markup:
    """A sentence as HTML: names in backticks are set as code, and no percent sign stands alone."""
    coded = re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(text)))
    return Markup(coded.replace(" %", "\N{NO-BREAK SPACE}%"))


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%H:%M:%S")


def _duration(seconds: float) -> str:
    """About how long: `40 s`, `12 min`, `3 h`, `5 d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (seconds >= size and unit == "d"):
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
