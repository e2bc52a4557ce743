"""The report as JSON, in a format that has a version."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from ml_exporter.judgement import documents
from ml_exporter.judgement.verdicts import VersionVerdict
from ml_exporter.report.judging import ModelReport, Report

FORMAT = "ml-exporter-report/1"


def write(report: Report) -> str:
    return json.dumps(document(report), indent=1, allow_nan=False) + "\n"


def document(report: Report) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "state": report.state,
        "alarms": [documents.of_alarm(alarm) for alarm in report.alarms],
        "models": [_model(model) for model in report.models],
        "notes": list(report.notes()),
        "unread": dict(report.unread),
    }


def _model(of: ModelReport) -> dict[str, Any]:
    timeline, verdict = of.timeline, of.verdict
    return {
        "model": verdict.name,
        "state": verdict.state,
        "window": {
            "axis": "time" if timeline.has_times else "row",
            "start": documents.defined(timeline.first),
            "end": documents.defined(timeline.last),
            "critical_values": of.window,
        },
        "rejected_rows": dict(verdict.rejected),
        "rejected_state": verdict.rejected_state,
        "labels": dict(verdict.labels),
        "versions": [_version(of, version) for version in verdict.versions],
    }


def _version(of: ModelReport, version: VersionVerdict) -> dict[str, Any]:
    made = documents.of_version(
        version,
        summary=of.summary(version),
        advice=of.advice(version),
        since=of.since(version),
        field_since=partial(of.field_since, version),
    )
    # Rows that don't tell their time are dated when they are read.
    return made if of.timeline.has_times else made | {"last_prediction": None}
