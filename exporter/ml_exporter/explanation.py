"""Verdicts in words: what happened to a field, to a model, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml_exporter.components import Loading
from ml_exporter.rules.segments import CLEARLY, EXPLAINS
from ml_exporter.segments import REGION_FIELD
from ml_exporter.statistics import drift
from ml_exporter.statistics.bins import ABOVE, ANY, BELOW, INVALID, MISSING, OTHER
from ml_exporter.statistics.drift import Test
from ml_exporter.statistics.figures import HIGHER_IS_BETTER
from ml_exporter.thresholds import SEVERITIES
from ml_exporter.verdicts import (
    AttributionVerdict,
    ChampionVerdict,
    ConstantVerdict,
    EstimateVerdict,
    FieldVerdict,
    Figure,
    Importance,
    ModelVerdict,
    SegmentVerdict,
    Share,
    VersionVerdict,
    Violation,
)

_SHARES: Mapping[Test, str] = {
    "missing": "missing",
    "invalid": "not a valid value",
    "out_of_range": "outside the baseline's range",
    "unseen": "in no category of the baseline",
}
_SPECIAL = {
    BELOW: "below the baseline's range",
    ABOVE: "above the baseline's range",
    MISSING: "missing",
    INVALID: "not a valid value",
    OTHER: "in no category of the baseline",
    ANY: "some text",
}
_METRICS = {
    "f1": "F1",
    "f1_weighted": "F1 weighted",
    "roc_auc": "ROC AUC",
    "r2": "R²",
    "gini": "Gini",
}
_VIOLATIONS = {
    "missing_field": "gone",
    "extra_field": "in no baseline",
    "wrong_type": "of another type",
}
_LONGEST_NAME = 60  # characters
_LONGEST_REGION = 120
_LEAST_MOVE = 0.005  # of a bin's share, to be told
_LEAST_LOADING = 0.3  # of the greatest, to be told beside it


def percent(share: float) -> str:
    """A share to two digits or a tenth of a percent; never 0 % or 100 % where it isn't."""
    if math.isnan(share):
        return "–"
    value = 100 * share
    if 0 < value < 0.1:
        return "<0.1 %"
    if 99.9 < value < 100:
        return ">99.9 %"
    return f"{value:.1f} %".replace(".0 ", " ") if value < 10 or value > 99 else f"{value:.0f} %"


def count(number: float, noun: str = "") -> str:
    """A whole number with its noun: `1 row`, `20,000 rows`."""
    return f"{number:,.0f}" + (f" {noun}{'' if number == 1 else 's'}" if noun else "")


def metric(name: str) -> str:
    """What a figure is called in text."""
    return _METRICS.get(name, name.replace("_", " "))


def quoted(name: str, most: int = _LONGEST_NAME) -> str:
    """The name of a field in text, shortened where it is very long."""
    if len(name) <= most:
        return f"`{name}`"
    half = most // 2
    return f"`{name[:half]}…{name[-half:]}`"


def explain_share(field: FieldVerdict, share: Share) -> str:
    """How many of a field's values are broken."""
    return f"{quoted(field.name)}: {_share(share)}"


def _share(share: Share) -> str:
    usual = percent(share.baseline_ratio)
    return f"{percent(share.ratio)} {_SHARES[share.kind]}, {usual} in the baseline"


def name_and_explain(field: FieldVerdict) -> str:
    text = explain(field)
    return f"{quoted(field.name)}: {text[0].lower()}{text[1:].removesuffix('.')}"


def explain_field(field: FieldVerdict) -> str:
    """What happened to a field."""
    if not field.rows:
        return "No values in this window."
    parts = [_share(share) for share in field.shares if share.state in SEVERITIES]
    if field.drift in SEVERITIES and (shift := _shift(field, told=bool(parts))):
        parts.append(shift)
    if parts:
        text = "; ".join(parts)
        return text[0].upper() + text[1:] + "."
    if field.significance > 1:
        return f"A real change, but a small one (PSI {field.psi:.3f})."
    if any(
        size > limit
        for effect, size in field.effects.items()
        for limit in field.thresholds[effect].values()
    ):
        return f"Too few rows ({count(field.rows)}) to tell a change from chance."
    return "As in the baseline."


def explain(field: FieldVerdict) -> str:
    """What happened to a field, or to the relation that a component is."""
    return explain_component(field) if field.role == "component" else explain_field(field)


def explain_component(component: FieldVerdict) -> str:
    """What happened to a component, by the features that count most in it."""
    text = explain_field(component)
    if component.drift not in SEVERITIES:
        return text
    parting = _parting(component)
    return f"{parting[0].upper()}{parting[1:]}: {text[0].lower()}{text[1:]}"


def _parting(component: FieldVerdict) -> str:
    """Which features parted, or came together."""
    if not component.loadings:
        side = "less" if component.location_shift > 0 else "more"
        return f"rows as a whole are {side} usual than in the baseline"
    first, *others = component.loadings
    if not others or abs(others[0].value) < _LEAST_LOADING * abs(first.value):
        return f"{_input(first)} goes otherwise with the other features than it did"
    pair = f"{_input(first)} and {_input(others[0])}"
    scale = component.statistics.get("scale", math.nan)
    least = component.critical_values.get("scale", math.inf)
    # Of a small variance is a sum that hardly varies: what counts alike in it is opposed.
    is_relation = component.variance < 1
    opposed = (first.value * others[0].value > 0) is is_relation
    how = "against each other" if opposed else "together"
    if is_relation or abs(scale) > least:
        more = scale < -least if is_relation else scale > least
        return f"{pair} go {how} {'more' if more else 'less'} than they did"
    return f"{pair} have moved {how}"


def _input(loading: Loading) -> str:
    category = "" if loading.category is None else f": {loading.category}"
    return quoted(loading.field + category)


def _shift(field: FieldVerdict, told: bool) -> str:
    """How the distribution moved, in the values' own unit; "" if the broken ones told all."""
    plain = np.array([bin not in (MISSING, INVALID, OTHER) for bin in field.bins])
    w, r = field.counts, field.baseline_counts
    if told and plain.any():
        w, r = np.where(plain, w, 0), np.where(plain, r, 0)
        rest = drift.psi(w[plain], r[plain])
        if not any(rest > limit for limit in field.thresholds["psi"].values()):
            return ""
    location = abs(field.statistics.get("location", math.nan))
    if location > field.critical_values.get("location", math.inf):
        return _moved(field)
    now, usual = w / w.sum(), r / r.sum()
    change = (now - usual) * np.log((now + 1e-6) / (usual + 1e-6))
    most = int(np.argmax(change))
    of = " of the others" if told else ""
    values = f"{percent(float(now[most]))}{of} {_what(field, most)}"
    return f"{values}, {percent(float(usual[most]))} in the baseline"


def _moved(field: FieldVerdict) -> str:
    """Up or down: by the bin's edge where the difference to the baseline is the greatest."""
    direction = "up" if field.location_shift > 0 else "down"
    ranked = [index for index, bin in enumerate(field.bins) if bin not in (MISSING, INVALID)]
    above = [_shares_above(counts[ranked]) for counts in (field.counts, field.baseline_counts)]
    edges = range(1, len(ranked) - 1)  # of <below> and <above> the name is no edge
    best = max(edges, key=lambda edge: (above[0][edge] - above[1][edge]) * field.location_shift)
    edge = field.bins[ranked[best]]
    return (
        f"moved {direction}: {percent(above[0][best])} of values are above {edge}, "
        f"{percent(above[1][best])} in the baseline"
    )


def _shares_above(counts: NDArray[np.float64]) -> list[float]:
    shares: list[float] = (1 - np.cumsum(counts) / counts.sum()).clip(0).tolist()
    return shares


def _what(field: FieldVerdict, index: int) -> str:
    """A bin, as the end of a sentence about values."""
    bin = field.bins[index]
    if bin in _SPECIAL:
        return f"are {_SPECIAL[bin]}"
    if field.type == "category":
        return f"are {quoted(bin)}"
    before = field.bins[index - 1]
    return f"are up to {bin}" if before == BELOW else f"are between {before} and {bin}"


def bin_range(field: FieldVerdict, index: int) -> str:
    """A bin by itself."""
    return _what(field, index).removeprefix("are ")


class Move(NamedTuple):
    """A bin whose share of the rows has changed."""

    name: str
    usual: float  # in the baseline
    now: float


def moved_bins(field: FieldVerdict, most: int = 3) -> tuple[list[Move], list[Move]]:
    """The bins that gained and those that lost at least half a point, the most first."""
    if not (field.rows and field.baseline_rows):
        return [], []
    usual, now = field.baseline_counts / field.baseline_rows, field.counts / field.rows
    moves = [
        Move(bin_range(field, index), float(usual[index]), float(now[index]))
        for index in np.argsort(usual - now, kind="stable")
    ]
    gained = [move for move in moves if move.now - move.usual >= _LEAST_MOVE]
    lost = [move for move in reversed(moves) if move.usual - move.now >= _LEAST_MOVE]
    return gained[:most], lost[:most]


def explain_figure(figure: Figure) -> str:
    """A figure and the threshold that it has crossed: `accuracy 0.812, below 0.82`."""
    text = f"{metric(figure.metric)} {figure.value:.3f}"
    limit = next((figure.thresholds[s] for s in SEVERITIES if s == figure.state), None)
    side = "below" if figure.metric in HIGHER_IS_BETTER else "above"
    return text if limit is None else f"{text}, {side} {limit:.3g}"


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
        f"{segment_name(one)}: {metric(one.metric)} {one.value:.3f} of "
        f"{count(one.labelled, 'label')}, {one.reference:.3f} in the baseline"
    )


def explain_gap(one: ChampionVerdict) -> str:
    return f"{percent(one.gap)} worse than version {quoted(one.champion)}"


def explain_constant(one: ConstantVerdict) -> str:
    """How a model is beside one that always says the same."""
    if one.metric == "r2":
        return f"{metric(one.metric)} {one.value:.3f}: worse than always saying the mean"
    return (
        f"{metric(one.metric)} {one.value:.3f}, and {one.constant:.3f} by always saying the "
        "commonest class"
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


def ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"


def summarize(version: VersionVerdict, window: str = "last hour") -> str:
    """What is wrong with a version, in one sentence."""
    parts = [explain_figure(figure) for figure in version.unwell_figures[:1]]
    if fields := version.unwell_fields:
        of = f"{len(fields)} of {count(len(version.fields), 'field')}"
        parts.append(f"{of} {'has' if len(fields) == 1 else 'have'} changed: {names(fields)}")
    if (components := version.unwell_components) and not fields:
        parts.append(_parting(components[0]))
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


def names(fields: Sequence[FieldVerdict], most: int = 3) -> str:
    names = ", ".join(quoted(field.name) for field in fields[:most])
    rest = len(fields) - most
    return f"{names} and {rest} more" if rest > 0 else names


def carriers(version: VersionVerdict) -> list[SegmentVerdict]:
    """The segments that a loss of performance is in, if there is one: those with most of it first.

    They are those that the alert `ModelPerformanceDegraded` names.
    """
    if not version.unwell_figures:
        return []
    found = [one for one in version.segments if one.drop_share > EXPLAINS and one.z > CLEARLY]
    return sorted(found, key=lambda one: -one.drop_share)


def advise(model: ModelVerdict, version: VersionVerdict) -> list[str]:
    """What to look at, the most likely cause first."""
    advice = []
    unwell = [field for field in version.unwell_fields if field.role != "label"]
    broken = [f for f in unwell if any(share.state in SEVERITIES for share in f.shares)]
    drifted = [f for f in unwell if f not in broken]
    inputs = [f for f in drifted if f.role == "feature"]
    outputs = [f for f in drifted if f.role != "feature"]
    if model.rejected_state in SEVERITIES:
        reason = max(model.rejected, key=lambda reason: model.rejected[reason])
        advice.append(f"Most rejected rows are {reason}: look at what writes the log.")
    if model.duplicates_state in SEVERITIES:
        advice.append("Many predictions come twice: a log that is read twice, or ids that repeat.")
    if model.from_future_state in SEVERITIES:
        advice.append("Many predictions are from the future: look at the clock of who logs them.")
    if broken:
        advice.append(
            f"Look at what feeds {names(broken)} first: broken input explains drift and lost "
            "performance, and is the quickest to mend."
        )
    if inputs:
        advice.append(
            f"Find out what changed for {names(inputs)} since then: a release upstream, a unit, "
            "a new group of users. If it is here to stay, retrain."
        )
    if outputs and not (inputs or broken):
        advice.append(
            "Predictions have moved and inputs haven't: look for a new model, threshold or "
            "preprocessing step."
        )
    if version.unwell_components and not unwell:
        advice.append(
            "Each feature by itself is as in training, and relations between them are not: look "
            "for rows that are joined wrongly, a feature that is late or computed otherwise."
        )
    if carrying := carriers(version):
        which = " and ".join(
            f"{segment_name(one)} {percent(one.drop_share)}" for one in carrying[:2]
        )
        advice.append(f"Of the lost performance these segments carry the most: {which}.")
    if "classes" in version.change_kinds:
        advice.append(
            "Labels say that only the mix of classes has moved: scores of each class are as they "
            "were. Correct scores and thresholds for the new shares; the ranking holds."
        )
    elif "relation" in version.change_kinds:
        advice.append(
            "Labels say that the same scores no longer come true as often: what follows from the "
            "inputs has changed. Don't trust estimates; retrain on recent labels."
        )
    elif version.unwell_figures and not (unwell or version.unwell_components):
        advice.append(
            "Inputs and predictions are as in training, and yet the model errs more: check the "
            "labels, then whether what it predicts has changed. That takes retraining."
        )
    elif version.unwell_figures:
        advice.append("Performance is by arrival of the label: it may lag behind what you mend.")
    elif (inputs or broken) and version.labelled:
        advice.append("The figures that have a threshold hold so far.")
    if not version.predictions and len(model.versions) == 1:
        advice.append(
            f"The log has {count(model.lag_bytes, 'byte')} left to read. See whether the service "
            "has traffic, and whether it still writes to the configured path."
        )
    return advice
