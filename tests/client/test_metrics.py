"""Samples as metrics of prometheus_client are those of the exposition."""

import math

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from ml_exporter.client.metrics import dump, load
from ml_exporter.exposition import render
from ml_exporter.families import Family, Histogram, freeze


def families() -> list[Family]:
    counter = Family("ml_things_total", 'Some "things"\\.', "counter", ("a",), of={"model": "m"})
    counter.inc(2, 'x"\\\n')
    again = Family("ml_things_total", 'Some "things"\\.', "counter", ("a",), of={"model": "n"})
    again.inc(0.5, "é")
    gauge = Family("ml_level", "A level.", "gauge")
    gauge.set(math.inf)
    histogram = Histogram("ml_sizes", "Sizes.", (0.5, 1.0), of={"model": "m"})
    histogram.observe(np.array([0.2, 0.7, 9.0]))
    return [counter, gauge, histogram, again, Family("ml_none_total", "None yet.", "counter")]


def samples(text: str) -> set[tuple[str, ...]]:
    return {
        (
            family.name,
            family.type,
            family.documentation,
            one.name,
            str(sorted(one.labels.items())),
            str(float(one.value)),
        )
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def test_samples_are_those_of_the_exposition() -> None:
    frozen = freeze(families())
    registry = CollectorRegistry()

    class Collector:
        def collect(self) -> list[Metric]:
            return list(load(dump(frozen)))

    registry.register(Collector())
    expected = samples(render(frozen).decode())
    assert len(expected) == 8
    assert samples(generate_latest(registry).decode()) == expected
