"""All figures of fields, a group a window.

The rules of a group are evaluated one after the other at one instant, so that a statistic never
has the bins of one minute and the rows of another.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules import components, constancy, counts, drift, effects, integrity
from ml_exporter.rules.groups import Group, Rule
from ml_exporter.rules.promql import without
from ml_exporter.rules.timing import WINDOWS, Timing, duration


def groups(timing: Timing) -> Iterable[Group]:
    baseline = (
        *(*drift.baseline(timing), *effects.baseline(timing), *integrity.baseline()),
        *(*constancy.baseline(), *components.baseline(timing)),
    )
    yield Group("ml-exporter-baselines", duration(timing.slow), baseline)
    pieces = tuple(counts.pieces(timing, counts.FIELD_VALUES))
    yield Group("ml-exporter-field-counts", duration(timing.minute), pieces)
    for window in WINDOWS:
        rules = (
            counts.sum_of(timing, counts.FIELD_VALUES, window),
            Rule(
                f"field:rows:{window}",
                f"Values of the field, over {window}: one a row.",
                without("sum", "bin", f"{drift.VALUES}:{window}") + " > 0",
            ),
            *integrity.shares(window),
            *constancy.statistics(window),
            *constancy.usual(timing, window),
            *drift.statistics(window),
            *effects.effects(window),
            *drift.judgements(window),
            *components.figures(window),
        )
        # Of many fields, figures of the last hour are too dear for each minute.
        interval = timing.interval("24h" if window == "1h" else window)
        yield Group(f"ml-exporter-fields-{window}", interval, rules)
