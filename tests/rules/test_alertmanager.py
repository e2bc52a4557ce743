"""The Alertmanager configuration: who is silenced by whom, and how notifications read."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_exporter.rules import write_alertmanager
from tests.support import ROOT, find_tool, free_port, get, serving, wait_until

TEMPLATES = ROOT / "alertmanager/templates"

# Alerts of different models fire together: (firing, of them silenced).
INHIBITIONS: dict[str, tuple[list[tuple[str, str]], set[tuple[str, str]]]] = {
    "critical silences warning": (
        [("FeatureDrift", "critical"), ("FeatureDrift", "warning")],
        {("FeatureDrift", "warning")},
    ),
    "broken values silence drift, and drift performance": (
        [
            ("DataIntegrityViolations", "critical"),
            ("FeatureDrift", "critical"),
            ("PredictionDrift", "warning"),
            ("ModelPerformanceDegraded", "critical"),
        ],
        {
            ("FeatureDrift", "critical"),
            ("PredictionDrift", "warning"),
            ("ModelPerformanceDegraded", "critical"),
        },
    ),
    "a broken schema and frozen fields silence drift": (
        [
            ("SchemaViolations", "critical"),
            ("FieldConstant", "warning"),
            ("FeatureDrift", "critical"),
            ("PredictionVolumeChanged", "warning"),
        ],
        {("FeatureDrift", "critical")},
    ),
    "a feature that drifted silences the components that it moves": (
        [
            ("FeatureDrift", "critical"),
            ("MultivariateDrift", "critical"),
            ("MultivariateDrift", "warning"),
        ],
        {("MultivariateDrift", "critical"), ("MultivariateDrift", "warning")},
    ),
    "components silence performance": (
        [("MultivariateDrift", "warning"), ("ModelPerformanceDegraded", "warning")],
        {("ModelPerformanceDegraded", "warning")},
    ),
    "a warning silences no critical alert": (
        [("DataIntegrityViolations", "warning"), ("FeatureDrift", "critical")],
        set(),
    ),
    "performance silences its segments and what was expected": (
        [
            ("ModelPerformanceDegraded", "critical"),
            ("SegmentUnderperforming", "critical"),
            ("ModelEstimatedPerformanceDegraded", "warning"),
            ("ConceptDrift", "warning"),
            ("VersionRegression", "warning"),
        ],
        {
            ("SegmentUnderperforming", "critical"),
            ("ModelEstimatedPerformanceDegraded", "warning"),
            ("ConceptDrift", "warning"),
        },
    ),
    "a dead exporter silences what it feeds": (
        [
            ("ExporterDown", "critical"),
            ("PredictionsAbsent", "critical"),
            ("FeatureDrift", "critical"),
        ],
        {("PredictionsAbsent", "critical"), ("FeatureDrift", "critical")},
    ),
    "one replica of two that is dead silences nothing": (
        [("ExporterDown", "warning"), ("FeatureDrift", "warning")],
        set(),
    ),
    "critical silences warning, again": (
        [("FeatureDrift", "critical"), ("FeatureDrift", "warning")],
        {("FeatureDrift", "warning")},
    ),
}
# Its inhibitor takes alerts in turn, after the API has answered: the last tell that it's done.
LAST = "critical silences warning, again"


def alert(model: str, name: str, severity: str) -> dict[str, Any]:
    labels = {"alertname": name, "severity": severity, "model": model, "job": "ml-exporter"}
    if name not in ("ExporterDown", "PredictionsAbsent"):
        labels["version"] = "1"
    return {"labels": labels, "annotations": {"summary": f"{model}: {name}"}}


@pytest.fixture(scope="module")
def alerts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """What a real Alertmanager thinks of all those alerts at once."""
    folder = tmp_path_factory.mktemp("alertmanager")
    config = write_alertmanager(folder, "http://127.0.0.1:9/")
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        find_tool("alertmanager"),
        f"--config.file={config}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--cluster.listen-address=",
    ]
    with serving(command, f"{url}/-/ready"):
        firing = [
            alert(model, *one) for model, (several, _) in INHIBITIONS.items() for one in several
        ]
        request = urllib.request.Request(
            f"{url}/api/v2/alerts",
            json.dumps(firing).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            assert response.status == 200

        def known() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = json.loads(get(f"{url}/api/v2/alerts")[1])
            return found

        wait_until(lambda: silenced(known(), LAST) == INHIBITIONS[LAST][1], 30, "alerts")
        assert len(known()) == len(firing)
        yield known()


def silenced(alerts: list[dict[str, Any]], model: str) -> set[tuple[str, str]]:
    return {
        (one["labels"]["alertname"], one["labels"]["severity"])
        for one in alerts
        if one["labels"]["model"] == model and one["status"]["state"] == "suppressed"
    }


@pytest.mark.parametrize("model", INHIBITIONS)
def test_silences(alerts: list[dict[str, Any]], model: str) -> None:
    assert silenced(alerts, model) == INHIBITIONS[model][1]


NOTIFICATION = {
    "receiver": "slack",
    "status": "firing",
    "groupLabels": {"model": "credit"},
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "FeatureDrift", "severity": "critical", "model": "credit"},
            "annotations": {
                "summary": "credit 3: 1 of 5 features have drifted (age most, PSI 0.41)",
                "description": "Differ from the baseline:\n- age: PSI 0.410",
                "runbook_url": "https://runbooks.example.com/FeatureDrift.md",
                "dashboard_url": "https://grafana.example.com/d/ml-exporter-overview",
            },
            "startsAt": "2026-03-01T12:30:00Z",
        },
        {
            "status": "resolved",
            "labels": {"alertname": "PredictionsAbsent", "severity": "warning", "model": "credit"},
            "annotations": {"summary": "credit: no predictions in the last 1h"},
            "startsAt": "2026-03-01T10:00:00Z",
            "endsAt": "2026-03-01T11:15:00Z",
        },
    ],
}

RENDERED = {
    "title": "[critical] credit: FeatureDrift",
    "color": "danger",
    "slack": """\
*credit 3: 1 of 5 features have drifted (age most, PSI 0.41)* (critical, since 1 March 12:30 UTC)
Differ from the baseline:
- age: PSI 0.410
<https://grafana.example.com/d/ml-exporter-overview|Dashboard> | <https://runbooks.example.com/FeatureDrift.md|Runbook>

Resolved: credit: no predictions in the last 1h (1 March 10:00 to 1 March 11:15 UTC)""",
    "text": """\
credit 3: 1 of 5 features have drifted (age most, PSI 0.41)
critical, since 1 March 12:30 UTC

Differ from the baseline:
- age: PSI 0.410

Dashboard: https://grafana.example.com/d/ml-exporter-overview
Runbook:   https://runbooks.example.com/FeatureDrift.md


Resolved: credit: no predictions in the last 1h
1 March 10:00 to 1 March 11:15 UTC""",
}


@pytest.mark.parametrize("template", RENDERED)
def test_notifications_read_well(tmp_path: Path, template: str) -> None:
    data = tmp_path / "notification.json"
    data.write_text(json.dumps(NOTIFICATION))
    command = [
        find_tool("amtool"),
        "template",
        "render",
        f"--template.glob={TEMPLATES}/*.tmpl",
        f'--template.text={{{{ template "ml_exporter.{template}" . }}}}',
        f"--template.data={data}",
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == RENDERED[template]
