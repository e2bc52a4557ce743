"""Whether a model is better than the best constant one, which knows nothing.

The twin is `against_constant` of `ml_exporter.statistics.performance`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules.annotations import ABOUT_MODEL, NAME, Builder, each, number
from ml_exporter.rules.degradation import JUDGED_WINDOWS, LEAST_LABELLED
from ml_exporter.rules.groups import Alert, Rule
from ml_exporter.rules.promql import without
from ml_exporter.statistics.significance import Z_95

LEAST_OF_OTHERS = 30
"""Labelled predictions of other classes than the commonest, to say that none is told from it."""


def rules(window: str) -> Iterable[Rule]:
    """What a classifier gains and loses against always saying the commonest class."""
    common = f'class:support:{window}{{class!="<other>"}}'
    hits = f"class:true_positives:{window}"
    most = without("max", "class", common)
    # Of classes that are equally common, the one that the model is compared with most mildly.
    of_commonest = without("min", "class", f"{hits}\nand\n{common} == ignoring (class) {most}")
    of_commonest = of_commonest.replace("ignoring (class)", "ignoring (class) group_left ()")
    yield Rule(
        f"model:gained_on_constant:{window}",
        "Labelled predictions that are right where always saying the commonest class is wrong, "
        f"over {window}.",
        f"{without('sum', 'class', hits)}\n- {of_commonest}",
    )
    yield Rule(
        f"model:lost_on_constant:{window}",
        "Labelled predictions that are wrong where always saying the commonest class is right, "
        f"over {window}.",
        f"{most}\n- {of_commonest}",
    )


def alerts(build: Builder, severity: str) -> Iterable[Rule | Alert]:
    if severity == "critical":
        return
    yield Rule(
        "model:worthless",
        "By how much a model is worse than the best constant one over the window that is judged: "
        "that one's accuracy less its own, or how far R² is below 0. It is there where that is "
        f"more than chance explains, on {LEAST_LABELLED} labelled predictions or more, and where "
        "neither Matthews's correlation nor ROC AUC show that the model knows anything.",
        "\nor\n".join(
            f'(\n{part}\n)\nand ignoring (window)\nmodel:judged_window{{window="{window}"}}'
            for window in JUDGED_WINDOWS
            for part in (_classifier(window), _regression(window))
        ),
    )
    accuracy = each("model:judged_performance{%s,monitor='accuracy'}", _of_accuracy())
    r2 = each("model:judged_performance{%s,monitor='r2'}", f"R² is {number('%.3f')}")
    beside = each(
        "model:judged_performance{%s,monitor=~'matthews_correlation|roc_auc|r2"
        "|root_mean_squared_error|constant_root_mean_squared_error'}",
        f"\n- {{{{ .Labels.monitor }}}}: {number('%.3f')}",
        by="monitor",
    )
    window = each("model:judged_window{%s}", "{{ .Labels.window }}")
    yield build.alert(
        "ModelWorthless",
        severity,
        f"model:worthless\nand\nmodel:judged_labelled_predictions >= {LEAST_LABELLED}",
        help="The model isn't better than one that always says the commonest class (a regression: "
        "the mean), by more than chance explains, and nothing else shows that it knows anything: "
        f"over 24h, or 7d where labels come seldom, on {LEAST_LABELLED} labels or more.",
        summary=f"{ABOUT_MODEL}{NAME} is no better than a constant: {accuracy}{r2}",
        description=f"{ABOUT_MODEL}Over the last {window}, by arrival of the label, always giving "
        f"one answer would have been as good. What else is known of the model:{beside}",
    )


def _of_accuracy() -> str:
    constant = each("model:judged_performance{%s,monitor='constant_accuracy'}", number("%.3f"))
    return f"accuracy {number('%.3f')}, and {constant} by always saying the commonest class"


def _classifier(window: str) -> str:
    gained, lost = (f"model:{side}_on_constant:{window}" for side in ("gained", "lost"))
    accuracy, constant = (f"model:{name}:{window}" for name in ("accuracy", "constant_accuracy"))
    others = f"(1 - {constant}) * model:labelled_predictions:{window} >= {LEAST_OF_OTHERS}"
    return (
        f"{constant} - {accuracy}\n"
        f"and (\n  {gained} == 0\n  or\n"
        f"  ({lost} - {gained})\n  / sqrt({lost} + {gained} > 0)\n"
        "  > model:performance_critical_value\n)\n"
        f"and\n{others}\n"
        f"unless\nmodel:matthews_correlation_lower:{window} > 0\n"
        f"unless\nmodel:roc_auc_lower:{window} > 0.5"
    )


def _regression(window: str) -> str:
    r2, upper = f"model:r2:{window}", f"model:r2_upper:{window}"
    return f"-{r2}\n> ({upper} - {r2})\n/ {Z_95!r} * model:performance_critical_value"
