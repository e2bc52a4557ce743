"""Whether a field that used to vary has stopped, as the reading of a sensor that froze.

The twin is `ml_exporter.statistics.constancy`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules.annotations import ABOUT_MODEL, NAME, Builder, each, number
from ml_exporter.rules.drift import BASELINE, BASELINE_ROWS, VALUES
from ml_exporter.rules.groups import Alert, Rule
from ml_exporter.rules.promql import indent, without
from ml_exporter.rules.shares import log_ratios
from ml_exporter.rules.timing import Timing, duration, span
from ml_exporter.statistics.constancy import LEAST_Z, USUAL_SHARE

WINDOWS = ("1h", "24h")  # that are judged: what varies seldom varies within a week
_PRESENT = "field:baseline_present_count"


def baseline() -> Iterable[Rule]:
    yield Rule(
        _PRESENT,
        "Values of the baseline that are neither missing nor invalid.",
        f"{BASELINE_ROWS} - field:baseline_missing_count - field:baseline_invalid_count",
    )


def statistics(window: str) -> Iterable[Rule]:
    if window not in WINDOWS:
        return
    present, only = f"field:present_count:{window}", f"field:only_bin_count:{window}"
    yield Rule(
        only,
        f"Values of the bin that has all of those that are present, over {window}.",
        f'{VALUES}:{window}{{bin!~"<.*"}}\n== ignoring (bin) group_left ()\n({present} > 0)',
    )
    before = f"field:only_bin_baseline_count:{window}"
    yield Rule(
        before,
        f"Rows of the baseline in the bin that has all values that are present, over {window}.",
        f"{BASELINE} and {only}",
    )
    of_bin = "ignoring (bin) group_left ()"
    in_bin = log_ratios(only, present, before, _PRESENT, of_bin)
    # Of the other bins only the baseline has rows.
    in_others = f"(-{before} + {of_bin} {_PRESENT})\n* {of_bin} ln(1 + {present} / {_PRESENT})"
    terms = f"{in_bin}\n+ {in_others}"
    yield Rule(
        f"field:constant_z:{window}",
        "Signed root of the likelihood-ratio statistic of the only bin that has values against "
        f"the baseline's: how unlikely it is that all are in it. Over {window}.",
        f"sqrt(clamp_min(2 * (\n{indent(terms)}\n), 0))",
    )


def usual(timing: Timing, window: str) -> Iterable[Rule]:
    """How often a field was constant before, from what was recorded a day ago and earlier."""
    if window != "7d":
        return
    hour, day, week = (timing.lengths[name] for name in ("1h", "24h", "7d"))
    before = f"[{span(week)}:{duration(hour)}] offset {duration(day)}"
    for of in WINDOWS:
        constant = f"count_over_time((field:constant_z:{of} > {LEAST_Z / 4:g}){before})"
        yield Rule(
            f"field:usually_constant_ratio:{of}",
            f"Share of a week's hours, until a day ago, in which the field was constant over {of}.",
            f"{without('sum', 'bin', constant)}\n/\ncount_over_time(field:rows:{of}{before})",
        )


def alerts(build: Builder, severity: str) -> Iterable[Rule | Alert]:
    for window in WINDOWS:
        yield Rule(
            "field:constant_count:1h",
            f"Values in the only bin over {window} where that is beyond its {severity} threshold, "
            f"and wasn't usual: in at most {USUAL_SHARE:.0%} of the hours of the week before.",
            f"field:only_bin_count:{window}\nand\n"
            f'field:constant_z:{window}{{role=~"feature|prediction|score"}}\n'
            "> ignoring (bin, monitor, severity, baseline_id) group_left ()\n"
            f'field:threshold{{monitor="constant_z",severity="{severity}"}}\n'
            f"unless ignoring (bin)\nfield:usually_constant_ratio:{window} > {USUAL_SHARE}",
            {"severity": severity, "over": window},
        )
    of_model = f"field:constant_count:1h{{severity='{severity}',%s}}"
    fields = f"topk(5, max by (role, field, bin) ({of_model}))"
    constant = without(
        "count",
        "role, field, baseline_id, bin, over",
        f'field:constant_count:1h{{severity="{severity}"}}',
    )
    yield build.alert(
        "FieldConstant",
        severity,
        f"{constant} > 0",
        help="All values of a feature, prediction or score over 1h, or over 24h, are in one bin, "
        "where the baseline's are in several, by far more than chance explains; and that wasn't "
        "usual in the week before.",
        summary=f"{ABOUT_MODEL}{NAME}: "
        + each(f"topk(1, max by (field) ({of_model}))", "{{ .Labels.field }} no longer varies"),
        description=f"{ABOUT_MODEL}All of their values are in one bin:"
        + each(fields, f"\n- {{{{ .Labels.field }}}}: {number('%.0f')} in {{{{ .Labels.bin }}}}"),
    )
