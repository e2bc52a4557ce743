"""The status page, for whoever was paged: which model, since when, which fields, what to do.

All it says comes from the editions that Prometheus scrapes, by the twins of its rules.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, abort, jsonify, render_template, request

from ml_exporter.config.thresholds import SEVERITIES
from ml_exporter.judgement import documents, explanation
from ml_exporter.judgement.hindsight import Hindsight
from ml_exporter.judgement.history import History, Window
from ml_exporter.judgement.judgement import judge
from ml_exporter.judgement.sagemaker_violations import constraint_violations, encode_violations
from ml_exporter.judgement.trends import Onset
from ml_exporter.judgement.verdicts import (
    FieldVerdict,
    ModelVerdict,
    State,
    VersionVerdict,
    Violation,
    worst,
)
from ml_exporter.web import drawings
from ml_exporter.web.views import FILTERS, FigureView, VersionView, clock, duration

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
class LiveView(VersionView):
    """A version by what history remembers of it."""

    hindsight: Hindsight
    window: str

    @property
    def summary(self) -> str:
        return explanation.summarize(self.verdict, self.window)

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

    @property
    def renaming(self) -> str:
        """Which fields have gone and come within what is remembered, if any have."""
        gone, new = (
            [one for one in self.verdict.violations if one.kind == kind and self._began(one)]
            for kind in ("missing_field", "extra_field")
        )
        return explanation.explain_renaming(gone, new)

    @property
    def onset(self) -> Onset | None:
        return self.hindsight.since

    def field_since(self, field: FieldVerdict) -> Onset | None:
        return self.hindsight.field_since(field) if field.state in SEVERITIES else None

    def violation_since(self, violation: Violation) -> Onset | None:
        return self.hindsight.violation_since(violation)

    def _began(self, violation: Violation) -> bool:
        since = self.violation_since(violation)
        return since is not None and since.seen

    def when(self, onset: Onset) -> str:
        if not onset.seen:
            return f"since before {clock(onset.time)} UTC"
        ago = duration(self.hindsight.now - onset.time)
        return f"since about {clock(onset.time)} UTC, {ago} ago"


@dataclass(frozen=True)
class Page:
    """What one look at history shows."""

    name: str  # of the window
    span: float  # seconds that are remembered
    window: Window | None
    models: list[ModelVerdict]
    versions: dict[str, list[LiveView]]  # by model

    @property
    def state(self) -> State:
        return worst(model.state for model in self.models) if self.models else "no data"

    @property
    def windows(self) -> list[tuple[str, bool]]:
        """Names of windows, and whether there is more in them than in the shorter one."""
        shorter = dict(zip(WINDOWS, (0.0, *WINDOWS.values()), strict=False))
        return [(name, self.span > shorter[name] or name == self.name) for name in WINDOWS]


def status_pages(history: History, *, telemetry_path: str = "/metrics") -> Blueprint:
    """`/`, `/api/v1/status`, SageMaker's file of the same, and the page's static files."""
    pages = Blueprint(
        "status", __name__, template_folder="templates", static_folder="static",
        static_url_path="/assets",
    )  # fmt: skip
    for name, function in FILTERS.items():
        pages.add_app_template_filter(function, name)

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

    @pages.get("/api/v1/constraint_violations")
    def sagemaker_file() -> Response:
        look = _look(history, _window_name(history))
        data = encode_violations(constraint_violations(_one_version(look.models)))
        response = Response(data, content_type="application/json")
        response.headers["Cache-Control"] = "no-store"
        return response

    return pages


def _one_version(models: list[ModelVerdict]) -> VersionVerdict:
    """The version that the request names; of one model alone, or one version, it need not."""
    names = {name: request.args.get(name) for name in ("model", "version")}
    found = [
        version
        for model in models
        for version in model.versions
        if names["model"] in (None, model.name) and names["version"] in (None, version.version)
    ]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{model.name} {one.version}" for model in models for one in model.versions)
    text = f"model and version must name one of those there are: {known or 'none yet'}\n"
    return abort(Response(text, 400 if found else 404, mimetype="text/plain"))


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
    spoken = _SPOKEN[name] if window.complete else f"last {duration(window.seconds)}"
    models = judge(window.samples, _CRITICAL_VALUES.get(name, name))
    versions = {
        model.name: [
            LiveView(model, one, Hindsight(history, window, model.name, one), spoken)
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
                "duplicate_predictions": model.duplicates,
                "predictions_from_the_future": model.from_future,
                "labels": model.labels,
                "source_lag_bytes": model.lag_bytes,
                "source_lag_seconds": model.lag_seconds,
                "versions": [_version(view) for view in page.versions[model.name]],
            }
            for model in page.models
        ],
    }


def _version(view: LiveView) -> dict[str, Any]:
    return documents.of_version(
        view.verdict,
        summary=view.summary,
        advice=view.advice,
        since=view.onset,
        field_since=view.field_since,
        violation_since=view.violation_since,
    ) | {"renaming": view.renaming or None}
