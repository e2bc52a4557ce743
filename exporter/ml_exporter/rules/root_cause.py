"""Templates of what is behind a drift: which bins moved, since when, how important, and where.

`ABOUT_FIELD` comes after ABOUT_MODEL, in a `range` over fields by role, field and baseline_id. The
status page says the same by `ml_exporter.judgement.explanation`.
"""

from __future__ import annotations

from ml_exporter.rules.annotations import each, number
from ml_exporter.rules.drift import BASELINE, BASELINE_ROWS, VALUES
from ml_exporter.rules.timing import Timing, duration

_MOST_BINS = 2  # that gained, and that lost
_LEAST_MOVE = 0.5  # points of a bin's share, to be told
_MOST_SEGMENTS = 3
_LEAST_SEGMENT_MOVE = 5  # points of a segment's share
_LOOKS = 12  # an hour, back in time

ABOUT_FIELD = (
    '{{ $field := printf "%s,role=%q,field=%q,baseline_id=%q" '
    "$model .Labels.role .Labels.field .Labels.baseline_id }}"
)
"""What lets the templates of a field say `%[1]s` in their queries."""


def of_field(timing: Timing) -> str:
    """All that is known of why a field drifted."""
    return _moved_bins() + _importance() + _since(timing)


def _each(query: str, text: str) -> str:
    return each(query, text).replace("$model", "$field")


def _moved_bins() -> str:
    """The bins that gained and lost the most, in points of their share of the values."""
    now, usual = (
        f"{counts}{{%[1]s}} / ignoring (bin) group_left () {rows}{{%[1]s}}"
        for counts, rows in ((f"{VALUES}:24h", "field:rows:24h"), (BASELINE, BASELINE_ROWS))
    )
    gain = f"100 * ({now} - {usual})"
    text = f", bin {{{{ .Labels.bin }}}}: {number('%+.1f')} points"
    gained = _each(f"topk({_MOST_BINS}, {gain} > {_LEAST_MOVE})", text)
    return gained + _each(f"bottomk({_MOST_BINS}, {gain} < -{_LEAST_MOVE})", text)


def _importance() -> str:
    query = "max(ml_field_baseline_importance{%s,field=%q})"
    return each(query, f", importance {number('%.2f')}", ".Labels.field")


def _since(timing: Timing) -> str:
    """When, within a day, the hour before didn't differ significantly yet."""
    day = duration(timing.lengths["24h"])
    every = duration(max(timing.lengths["1h"] / _LOOKS, timing.minute))
    calm = "timestamp(field:significance:1h{%[1]s} <= 1)"
    query = f"max(max_over_time({calm}[{day}:{every}]))"
    return _each(query, ", since {{ .Value | humanizeTimestamp }}")


def more_rows() -> str:
    """The segments that have more of the rows than they had in the baseline."""
    shares = (
        "sum by (segment_field, segment) (segment:predictions:24h{%[1]s}) "
        "/ ignoring (segment) group_left () "
        "sum by (segment_field) (segment:predictions:24h{%[1]s})"
    )
    usual = "max by (segment_field, segment) (ml_segment_baseline_ratio{%[1]s})"
    return each(
        f"topk({_MOST_SEGMENTS}, 100 * ({shares} - {usual}) > {_LEAST_SEGMENT_MOVE})",
        "\nMore rows of {{ .Labels.segment_field }} {{ .Labels.segment }}: "
        f"{number('%+.1f')} points",
    )
