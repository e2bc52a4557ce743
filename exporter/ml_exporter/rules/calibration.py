"""Whether what comes true still follows from the baseline's scores and regions as it did.

The twin is `ml_exporter.statistics.calibration`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules.groups import Rule
from ml_exporter.rules.promql import gauge, indent, join_replicas, without
from ml_exporter.rules.shares import log_ratios
from ml_exporter.rules.timing import Timing
from ml_exporter.statistics.calibration import LEAST_IN_BIN

BASELINE = "class:calibration_baseline_rows"
CRITICAL = "class:calibration_critical_value"
_ROWS = "model:estimator_baseline_rows"


def baseline(timing: Timing) -> Iterable[Rule]:
    """What the tests need of the baseline."""

    def joined(aggregate: str, name: str, *also: str) -> str:
        return join_replicas(aggregate, gauge(timing, name), *also)

    yield Rule(
        _ROWS,
        "Labelled rows of the baseline that the estimators were made of.",
        joined("min", "ml_estimator_baseline_rows", "baseline_id"),
    )
    yield Rule(
        BASELINE,
        "Labelled rows of the baseline, by score bin and by whether they are of the class.",
        joined("max", "ml_labelled_score_baseline_rows"),
    )
    yield Rule(
        CRITICAL,
        "What the statistic of a test of calibration must exceed to be significant.",
        joined("max", "ml_calibration_critical_value"),
    )


def statistics(window: str) -> Iterable[Rule]:
    """A statistic by class and test, and the greatest of them over its critical value."""
    values = f"ml_labelled_score_values_total:{window}"
    in_window, in_baseline = (without("sum", "actual", of) for of in (values, BASELINE))
    total = f"({in_window} + {in_baseline})"
    positives, before = (
        without("sum", "actual", f'{of}{{actual="true"}}') for of in (values, BASELINE)
    )
    hits = f"({positives} + {before})"
    of_outcome = "ignoring (actual) group_left ()"
    terms = log_ratios(values, in_window, BASELINE, in_baseline, of_outcome)
    factor = (
        f"1\n+ ({total} / {in_window} + {total} / {in_baseline} - 1)\n"
        f"* ({total} / {hits} + {total} / ({total} - {hits}) - 1)\n/ (6 * {total})"
    )
    # Bins with few rows of the window are left out: chance alone would make much of them.
    of_bins = (
        f"{without('sum', 'actual', terms)}\n/ (\n{indent(factor)}\n)\n"
        f"and\n({in_window} >= {LEAST_IN_BIN} and {in_baseline} > 0)"
    )
    yield Rule(
        f"class:calibration_statistic:{window}",
        "Likelihood-ratio statistic of outcomes in each score bin against the baseline's, with "
        f"Williams's factor, over {window}.",
        f"clamp_min(2 * {without('sum', 'bin', of_bins)}, 0)",
        {"test": "bins"},
    )
    both = f"{in_window} > 0 and {in_baseline} > 0"
    surplus = f"{positives} - {hits} * {in_window} / {total}\nand ({both})"
    variance = (
        f"{hits} * ({total} - {hits}) * {in_window} * {in_baseline}\n"
        f"/ ({total} ^ 2 * clamp_min({total} - 1, 1))\nand ({both})"
    )
    yield Rule(
        f"class:calibration_statistic:{window}",
        "z of there being more of the class than the baseline has at the same scores (Mantel and "
        f"Haenszel's test), over {window}.",
        f"{without('sum', 'bin', surplus)}\n/ sqrt({without('sum', 'bin', variance)} > 0)",
        {"test": "overall"},
    )
    yield _error_statistic(window)
    critical = without("max", "baseline_id", CRITICAL)
    significance = (
        f"abs(class:calibration_statistic:{window})\n/ ({CRITICAL})\n"
        f'or\nabs(class:calibration_statistic:{window}{{test="error"}})\n/ {critical}'
    )
    yield Rule(
        f"model:calibration_drift:{window}",
        "How far outcomes are from what the baseline's calibration says: the greatest of statistic "
        f"over critical value; above 1 is significant. Over {window}.",
        without("max", "class, test, baseline_id", significance),
    )


def _error_statistic(window: str) -> Rule:
    """The preferred estimator's own error over its standard error."""
    accuracy = f"model:accuracy:{window}"
    mean, root = f"model:mean_absolute_error:{window}", f"model:root_mean_squared_error:{window}"
    error = without(
        "max",
        "monitor, estimator",
        f'model:estimation_error:{window}{{monitor=~"accuracy|mean_absolute_error"}}\n'
        "and ignoring (monitor)\nmodel:preferred_estimator",
    )
    variance = f"{accuracy} * (1 - {accuracy})\nor\n{root} ^ 2 - {mean} ^ 2"
    both = f"(1 / model:labelled_predictions:{window} + 1 / {_ROWS})"
    return Rule(
        f"class:calibration_statistic:{window}",
        f"z of accuracy, or of the mean absolute error, being other than expected, over {window}.",
        f"{error}\n/ sqrt(\n  (\n{indent(variance, 4)}\n  )\n  * {both}\n  > 0\n)",
        {"test": "error"},
    )
