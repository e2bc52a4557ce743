"""Alerts about performance that is expected before labels come, and about calibration."""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules.annotations import (
    ABOUT_MODEL,
    NAME,
    Builder,
    beyond_thresholds,
    each,
    number,
)
from ml_exporter.rules.degradation import LEAST_LABELLED, USUAL_CRITICAL_VALUE, beyond_threshold
from ml_exporter.rules.estimation import REGRESSION
from ml_exporter.rules.groups import Alert, Rule
from ml_exporter.rules.promql import indent, without
from ml_exporter.statistics.significance import Z_95

LEAST_PREDICTIONS = 100  # that an estimate needs, to be judged
MATERIAL = 0.025  # error of the estimate: half of the drop that the default thresholds warn of
MATERIAL_SHARE = 0.1  # error of the estimated mean absolute error, of what came true


def estimates(build: Builder, severity: str) -> Iterable[Rule | Alert]:
    yield _shortfall(severity)
    value = each(
        "max(model:estimated_performance:24h{%s,monitor=%q} and ignoring (monitor) "
        "model:preferred_estimator)",
        number("%.3f"),
        ".Labels.monitor",
    )
    worst, every = beyond_thresholds("model:estimated_shortfall:24h", severity, value)
    labels = each(
        "model:labelled_predictions:24h{%s}",
        f"\nLabels of the last 24h: {number('%.0f')}",
    )
    drift = each("model:calibration_drift:24h{%s}", f", calibration drift {number('%.2f')} of 1")
    yield build.alert(
        "ModelEstimatedPerformanceDegraded",
        severity,
        without("max", "monitor", f'model:estimated_shortfall:24h{{severity="{severity}"}}')
        + " > 0",
        help="A figure, as it is expected to be before labels come, is worse than its threshold "
        f"over 24h and, if there are {LEAST_PREDICTIONS} predictions, over the last hour, by more "
        "than chance explains; and labels don't say that the estimate is wrong. Means over "
        "classes, which have no interval, are shown and not judged.",
        summary=f"{ABOUT_MODEL}{NAME}: {worst} by estimate, worse than its threshold",
        description=f"{ABOUT_MODEL}Expected to be worse than their thresholds over the last 24h, "
        f"from the inputs and scores alone:{every}{labels}{drift}",
    )


def calibration(build: Builder, severity: str) -> Iterable[Rule | Alert]:
    if severity == "critical":
        return
    yield Rule(
        "model:estimation_error_share:24h",
        "The estimator's own error over what is material, over 24h: of accuracy and F1 "
        f"{MATERIAL}, of the mean absolute error {MATERIAL_SHARE:.0%} of what came true.",
        without(
            "max",
            "monitor, estimator",
            "(\n"
            f'  abs(model:estimation_error:24h{{monitor=~"accuracy|f1"}}) / {MATERIAL}\n'
            "  or\n"
            '  abs(model:estimation_error:24h{monitor="mean_absolute_error"})\n'
            "  / ignoring (monitor, estimator) group_left ()\n"
            f"  ({MATERIAL_SHARE} * model:mean_absolute_error:24h)\n"
            ")\nand ignoring (monitor)\nmodel:preferred_estimator",
        ),
    )
    error = each(
        "model:estimation_error:24h{%s} and ignoring (monitor) model:preferred_estimator",
        f"\n- {{{{ .Labels.monitor }}}}: {number('%+.3f')}",
        by="monitor",
    )
    kind = each(
        "model:drift_kind:24h{%s,kind='classes'}",
        "\nOnly the mix of classes has moved: scores of each class are as they were.",
    )
    yield build.alert(
        "ConceptDrift",
        severity,
        "model:calibration_drift:24h > 1\n"
        f"and\nmodel:labelled_predictions:24h >= {LEAST_LABELLED}\n"
        "and\nmodel:estimation_error_share:24h > 1",
        help="What came true is no longer what the baseline's scores and regions say, by more than "
        f"chance explains and by enough to matter, over 24h and {LEAST_LABELLED} labels: what is "
        "to be predicted has changed, and estimates without labels are wrong.",
        summary=f"{ABOUT_MODEL}{NAME}: outcomes no longer follow from scores as they did "
        '(calibration drift {{ $value | printf "%.1f" }}, above 1 is significant)',
        description=f"{ABOUT_MODEL}Estimates without labels can't be trusted now. What they "
        f"expected of the labelled predictions of the last 24h, less what came true:{error}{kind}",
    )


def _shortfall(severity: str) -> Rule:
    def figure(window: str) -> str:
        of_preferred = (
            f"model:estimated_performance:{window}\n"
            "and ignoring (monitor)\nmodel:preferred_estimator"
        )
        return without("max", "estimator", of_preferred)

    def worse(window: str) -> str:
        return beyond_threshold(figure(window), severity)

    def rows(window: str) -> str:
        counted = (
            f"ml_estimated_predictions_total:{window}\n"
            "and ignoring (baseline_id)\nmodel:preferred_estimator"
        )
        return f"{without('sum', 'estimator, baseline_id', counted)} >= {LEAST_PREDICTIONS}"

    width = without(
        "max",
        "estimator",
        "model:estimated_performance_upper:24h - model:estimated_performance_lower:24h\n"
        "and ignoring (monitor)\nmodel:preferred_estimator",
    )
    critical = (
        "(\n  model:performance_critical_value\n"
        f"  or\n  0 * model:predictions:24h + {USUAL_CRITICAL_VALUE}\n)"
    )
    # A mean over classes has no interval: of few rows it is often as low by chance.
    uncertain = (
        without(
            "max",
            "estimator",
            f'model:estimated_performance:24h{{monitor!~"{"|".join(REGRESSION)}"}}',
        )
        + f"\nunless\n{width}"
    )
    by_chance = (
        f'model:threshold_reference{{severity="{severity}"}}\n'
        f"- ignoring (severity)\n{figure('24h')}\n"
        f"<= ignoring (severity)\n(\n{indent(width)}\n"
        f"  * ignoring (monitor) group_left ()\n{indent(critical)}\n  / {2 * Z_95!r}\n)"
    )
    return Rule(
        "model:estimated_shortfall:24h",
        f"By how much an estimated figure is worse than its {severity} threshold over 24h, by "
        "`monitor`, where it is significantly worse than its reference, rests on "
        f"{LEAST_PREDICTIONS} predictions, the last hour doesn't say otherwise, and calibration is "
        "not known to have broken.",
        f"{worse('24h')} > 0\n"
        f"and ignoring (monitor, severity) (\n{indent(rows('24h'))}\n)\n"
        f"unless ignoring (severity) (\n{indent(by_chance)}\n)\n"
        f"unless ignoring (severity) (\n{indent(uncertain)}\n)\n"
        f"unless (\n{indent(worse('1h'))} <= 0\n"
        f"  and ignoring (monitor, severity) (\n{indent(rows('1h'), 4)}\n  )\n)\n"
        "unless ignoring (monitor, severity) (\n"
        "  model:calibration_drift:24h > 1\n"
        f"  and\n  model:labelled_predictions:24h >= {LEAST_LABELLED}\n)",
        {"severity": severity},
    )
