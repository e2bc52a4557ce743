"""Rule files: which groups are in which, and writing them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ml_exporter.rules import (
    alerts,
    attributions,
    cohorts,
    comparisons,
    completions,
    degradation,
    drift_kinds,
    error_rates,
    estimation,
    fields,
    labels,
    money,
    performance,
    ranks,
    regression,
    requests,
    scores,
    segments,
    signals,
    thresholds,
    versions,
    volume,
)
from ml_exporter.rules.groups import Group, to_yaml
from ml_exporter.rules.links import Links
from ml_exporter.rules.timing import DEFAULT_TIMING, Timing


def rule_files(
    timing: Timing = DEFAULT_TIMING, links: Links | None = None
) -> Mapping[str, tuple[Group, ...]]:
    """The groups of each rule file, by its name."""
    return {
        "models.yml": tuple(performance.groups(timing)),
        "scores.yml": (*scores.groups(timing), *ranks.groups(timing)),
        "regression.yml": tuple(regression.groups(timing)),
        "segments.yml": tuple(segments.groups(timing)),
        "cohorts.yml": tuple(cohorts.groups(timing)),
        "volume.yml": tuple(volume.groups(timing)),
        "versions.yml": tuple(versions.groups(timing)),
        "estimation.yml": tuple(estimation.groups(timing)),
        "attributions.yml": tuple(attributions.groups(timing)),
        "money.yml": tuple(money.groups(timing)),
        "degradation.yml": tuple(degradation.groups(timing)),
        "labels.yml": tuple(labels.groups(timing)),
        "requests.yml": tuple(requests.groups(timing)),
        "completions.yml": tuple(completions.groups(timing)),
        "thresholds.yml": tuple(thresholds.groups(timing)),
        "fields.yml": tuple(fields.groups(timing)),
        "comparisons.yml": tuple(comparisons.groups(timing)),
        "concept-drift.yml": (
            *error_rates.groups(timing),
            *drift_kinds.groups(timing),
        ),
        "signals.yml": tuple(signals.groups(timing)),
        "alerts.yml": tuple(alerts.groups(timing, links or Links())),
    }


def write_rules(
    folder: Path, timing: Timing = DEFAULT_TIMING, links: Links | None = None
) -> list[Path]:
    """Write all rule files into a folder, which is made; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, groups in rule_files(timing, links).items():
        path = folder / name
        path.write_text(to_yaml(groups), encoding="utf-8")
        paths.append(path)
    return paths
