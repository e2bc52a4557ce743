"""How labels come: how late, of how many predictions, and whether they still do."""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules import counts
from ml_exporter.rules.annotations import ABOUT_MODEL, NAME, Builder, each, number
from ml_exporter.rules.counts import Counter
from ml_exporter.rules.groups import Alert, Group, Rule
from ml_exporter.rules.timing import WINDOWS, Timing, duration, span

QUANTILES = (0.5, 0.9)
LEAST_LABELS = 100  # that a model had, to be missed
_STEADY_DAYS = 5  # of the last seven must have had labels, for a day without any to be news

COUNTERS = (
    Counter("ml_labels_total", "ml_labels_total", "Labels, by what became of them,"),
    Counter(
        "ml_predictions_expired_total",
        "model:expired_predictions",
        "Predictions that gave up waiting for a label",
    ),
    Counter(
        "ml_label_delay_seconds_bucket",
        "ml_label_delay_seconds_bucket",
        "Labels, by how long they took at most,",
    ),
)


def groups(timing: Timing) -> Iterable[Group]:
    for window in WINDOWS:
        rules = (*counts.of_window(timing, COUNTERS, window), *_figures(timing, window))
        yield Group(f"ml-exporter-labels-{window}", timing.interval(window), rules)


def _figures(timing: Timing, window: str) -> Iterable[Rule]:
    labelled, expired = (
        f"model:labelled_predictions:{window}",
        f"model:expired_predictions:{window}",
    )
    yield Rule(
        f"model:label_coverage:{window}",
        "Share of the predictions whose wait for a label ended that got one, by arrival, over "
        f"{window}.",
        f"{labelled}\n/ (\n  {labelled} + {expired} > 0\n)",
    )
    for quantile in QUANTILES:
        yield Rule(
            f"model:label_delay_seconds:{window}",
            f"How long labels took, by `quantile`, over {window}.",
            f"histogram_quantile({quantile}, ml_label_delay_seconds_bucket:{window}) >= 0",
            {"quantile": str(quantile)},
        )
    if window == "24h":
        day, week = timing.lengths["24h"], timing.lengths["7d"]
        yield Rule(
            "model:labelled_days:7d",
            "On how many of the last seven days labels came.",
            f"count_over_time(\n  ({labelled} > 0)[{span(week)}:{duration(day)}]\n)",
        )


def alerts(build: Builder, severity: str) -> Iterable[Alert]:
    """`warning`: a day without labels where they came daily; `critical`: a week without any."""
    week = build.timing.lengths["7d"]
    if severity == "warning":
        before = f"model:labelled_predictions:7d >= {LEAST_LABELS}"
        steady = f"\nand\nmodel:labelled_days:7d >= {_STEADY_DAYS}"
        now, expr = "24h", f"model:labelled_predictions:24h == 0\nand\n{before}{steady}"
    else:
        before = f"model:labelled_predictions:7d offset {duration(week)} >= {LEAST_LABELS}"
        now, expr = "7d", f"model:labelled_predictions:7d == 0\nand\n{before}"
    yield build.alert(
        "LabelsAbsent",
        severity,
        f"{expr}\nand\nmodel:predictions:{now} > 0",
        help=f"No label has come for 24h, where they came on {_STEADY_DAYS} of the last seven days "
        "(critical: none for 7d, after a week that had some), though there are predictions: "
        "performance isn't known.",
        summary=f"{NAME}: no labels in the last {now}",
        description=f"{ABOUT_MODEL}Predictions go on ("
        + each(f"model:predictions:{now}{{%s}}", number("%.0f"))
        + f" in the last {now}), and no label has been joined to any"
        + each(
            f"ml_labels_total:{now}{{%s,result='unmatched'}} > 0",
            f"; {number('%.0f')} labels fit none",
        )
        + ". What performance is now is not known.",
    )
