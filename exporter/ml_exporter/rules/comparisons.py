"""Distributions without a baseline: a model against its own past, a version against the champion.

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
from ml_exporter.rules.shares import Sample, g_statistic, psi, sample
from ml_exporter.rules.timing import Timing, duration, span

WINDOWS = ("24h", "7d")
DAY = "24h"  # what is compared with the days before, and with the champion

_OF_FIELD = "role, field, baseline_id"
_OF_BIN = "ignoring (bin) group_left ()"


def groups(timing: Timing) -> Iterable[Group]:
    for window in WINDOWS:
        now = sample(f"{VALUES}:{window}", f"field:rows:{window}")
        week = f"offset {duration(timing.lengths['7d'])}"
        before = sample(f"{now.values} {week}", f"{now.rows} {week}")
        against = f"{window} against the same time a week before"
        rules = [*_comparison("drift", now, before, against, window)]
        if window == DAY:
            rules += (*_rolling(timing, now), *_versions(now, window))
        yield Group(f"ml-exporter-comparisons-{window}", timing.interval(window), tuple(rules))


def _rolling(timing: Timing, now: Sample) -> Iterable[Rule]:
    day, week = timing.lengths[DAY], timing.lengths["7d"]
    ended = f"offset {duration(day)}"
    # Less of a past than what is compared with it says little of what is usual.
    before = sample(f"{VALUES}:7d {ended}", f"(field:rows:7d {ended} >= {now.rows})")
    against = f"{DAY} against the seven days before, or as much of them as there is"
    yield from _comparison("rolling", now, before, against, DAY)
    yield Rule(
        "field:usual_rolling_significance",
        "The greatest of that in the week that ended a day ago: what days of the week alone bring "
        "about.",
        f"max_over_time(field:rolling_significance:{DAY}"
        f"[{span(week)}:{duration(timing.lengths['1h'])}] {ended})",
    )


def _versions(now: Sample, window: str) -> Iterable[Rule]:
    of_champion = f"ignoring ({_OF_FIELD}, bin)\nmodel:champion:7d"
    champion = sample(f"field:champion_values:{window}", f"field:champion_rows:{window}")
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


def _comparison(name: str, one: Sample, other: Sample, against: str, window: str) -> Iterable[Rule]:
    """How far the distributions of two samples are apart, and whether by chance."""
    counts = [f"({of.values} + 0.5)" for of in (one, other)]
    shares = [
        f"{count}\n/ {_OF_BIN} ({of.rows} + 0.5 * field:baseline_bins)"
        for count, of in zip(counts, (one, other), strict=True)
    ]
    yield Rule(
        f"field:{name}_psi:{window}",
        f"Population stability index of the values of {against}.",
        psi(shares[0], shares[1], " / ".join(counts)),
    )
    statistic = f"field:{name}_g_statistic:{window}"
    yield Rule(
        statistic,
        f"Likelihood-ratio statistic of the distribution of {against}.",
        g_statistic(one, other),
    )
    yield Rule(
        f"field:{name}_significance:{window}",
        f"That statistic over its critical value, above 1 is significant: of {against}.",
        f"{statistic}\n/ ignoring (test, window)\n"
        f'field:critical_value{{test="distribution",window="{window}"}}',
    )


@dataclass(frozen=True)
class _Past:
    """What a model is alerted to differ from, once its monitor has a threshold."""

    alert: str
    drift: str  # the name of the fields that differ
    comparison: str
    unless: str
    than: str
    day: str  # the same at length
    help: str

    @property
    def monitor(self) -> str:
        return f"{self.comparison}_psi"


_PASTS = (
    _Past(
        "WeeklyDrift",
        "weekly_drift",
        "drift",
        "",
        "a week before",
        "on the same day a week before",
        "that of the same day a week before by more than chance explains",
    ),
    _Past(
        "RollingDrift",
        "rolling_drift",
        "rolling",
        f"\nunless\nfield:rolling_significance:{DAY} <= field:usual_rolling_significance",
        "in the seven days before",
        "in the seven days before",
        "that of the seven days before, or as many of them as there are, by more than chance "
        "explains and than on any day of the week before",
    ),
)


def alerts(build: Builder, severity: str) -> Iterable[Rule | Alert]:
    for past in _PASTS:
        yield from _of_past(past, build, severity)


def _of_past(past: _Past, build: Builder, severity: str) -> Iterable[Rule | Alert]:
    record, effect = f"field:{past.drift}:{DAY}", f"field:{past.monitor}:{DAY}"
    yield Rule(
        record,
        f"PSI over {DAY} of a field against what it was {past.than}, where it is above its "
        f"{severity} threshold and significant.",
        f"{effect}\n> ignoring (monitor, severity, baseline_id) group_left ()\n"
        f'field:threshold{{monitor="{past.monitor}",severity="{severity}"}}\n'
        f"and\nfield:{past.comparison}_significance:{DAY} > 1{past.unless}",
        {"severity": severity},
    )
    drifted = f'{record}{{severity="{severity}",role!="label"}}'
    of_model = f"max by (field) ({record}{{severity='{severity}',role!='label',%s}})"
    of_field = f"{{{{ .Labels.field }}}}: PSI {number('%.3f')}"
    yield build.alert(
        past.alert,
        severity,
        f"{without('count', _OF_FIELD, drifted)} > 0",
        help=f"The distribution of a feature, prediction or score over {DAY} differs from "
        f"{past.help}, and by more than the threshold of `{past.monitor}`. It has none by default, "
        "and so the alert is off.",
        summary=f"{ABOUT_MODEL}{NAME}: {{{{ $value }}}} field"
        f"{{{{ if gt $value 1.0 }}}}s{{{{ end }}}} other than {past.than}, "
        + each(f"topk(1, {of_model})", of_field),
        description=f"{ABOUT_MODEL}Other over the last {DAY} than {past.day}, the most first:"
        + each(f"topk(5, {of_model})", f"\n- {of_field}"),
    )
