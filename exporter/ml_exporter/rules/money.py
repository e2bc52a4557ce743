"""What a model earned, from what its labelled predictions were worth."""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules import counts
from ml_exporter.rules.counts import Counter
from ml_exporter.rules.groups import Group, Rule
from ml_exporter.rules.timing import WINDOWS, Timing

COUNTERS = (
    Counter("ml_outcome_value_total", "ml_outcome_value_total", "Money, gained and lost,"),
    Counter(
        "ml_valued_predictions_total", "model:valued_predictions", "Labelled predictions priced"
    ),
)


def groups(timing: Timing) -> Iterable[Group]:
    for window in WINDOWS:
        rules = (*counts.of_window(timing, COUNTERS, window), *_figures(window))
        yield Group(f"ml-exporter-money-{window}", timing.interval(window), rules)


def _figures(window: str) -> Iterable[Rule]:
    gain, loss = (f'ml_outcome_value_total:{window}{{sign="{sign}"}}' for sign in ("gain", "loss"))
    yield Rule(
        f"model:outcome_value:{window}",
        f"What labelled predictions were worth, gains less losses, in `currency`, over {window}.",
        f"{gain}\n- ignoring (sign)\n{loss}",
    )
    yield Rule(
        f"model:outcome_value_per_prediction:{window}",
        f"The same for each labelled prediction, in the mean, over {window}.",
        f"model:outcome_value:{window}\n/ (model:valued_predictions:{window} > 0)",
    )
