"""Requests by which the exporter probes models, by what came of them."""

from __future__ import annotations

from collections.abc import Mapping

from ml_exporter.families import Family

RESULTS = ("answered", "failed", "unusable")


class Probes:
    def __init__(self) -> None:
        self._probes = Family(
            "ml_exporter_probes_total",
            "Requests that the exporter sent to a model to attribute its predictions to features, "
            "by result.",
            "counter",
            ("result",),
        )
        for result in RESULTS:
            self._probes.add(result)
        self.families = (self._probes,)

    def add(self, counted: Mapping[str, int]) -> None:
        for result, count in counted.items():
            self._probes.inc(count, result)
