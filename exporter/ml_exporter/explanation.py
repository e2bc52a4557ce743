"""Verdicts in words: what happened to a field, to a model, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ml_exporter.statistics import drift
from ml_exporter.statistics.bins import ABOVE, ANY, BELOW, INVALID, MISSING, OTHER
from ml_exporter.statistics.drift import Test
from ml_exporter.statistics.figures import HIGHER_IS_BETTER
from ml_exporter.thresholds import SEVERITIES
from ml_exporter.verdicts import FieldVerdict, Figure, ModelVerdict, VersionVerdict

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
_LONGEST_NAME = 60  # characters


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


def quoted(name: str) -> str:
    """The name of a field in text, shortened where it is very long."""
    if len(name) <= _LONGEST_NAME:
        return f"`{name}`"
    half = _LONGEST_NAME // 2
    return f"`{name[:half]}…{name[-half:]}`"


def explain_field(field: FieldVerdict) -> str:
    """What happened to a field."""
    if not field.rows:
        return "No values in this window."
    parts = [
        f"{percent(share.ratio)} {_SHARES[share.kind]}, "
        f"{percent(share.baseline_ratio)} in the baseline"
        for share in field.shares
        if share.state in SEVERITIES
    ]
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


def explain_figure(figure: Figure) -> str:
    """A figure and the threshold that it has crossed: `accuracy 0.812, below 0.82`."""
    text = f"{metric(figure.metric)} {figure.value:.3f}"
    limit = next((figure.thresholds[s] for s in SEVERITIES if s == figure.state), None)
    side = "below" if figure.metric in HIGHER_IS_BETTER else "above"
    return text if limit is None else f"{text}, {side} {limit:.3g}"


def summarize(version: VersionVerdict, window: str = "last hour") -> str:
    """What is wrong with a version, in one sentence."""
    parts = [explain_figure(figure) for figure in version.unwell_figures[:1]]
    if fields := version.unwell_fields:
        of = f"{len(fields)} of {count(len(version.fields), 'field')}"
        parts.append(f"{of} {'has' if len(fields) == 1 else 'have'} changed: {_names(fields)}")
    if parts:
        text = "; ".join(parts)
        return text[0].upper() + text[1:] + "."
    if not version.predictions:
        return f"No predictions in the {window}."
    if version.baseline_state == "learning":
        return "Learning: its first rows are becoming the baseline it will be judged by."
    return f"Nothing is beyond its threshold in the {window}."


def _names(fields: Sequence[FieldVerdict], most: int = 3) -> str:
    names = ", ".join(quoted(field.name) for field in fields[:most])
    rest = len(fields) - most
    return f"{names} and {rest} more" if rest > 0 else names


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
    if broken:
        advice.append(
            f"Look at what feeds {_names(broken)} first: broken input explains drift and lost "
            "performance, and is the quickest to mend."
        )
    if inputs:
        advice.append(
            f"Find out what changed for {_names(inputs)} since then: a release upstream, a unit, "
            "a new group of users. If it is here to stay, retrain."
        )
    if outputs and not (inputs or broken):
        advice.append(
            "Predictions have moved and inputs haven't: look for a new model, threshold or "
            "preprocessing step."
        )
    if version.unwell_figures and not unwell:
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
