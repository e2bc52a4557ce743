"""Figures as they are expected to be without labels, and what labels said of the expectation.

The twin is `ml_exporter.statistics.performance`, of expected outcomes.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules import calibration, counts, estimated_scores
from ml_exporter.rules.classification import OUTCOMES, correlation, macro_average
from ml_exporter.rules.counts import Counter
from ml_exporter.rules.groups import Group, Rule
from ml_exporter.rules.intervals import end_of_phi
from ml_exporter.rules.promql import gauge, indent, join_replicas, positive_class, union, without
from ml_exporter.rules.shares import SIGNS, f1_of_jaccard, unclamped_wilson
from ml_exporter.rules.timing import WINDOWS, Timing, duration
from ml_exporter.statistics.significance import Z_95

SHARES = (
    *("accuracy", "precision", "recall", "specificity", "f1", "negative_predictive_value"),
    *("false_positive_rate", "false_negative_rate", "positive_rate"),
)
CLASSIFICATION = (*SHARES, "balanced_accuracy", "matthews_correlation")
REGRESSION = ("mean_absolute_error", "root_mean_squared_error")
FIGURES = (*CLASSIFICATION, *estimated_scores.FIGURES, *REGRESSION)
"""Names of the figures: each is `model:estimated_NAME:WINDOW`."""
INTERVALS = (*CLASSIFICATION, *estimated_scores.FIGURES, "mean_absolute_error")
"""Those that have `model:estimated_NAME_lower:WINDOW` and `_upper`, of a binary model but for
accuracy and the figures of scores."""

COUNTERS = tuple(
    Counter(f"ml_{of}_{name}_total", f"ml_{of}_{name}_total", f"{what}, {rows}, by estimator,")
    for of, rows in (
        ("estimated", "of all predictions"),
        ("labelled_estimated", "of predictions whose label came"),
    )
    for name, what in (
        ("outcomes", "Expected outcomes"),
        ("predictions", "Predictions that an estimator counted"),
        ("absolute_error", "Expected absolute errors"),
        ("squared_error", "Expected squared errors"),
    )
)

_CELL = "actual, predicted, correct, baseline_id"
_TASK = "task, positive"
SAME_ROWS = 0.9  # of labelled predictions that an estimator must have counted, to be compared


def groups(timing: Timing) -> Iterable[Group]:
    yield Group(
        "ml-exporter-estimators",
        duration(timing.minute),
        (_preferred_estimator(timing), *calibration.baseline(timing)),
    )
    for window in WINDOWS:
        rules = (
            *counts.of_window(timing, COUNTERS, window),
            *_figures("estimated", window),
            *_figures("labelled_estimated", window),
            *_intervals(window),
            *_preferred(window),
            _error(window),
            *calibration.statistics(window),
        )
        yield Group(f"ml-exporter-estimates-{window}", timing.interval(window), rules)
    yield from estimated_scores.groups(timing)


def _preferred_estimator(timing: Timing) -> Rule:
    def of_baselines(selector: str) -> str:
        # Two baselines may differ in it, and a figure is one estimator's.
        info = gauge(timing, f"ml_estimator_info{{{selector}}}")
        return join_replicas("group", info, "baseline_id", "preferred")

    preferred = 'preferred="true"'
    scores = of_baselines(f'{preferred},estimator="scores"')
    return Rule(
        "model:preferred_estimator",
        "1 for the better estimator of each model; where replicas differ, scores.",
        f"{scores}\nor ignoring (estimator)\n{of_baselines(preferred)}",
    )


def _figures(of: str, window: str) -> Iterable[Rule]:
    """Counts of classes, the cells of the positive class, and all figures under one name."""
    yield from _class_counts(of, window)
    yield from _cells(of, window)
    rows = _rows(of, window)
    errors = {
        name: without("sum", "baseline_id", f"ml_{of}_{name}_total:{window}")
        for name in ("absolute_error", "squared_error")
    }
    parts = _classification(of, window) | {
        "mean_absolute_error": f"{errors['absolute_error']}\n/ ({rows} > 0)",
        "root_mean_squared_error": f"sqrt({errors['squared_error']}\n/ ({rows} > 0))",
    }
    rows_of = "labelled predictions" if of.startswith("labelled") else "predictions"
    yield Rule(
        f"model:{of}_performance:{window}",
        f"Figures of {rows_of} as each estimator expects them, by `monitor` and `estimator`, over "
        f"{window}.",
        union(parts, "monitor"),
    )


def _rows(of: str, window: str) -> str:
    return without("sum", "baseline_id", f"ml_{of}_predictions_total:{window}")


def _class_counts(of: str, window: str) -> Iterable[Rule]:
    outcomes = f"ml_{of}_outcomes_total:{window}"

    def by_class(label: str, selector: str) -> str:
        named = f'label_replace({outcomes}{{{selector}}}, "class", "$1", "{label}", "(.*)")'
        return without("sum", _CELL, named)

    support, predicted, hits = (
        f"class:{of}_{name}:{window}" for name in ("support", "predicted", "true_positives")
    )
    for record, help, expr in (
        (support, "that are of the class", by_class("actual", 'actual!="<other>"')),
        (predicted, "that were predicted to be of the class",
         by_class("predicted", 'predicted!="<other>"')),
        (hits, "of the class that were predicted to be", by_class("actual", 'correct="true"')),
    ):  # fmt: skip
        yield Rule(record, f"Expected number of rows {help}, over {window}.", expr)


def _cells(of: str, window: str) -> Iterable[Rule]:
    support, predicted, hits = (
        f"class:{of}_{name}:{window}" for name in ("support", "predicted", "true_positives")
    )
    rows = f"{_rows(of, window)}\n- ignoring (class) group_right ()\n"
    positive = positive_class("class")
    for cell, expr in zip(
        OUTCOMES,
        (
            hits,
            f"{predicted} - {hits}",
            f"{support} - {hits}",
            f"{rows}({support} + {predicted} - {hits})",
        ),
        strict=True,
    ):
        of_positive = f"{expr}\nand ignoring ({_TASK}, estimator)\n{positive}"
        yield Rule(
            f"model:{of}_{cell}:{window}",
            f"Expected {cell.replace('_', ' ')} (binary), over {window}.",
            # Rounding leaves no exact zero.
            f"clamp_min(\n{indent(without('max', 'class', of_positive))},\n  0\n)",
        )


def _classification(of: str, window: str) -> dict[str, str]:
    support, predicted, hits = (
        f"class:{of}_{name}:{window}" for name in ("support", "predicted", "true_positives")
    )
    rows, correct = _rows(of, window), without("sum", "class", hits)
    negatives = f"({rows}\n  - ignoring (class) group_right ()\n  {support} > 0)"
    not_predicted = f"({rows}\n  - ignoring (class) group_right ()\n  {predicted} > 0)"
    rejected = (
        f"({rows}\n  - ignoring (class) group_right ()\n  ({support} + {predicted} - {hits}))"
    )
    recall = f"{hits} / ({support} > 0)"
    of_classes = {
        "precision": f"{hits} / ({predicted} > 0)",
        "recall": recall,
        "specificity": f"{rejected} / {negatives}",
        "f1": f"2 * {hits} / ({support} + {predicted} > 0)",
        "negative_predictive_value": f"{rejected} / {not_predicted}",
    }
    shares = _shares(of, window)
    parts = {
        name: f"{successes}\n/ (\n{indent(trials)}\n  > 0\n)"
        for name, (successes, trials) in shares.items()
    }
    tp, fp, fn, _ = (f"model:{of}_{cell}:{window}" for cell in OUTCOMES)
    parts["f1"] = f"2 * {tp}\n/ (2 * {tp} + {fp} + {fn} > 0)"
    occurring = f"({support} + {predicted} > 0)"
    for name, figure in of_classes.items():
        parts[name] += f"\nor\n{_multiclass(macro_average(figure, occurring))}"
    one_by_one = " + ".join(
        f"{successes}\n/ (\n{indent(trials)}\n  > 0\n)"
        for successes, trials in (shares["recall"], shares["specificity"])
    )
    parts["balanced_accuracy"] = (
        f"(\n{indent(one_by_one)}\n) / 2\nor\n{_multiclass(without('avg', 'class', recall))}"
    )
    parts["matthews_correlation"] = correlation(rows, correct, support, predicted)
    for rate, metric in (("false_positive_rate", "specificity"), ("false_negative_rate", "recall")):
        mean = macro_average(of_classes[metric], occurring)
        parts[rate] += f"\nor\n{_multiclass(f'1 - {mean}')}"
    return {name: parts[name] for name in CLASSIFICATION}


def _multiclass(expr: str) -> str:
    return f'{expr}\nand ignoring ({_TASK}, estimator)\nmodel:info{{task="multiclass"}}'


def _shares(of: str, window: str) -> dict[str, tuple[str, str]]:
    """Expected successes and trials behind each figure that is a share."""
    tp, fp, fn, tn = (f"model:{of}_{cell}:{window}" for cell in OUTCOMES)
    correct = without("sum", "class", f"class:{of}_true_positives:{window}")
    return {
        "accuracy": (correct, _rows(of, window)),
        "precision": (tp, f"({tp} + {fp})"),
        "recall": (tp, f"({tp} + {fn})"),
        "specificity": (tn, f"({tn} + {fp})"),
        "f1": (tp, f"({tp} + {fp} + {fn})"),  # of Jaccard's index, of which it is a function
        "negative_predictive_value": (tn, f"({tn} + {fn})"),
        "false_positive_rate": (fp, f"({tn} + {fp})"),
        "false_negative_rate": (fn, f"({tp} + {fn})"),
        "positive_rate": (f"({tp} + {fp})", f"({tp} + {fp} + {fn} + {tn})"),
    }


def _intervals(window: str) -> Iterable[Rule]:
    shares = _shares("estimated", window)
    for end in SIGNS:
        parts = {
            name: unclamped_wilson(end, successes, f"({trials} > 0)")
            for name, (successes, trials) in shares.items()
        }
        parts["f1"] = f1_of_jaccard(parts["f1"])
        yield Rule(
            f"model:estimated_performance_{end}:{window}",
            f"{end.capitalize()} end of the 95 % interval (Wilson's, of expected counts) of what "
            "the figure turns out to be, if the estimator's probabilities are right, over "
            f"{window}.",
            f"clamp(\n{indent(union(parts, 'monitor'))},\n  0, 1\n)",
        )
    for end, sign in SIGNS.items():
        for name, expr, how in (
            ("balanced_accuracy", _end_of_balanced_accuracy(end, window),
             "square-and-add of those of recall and specificity"),
            ("matthews_correlation",
             f"clamp(\n{indent(end_of_phi(end, window, 'estimated_'))},\n  -1, 1\n)",
             "from the variance of phi"),
            ("mean_absolute_error", _end_of_mean_error(sign, window),
             "normal, from the expected squares"),
        ):  # fmt: skip
            yield Rule(
                f"model:estimated_performance_{end}:{window}",
                f"{end.capitalize()} end for {name}: {how}. Over {window}.",
                expr,
                {"monitor": name},
            )


def _end_of_balanced_accuracy(end: str, window: str) -> str:
    halves = '{monitor=~"recall|specificity"}'
    figures = f"model:estimated_performance:{window}{halves}"
    distance = f"{figures}\n- model:estimated_performance_{end}:{window}{halves}"
    spread = without("sum", "monitor", f"(\n{indent(distance)}\n) ^ 2")
    whole = f'model:estimated_performance:{window}{{monitor="balanced_accuracy"}}'
    of_whole = without("sum", "monitor", whole)
    return f"{of_whole}\n{SIGNS[end]} sqrt(\n{indent(spread)}\n) / 2"


def _end_of_mean_error(sign: str, window: str) -> str:
    rows = _rows("estimated", window)
    absolute, squared = (
        without("sum", "baseline_id", f"ml_estimated_{name}_total:{window}")
        for name in ("absolute_error", "squared_error")
    )
    mean = f"{absolute} / ({rows} > 1)"
    variance = f"{squared} / {rows}\n- ({mean}) ^ 2"
    return (
        f"{mean}\n{sign} {Z_95!r} * sqrt(\n  clamp_min(\n{indent(variance, 4)},\n    0\n  )\n"
        f"  / ({rows} - 1)\n)"
    )


def _preferred(window: str) -> Iterable[Rule]:
    ends = {"": FIGURES, "_lower": INTERVALS, "_upper": INTERVALS}
    for end, names in ends.items():
        for name in names:
            figure = f'model:estimated_performance{end}:{window}{{monitor="{name}"}}'
            yield Rule(
                f"model:estimated_{name}{end}:{window}",
                f"{_END[end]}{name.replace('_', ' ')} that the preferred estimator expects without "
                f"labels, over {window}.",
                without(
                    "max",
                    "monitor, estimator",
                    f"{figure}\nand ignoring (monitor)\nmodel:preferred_estimator",
                ),
            )


_END = {"": "The ", "_lower": "Lower end of the interval of the ", "_upper": "Upper end of the "
        "interval of the "}  # fmt: skip


def _error(window: str) -> Rule:
    compared = (
        f"{_rows('labelled_estimated', window)}\n"
        f">= ignoring (estimator) group_left ()\n{SAME_ROWS} * model:labelled_predictions:{window}"
    )
    return Rule(
        f"model:estimation_error:{window}",
        "The estimator's own error: what it expected of labelled predictions less what came true "
        f"of them, by `monitor` and `estimator`, over {window}.",
        f"model:labelled_estimated_performance:{window}\n"
        f"- ignoring (estimator) group_left ()\nmodel:performance:{window}\n"
        f"and ignoring (monitor) (\n{indent(compared)}\n)",
    )
