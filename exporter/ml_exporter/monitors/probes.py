"""Requests by which the exporter probes models, by what came of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ml_exporter.families import Family


class Probes:
    def __init__(self, results: Iterable[str]) -> None:
        self._probes = Family(
            "ml_exporter_probes_total",
            "Requests that the exporter sent to a model to attribute its predictions to features, "
            "by result.",
            "counter",
            ("result",),
        )
        for result in results:
            self._probes.add(result)
        self.families = (self._probes,)

    def add(self, counted: Mapping[str, int]) -> None:
        for result, count in counted.items():
            self._probes.inc(count, result)
