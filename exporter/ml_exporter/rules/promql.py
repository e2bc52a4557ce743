"""Pieces of PromQL that several rules are made of."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from ml_exporter.rules.timing import Timing, span

# Labels that tell replicas of one exporter apart; all others (job, namespace, cluster, what a
# user adds) tell models apart.
REPLICA_LABELS = (
    *("instance", "pod", "container", "endpoint", "node", "host", "uid"),
    *("pod_template_hash", "controller_revision_hash", "replica", "prometheus_replica"),
    *("pod_name", "pod_ip", "pod_uid", "pod_index", "kubernetes_pod_name", "kubernetes_pod_uid"),
    *("apps_kubernetes_io_pod_index", "statefulset_kubernetes_io_pod_name"),
    *("rollouts_pod_template_hash", "pod_template_generation"),
    *("container_id", "container_name", "kubernetes_container_name"),
    *("node_name", "nodename", "kubernetes_node", "hostname", "host_ip", "ip"),
)


def indent(text: str, by: int = 2) -> str:
    return textwrap.indent(text, " " * by)


def operand(expr: str) -> str:
    """An expression in parentheses."""
    return f"(\n{indent(expr)}\n)" if "\n" in expr else f"({expr})"


def join_replicas(aggregate: str, expr: str, *also: str) -> str:
    """An aggregate over replicas, and over the labels in `also`."""
    labels = textwrap.fill(", ".join((*REPLICA_LABELS, *also)), 88)
    return f"{aggregate} without (\n{indent(labels)}\n) (\n{indent(expr)}\n)"


def without(aggregate: str, labels: str, expr: str) -> str:
    body = f"\n{indent(expr)}\n" if "\n" in expr else expr
    return f"{aggregate} without ({labels}) ({body})"


def gauge(timing: Timing, selector: str) -> str:
    """A gauge of a target, outliving scrapes that failed (a range has no staleness)."""
    return f"last_over_time({selector}[{span(timing.gauge_memory)}])"


def with_label(expr: str, name: str, value: str) -> str:
    if "\n" not in expr:
        return f'label_replace({expr}, "{name}", "{value}", "", "")'
    return f'label_replace(\n{indent(expr)},\n  "{name}", "{value}", "", ""\n)'


def union(parts: Mapping[str, str], label: str) -> str:
    """Expressions as one vector, each under its own value of a label."""
    return "\nor ".join(with_label(expr, label, value) for value, expr in parts.items())


def positive_class(label: str) -> str:
    """1 for each binary model, with its positive class under a label."""
    return f'label_replace(model:info{{task="binary"}}, "{label}", "$1", "positive", "(.+)")'
