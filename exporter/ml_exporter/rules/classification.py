"""Figures of models that predict classes, from the counts of each class over a window.

The twin is `ml_exporter.statistics.performance`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ml_exporter.rules.classes import rows_but
from ml_exporter.rules.groups import Rule
from ml_exporter.rules.promql import indent, positive_class, union, without

FIGURES = (
    *("accuracy", "precision", "recall", "specificity", "f1", "balanced_accuracy"),
    *("matthews_correlation", "negative_predictive_value"),
    *("false_positive_rate", "false_negative_rate", "positive_rate"),
    *("precision_weighted", "recall_weighted", "f1_weighted", "constant_accuracy"),
)
"""Names of the figures: each is `model:NAME:WINDOW`."""

OUTCOMES = ("true_positives", "false_positives", "false_negatives", "true_negatives")
"""Names of the cells of a binary model's confusion matrix: each is `model:NAME:WINDOW`."""

_AVERAGED = (
    "Multiclass: its mean over the classes that occur or were predicted, where an undefined one "
    "counts 0"
)
_BY_SUPPORT = "of the classes, weighted by their support (multiclass)"
_MEANINGS: Mapping[str, str] = {
    "accuracy": "Share of labelled predictions that are correct",
    "precision": f"Binary: of those predicted to be positive, how many are. {_AVERAGED}",
    "recall": f"Binary: of those that are positive, how many were predicted to be. {_AVERAGED}",
    "specificity": "Binary: of those that are not positive, how many were not predicted to be. "
    + _AVERAGED,
    "f1": f"Binary: the harmonic mean of precision and recall. {_AVERAGED}",
    "balanced_accuracy": "Binary: the mean of recall and specificity. Multiclass: the mean recall "
    "of the classes that occur",
    "matthews_correlation": "Correlation of actual and predicted classes: 1 is perfect, 0 is "
    "chance (binary: phi; multiclass: R_K)",
    "negative_predictive_value": "Binary: of those not predicted to be positive, how many are "
    f"not. {_AVERAGED}",
    "false_positive_rate": "Binary: of those that are not positive, how many were predicted to be. "
    "Multiclass: 1 - specificity",
    "false_negative_rate": "Binary: of those that are positive, how many were not predicted to be. "
    "Multiclass: 1 - recall",
    "positive_rate": "Share of labelled predictions that were predicted to be positive (binary)",
    "precision_weighted": f"Precision {_BY_SUPPORT}",
    "recall_weighted": f"Recall {_BY_SUPPORT}: that is accuracy",
    "f1_weighted": f"F1 {_BY_SUPPORT}",
    "constant_accuracy": "What accuracy would be if the most frequent class were always "
    "predicted: a model that isn't better is worth nothing",
}


def rules(window: str) -> Iterable[Rule]:
    yield from _outcomes(window)
    yield from _shares(window)
    for name, expr in _figures(window).items():
        yield Rule(f"model:{name}:{window}", f"{_MEANINGS[name]}. Over {window}.", expr)


def binary(expr: str) -> str:
    return f'{expr}\nand ignoring (task, positive)\nmodel:info{{task="binary"}}'


def multiclass(expr: str) -> str:
    return f'{expr}\nand ignoring (task, positive)\nmodel:info{{task="multiclass"}}'


def occurring(window: str) -> str:
    """The classes that have a row, or were predicted."""
    return f"(class:support:{window} + class:predicted:{window} > 0)"


def _outcomes(window: str) -> Iterable[Rule]:
    support, predicted, hits, rejected = (
        f"class:{count}:{window}"
        for count in ("support", "predicted", "true_positives", "true_negatives")
    )
    positive = positive_class("class")
    for name, help, count in (
        ("true_positives", "are of the positive class and were predicted to be", hits),
        ("false_positives", "were predicted to be of the positive class and are not",
         f"{predicted} - {hits}"),
        ("false_negatives", "are of the positive class and were not predicted to be",
         f"{support} - {hits}"),
        ("true_negatives", "are not of the positive class and were not predicted to be", rejected),
    ):  # fmt: skip
        yield Rule(
            f"model:{name}:{window}",
            f"Labelled predictions that {help} (binary), over {window}.",
            without("max", "class", f"{count}\nand ignoring (task, positive)\n{positive}"),
        )


def _shares(window: str) -> Iterable[Rule]:
    hits, false_alarms, misses, rejections = (f"model:{name}:{window}" for name in OUTCOMES)
    correct = without("sum", "class", f"class:true_positives:{window}")
    rows = without("sum", "class", f"class:support:{window}")
    predicted, negatives = f"{hits} + {false_alarms}", f"{rejections} + {false_alarms}"
    positives, not_predicted = f"{hits} + {misses}", f"{rejections} + {misses}"
    shares = {
        "accuracy": (correct, rows),
        "precision": (hits, predicted),
        "recall": (hits, positives),
        "specificity": (rejections, negatives),
        "f1": (hits, f"{predicted} + {misses}"),
        "negative_predictive_value": (rejections, not_predicted),
        "false_positive_rate": (false_alarms, negatives),
        "false_negative_rate": (misses, positives),
        "positive_rate": (predicted, f"{predicted} + {not_predicted}"),
        "recall_weighted": (multiclass(correct), multiclass(rows)),
    }
    jaccard = "; those of F1 are of Jaccard's index, of which it is a function"
    for count, of, help in (
        ("successes", 0, "Successes behind each figure that is a share, by `monitor`"),
        ("trials", 1, "Rows behind each figure that is a share, by `monitor`"),
    ):
        yield Rule(
            f"model:{count}:{window}",
            f"{help}{jaccard}. Over {window}.",
            union({name: share[of] for name, share in shares.items()}, "monitor"),
        )


def _figures(window: str) -> Mapping[str, str]:
    support, predicted = f"class:support:{window}", f"class:predicted:{window}"
    rejected = f"class:true_negatives:{window}"
    rows = f'model:trials:{window}{{monitor="accuracy"}}'

    def share(name: str) -> str:
        of = f'{{monitor="{name}"}}'
        ratio = f"model:successes:{window}{of}\n/ (\n  model:trials:{window}{of} > 0\n)"
        return without("sum", "monitor", ratio)

    def mean(metric: str) -> str:
        return multiclass(macro_average(f"class:{metric}:{window}", occurring(window)))

    def weighted(metric: str) -> str:
        total = without("sum", "class", f"{support} * class:{metric}:{window}")
        return multiclass(f"{total}\n/ ignoring (monitor)\n({rows} > 0)")

    def rate(metric: str) -> str:
        return multiclass(f"1 - model:{metric}:{window}")

    one_by_one = f"model:recall:{window} + model:specificity:{window}"
    not_predicted = f"({rows_but(predicted)} > 0)"
    return {
        "accuracy": share("accuracy"),
        "precision": f"{share('precision')}\nor\n{mean('precision')}",
        "recall": f"{share('recall')}\nor\n{mean('recall')}",
        "specificity": f"{share('specificity')}\nor\n{mean('specificity')}",
        "f1": f"{_f1(window)}\nor\n{mean('f1')}",
        "balanced_accuracy": f"{binary(f'({one_by_one}) / 2')}\nor\n"
        + multiclass(without("avg", "class", f"class:recall:{window}")),
        "matthews_correlation": f"{_phi(window)}\nor\n{multiclass(_correlation(window))}",
        "negative_predictive_value": f"{share('negative_predictive_value')}\nor\n"
        + multiclass(macro_average(f"{rejected}\n/ {not_predicted}", occurring(window))),
        "false_positive_rate": f"{share('false_positive_rate')}\nor\n{rate('specificity')}",
        "false_negative_rate": f"{share('false_negative_rate')}\nor\n{rate('recall')}",
        "positive_rate": share("positive_rate"),
        "precision_weighted": weighted("precision"),
        "recall_weighted": share("recall_weighted"),
        "f1_weighted": weighted("f1"),
        "constant_accuracy": without("max", "class", f'{support}{{class!="<other>"}}')
        + f"\n/ ignoring (monitor)\n({rows} > 0)",
    }


def macro_average(figure: str, classes: str) -> str:
    """A mean over classes; nothing where the figure is undefined of all of them."""
    defined = without("sum", "class", f"{figure}\nand\n{classes}")
    return f"{defined}\n/ {without('count', 'class', classes)}"


def _f1(window: str) -> str:
    hits, false_alarms, misses, _ = (f"model:{name}:{window}" for name in OUTCOMES)
    return f"2 * {hits}\n/ (2 * {hits} + {false_alarms} + {misses} > 0)"


def _phi(window: str) -> str:
    hits, false_alarms, misses, rejections = (f"model:{name}:{window}" for name in OUTCOMES)
    return f"""\
({hits} * {rejections} - {false_alarms} * {misses})
/ (
  sqrt(
    ({hits} + {false_alarms})
    * ({hits} + {misses})
    * ({rejections} + {false_alarms})
    * ({rejections} + {misses})
  )
  > 0
)"""


def _correlation(window: str) -> str:
    support, predicted = f"class:support:{window}", f"class:predicted:{window}"
    rows = without("sum", "class", support)
    correct = without("sum", "class", f"class:true_positives:{window}")
    return correlation(rows, correct, support, predicted)


def correlation(rows: str, correct: str, support: str, predicted: str) -> str:
    """R_K, from the rows of a model and those of each of its classes."""
    agreement, of_predicted, of_actual = (
        without("sum", "class", product)
        for product in (
            f"{support} * {predicted}",
            f"{predicted} * {predicted}",
            f"{support} * {support}",
        )
    )
    ratio = f"""\
({rows} * {correct} - {agreement})
/ (
  sqrt(
    ({rows} * {rows} - {of_predicted})
    * ({rows} * {rows} - {of_actual})
  )
  > 0
)"""
    return f"clamp(\n{indent(ratio)},\n  -1, 1\n)"
