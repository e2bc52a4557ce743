"""The alerts that a verdict would set off, by name: what fires, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ml_exporter.config.thresholds import SEVERITIES, Severity
from ml_exporter.judgement import explanation, field_explanation
from ml_exporter.judgement.verdicts import ModelVerdict, State, VersionVerdict, rank
from ml_exporter.judgement.wording import count

DRIFT_ALERTS: Mapping[str, str] = {
    "feature": "FeatureDrift",
    "prediction": "PredictionDrift",
    "score": "PredictionDrift",
    "component": "MultivariateDrift",
}
"""By the role of the field. None is about the label."""


Finding = tuple[State | None, str]


@dataclass(frozen=True)
class Alarm:
    """An alert of a version of a model; or of all its versions, where `version` is None."""

    alert: str
    severity: Severity
    model: str
    version: str | None
    summary: str
    findings: tuple[str, ...]  # the worst first


def alarms(models: Iterable[ModelVerdict]) -> list[Alarm]:
    """All that models set off, the worst first; of equal ones, causes before consequences."""
    found: list[Alarm] = []
    for model in models:
        found += _of_model(model)
        for version in model.versions:
            found += _of_version(model.name, version)
    return _worst_first(found)


def alarms_of(model: ModelVerdict, version: VersionVerdict) -> list[Alarm]:
    """Those of a version, and of all versions of its model, in the same order."""
    return _worst_first([*_of_model(model), *_of_version(model.name, version)])


def _worst_first(found: Sequence[Alarm]) -> list[Alarm]:
    return sorted(found, key=lambda alarm: -rank(alarm.severity))


def _of_model(model: ModelVerdict) -> Iterable[Alarm]:
    findings = [
        (model.rejected_state, explanation.explain_rejected(model)),
        (model.duplicates_state, f"{count(model.duplicates, 'row')} came twice"),
        (
            model.from_future_state,
            f"{count(model.from_future, 'row')} are of the future",
        ),
    ]
    yield from _alarm("DataIntegrityViolations", model.name, None, findings)


def _of_version(model: str, of: VersionVerdict) -> Iterable[Alarm]:
    def alarm(alert: str, findings: Sequence[Finding], summary: str | None = None) -> list[Alarm]:
        return list(_alarm(alert, model, of.version, findings, summary))

    yield from alarm("DataIntegrityViolations", _broken(of))
    schema = [one for one in of.violations if one.is_of_schema]
    named = [(one.state, explanation.name_and_count(one)) for one in schema]
    yield from alarm("SchemaViolations", named)
    for alert in dict.fromkeys(DRIFT_ALERTS.values()):
        every = (*of.fields, *of.components)
        fields = [field for field in every if DRIFT_ALERTS.get(field.role) == alert]
        drifted = [field for field in fields if field.drift in SEVERITIES]
        which = field_explanation.names(drifted)
        what = "component" if alert == DRIFT_ALERTS["component"] else "field"
        yield from alarm(
            alert,
            [(field.drift, field_explanation.name_and_explain(field)) for field in drifted],
            f"{len(drifted)} of {count(len(fields), what)} drifted: {which}",
        )
    figures = [(one.state, explanation.explain_figure(one)) for one in of.unwell_figures]
    yield from alarm("ModelPerformanceDegraded", figures)
    if (constant := of.against_constant) is not None:
        worthless = explanation.explain_constant(constant)
        yield from alarm("ModelWorthless", [(constant.state, worthless)])
    segments = [(one.state, explanation.explain_segment(one)) for one in of.unwell_segments]
    yield from alarm("SegmentUnderperforming", segments)
    if (compared := of.against_champion) is not None:
        gap = explanation.explain_gap(compared)
        yield from alarm("VersionRegression", [(compared.state, gap)])
    if (estimate := of.estimate) is not None:
        figures = [(one.state, explanation.explain_figure(one)) for one in estimate.unwell_figures]
        yield from alarm("ModelEstimatedPerformanceDegraded", figures)
        concept = explanation.explain_concept(estimate)
        yield from alarm("ConceptDrift", [(estimate.concept, concept)])
    if (attribution := of.attribution) is not None:
        order = explanation.explain_attribution(attribution)
        yield from alarm("AttributionDrift", [(attribution.state, order)])


def _broken(of: VersionVerdict) -> list[Finding]:
    """Fields with broken values, then constraints that are violated."""
    found: list[tuple[State, str]] = [
        (share.state, field_explanation.explain_share(field, share))
        for field in of.fields
        for share in field.shares
        if field.role != "label"
    ]
    found += [
        (one.state, explanation.name_and_count(one))
        for one in of.violations
        if not one.is_of_schema
    ]
    return [*sorted(found, key=lambda finding: -rank(finding[0]))]


def _alarm(
    alert: str,
    model: str,
    version: str | None,
    findings: Sequence[Finding],
    summary: str | None = None,
) -> Iterable[Alarm]:
    """One with the findings that need attention, if any does; its summary is else the first."""
    unwell = [(state, text) for state, text in findings if state in SEVERITIES]
    if unwell:
        severity: Severity = "critical" if "critical" in dict(unwell) else "warning"
        texts = tuple(text for _, text in unwell)
        yield Alarm(alert, severity, model, version, summary or texts[0], texts)
