"""The monitors that can have a threshold, and the part of the configuration that sets them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from ml_exporter.config.yaml_nodes import Node, Section, suggestion
from ml_exporter.statistics import figures

if TYPE_CHECKING:
    from ml_exporter.batch import Role

Severity = Literal["warning", "critical"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)

KEYS = {"threshold": (*SEVERITIES, "fields"), "field_threshold": SEVERITIES}

# Monitors have the names of the recorded metrics: `psi` is `field:psi:24h`.
MODEL_MONITORS = (
    *figures.JUDGED,
    *("performance_gap", "multivariate_drift", "anomaly"),
    *("cut_off_rise", "first_token_slowdown", "time_to_first_token_seconds"),
)
EFFECTS = (
    "psi",
    "location_shift",
    "js_distance",
    "total_variation",
    "l_infinity",
    "l_infinity_robust",
    "ks",
    "ks_robust",
    "wasserstein",
)
"""How large a drift is: it matters if one of these is above its threshold."""

FIELD_MONITORS = (
    *EFFECTS,
    "g_statistic",
    "location_z",
    "scale_z",
    "category_z",
    "missing_z",
    "invalid_z",
    "out_of_range_z",
    "unseen_z",
    "significance",
    "drift_psi",
    "rolling_psi",
    "missing_ratio",
    "invalid_ratio",
    "out_of_range_ratio",
    "unseen_ratio",
    "constraint_violation_ratio",
    "constant_z",
)

# Known, so that a file can be written for them, but no rule of this version reads them.
LATER_MODEL_MONITORS = (
    "predictions",
    "labelled_predictions",
    "positive_rate",
    "bias",
    *(f"estimated_{name}" for name in figures.JUDGED),
    "support",
    "drifted_fields",
    "calibration_drift",
)

EVERY_MONITOR = MODEL_MONITORS + LATER_MODEL_MONITORS + FIELD_MONITORS
_ROLES: dict[str, Role] = {"prediction": "prediction", "score": "score", "label": "label"}


@dataclass(frozen=True)
class Threshold:
    """One row of `ml_threshold`; `role` and `field` are None where it is the default.

    `reference` is what a figure of performance must be significantly worse than, besides being
    beyond the threshold; None: the threshold itself.
    """

    monitor: str
    severity: Severity
    value: float
    role: Role | None = None
    field: str | None = None
    reference: float | None = None


def read_thresholds(
    node: Node, fields: Sequence[str] | None
) -> tuple[tuple[Threshold, ...], frozenset[str]]:
    """The thresholds that are set, and the monitors that are off.

    `fields` are the names a threshold may be set for; None: not known before the baseline is.
    """
    thresholds: list[Threshold] = []
    off: set[str] = set()
    for key, value in node.mapping():
        monitor = key.text()
        if monitor not in EVERY_MONITOR:
            key.error(f"unknown monitor{suggestion(monitor, EVERY_MONITOR)}")
            continue
        if monitor not in MODEL_MONITORS + FIELD_MONITORS:
            key.note("has no effect in this version")
        if value.kind == "a boolean":
            off.add(monitor)
            if value.boolean():
                value.error("must be false or a mapping of severities; a monitor is on by itself")
            continue
        section = value.mapping()
        section.check_keys(KEYS["threshold"])
        if not section.entries and value.kind == "a mapping":
            value.error("must set a severity: warning or critical")
        thresholds += _severities(section, monitor, None)
        if by_field := section.get("fields"):
            if monitor in FIELD_MONITORS:
                thresholds += _by_field(by_field, monitor, fields)
            else:
                by_field.error(f"{monitor!r} is a figure of the whole model, not of a field")
    return tuple(thresholds), frozenset(off)


def _by_field(node: Node, monitor: str, fields: Sequence[str] | None) -> list[Threshold]:
    thresholds: list[Threshold] = []
    for key, value in node.mapping():
        name = key.text()
        if fields is not None and name not in fields:
            key.error(f"unknown field{suggestion(name, fields)}")
        section = value.mapping()
        section.check_keys(KEYS["field_threshold"])
        thresholds += _severities(section, monitor, name)
    return thresholds


def _severities(section: Section, monitor: str, field: str | None) -> list[Threshold]:
    role = None if field is None else _ROLES.get(field, "feature")
    return [
        Threshold(monitor, severity, value.number(), role, field)
        for severity in SEVERITIES
        if (value := section.get(severity)) is not None
    ]
