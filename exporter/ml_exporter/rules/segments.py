"""Figures of segments, beside those of the whole model and of the segment's own baseline.

The twins are `ml_exporter.statistics.segments` and `ml_exporter.statistics.fairness`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules import counts, thresholds
from ml_exporter.rules.annotations import ABOUT_MODEL, NAME, Builder, each
from ml_exporter.rules.counts import Counter
from ml_exporter.rules.degradation import JUDGED_WINDOWS
from ml_exporter.rules.groups import Alert, Group, Rule
from ml_exporter.rules.promql import gauge, indent, join_replicas, positive_class, without
from ml_exporter.rules.shares import below_expected_z, share, wilson
from ml_exporter.rules.timing import WINDOWS, Timing
from ml_exporter.statistics.fairness import LEAST_ROWS

LEAST_LABELLED = 30  # labelled predictions of a segment, to be judged
EXPLAINS = 0.1  # share of a drop, to be worth naming
CLEARLY = 2  # standard errors that such a segment is worse by

COUNTERS = (
    Counter("ml_segment_predictions_total", "segment:predictions", "Predictions, by segment,"),
    Counter(
        "ml_segment_positive_predictions_total",
        "segment:positive_predictions",
        "Predictions of the positive class, by segment of a protected field,",
    ),
    *(
        Counter(f"ml_segment_{name}_total", f"ml_segment_{name}_total", f"{what}, by segment,")
        for name, what in (
            ("labelled_predictions", "Labelled predictions of a regression"),
            ("absolute_error", "Sums of absolute errors"),
            ("squared_error", "Sums of squared errors"),
        )
    ),
)
_OUTCOMES = Counter(
    "ml_segment_outcomes_total",
    "ml_segment_outcomes_total",
    "Labelled predictions, by segment and by whether they are correct,",
)
_POSITIVES = Counter(
    "segment:actual_positives",
    "segment:actual_positives",
    "Labelled predictions that are of the positive class, by segment of a protected field and by "
    "whether they are correct,",
)

_IN_SEGMENT = "segment_field, segment"
_EXPLAINS_DROP = "segment:explained_drop"


def groups(timing: Timing) -> Iterable[Group]:
    yield Group("ml-exporter-segments", timing.interval("1h"), tuple(_references(timing)))
    for window in WINDOWS:
        rules = [
            *counts.of_window(timing, COUNTERS, window),
            *_outcomes(timing, window),
            *_figures(window),
            *_fairness(window),
        ]
        if window in JUDGED_WINDOWS:
            rules += [*_intervals(window), *_against_baseline(window)]
        yield Group(f"ml-exporter-segments-{window}", timing.interval(window), tuple(rules))


def _references(timing: Timing) -> Iterable[Rule]:
    yield Rule(
        "segment:info",
        "1 for each field of segments, and whether it is protected.",
        join_replicas("group", gauge(timing, "ml_segment_info")),
    )
    own = join_replicas("max", gauge(timing, "ml_segment_baseline_performance"), "metric")
    selector = 'ml_baseline_performance{metric=~"accuracy|mean_absolute_error",class=""}'
    of_model = join_replicas("max", gauge(timing, selector), "metric")
    segments = "0 * segment:labelled_predictions:24h"
    yield Rule(
        "segment:reference",
        "What is expected of a segment: its accuracy or mean absolute error in the baseline, or "
        "the model's where the segment's own isn't known.",
        f"{own}\nor\n(\n  {segments}\n  + ignoring ({_IN_SEGMENT}) group_left ()\n"
        f"{indent(of_model)}\n)",
    )
    yield Rule(
        "segment:reference_rows",
        "Labelled rows of the baseline behind a segment's own reference.",
        join_replicas("min", gauge(timing, "ml_segment_baseline_labelled_rows")),
    )


def _outcomes(timing: Timing, window: str) -> Iterable[Rule]:
    """Outcomes are joined as they come in: a segment has too many to keep all of them."""
    if window == "1h":
        cells = counts.rows_of_minute(timing, _OUTCOMES.name)
        yield Rule(
            f"{_OUTCOMES.name}:1m",
            f"{_OUTCOMES.what} of the last minute, exactly.",
            without("sum", "actual, predicted", cells),
        )
        positive = positive_class("actual")
        of_positives = (
            f"{cells}\n"
            f"and ignoring ({_IN_SEGMENT}, predicted, correct, task, positive)\n{positive}\n"
            "and ignoring (segment, actual, predicted, correct, protected)\n"
            'segment:info{protected="true"}'
        )
        yield Rule(
            f"{_POSITIVES.name}:1m",
            f"{_POSITIVES.what} of the last minute, exactly.",
            without("sum", "actual, predicted", of_positives),
        )
    for counter in (_OUTCOMES, _POSITIVES):
        yield from counts.sums(timing, counter, window, COUNTERS[0])


def _figures(window: str) -> Iterable[Rule]:
    outcomes = f"{_OUTCOMES.windows}:{window}"
    classified = without("sum", "correct", outcomes)
    labelled, accuracy, error = (
        f"segment:{name}:{window}"
        for name in ("labelled_predictions", "accuracy", "mean_absolute_error")
    )
    yield Rule(
        labelled,
        f"Labelled predictions of a segment, over {window}.",
        f"{classified}\nor\nml_segment_labelled_predictions_total:{window}",
    )
    correct = without("sum", "correct", f'{outcomes}{{correct="true"}}')
    yield Rule(
        accuracy,
        f"Share of a segment's labelled predictions that are correct, over {window}.",
        share(correct, classified),
    )
    absolute = f"ml_segment_absolute_error_total:{window}"
    yield Rule(
        error,
        f"Mean absolute error of a segment's labelled predictions, over {window}.",
        f"{absolute}\n/ (ml_segment_labelled_predictions_total:{window} > 0)",
    )
    rows = without("sum", "segment", f"{labelled} > 0")
    of_model = f"{without('sum', 'segment', f'{accuracy} * {labelled}')} / {rows}"
    errors = without("sum", "segment", f"{error} * {labelled}")
    yield Rule(
        f"segment:performance_gap:{window}",
        "By how much a segment is worse than all segments of its field together: accuracy of those "
        "less its own; of a regression, its mean absolute error over theirs, less 1. Over "
        f"{window}.",
        f"({of_model}) - ignoring (segment) group_right ()\n{accuracy}\nor\n"
        f"{error} / ignoring (segment) group_left ()\n({errors} / {rows} > 0) - 1",
    )


def _intervals(window: str) -> Iterable[Rule]:
    labelled, accuracy = f"segment:labelled_predictions:{window}", f"segment:accuracy:{window}"
    for end, name in (("lower", "Lower"), ("upper", "Upper")):
        yield Rule(
            f"segment:accuracy_{end}:{window}",
            f"{name} end of the 95 % interval of a segment's accuracy (Wilson's), over {window}.",
            wilson(end, f"({accuracy} * {labelled})", labelled),
        )


def _against_baseline(window: str) -> Iterable[Rule]:
    labelled, accuracy, error, excess, drop = (
        f"segment:{name}:{window}"
        for name in (
            *("labelled_predictions", "accuracy", "mean_absolute_error"),
            *("excess_errors", "drop"),
        )
    )
    reference = "segment:reference"
    yield Rule(
        drop,
        "By how much a segment is worse than in the baseline, or than the model was there: "
        "accuracy then less now; of a regression, mean absolute error now over then, less 1. Over "
        f"{window}.",
        f"{reference} - {accuracy}\nor\n{error} / ({reference} > 0) - 1",
    )
    yield Rule(
        excess,
        "Wrong predictions of a segment beyond those that its baseline lets expect; of a "
        f"regression, the sum of absolute errors beyond it. Over {window}.",
        f"({reference} - {accuracy}) * {labelled}\nor\n({error} - {reference}) * {labelled}",
    )
    all_together = without("sum", "segment", excess)
    yield Rule(
        f"segment:drop_share:{window}",
        "A segment's share in what its field's segments together are worse than in the baseline; "
        f"absent where they aren't. Over {window}.",
        f"{excess}\n/ ignoring (segment) group_left ()\n({all_together} > 0)",
    )
    share_z = below_expected_z(excess, f"({reference} * {labelled})", labelled)
    squares = f"ml_segment_squared_error_total:{window}"
    variance = f"({squares} / {labelled} - {error} ^ 2 > 0)"
    error_z = f"({error} - {reference})\n/ sqrt({variance} / ({labelled} - 1 > 0))"
    growth = f"sqrt(1 + {labelled} / (segment:reference_rows > 0))"
    z = f"(\n{indent(share_z)}\n  and\n  {accuracy}\n)\nor\n{error_z}"
    yield Rule(
        f"segment:drop_z:{window}",
        "By how many standard errors a segment is worse than in the baseline, whose figure has an "
        f"error of its own. Over {window}.",
        f"(\n{indent(z)}\n)\n/ {growth}\nor\n{z}",
    )


def _fairness(window: str) -> Iterable[Rule]:
    predictions = f"segment:predictions:{window}"
    yield Rule(
        f"segment:positive_rate:{window}",
        f"Share of the predictions of a segment of a protected field that are positive, over "
        f"{window}; from {LEAST_ROWS} rows on.",
        f"segment:positive_predictions:{window} / ({predictions} >= {LEAST_ROWS})",
    )
    positives = without("sum", "correct", f"{_POSITIVES.windows}:{window}")
    found = without("sum", "correct", f'{_POSITIVES.windows}:{window}{{correct="true"}}')
    yield Rule(
        f"segment:recall:{window}",
        f"Recall of the positive class in a segment of a protected field, over {window}; from "
        f"{LEAST_ROWS} positive rows on.",
        share(found, positives, f">= {LEAST_ROWS}"),
    )
    rates, recalls = (
        f'segment:{name}:{window}{{segment!~"<missing>|<invalid>"}}'
        for name in ("positive_rate", "recall")
    )

    def compared(expr: str, figures: str) -> str:
        """Of two segments or more."""
        return f"{expr}\nand\n{without('count', 'segment', figures)} > 1"

    def extreme(which: str, figures: str) -> str:
        return without(which, "segment", figures)

    for name, help, expr, figures in (
        (
            "statistical_parity_difference",
            "The greatest positive rate of a protected field's segments less the least",
            f"{extreme('max', rates)}\n- {extreme('min', rates)}",
            rates,
        ),
        (
            "disparate_impact",
            "The least positive rate of a protected field's segments over the greatest",
            f"{extreme('min', rates)}\n/ ({extreme('max', rates)} > 0)",
            rates,
        ),
        (
            "equal_opportunity_difference",
            "The greatest recall of a protected field's segments less the least",
            f"{extreme('max', recalls)}\n- {extreme('min', recalls)}",
            recalls,
        ),
    ):
        yield Rule(
            f"model:{name}:{window}",
            f"{help}, by `segment_field`, over {window}. Segments of fewer than {LEAST_ROWS} rows "
            "don't count.",
            compared(expr, figures),
        )


def alerts(build: Builder, severity: str) -> Iterable[Rule | Alert]:
    """The segments that are worse than they were, and the alert about them."""
    if severity == "warning":
        yield _explanation()
    by_window = "\nor\n".join(
        _underperforming(build.timing, severity, window) for window in JUDGED_WINDOWS
    )
    yield Rule(
        "segment:shortfall",
        "By how much a segment is worse than in the baseline, over the window that is judged, "
        f"where that is beyond the {severity} threshold of `performance_gap`, and more than chance "
        "explains among so many segments.",
        by_window,
        {"severity": severity},
    )
    short = f'segment:shortfall{{severity="{severity}"}}'
    of_model = f"segment:shortfall{{severity='{severity}',%s}}"
    percent = "{{ .Value | humanizePercentage }}"
    name = "{{ .Labels.segment_field }} {{ .Labels.segment }}"
    worst = each(f"topk(1, {of_model})", f"{name} is {percent} worse than in the baseline")
    every = each(f"topk(5, {of_model})", f"\n- {name}: {percent}")
    yield build.alert(
        "SegmentUnderperforming",
        severity,
        f"{without('count', _IN_SEGMENT, short)} > 0",
        help="A segment is worse than in the baseline by more than the threshold of "
        "`performance_gap` (accuracy, or the growth of its mean absolute error), and by more than "
        f"chance explains; it has {LEAST_LABELLED} labelled predictions.",
        summary=f"{ABOUT_MODEL}{NAME}: {worst}"
        "{{ if gt $value 1.0 }}, one of {{ $value }} segments{{ end }}",
        description=f"{ABOUT_MODEL}Worse than in the baseline, by arrival of the label, the worst "
        f"first:{every}",
    )


def _underperforming(timing: Timing, severity: str, window: str) -> str:
    drop, z, labelled = (
        f"segment:{name}:{window}" for name in ("drop", "drop_z", "labelled_predictions")
    )
    threshold = thresholds.of_model(timing, "performance_gap", severity)
    # A tail of z beyond sqrt(c^2 + 2 ln n) is an n-th of that beyond c (Bonferroni).
    many = without("count", _IN_SEGMENT, f"{labelled} >= {LEAST_LABELLED}")
    critical = f"sqrt(\n  model:performance_critical_value ^ 2\n  + 2 * ln({many})\n)"
    on_model = f"ignoring ({_IN_SEGMENT}) group_left ()"
    return (
        f"{drop}\n> {on_model} (\n{indent(threshold)}\n)\n"
        f"and\n{labelled} >= {LEAST_LABELLED}\n"
        f"and\n{z}\n> {on_model}\n{critical}\n"
        f"and ignoring ({_IN_SEGMENT}, window)\n"
        f'model:judged_window{{window="{window}"}}'
    )


def _explanation() -> Rule:
    """Shares in a drop that are no chance, over the window that the whole model is judged by."""
    return Rule(
        _EXPLAINS_DROP,
        "A segment's share in what its field's segments together are worse than in the baseline, "
        f"over the window that is judged, where that is above {EXPLAINS:.0%} and the segment is "
        f"worse by {CLEARLY} standard errors.",
        "\nor\n".join(
            f"segment:drop_share:{window} > {EXPLAINS}\nand\nsegment:drop_z:{window} > {CLEARLY}\n"
            f"and ignoring ({_IN_SEGMENT}, window)\n"
            f'model:judged_window{{window="{window}"}}'
            for window in JUDGED_WINDOWS
        ),
    )


def explanation() -> str:
    """A template: the segments that explain most of a drop in performance, after ABOUT_MODEL."""
    return each(
        f"topk(3, {_EXPLAINS_DROP}{{%s}})",
        "\n- {{ .Labels.segment_field }} {{ .Labels.segment }}: "
        "{{ .Value | humanizePercentage }} of the drop",
    )
