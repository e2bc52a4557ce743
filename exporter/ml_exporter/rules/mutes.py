"""What is muted now: its thresholds are as if there were none. And what is too new for alerts."""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules.groups import Rule
from ml_exporter.rules.promql import gauge, indent, join_replicas
from ml_exporter.rules.timing import Timing, span

_MUTED = "model:muted_until"
_WAITING = "model:waiting_until"
_EVERY = f'{_MUTED}{{monitor!="",field=""}}'  # that is of a monitor, whatever the field


def rules(timing: Timing) -> Iterable[Rule]:
    yield Rule(
        _MUTED,
        "Until when nothing is alerted of a `monitor`, a `field`, or a monitor of a field, in "
        "seconds since 1970; of replicas, the earliest.",
        join_replicas("min", gauge(timing, "ml_muted_until_timestamp_seconds")),
    )
    waits = join_replicas("min", gauge(timing, "ml_alert_wait_seconds"))
    remembered = f"last_over_time(model:first_seen[{span(timing.target_memory)}])"
    yield Rule(
        "model:first_seen",
        "Since when a version that is waited for is known, in seconds since 1970.",
        f"{remembered}\nor\n0 * {waits} + time()",
    )
    yield Rule(
        _WAITING,
        "Until when nothing is alerted of a version that is new.",
        f"model:first_seen\n+ {waits}",
    )


def unless_waiting(alert: str) -> str:
    """An alert, but of a version that is new; those of no version are never waited with."""
    on = "on (cluster, namespace, job, model, version)"
    return f"{_parts(alert)}\nunless {on}\n{_WAITING} > time()"


def unless_muted(thresholds: str, monitor: str) -> str:
    """Thresholds of one monitor of the whole model, without a label that says which."""
    return f"{_parts(thresholds)}\nunless ignoring (monitor)\n{_of_monitor(monitor)}"


def unless_muted_monitors(thresholds: str) -> str:
    """Thresholds by `monitor` and `severity`."""
    return f"{_parts(thresholds)}\nunless ignoring (severity)\n{_EVERY} > time()"


def unless_muted_fields(thresholds: str, monitor: str) -> str:
    """Thresholds of a monitor by `field`, `severity` and perhaps `role`, of any fields."""
    # Mutes of fields name one monitor, or none and are of all.
    some = f'{_MUTED}{{monitor=~"{monitor}|",field!=""}} > time()'
    return (
        f"{_parts(thresholds)}\nunless ignoring (role, monitor, severity)\n{some}\n"
        f"unless ignoring (role, field, monitor, severity)\n{_of_monitor(monitor)}"
    )


def unless_muted_signals(signals: str) -> str:
    """What is said of signals, but of those that are the figure of a muted monitor."""
    muted = f'label_replace(\n  {_EVERY} > time(),\n  "signal", "$1", "monitor", "(.+)"\n)'
    return f"{_parts(signals)}\nunless ignoring (monitor)\n{muted}"


def _of_monitor(monitor: str) -> str:
    return f'{_MUTED}{{monitor="{monitor}",field=""}} > time()'


def _parts(expr: str) -> str:
    return f"(\n{indent(expr)}\n)"
