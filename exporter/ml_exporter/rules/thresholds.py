"""Thresholds as rules read them: the most specific one of a field, the stricter of replicas."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from ml_exporter.batch import WatchedRole
from ml_exporter.config.thresholds import EFFECTS
from ml_exporter.rules.groups import Group, Rule
from ml_exporter.rules.mutes import rules as mutes
from ml_exporter.rules.mutes import unless_muted, unless_muted_fields
from ml_exporter.rules.promql import gauge, join_replicas, operand, union, without
from ml_exporter.rules.timing import Timing, duration

SEVERITIES = ("warning", "critical")
_ROLES: tuple[WatchedRole, ...] = get_args(WatchedRole)
FIELD_MONITORS = (
    *EFFECTS,
    *("missing_ratio", "invalid_ratio", "out_of_range_ratio", "unseen_ratio"),
    "constant_z",
    "drift_psi",
    "rolling_psi",
)


def groups(timing: Timing) -> Iterable[Group]:
    rules = [*mutes(timing)]
    for monitor in FIELD_MONITORS:
        rules += [_of_fields(timing, monitor, severity) for severity in SEVERITIES]
    rules += [_of_constraints(timing, severity) for severity in SEVERITIES]
    yield Group("ml-exporter-thresholds", duration(timing.slow), tuple(rules))


def of_model(timing: Timing, monitor: str, severity: str) -> str:
    """The threshold of one monitor of the whole model, without labels that say which."""
    labels = f'monitor="{monitor}",severity="{severity}",role="",field="",segment=""'
    of_replica = gauge(timing, f"ml_threshold{{{labels}}}")
    return unless_muted(join_replicas("min", of_replica, "monitor", "severity"), monitor)


def _of_fields(timing: Timing, monitor: str, severity: str) -> Rule:
    fields = without("group", "baseline_id", gauge(timing, "ml_field_baseline_rows"))
    return _of(fields, timing, monitor, severity)


def _of_constraints(timing: Timing, severity: str) -> Rule:
    """Of constrained fields, which have no role, and need no baseline."""
    counted = gauge(timing, "ml_constraint_violations_total")
    fields = without("group", "constraint", counted)
    return _of(fields, timing, "constraint_violation_ratio", severity, roles=False)


def _of(fields: str, timing: Timing, monitor: str, severity: str, roles: bool = True) -> Rule:
    def threshold(selector: str) -> str:
        labels = f'monitor="{monitor}",severity="{severity}",{selector},segment=""'
        return gauge(timing, f"ml_threshold{{{labels}}}")

    def of_roles(field: str) -> str:
        """Of each role: its own, else the one that names no role."""
        own, default = threshold(f'role!="",{field}'), threshold(f'role="",{field}')
        if not roles:
            return f"{without('min', 'role', own)}\nor\n{default}"
        return f"{own}\nor {union(dict.fromkeys(_ROLES, default), 'role')}"

    of_fields, of_model = of_roles('field!=""'), of_roles('field=""')
    of_all = "field, monitor, severity" if roles else "role, field, monitor, severity"
    # Each replica's own judgement of each field first, then the stricter of them.
    of_replica = (
        f"{of_fields}\nor\n{fields}\n"
        f"* ignoring ({of_all}) group_left (monitor, severity)\n{operand(of_model)}"
    )
    return Rule(
        "field:threshold",
        f"What {monitor} must not exceed ({severity}): the field's own, else its role's, else the "
        "model's; the lower of replicas.",
        unless_muted_fields(join_replicas("min", of_replica), monitor),
        {"monitor": monitor, "severity": severity},
    )
