"""The report for a terminal of 80 columns."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ml_exporter.config.thresholds import SEVERITIES
from ml_exporter.judgement import advice, explanation, field_explanation
from ml_exporter.judgement.verdicts import EstimateVerdict, FieldVerdict, Figure, VersionVerdict
from ml_exporter.judgement.wording import count, figure, metric, percent
from ml_exporter.report.judging import ModelReport, Report
from ml_exporter.statistics.bins import ABOVE, BELOW, INVALID, MISSING, OTHER

_WIDTH = 80
_STATE = 9  # columns of a state and the space after it
_NAME = 19
_MOST_BARS = 14
_MOST_SEGMENTS = 8
_MOST_WELL_FIELDS = 40
_HEIGHTS = "▁▂▃▄▅▆▇█"

_PLAIN: Mapping[int, str] = str.maketrans(
    {**dict(zip(_HEIGHTS, ".:-=+*#@", strict=True)), "–": "-", "…": "...", "²": "2", "→": "->"}
)


def write(report: Report) -> str:
    parts = [_overview(report)] if len(report.models) > 1 else []
    for model in report.models:
        parts += [_version(model, version) for version in model.verdict.versions]
    lines = [
        ending(report),
        *(_bare(f"not read: {path}: {why}") for path, why in report.unread.items()),
    ]
    return "\n\n".join([*parts, "\n".join(lines)]) + "\n"


def plain(text: str) -> str:
    """The same without characters that not every terminal has, where they are ours."""
    return text.translate(_PLAIN)


def _overview(report: Report) -> str:
    return "\n".join(_row(one.verdict.state, one.verdict.name, "") for one in report.models)


def ending(report: Report) -> str:
    """How many alerts there are, in a sentence."""
    if not report.alarms:
        return "Nothing alarms."
    many = dict.fromkeys(reversed(SEVERITIES), 0)
    for alarm in report.alarms:
        many[alarm.severity] += 1
    said = ", ".join(f"{number} {severity}" for severity, number in many.items() if number)
    return f"{count(len(report.alarms), 'alert')}: {said}."


def _version(model: ModelReport, of: VersionVerdict) -> str:
    parts = [_head(model, of)]
    if found := model.alarms(of):
        alerts = [
            _wrapped(f"{alarm.severity:{_STATE}}{alarm.alert}: {_bare(alarm.summary)}", _STATE)
            for alarm in found
        ]
        parts.append(_section("Alerts", alerts))
    if advice := model.advice(of):
        parts.append(_section("What to do", [_wrapped(f"- {_bare(one)}", 2) for one in advice]))
    parts += [_performance(of.figures), _estimate(of.estimate), _fields(model, of)]
    parts += [_components(model, of), _segments(of), _violations(of)]
    return "\n\n".join(part for part in parts if part)


def _head(model: ModelReport, of: VersionVerdict) -> str:
    verdict = model.verdict
    version = "" if of.version == "unversioned" else f" version {of.version}"
    lines = [
        f"{_bare(verdict.name + version)}: {of.state.upper()}",
        _wrapped(_bare(model.summary(of))),
    ]
    labelled = f"{count(of.predictions, 'prediction')}, {count(of.labelled)} with label"
    lines.append(f"{labelled}; {model.period}" if model.period else labelled)
    baseline = (
        f"baseline {of.baseline_id} ({of.baseline_state})" if of.baseline_id else "no baseline"
    )
    lines.append(f"{baseline}, critical values of {model.window}")
    if verdict.rejected:
        lines.append(_wrapped(explanation.explain_rejected(verdict)))
    if unmatched := verdict.labels.get("unmatched"):
        lines.append(f"{count(unmatched, 'label')} without a prediction")
    if (since := model.since(of)) is not None:
        lines.append(f"unwell {model.when(since)}")
    return "\n".join(lines)


def _performance(figures: Sequence[Figure]) -> str:
    judged = [figure for figure in figures if figure.state is not None]
    others = [figure for figure in figures if figure.state is None]
    order = sorted(judged, key=lambda figure: figure.state not in SEVERITIES)
    return _figures("Performance", [*order, *others])


def _estimate(estimate: EstimateVerdict | None) -> str:
    if estimate is None or not estimate.figures:
        return ""
    text = _figures(f"Expected without labels, by {estimate.estimator}", estimate.figures)
    if estimate.concept is not None:
        drift = f"calibration drift {estimate.calibration_drift:.2f}, above 1 is significant"
        text += f"\n{estimate.concept:{_STATE}}{drift}"
    return text


def _figures(title: str, figures: Iterable[Figure]) -> str:
    head = f"{'now':>7}  {'95 %':>13}  {'baseline':>8}  {'warning':>7}  {'critical':>8}"
    lines = [_row("", "", head)]
    for of in figures:
        lower, upper = of.interval
        interval = "" if math.isnan(lower) else f"{figure(lower)}–{figure(upper)}"
        baseline = "" if of.baseline is None else figure(of.baseline)
        limits = [figure(of.thresholds[s]) if s in of.thresholds else "" for s in SEVERITIES]
        numbers = f"{figure(of.value):>7}  {interval:>13}  {baseline:>8}"
        state = {None: "", "no data": "few rows"}.get(of.state, of.state)
        lines.append(
            _row(state or "", metric(of.metric), f"{numbers}  {limits[0]:>7}  {limits[1]:>8}")
        )
    return _section(title, lines) if len(lines) > 1 else ""


def _fields(model: ModelReport, of: VersionVerdict) -> str:
    if not any(field.rows for field in of.fields):
        return ""
    head = f"{'PSI':>6} {'missing':>8}  {'baseline':<{_MOST_BARS}}  now"
    lines = [_row("", "", head)]
    well = [field for field in of.fields if field.state not in SEVERITIES]
    for field in [*of.unwell_fields, *well[:_MOST_WELL_FIELDS]]:
        missing = next((share.ratio for share in field.shares if share.kind == "missing"), 0.0)
        before, now = _bars(field)
        numbers = f"{figure(field.psi):>6} {percent(missing):>8}"
        name = (
            field.name if field.role in ("feature", field.name) else f"{field.name} ({field.role})"
        )
        lines.append(_row(field.state, name, f"{numbers}  {before:<{_MOST_BARS}}  {now}"))
        if field.state in SEVERITIES:
            lines += _why(model, of, field)
    if (left_out := len(well) - _MOST_WELL_FIELDS) > 0:
        lines.append(f"{'':{_STATE}}and {count(left_out)} more with nothing beyond its threshold")
    return _section("Fields", lines)


def _why(model: ModelReport, version: VersionVerdict, field: FieldVerdict) -> Iterable[str]:
    """What happened to a field, since when, by which bins, and how much that matters."""
    indent = " " * _STATE
    text = [field_explanation.explain(field)]
    since = model.field_since(version, field)
    told = [model.when(since)] if since is not None else []
    if field.importance is not None:
        told.append(explanation.explain_importance(field.importance))
    if told:
        text.append("; ".join(told))
    yield from (_wrapped(f"{indent}{_bare(one)}", _STATE) for one in text)
    for title, moves in zip(("gained", "lost"), field_explanation.moved_bins(field), strict=True):
        for number, move in enumerate(moves):
            name = _cut(_bare(move.name), 36)
            shares = f"{percent(move.usual):>7} → {percent(move.now):>7}"
            yield f"{indent}{title if not number else '':8}{name:38}{shares}"


def _components(model: ModelReport, of: VersionVerdict) -> str:
    lines: list[str] = []
    for one in of.unwell_components:
        lines.append(_row(one.state, one.name, f"{figure(one.psi):>6}"))
        lines += _why(model, of, one)
    return _section("Relations between features", lines) if lines else ""


def _segments(of: VersionVerdict) -> str:
    told = [*of.unwell_segments, *advice.carriers(of)]
    shown = list({(one.field, one.name): one for one in told}.values())[:_MOST_SEGMENTS]
    if not shown:
        return ""
    lines = []
    for one in shown:
        rows = f"{percent(one.share)} of rows"
        if not math.isnan(one.baseline_share):
            rows += f" ({percent(one.baseline_share)} in the baseline)"
        if one.drop_share > 0:
            rows += f", {percent(one.drop_share)} of what is lost"
        text = f"{one.state or '':{_STATE}}{_bare(explanation.explain_segment(one))}; {rows}"
        lines.append(_wrapped(text, _STATE))
    return _section("Segments", lines)


def _violations(of: VersionVerdict) -> str:
    lines: list[str] = []
    unknown: list[str] = []
    for one in of.violations:
        if one.kind == "extra_field" and one.state == "ok":
            unknown.append(one.field)
        else:
            text = f"{one.state:{_STATE}}{_bare(explanation.name_and_count(one))}"
            lines.append(_wrapped(text, _STATE))
    if unknown:
        names = _bare(", ".join(sorted(unknown)))
        lines.append(_wrapped(f"{'ok':{_STATE}}in no baseline: {names}", _STATE))
    return _section("Schema and constraints", lines) if lines else ""


def _bars(field: FieldVerdict) -> tuple[str, str]:
    """The shares of the bins in the baseline and now, on one scale."""
    usual, now = (
        counts / max(float(counts.sum()), 1) for counts in (field.baseline_counts, field.counts)
    )
    greatest = np.maximum(usual, now)
    special = np.isin(field.bins, (BELOW, ABOVE, MISSING, INVALID, OTHER))
    shown = np.flatnonzero(~special | (greatest > 0))
    if field.type == "category":
        shown = np.sort(np.argsort(-greatest, kind="stable")[:_MOST_BARS])
    sides = [_joined(side[shown]) for side in (usual, now)]
    top = max(float(np.max(sides, initial=0)), 1e-9)
    before, after = ("".join(_height(share / top) for share in side) for side in sides)
    return before, after


def _joined(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """As few as there is room for: neighbours together."""
    while shares.size > _MOST_BARS:
        padded = np.append(shares, np.zeros(shares.size % 2))
        shares = padded.reshape(-1, 2).sum(axis=1)
    return shares


def _height(share: float) -> str:
    return _HEIGHTS[min(int(share * len(_HEIGHTS)), len(_HEIGHTS) - 1)] if share > 0 else " "


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n".join([title, *lines])


def _row(state: str, name: str, numbers: str) -> str:
    return f"{state:{_STATE}}{_cut(name, _NAME):{_NAME}} {numbers}".rstrip()


def _cut(text: str, most: int) -> str:
    text = _bare(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _wrapped(text: str, indent: int = 0) -> str:
    """A paragraph; a percent sign stands on its number's line."""
    joined = text.replace(" %", "\N{NO-BREAK SPACE}%")
    filled = textwrap.fill(joined, _WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False)
    return filled.replace("\N{NO-BREAK SPACE}%", " %")


def _bare(text: str) -> str:
    """Text without the marks of names, and without what a terminal would obey."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text.replace("`", ""))
