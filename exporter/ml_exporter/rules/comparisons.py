"""Distributions without a baseline: this week against the last, a version against the champion.

The bins are a baseline's, given or learned, and its counts aren't asked. The twin is
`ml_exporter.statistics.drift`, of two windows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ml_exporter.rules.annotations import ABOUT_MODEL, NAME, Builder, each, number
from ml_exporter.rules.drift import VALUES
from ml_exporter.rules.groups import Alert, Group, Rule
from ml_exporter.rules.promql import indent, without
from ml_exporter.rules.shares import g_statistic
from ml_exporter.rules.timing import Timing, duration

WINDOWS = ("24h", "7d")
OF_VERSIONS = "24h"

_OF_FIELD = "role, field, baseline_id"
_OF_BIN = "ignoring (bin) group_left ()"


@dataclass(frozen=True)
class _Sample:
    """The values of fields by bin, and how many each field has."""

    values: str
    rows: str


def groups(timing: Timing) -> Iterable[Group]:
    for window in WINDOWS:
        now = _Sample(f"{VALUES}:{window}", f"field:rows:{window}")
        week = f"offset {duration(timing.lengths['7d'])}"
        before = _Sample(f"{now.values} {week}", f"{now.rows} {week}")
        against = f"{window} against the same time a week before"
        rules = [*_comparison("drift", now, before, against, window)]
        if window == OF_VERSIONS:
            rules += _versions(now, window)
        yield Group(f"ml-exporter-comparisons-{window}", timing.interval(window), tuple(rules))


def _versions(now: _Sample, window: str) -> Iterable[Rule]:
    of_champion = f"ignoring ({_OF_FIELD}, bin)\nmodel:champion:7d"
    champion = _Sample(f"field:champion_values:{window}", f"field:champion_rows:{window}")
    others = f"{now.values}\nunless {of_champion}"
    yield Rule(
        champion.values,
        "Values of the champion by bin, under each other version that has the same baseline, over "
        f"{window}.",
        f"0 * (\n{indent(others)}\n)\n+ ignoring (version) group_left ()\n"
        + without("max", "version", f"{now.values}\nand {of_champion}"),
    )
    yield Rule(
        champion.rows,
        f"Values of the champion, under each other version, over {window}.",
        f"{without('sum', 'bin', champion.values)} > 0",
    )
    against = f"{window} against the champion's"
    yield from _comparison("version", now, champion, against, window)


def _comparison(
    name: str, one: _Sample, other: _Sample, against: str, window: str
) -> Iterable[Rule]:
    """How far the distributions of two samples are apart, and whether by chance."""
    bins = "0.5 * field:baseline_bins"
    shares = [
        f"({sample.values} + 0.5)\n/ {_OF_BIN} ({sample.rows} + {bins})" for sample in (one, other)
    ]
    difference, ratio = (
        f"(\n{indent(shares[0])}\n  {sign}\n{indent(of_other)}\n)"
        for sign, of_other in (("-", shares[1]), ("/", f"(\n{indent(shares[1])}\n)"))
    )
    yield Rule(
        f"field:{name}_psi:{window}",
        f"Population stability index of the values of {against}.",
        without("sum", "bin", f"{difference}\n* ln{ratio}"),
    )
    statistic = f"field:{name}_g_statistic:{window}"
    yield Rule(
        statistic,
        f"Likelihood-ratio statistic of the distribution of {against}.",
        g_statistic(one.values, one.rows, other.values, other.rows),
    )
    yield Rule(
        f"field:{name}_significance:{window}",
        f"That statistic over its critical value, above 1 is significant: of {against}.",
        f"{statistic}\n/ ignoring (test, window)\n"
        f'field:critical_value{{test="distribution",window="{window}"}}',
    )


def alerts(build: Builder, severity: str) -> Iterable[Rule | Alert]:
    yield Rule(
        "field:weekly_drift:24h",
        f"PSI over 24h of a field against a week before, where it is above its {severity} "
        "threshold and significant.",
        "field:drift_psi:24h\n> ignoring (monitor, severity, baseline_id) group_left ()\n"
        f'field:threshold{{monitor="drift_psi",severity="{severity}"}}\n'
        "and\nfield:drift_significance:24h > 1",
        {"severity": severity},
    )
    drifted = f'field:weekly_drift:24h{{severity="{severity}",role!="label"}}'
    of_model = f"max by (field) (field:weekly_drift:24h{{severity='{severity}',role!='label',%s}})"
    of_field = f"{{{{ .Labels.field }}}}: PSI {number('%.3f')}"
    yield build.alert(
        "WeeklyDrift",
        severity,
        f"{without('count', _OF_FIELD, drifted)} > 0",
        help="The distribution of a feature, prediction or score over 24h differs from that of the "
        "same day a week before by more than chance explains, and by more than the threshold of "
        "`drift_psi`. It has none by default, and so the alert is off.",
        summary=f"{ABOUT_MODEL}{NAME}: {{{{ $value }}}} field"
        "{{ if gt $value 1.0 }}s{{ end }} other than a week before, "
        + each(f"topk(1, {of_model})", of_field),
        description=f"{ABOUT_MODEL}Other over the last 24h than on the same day a week before, the "
        "most first:" + each(f"topk(5, {of_model})", f"\n- {of_field}"),
    )
