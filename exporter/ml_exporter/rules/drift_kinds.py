"""What kind of change it is: the inputs, what follows from them, or only the mix of classes.

The twin is `ml_exporter.statistics.concept_drift`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules.calibration import BASELINE, CRITICAL
from ml_exporter.rules.degradation import LEAST_LABELLED
from ml_exporter.rules.groups import Group, Rule
from ml_exporter.rules.promql import indent, without
from ml_exporter.rules.shares import g_statistic, sample, two_shares_z
from ml_exporter.rules.timing import Timing, duration

WINDOWS = ("24h", "7d")

_POSITIVES, _NEGATIVES = "class:baseline_positives", "class:baseline_negatives"


def groups(timing: Timing) -> Iterable[Group]:
    yield Group("ml-exporter-drift-kinds", duration(timing.minute), tuple(_baseline()))
    for window in WINDOWS:
        rules = (*_given_outcomes(window), *_mix(window), *_kinds(window))
        yield Group(f"ml-exporter-drift-kinds-{window}", timing.interval(window), rules)


def _given_outcomes(window: str) -> Iterable[Rule]:
    values = f"ml_labelled_score_values_total:{window}"
    samples = (
        sample(counts, f"({without('sum', 'bin', counts)} > 0)") for counts in (values, BASELINE)
    )
    yield Rule(
        f"class:conditional_statistic:{window}",
        "Likelihood-ratio statistic of the scores of rows that are of a class, and of those that "
        f"aren't (`actual`), against the baseline's, over {window}.",
        g_statistic(*samples),
    )
    significance = (
        f"class:conditional_statistic:{window}\n/ ignoring (actual, test) group_left ()\n"
        f'{CRITICAL}{{test="bins"}}'
    )
    yield Rule(
        f"model:class_conditional_drift:{window}",
        "How far scores given the outcome are from the baseline's: above 1 is significant. Over "
        f"{window}.",
        without("max", "class, actual, baseline_id", significance),
    )


def _baseline() -> Iterable[Rule]:
    for record, what, selector in (
        (_POSITIVES, "are of the class", '{actual="true"}'),
        (_NEGATIVES, "aren't of the class", '{actual="false"}'),
    ):
        yield Rule(
            record,
            f"Labelled rows of the baseline with a score that {what}.",
            without("sum", "actual, bin", f"{BASELINE}{selector}"),
        )


def _mix(window: str) -> Iterable[Rule]:
    positives = f"score:positives:{window}"
    rows = f"({positives} + score:negatives:{window} > 0)"
    before, rows_before = _POSITIVES, f"({_POSITIVES} + {_NEGATIVES} > 0)"
    yield Rule(
        f"class:mix_z:{window}",
        "Signed root of the likelihood ratio of the share of a class among labelled rows against "
        f"the baseline's: positive if it grew. Over {window}.",
        two_shares_z(positives, rows, before, rows_before),
    )
    yield Rule(
        f"model:class_mix_drift:{window}",
        "How far the mix of classes is from the baseline's: above 1 is significant. Over "
        f"{window}.",
        without(
            "max",
            "class, baseline_id",
            f'abs(class:mix_z:{window})\n/ ignoring (test)\n{CRITICAL}{{test="overall"}}',
        ),
    )


def _kinds(window: str) -> Iterable[Rule]:
    enough = f"model:labelled_predictions:{window} >= {LEAST_LABELLED}"
    broken = f"(\n  model:calibration_drift:{window} > 1\n  and\n  {enough}\n)"
    drifted = (
        f'field:significance:{window}{{role=~"feature|component"}} > 1\nand\n'
        f"{without('max', 'severity', f'field:materiality:{window}')} > 1"
    )
    inputs = without("count", "role, field, baseline_id", drifted)
    kind = f"model:drift_kind:{window}"
    classes = f'{kind}{{kind="classes"}}'
    errors = f"model:error_drift > 1\nunless\nmodel:calibration_drift:{window}\nunless\n{inputs}"
    for name, help, expr in (
        (
            "classes",
            "only the mix of classes has moved: the calibration is broken, and scores given the "
            "outcome are as they were",
            f"{broken}\nand\nmodel:class_mix_drift:{window} > 1\n"
            f"and\nmodel:class_conditional_drift:{window} <= 1",
        ),
        (
            "relation",
            "what follows from the inputs has changed: the calibration is broken; without one, the "
            "error rate has grown on inputs that haven't moved",
            f"(\n{indent(broken)}\n  or\n{indent(errors)}\n)\nunless ignoring (kind)\n{classes}",
        ),
        (
            "inputs",
            "features have moved from the baseline significantly and materially",
            f"{inputs}\nunless ignoring (kind)\n{classes}",
        ),
    ):
        yield Rule(
            kind, f"1 where {help}. Over {window}.", f"0 * (\n{indent(expr)}\n) + 1", {"kind": name}
        )
