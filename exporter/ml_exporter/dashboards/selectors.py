"""PromQL that several panels share: what the dashboard's variables select, and unions."""

from __future__ import annotations

from collections.abc import Mapping

from ml_exporter.rules import rule_files
from ml_exporter.rules.groups import Alert
from ml_exporter.rules.promql import indent

FLEET = 'job=~"$job",namespace=~"$namespace"'
MODEL = f'{FLEET},model="$model",version=~"$version"'
CHOSEN = f'{FLEET},model="$model"'  # whatever the version
FIELD = f'{MODEL},role="$role",field="$field"'

# What tells models apart, versions of one not.
MODEL_KEYS = "cluster, namespace, job, model"

JUDGED_ROLES = 'role=~"feature|prediction|score"'

_FIRING, _CRITICAL, _WARNING = 'alertstate="firing"', 'severity="critical"', 'severity="warning"'

_NAMES = {
    rule.alert
    for groups in rule_files().values()
    for group in groups
    for rule in group.rules
    if isinstance(rule, Alert)
}
_ALERT_NAMES = "|".join(sorted(_NAMES)).join(('alertname=~"', '"'))


def alerts(*matchers: str) -> str:
    """Firing alerts of these rules, among all that a Prometheus has."""
    return f"ALERTS{{{_of_alerts(_FIRING, *matchers)}}}"


def alerts_since() -> str:
    """When what the firing alerts say became true, in seconds since 1970."""
    return f"ALERTS_FOR_STATE{{{_of_alerts()}}}\nand ignoring (alertstate) {alerts()}"


def _of_alerts(*matchers: str) -> str:
    return ",".join((*matchers, FLEET, _ALERT_NAMES))


def severities(*matchers: str) -> str:
    """Firing alerts: 1 for a warning, 2 for a critical one."""
    return f"2 * {alerts(_CRITICAL, *matchers)}\nor {alerts(_WARNING, *matchers)}"


def state(models: str, by: str, *matchers: str) -> str:
    """The gravest alert that fires about one of the series `models`, 0 where none does."""
    return f"max by ({by}) (\n{indent(severities(*matchers))}\n  or 0 * {models}\n)"


def of_preferred_estimator(series: str) -> str:
    """What the better estimator of each version says of figures, by `version` and `monitor`."""
    preferred = (
        f"{series}\nand on (cluster, namespace, job, model, version, estimator)\n"
        f"model:preferred_estimator{{{MODEL}}}"
    )
    return f"max by (version, monitor) (\n{indent(preferred)}\n)"


def union(parts: Mapping[str, str], label: str) -> str:
    """Expressions as one vector, each under its own value of a label."""
    return "\nor ".join(
        f'label_replace({expr}, "{label}", "{value}", "", "")' for value, expr in parts.items()
    )
