"""The queries of a dashboard as Prometheus would be asked them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

# Grafana sets these by the time range and the width of a panel.
_BUILT_IN = {"__rate_interval": "5m", "__interval": "1m"}

_REFERENCE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|([a-zA-Z_]\w*))")  # $1 is label_replace's

MAY_BE_EMPTY = frozenset(
    {
        *("Firing alerts", "Alerts over time"),
        *("Schema violations", "Constraint violations", "Fields that no longer vary"),
        "Predictions an hour, and as usual",
    }
)
"""Panels whose queries rightly return nothing where nothing is wrong, or not for a week yet."""


class PanelQuery(NamedTuple):
    """A query, and the panel that asks it."""

    panel: str
    expr: str


def panels(dashboard: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All panels of a dashboard's JSON, in collapsed rows too, and the rows themselves."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", ())


def variables_of(text: str) -> set[str]:
    """Names of the variables that a text refers to."""
    return {braced or bare for braced, bare in _REFERENCE.findall(text)}


def panel_queries(dashboard: Mapping[str, Any], **variables: str) -> list[PanelQuery]:
    """The queries of all panels, with values for the dashboard's variables.

    A variable that isn't given has its default: all values where it has all, else the first one
    of its own list. `__rate_interval` and `__interval` can be given too. A KeyError names a
    variable that has neither, such as `model`.
    """
    values = _BUILT_IN | _defaults(dashboard) | variables
    return [
        PanelQuery(panel["title"], _substitute(target["expr"], values))
        for panel in panels(dashboard)
        for target in panel.get("targets", ())
    ]


def _defaults(dashboard: Mapping[str, Any]) -> dict[str, str]:
    defaults = {}
    for variable in dashboard["templating"]["list"]:
        if variable.get("includeAll"):
            defaults[variable["name"]] = variable["allValue"]
        elif variable["type"] == "custom":
            defaults[variable["name"]] = variable["current"]["value"]
    return defaults


def _substitute(expr: str, values: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda match: values[match[1] or match[2]], expr)
