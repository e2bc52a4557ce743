"""Committed samples as metrics of prometheus_client, whichever process has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client import Metric

    from ml_exporter.families import Frozen


def dump(samples: list[Frozen]) -> bytes:
    """Samples as `load` reads them: families of one name together."""
    by_name: dict[str, list[Any]] = {}
    for frozen in samples:
        family = frozen.family
        if frozen.values.size:
            about = [family.name, family.help, family.kind, []]
            listed = by_name.setdefault(family.name, about)[3]
            sets = zip(family.suffixes, family.label_sets, frozen.values.tolist(), strict=False)
            # A histogram's _sum and _count have no value for `le`, its last label.
            listed += [
                (suffix, dict(zip(family.label_names, labels, strict=False)), value)
                for suffix, labels, value in sets
            ]
    return json.dumps(list(by_name.values())).encode()


def load(data: bytes) -> Iterator[Metric]:
    from prometheus_client import Metric  # which whoever has a registry has imported

    for name, help, kind, samples in json.loads(data):
        metric = Metric(name.removesuffix("_total") if kind == "counter" else name, help, kind)
        for suffix, labels, value in samples:
            metric.add_sample(name + suffix, labels, value)
        yield metric
