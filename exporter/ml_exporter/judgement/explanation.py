"""Verdicts in words: what happened to a model, its segments, versions and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ml_exporter.config.segments import REGION_FIELD
from ml_exporter.config.thresholds import SEVERITIES
from ml_exporter.judgement.field_explanation import explain_parting, names
from ml_exporter.judgement.verdicts import (
    AttributionVerdict,
    ChampionVerdict,
    ConstantVerdict,
    EstimateVerdict,
    Figure,
    Importance,
    ModelVerdict,
    SegmentVerdict,
    VersionVerdict,
    Violation,
)
from ml_exporter.judgement.wording import count, figure, metric, ordinal, percent, quoted
from ml_exporter.statistics.figures import HIGHER_IS_BETTER

_VIOLATIONS = {
    "missing_field": "gone",
    "extra_field": "in no baseline",
    "wrong_type": "of another type",
}
_LONGEST_REGION = 120


def explain_figure(one: Figure) -> str:
    """A figure and the threshold that it has crossed: `accuracy 0.812, below 0.82`."""
    text = f"{metric(one.metric)} {figure(one.value)}"
    limit = next((one.thresholds[s] for s in SEVERITIES if s == one.state), None)
    if limit is None:
        return text
    side = "below" if one.metric in HIGHER_IS_BETTER else "above"
    return f"{text}, {side} {figure(limit) if abs(limit) >= 1000 else f'{limit:.3g}'}"


def explain_rejected(model: ModelVerdict) -> str:
    reasons = ", ".join(
        f"{count(rows)} {reason.replace('_', ' ')}"
        for reason, rows in sorted(model.rejected.items(), key=lambda item: -item[1])
    )
    return f"{count(sum(model.rejected.values()), 'row')} rejected: {reasons}"


def explain_violation(violation: Violation) -> str:
    """What is wrong in the rows of a violation, as the end of a sentence about its field."""
    if violation.kind in _VIOLATIONS:
        return f"is {_VIOLATIONS[violation.kind]}"
    return f"violates {violation.kind.replace('_', ' ')}"


def explain_renaming(gone: Sequence[Violation], new: Sequence[Violation]) -> str:
    """That fields which came and went at once are most likely the same; "" where none did."""
    if not gone or not new:
        return ""
    was, now = (", ".join(quoted(one.field) for one in some[:3]) for some in (gone, new))
    return f"{was} went when {now} came: most likely renamed."


def name_and_count(violation: Violation) -> str:
    """The field of a violation, what is wrong, and how often."""
    share = f"in {percent(violation.ratio)} of the rows"
    return f"{quoted(violation.field)} {explain_violation(violation)} {share}"


def segment_name(segment: SegmentVerdict) -> str:
    """A segment in text; that of a region, which nobody has named, is its condition."""
    name = segment.name if segment.field == REGION_FIELD else f"{segment.field} {segment.name}"
    return quoted(name, most=_LONGEST_REGION)


def explain_segment(one: SegmentVerdict) -> str:
    """A segment's figure beside that of the baseline."""
    return (
        f"{segment_name(one)}: {metric(one.metric)} {figure(one.value)} of "
        f"{count(one.labelled, 'label')}, {figure(one.reference)} in the baseline"
    )


def explain_gap(one: ChampionVerdict) -> str:
    return f"{percent(one.gap)} worse than version {quoted(one.champion)}"


def explain_constant(one: ConstantVerdict) -> str:
    """How a model is beside one that always says the same."""
    if one.metric == "r2":
        return f"{metric(one.metric)} {figure(one.value)}: worse than always saying the mean"
    return (
        f"{metric(one.metric)} {figure(one.value)}, and {figure(one.constant)} by always saying "
        "the commonest class"
    )


def explain_concept(one: EstimateVerdict) -> str:
    """Whether outcomes follow from scores as they did."""
    errors = ", ".join(
        f"{metric(name)} {error:+.3f}"
        for name, error in one.errors.items()
        if name in ("accuracy", "f1", "mean_absolute_error")
    )
    said = f"; expected less true: {errors}" if errors else ""
    return f"outcomes no longer follow from scores as they did{said}"


def explain_attribution(one: AttributionVerdict) -> str:
    def first(attributions: Mapping[str, float]) -> str:
        ordered = sorted(attributions, key=lambda name: -attributions[name])
        return ", ".join(quoted(name) for name in ordered[:3])

    return (
        f"predictions rest on {first(one.now)} most, in the baseline on {first(one.baseline)} "
        f"(NDCG {one.ndcg:.2f})"
    )


def explain_importance(one: Importance) -> str:
    """`1st of 7 by importance: tells 80 % of the prediction`."""
    what = (
        f"{percent(one.share)} of the attribution"
        if one.of == "attribution"
        else f"tells {percent(one.share)} of the {one.of}"
    )
    return f"{ordinal(one.place)} of {one.features} by importance: {what}"


def summarize(version: VersionVerdict, window: str = "last hour") -> str:
    """What is wrong with a version, in one sentence."""
    parts = [explain_figure(one) for one in version.unwell_figures[:1]]
    if fields := version.unwell_fields:
        of = f"{len(fields)} of {count(len(version.fields), 'field')}"
        parts.append(f"{of} {'has' if len(fields) == 1 else 'have'} changed: {names(fields)}")
    if (components := version.unwell_components) and not fields:
        parts.append(explain_parting(components[0]))
    if (constant := version.against_constant) is not None and constant.state in SEVERITIES:
        parts.append(explain_constant(constant))
    parts += [name_and_count(one) for one in version.unwell_violations[:1]]
    parts += _other_reasons(version) if not parts else []
    if parts:
        text = "; ".join(parts)
        return text[0].upper() + text[1:] + "."
    if not version.predictions:
        return f"No predictions in the {window}."
    if version.baseline_state == "learning":
        return "Learning: its first rows are becoming the baseline it will be judged by."
    return f"Nothing is beyond its threshold in the {window}."


def _other_reasons(version: VersionVerdict) -> list[str]:
    """What is wrong where fields and figures are well."""
    reasons = [explain_segment(one) for one in version.unwell_segments[:1]]
    if (estimate := version.estimate) is not None:
        reasons += [f"by estimate, {explain_figure(one)}" for one in estimate.unwell_figures[:1]]
        reasons += [explain_concept(estimate)] if estimate.concept in SEVERITIES else []
    if (gap := version.against_champion) is not None and gap.state in SEVERITIES:
        reasons.append(explain_gap(gap))
    if (order := version.attribution) is not None and order.state in SEVERITIES:
        reasons.append(explain_attribution(order))
    return reasons
