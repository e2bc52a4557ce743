"""Exact counts of rows: of each minute, and of each window as a sum of minutes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ml_exporter.rules.groups import Rule
from ml_exporter.rules.promql import indent, join_replicas
from ml_exporter.rules.timing import Timing, duration, span


@dataclass(frozen=True)
class Counter:
    """A counter of the exporter, and the name that its windows have.

    `otherwise` is what a window has where the counter isn't exposed; `%s` is the window's name.
    """

    name: str
    windows: str
    what: str
    otherwise: str = ""


MODEL_COUNTERS = (
    Counter("ml_predictions_total", "model:predictions", "Predictions"),
    Counter(
        "ml_labelled_predictions_total", "model:labelled_predictions", "Predictions with a label"
    ),
    Counter("ml_outcomes_total", "ml_outcomes_total", "Outcomes, by actual and predicted class,"),
    Counter("ml_rows_rejected_total", "ml_rows_rejected_total", "Rejected rows, by reason,"),
    Counter(
        "ml_duplicate_predictions_total",
        "ml_duplicate_predictions_total",
        "Predictions with the id and version of an earlier one",
    ),
    Counter(
        "ml_future_timestamps_total",
        "ml_future_timestamps_total",
        "Rows with a time in the future, by log,",
    ),
    Counter(
        "ml_schema_violations_total",
        "ml_schema_violations_total",
        "Schema violations, by kind and field,",
    ),
    Counter(
        "ml_constraint_violations_total",
        "ml_constraint_violations_total",
        "Rows that violate a constraint, by field and constraint,",
    ),
)
FIELD_VALUES = Counter(
    "ml_field_values_total", "ml_field_values_total", "Values, by field and bin,"
)

_HOUR_ENDS = "hour:ends"


def of_window(timing: Timing, counters: Sequence[Counter], window: str) -> Iterable[Rule]:
    """What counters counted in a window; with the hour come the minutes that all are made of.

    These belong into one group: evaluated at one instant, an hour has sixty minutes.
    """
    if window == "1h":
        yield _hour_ends(timing, counters[0])
    for counter in counters:
        if window == "1h":
            yield _minute(timing, counter)
        yield from sums(timing, counter, window, counters[0])


def pieces(timing: Timing, counter: Counter) -> Iterable[Rule]:
    """The minutes and hours of a counter whose windows are summed by groups that are slower."""
    yield _hour_ends(timing, counter)
    yield _minute(timing, counter)
    hour = f"sum_over_time({counter.name}:1m[{span(timing.lengths['1h'])}])"
    yield _hour(counter, hour, counter)


def sums(timing: Timing, counter: Counter, window: str, first: Counter) -> Iterable[Rule]:
    """Those of `of_window` but the minute, for a counter whose minutes are recorded otherwise.

    `first` is the group's first counter.
    """
    yield sum_of(timing, counter, window, late=window != "1h")
    if window == "1h":
        yield _hour(counter, f"{counter.windows}:1h", first)


def sum_of(timing: Timing, counter: Counter, window: str, late: bool = True) -> Rule:
    """What a counter counted in a window.

    It is `late` in other groups than that of the pieces: they can't know whether its last
    evaluation is stored yet.
    """
    piece, name = ("hour", counter.windows) if window == "7d" else ("1m", counter.name)
    offset = f" offset {duration(timing.settle)}" if late else ""
    counted = f"sum_over_time({name}:{piece}[{span(timing.lengths[window])}]{offset})"
    if counter.otherwise and piece == "1m":  # hours have it already
        counted += f"\nor\n{counter.otherwise.replace('%s', window)}"
    return Rule(
        f"{counter.windows}:{window}",
        f"{counter.what} of the last {window}.",
        counted,
    )


def _minute(timing: Timing, counter: Counter) -> Rule:
    return Rule(
        f"{counter.name}:1m",
        f"{counter.what} of the last minute, exactly.",
        rows_of_minute(timing, counter.name),
    )


def _hour(counter: Counter, rows: str, first: Counter) -> Rule:
    return Rule(
        f"{counter.windows}:hour",
        f"{counter.what} of the last hour, once an hour.",
        f'{rows}\nand on ()\n{_HOUR_ENDS}{{of="{first.windows}"}}',
    )


def _hour_ends(timing: Timing, first: Counter) -> Rule:
    """Whether the last hour is one of those that seven days are made of.

    They never overlap; between two of them is only what Prometheus was away for.
    """
    selector = f'{_HOUR_ENDS}{{of="{first.windows}"}}'
    return Rule(
        _HOUR_ENDS,
        "1 where an hour is over since it was 1, for what is counted in the same group.",
        f"vector(1)\nunless on ()\nlast_over_time({selector}[{span(timing.lengths['1h'])}])",
        {"of": first.windows},
    )


def rows_of_minute(timing: Timing, counter: str) -> str:
    """By how much a counter rose in the last minute, summed over replicas.

    A minute's samples are looked at `settle` late, since a scrape is stored under the time of
    its beginning. `previous` of a minute is `current` of the last one that had a sample, so that
    the differences add up to the counter's whole rise, whatever gaps there were. All are ranges,
    not instant look-ups, and so see the last sample of a target that has vanished, too.

    A restart is exact if it is the only one of its minute, and the counter hasn't passed within
    it what it had before. Nothing is ever counted twice.
    """
    minute, offset = span(timing.minute), duration(timing.settle)
    current, least, greatest = (
        f"{function}_over_time({counter}[{minute}] offset {offset})"
        for function in ("last", "min", "max")
    )
    before = duration(timing.minute + timing.settle)
    previous = f"last_over_time({counter}[{span(timing.memory)}] offset {before})"
    return join_replicas(
        "sum",
        f"""\
# it fell: what it had counted until then, and what it has counted since
{current}
+ clamp_min(
  (
    {greatest}
    > {current}
  )
  - {previous},
  0
)
or
# what it has beyond what it had: nothing of that, if it fell and has risen again
{current}
- (
  {previous}
  <= {least}
  or
  0 * {previous}
  or
  # it is new, and was born at 0
  {least}
)""",
    )


def unseen_rows(timing: Timing) -> Rule:
    """What the minutes don't have: rows of an outage over an hour, of missed evaluations."""
    day, offset = span(timing.lengths["24h"]), duration(timing.settle)
    counter = "ml_predictions_total"
    before = duration(timing.lengths["24h"] + timing.settle)
    raw = join_replicas(
        "sum",
        f"""\
clamp_min(
  max_over_time({counter}[{day}] offset {offset})
  - (
    last_over_time({counter}[{span(timing.memory)}] offset {before})
    or min_over_time({counter}[{day}] offset {offset})
  ),
  0
)""",
    )
    return Rule(
        "model:unseen_rows:24h",
        "Predictions of the last 24h that the counters saw and the minutes don't have, at least.",
        f"clamp_min(\n{indent(raw)}\n  - sum_over_time({counter}:1m[{day}]),\n  0\n)",
    )
