"""What to look at where a model is unwell."""

from __future__ import annotations

from ml_exporter.config.thresholds import SEVERITIES
from ml_exporter.judgement.explanation import segment_name
from ml_exporter.judgement.field_explanation import names
from ml_exporter.judgement.verdicts import ModelVerdict, SegmentVerdict, VersionVerdict
from ml_exporter.judgement.wording import count, percent, quoted
from ml_exporter.rules.segments import CLEARLY, EXPLAINS

_MOST_CLASSES = 3  # that are named
# Reasons of rejections that a path of the configuration which leads nowhere has, too.
_OF_PATHS = ("no_id", "no_fields", "bad_timestamp")


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
        where = "the paths in `fields`, and at " if reason in _OF_PATHS else ""
        advice.append(f"Most rejected rows are {reason}: look at {where}what writes the log.")
    if strange := _classes_without_the_positive(version):
        advice.append(
            f"No row is of the positive class {quoted(version.positive)}: the classes are "
            f"{' and '.join(quoted(name) for name in strange)}. See `positive`."
        )
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
    if not (version.predictions or model.rejected) and len(model.versions) == 1:
        advice.append(
            f"{count(model.lag_bytes, 'byte')} of the log aren't counted yet. After a start, rows "
            "wait until two scrapes have seen their series at 0, or for a minute. If it stays so, "
            "the exporter's own log says why."
            if model.lag_bytes
            else "Nothing is left to read. See whether the service has traffic, and whether it "
            "still writes to the configured path."
        )
    return advice


def _classes_without_the_positive(version: VersionVerdict) -> list[str]:
    """The classes of a binary model, if none of several is the one that is called positive."""
    found = {
        bin
        for field in version.fields
        if field.role in ("prediction", "label")
        for bin, rows in zip(field.bins, field.counts + field.baseline_counts, strict=True)
        if rows and not bin.startswith("<")
    }
    is_strange = version.task == "binary" and version.positive not in found and len(found) > 1
    return sorted(found)[:_MOST_CLASSES] if is_strange else []
