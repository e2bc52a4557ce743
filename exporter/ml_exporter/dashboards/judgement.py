"""The verdict on a model's performance: in words, what it is judged by, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.dashboards.charts import Statement, words_panel
from ml_exporter.dashboards.panels import (
    GREEN,
    GREY,
    ORANGE,
    RED,
    About,
    Column,
    Panel,
    table_panel,
)
from ml_exporter.dashboards.selectors import MODEL
from ml_exporter.rules.degradation import LEAST_LABELLED
from ml_exporter.statistics.figures import HIGHER_IS_BETTER, LOWER_IS_BETTER

NO_LABELS = "No labels: see the part without labels below"

_LABELS = f"sum by (version) (model:judged_labelled_predictions{{{MODEL}}})"
_OF_LIMIT = "version, monitor, severity"
_JUDGEMENTS = {0: ("OK", GREEN), 1: ("May be chance", GREY), 2: ("Worse", RED)}


def verdict() -> Iterable[Panel]:
    yield _verdict()
    yield words_panel(
        About(
            "Labels",
            "Labelled predictions of the window that is judged. A figure that rests on fewer than "
            f"{LEAST_LABELLED} is noise: no alert is made of it, however bad it looks.",
            width=6,
            height=5,
            decimals=0,
            no_value=NO_LABELS,
        ),
        Statement(
            f"{_LABELS} < {LEAST_LABELLED}",
            f"{{}} labels: too few to judge ({LEAST_LABELLED})",
            ORANGE,
        ),
        Statement(f"{_LABELS} >= {LEAST_LABELLED}", "{} labels", GREEN),
    )
    yield words_panel(
        About(
            "Judged window",
            "The shortest window that holds the labels' own cadence: a day, or a week where labels "
            "come in fewer than a quarter of the day's hours, so that a nightly load of old ones "
            "doesn't page every night.",
            width=6,
            height=5,
            no_value=NO_LABELS,
        ),
        *(
            Statement(
                f'group by (version) (model:judged_window{{{MODEL},window="{window}"}})',
                text,
                GREY,
            )
            for window, text in (
                ("24h", "The last 24 hours"),
                ("7d", "The last 7 days: labels come in batches"),
            )
        ),
    )
    yield _against_constant()
    yield _judged_figures()


def _verdict() -> Panel:
    def count(series: str) -> str:
        return f"count by (version) (\n  group by (version, monitor) ({series})\n)"

    critical, warning, worse = (
        f"model:shortfall{{{MODEL}{of}}}"
        for of in (',severity="critical"', ',severity="warning"', "")
    )
    enough = (
        f"group by (version) (model:judged_labelled_predictions{{{MODEL}}} >= {LEAST_LABELLED})"
    )
    limits = f"model:threshold{{{MODEL}}}"
    return words_panel(
        About(
            "Verdict",
            "Whether a figure is worse than its threshold, significantly and with enough labels "
            "behind it. That is what ModelPerformanceDegraded fires on; the table below says which "
            "figure, and by how much.",
            width=6,
            height=5,
            no_value=NO_LABELS,
        ),
        Statement(count(critical), "{} figures critically worse", RED),
        Statement(
            count(f"{warning} unless on (version, monitor) {critical}"),
            "{} figures worse than they may be",
            ORANGE,
        ),
        Statement(
            f"{enough}\nand on (version) {limits}\nunless on (version) {worse}",
            "Nothing is worse than it may be",
            GREEN,
        ),
        Statement(
            f"{enough}\nunless on (version) {limits}",
            "No threshold to judge by: give a baseline with labels",
            GREY,
        ),
        Statement(
            f"group by (version) (\n  0 < (model:judged_labelled_predictions{{{MODEL}}}"
            f" < {LEAST_LABELLED})\n)",
            "Too few labels to judge",
            GREY,
        ),
        Statement(
            f"group by (version) (model:judged_labelled_predictions{{{MODEL}}} == 0)",
            "No labels: performance is unknown",
            GREY,
        ),
    )


def _against_constant() -> Panel:
    def of(figure: str) -> str:
        return f"max by (version) (model:{figure}:${{window}}{{{MODEL}}})"

    knows = f"({of('matthews_correlation_lower')} > 0 or {of('roc_auc_lower')} > 0.5)"
    statements = []
    for figure, limit, worthless in (
        ("accuracy", of("constant_accuracy"), "always saying the commonest class"),
        ("r2", "0", "always saying the mean"),
    ):
        unit = {"accuracy": "% right", "r2": "% explained"}[figure]
        matched = "on (version) " if figure == "accuracy" else ""
        value, lower = of(figure), of(f"{figure}_lower")
        statements += [
            Statement(
                f"100 * ({value} <= {matched}{limit})\nunless on (version) {knows}",
                f"{{}} {unit}: worthless, no better than {worthless}",
                RED,
            ),
            Statement(
                f"100 * ({value} <= {matched}{limit})\nand on (version) {knows}",
                f"{{}} {unit}: less than {worthless}, and yet better than chance",
                ORANGE,
            ),
            Statement(
                f"100 * ({value} > {matched}{limit})\n"
                f"and on (version) ({lower} <= {matched}{limit})",
                f"{{}} {unit}: may be no better than {worthless}",
                ORANGE,
            ),
            Statement(
                f"100 * {value}\nand on (version) ({lower} > {matched}{limit})",
                f"{{}} {unit}: better than {worthless}",
                GREEN,
            ),
        ]
    return words_panel(
        About(
            "Against the best constant",
            "A model that isn't right more often than one which always says the commonest class "
            "(numbers: the mean) is worth nothing, however high the figure, unless Matthews "
            "correlation or ROC AUC are better than chance: where one class is rare and its misses "
            "are dear, a useful model may be right less often.",
            width=6,
            height=5,
            decimals=1,
            no_value=NO_LABELS,
        ),
        *statements,
    )


def _judged_figures() -> Panel:
    def of_limit(series: str) -> str:
        return f"max by ({_OF_LIMIT}) ({series})"

    limits = of_limit(f"model:threshold{{{MODEL}}}")
    now = f"max by (version, monitor) (model:judged_performance{{{MODEL}}})"

    def side(names: Iterable[str]) -> str:
        return of_limit(f'model:threshold{{{MODEL},monitor=~"{"|".join(names)}"}}')

    beside = "bool on (version, monitor) group_left ()"
    return table_panel(
        About(
            "What the verdict rests on",
            "Each figure that has a threshold, over the judged window, the worst first. It counts "
            "as worse where it is beyond the threshold, and more standard errors from what it "
            "used to be than chance brings about (needed). Beyond the threshold but not so far is "
            "said to be chance; the last hour, if it has enough labels, must agree.",
            width=24,
            height=8,
            decimals=3,
            no_value=NO_LABELS,
        ),
        {"version": "Version", "monitor": "Figure", "severity": "Severity"},
        Column(
            "State",
            f"2 * ({of_limit(f'model:shortfall{{{MODEL}}}')} > bool 0)\n"
            f"or {side(HIGHER_IS_BETTER)} > {beside} {now}\n"
            f"or {side(LOWER_IS_BETTER)} < {beside} {now}",
            states=_JUDGEMENTS,
            width=130,
        ),
        Column(
            "Now",
            f"(0 * {limits} + 1)\n* on (version, monitor) group_left ()\n{now}",
            "none",
            decimals=3,
        ),
        Column("Threshold", limits, "none", decimals=3),
        Column("Used to be", of_limit(f"model:threshold_reference{{{MODEL}}}"), "none", decimals=3),
        Column("Worse by", of_limit(f"model:shortfall{{{MODEL}}}"), "none", decimals=3),
        Column("Standard errors", of_limit(f"model:performance_z{{{MODEL}}}"), "none", decimals=1),
        Column(
            "Needed",
            f"0 * {limits} + on (version) group_left ()\n"
            f"max by (version) (model:performance_critical_value{{{MODEL}}})",
            "none",
            decimals=1,
        ),
        worst=("State", "Standard errors"),
    )
