"""Whether models err more than they did: over many spans, against the week before and the baseline.

The twin is `error_significance` of `ml_exporter.statistics.concept_drift`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ml_exporter.rules.annotations import ABOUT_MODEL, NAME, Builder, each, number
from ml_exporter.rules.groups import Alert, Group, Rule
from ml_exporter.rules.promql import gauge, indent, join_replicas, union, without
from ml_exporter.rules.shares import two_shares_z
from ml_exporter.rules.timing import Timing, duration, span
from ml_exporter.statistics.concept_drift import CRITICAL_VALUE, LEAST_ROWS, MATERIAL_GROWTH, SPANS

_CELL = "actual, predicted, correct"
_BASELINE = "model:baseline_error_rate"
_BASELINE_ROWS = "model:baseline_labelled_rows"
_FEW_HOURS = 8  # up to which spans are sums of minutes; longer ones are of whole hours
_OF_SPAN = "ignoring (span) group_left ()"


def groups(timing: Timing) -> Iterable[Group]:
    rules = (*_references(timing), *_counts(timing), *_tests(timing))
    yield Group("ml-exporter-error-rates", duration(timing.minute), rules)


def _lengths(timing: Timing) -> Mapping[str, float]:
    """The spans in seconds; those that a shortened week doesn't hold are left out."""
    hour, week = timing.lengths["1h"], timing.lengths["7d"]
    lengths = {"5m": timing.minutes(5), "10m": timing.minutes(10), "30m": hour / 2, "7d": week}
    lengths |= {one: hour * int(one[:-1]) for one in SPANS if one.endswith("h")}
    return {one: lengths[one] for one in SPANS if lengths[one] < week or one == "7d"}


def _references(timing: Timing) -> Iterable[Rule]:
    accuracy = 'ml_baseline_performance{metric="accuracy",class=""}'
    yield Rule(
        _BASELINE,
        "Share of the baseline's labelled rows that were predicted wrongly; of replicas the most.",
        join_replicas("max", f"1 - {gauge(timing, accuracy)}", "metric"),
    )
    yield Rule(
        _BASELINE_ROWS,
        "Labelled rows of the baseline; the fewest of replicas.",
        join_replicas("min", gauge(timing, "ml_baseline_labelled_rows")),
    )


def _counts(timing: Timing) -> Iterable[Rule]:
    late = duration(timing.settle)  # by when what other groups record is stored
    for name, what, selector in (
        ("labelled_outcomes", "Labelled predictions", ""),
        ("errors", "Labelled predictions that are wrong", '{correct="false"}'),
    ):
        parts = {
            one: without(
                "sum",
                _CELL,
                f"sum_over_time(ml_outcomes_total:{piece}{selector}[{span(length)}] offset {late})",
            )
            for one, length in _lengths(timing).items()
            for piece in ("1m" if length <= _FEW_HOURS * timing.lengths["1h"] else "hour",)
        }
        counted = union(parts, "span")
        if selector:  # a cell without rows may not be there yet
            counted += "\nor\n0 * model:labelled_outcomes_of_span"
        yield Rule(f"model:{name}_of_span", f"{what}, by `span`.", counted)


def _tests(timing: Timing) -> Iterable[Rule]:
    errors, rows = "model:errors_of_span", "model:labelled_outcomes_of_span"
    rate = "model:error_rate"
    yield Rule(
        rate,
        "Share of labelled predictions that are wrong, by `span`.",
        f"{errors} / ({rows} > 0)",
    )
    # The week that ended when the span began.
    for what, count in (("rows", rows), ("errors", errors)):
        earlier = {
            one: without("sum", "span", f'{count}{{span="7d"}} offset {duration(length)}')
            for one, length in _lengths(timing).items()
        }
        yield Rule(
            f"model:error_reference_{what}",
            f"{what.capitalize()} of what a span is compared with, by `span`.",
            union(earlier, "span"),
            {"against": "week"},
        )
    of_baseline = {"rows": _BASELINE_ROWS, "errors": f"({_BASELINE} * {_BASELINE_ROWS})"}
    for what, expr in of_baseline.items():
        yield Rule(
            f"model:error_reference_{what}",
            f"{what.capitalize()} of the baseline, under each `span`.",
            f"0 * {rows}\n+ {_OF_SPAN} {expr}",
            {"against": "baseline"},
        )
    before, rows_before = "model:error_reference_errors", "model:error_reference_rows"
    compared = {"errors": "model:compared_errors", "rows": "model:compared_rows"}
    for what, count in (("errors", errors), ("rows", rows)):
        yield Rule(
            compared[what],
            f"{what.capitalize()} of a span, under each reference that it is compared with.",
            f"{count}\n+ ignoring (against) group_right ()\n0 * {rows_before}",
        )
    z = two_shares_z(compared["errors"], compared["rows"], before, rows_before)
    grown = (
        f"{compared['errors']} / {compared['rows']}\n"
        f"> {MATERIAL_GROWTH} * {before} / ({rows_before} > 0)"
    )
    significance = "model:error_significance"
    yield Rule(
        significance,
        "z of an error rate having grown, over its critical value, by `span` and by what it is "
        f"`against`: above 1 is significant. Of {LEAST_ROWS} rows or more and a growth of a tenth.",
        f"(\n{indent(z)}\n)\n/ {CRITICAL_VALUE}\n"
        f"and (\n{indent(grown)}\n)\nand\n{compared['rows']} >= {LEAST_ROWS}",
    )
    drift = "model:error_drift"
    yield Rule(
        drift,
        "The greatest of it over all spans: above 1 the model errs more than it did.",
        f"{without('max', 'span, against', significance)}\nor\n"
        f"{without('max', 'span', f'0 * ({rows} >= {LEAST_ROWS})')}",
    )
    week, day = timing.lengths["7d"], timing.lengths["24h"]
    yield Rule(
        "model:usual_error_drift",
        "The greatest of that in the week that ended a day ago: what seasons alone bring about.",
        f"max_over_time({drift}[{span(week)}:{duration(timing.minutes(10))}] "
        f"offset {duration(day)})",
    )


def alerts(build: Builder, severity: str) -> Iterable[Alert]:
    if severity == "critical":
        return
    most = "topk(1, model:error_significance{%s})"
    rate = each("model:error_rate{%s,span=%q}", "{{ .Value | humanizePercentage }}", ".Labels.span")
    usual = each(
        "model:error_reference_errors{%s,span=%q,against=%q} / "
        "model:error_reference_rows{%s,span=%q,against=%q}",
        "{{ .Value | humanizePercentage }}",
        *(".Labels.span", ".Labels.against", "$model", ".Labels.span", ".Labels.against"),
    )
    reference = (
        '{{ if eq .Labels.against "week" }}in the week before{{ else }}in the baseline{{ end }}'
    )
    of_span = f"{rate} over {{{{ .Labels.span }}}}, {usual} {reference}"
    others = each(
        "topk(5, model:error_significance{%s} > 1)",
        f"\n- {of_span}: significance {number('%.2f')}",
    )
    yield build.alert(
        "ErrorRateRising",
        severity,
        "model:error_drift > 1\nunless\nmodel:error_drift <= model:usual_error_drift",
        help="The share of wrong predictions has grown against the week before or the baseline, "
        f"over one of the spans from 5m to 7d: by {CRITICAL_VALUE:g} standard errors, by a tenth "
        f"or more, on {LEAST_ROWS} labels or more, and as on none of the seven days before.",
        summary=f"{ABOUT_MODEL}{NAME}: error rate {each(most, of_span)}",
        description=f"{ABOUT_MODEL}By arrival of the label, the most significant first:{others}",
        pending=0,
    )
