"""The samples of one version of a model, found by name."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property

from ml_exporter.config.thresholds import SEVERITIES, Severity


class Samples:
    """Label sets and values by the name of their series."""

    def __init__(self) -> None:
        self._rows: dict[str, list[tuple[Mapping[str, str], float]]] = defaultdict(list)

    def add(self, name: str, labels: Mapping[str, str], value: float) -> None:
        self._rows[name].append((labels, value))

    def __getitem__(self, name: str) -> Sequence[tuple[Mapping[str, str], float]]:
        return self._rows.get(name, ())

    def total(self, name: str) -> float:
        return sum(value for _, value in self[name])

    def by(self, name: str, label: str) -> dict[str, float]:
        return {labels[label]: value for labels, value in self[name]}

    def labels(self, name: str, *names: str) -> tuple[str, ...]:
        """Label values of an info series."""
        for labels, _ in self[name]:
            return tuple(labels[one] for one in names)
        return ("",) * len(names)

    def thresholds(self, monitor: str, role: str = "", field: str = "") -> dict[Severity, float]:
        """By severity; the field's own go before the model's. There are none of what is muted."""
        if self._is_muted(monitor, field):
            return {}
        return self._thresholds[monitor, "", ""] | self._thresholds[monitor, role, field]

    def _is_muted(self, monitor: str, field: str) -> bool:
        mutes = {(monitor, ""), *({(monitor, field), ("", field)} if field else ())}
        return any(
            until > time.time() and (labels["monitor"], labels["field"]) in mutes
            for labels, until in self["ml_muted_until_timestamp_seconds"]
        )

    @cached_property
    def _thresholds(self) -> Mapping[tuple[str, str, str], dict[Severity, float]]:
        found: dict[tuple[str, str, str], dict[Severity, float]] = defaultdict(dict)
        for labels, value in self["ml_threshold"]:
            key = labels["monitor"], labels.get("role", ""), labels.get("field", "")
            for severity in SEVERITIES:
                if labels["severity"] == severity:
                    found[key][severity] = value
        return found
