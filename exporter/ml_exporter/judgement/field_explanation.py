"""What happened to a field, or to the relation that a component is, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml_exporter.baseline.components import Loading
from ml_exporter.config.thresholds import SEVERITIES
from ml_exporter.judgement.verdicts import FieldVerdict, Share
from ml_exporter.judgement.wording import count, percent, quoted
from ml_exporter.statistics import drift
from ml_exporter.statistics.bins import ABOVE, ANY, BELOW, INVALID, MISSING, OTHER
from ml_exporter.statistics.drift import Test

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
_LEAST_MOVE = 0.005  # of a bin's share, to be told
_LEAST_LOADING = 0.3  # of the greatest, to be told beside it


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
    parted = explain_parting(component)
    return f"{parted[0].upper()}{parted[1:]}: {text[0].lower()}{text[1:]}"


def explain_parting(component: FieldVerdict) -> str:
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


def names(fields: Sequence[FieldVerdict], most: int = 3) -> str:
    names = ", ".join(quoted(field.name) for field in fields[:most])
    rest = len(fields) - most
    return f"{names} and {rest} more" if rest > 0 else names
