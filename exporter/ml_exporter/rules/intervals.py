"""95 % intervals of the figures of models that predict classes.

The twin is `model_intervals` of `ml_exporter.statistics.performance`; where each is from is said in
`ml_exporter.statistics.intervals`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ml_exporter.rules.classes import rows_but
from ml_exporter.rules.classification import OUTCOMES, binary, multiclass, occurring
from ml_exporter.rules.groups import Rule
from ml_exporter.rules.promql import indent, without
from ml_exporter.rules.shares import SIGNS, f1_of_jaccard, unclamped_wilson, wilson
from ml_exporter.statistics.intervals import ROUNDING
from ml_exporter.statistics.significance import Z_95

INTERVALS = (
    *("accuracy", "precision", "recall", "specificity", "f1", "balanced_accuracy"),
    *("matthews_correlation", "negative_predictive_value"),
    *("false_positive_rate", "false_negative_rate", "positive_rate"),
    *("precision_weighted", "recall_weighted", "f1_weighted"),
)
"""Names of the figures that have an interval: `model:NAME_lower:WINDOW` and `_upper`."""

ENDS: Mapping[str, str] = {"lower": "Lower", "upper": "Upper"}

_Z2 = Z_95**2


def rules(window: str) -> Iterable[Rule]:
    """All ends under one name, by `monitor`, and each under its figure's own."""
    for end, capital in ENDS.items():
        yield Rule(
            f"model:performance_{end}:{window}",
            f"{capital} ends of the 95 % intervals of the figures of performance, by `monitor`: of "
            f"shares they are Wilson's. Over {window}.",
            _of_shares(end, window),
        )
        averages = {
            name: (expr, "square-and-add of Wilson's for each class (multiclass)")
            for name, expr in _of_averages(end, window).items()
        }
        binary_f1 = "Wilson's for Jaccard's index J, of which it is 2J / (1 + J) (binary); "
        expr, how = averages["f1"]
        averages["f1"] = f"{_of_f1(end, window)}\nor\n{expr}", binary_f1 + how
        yield from _ends(end, window, averages)
    yield from _influences(window)
    for end in ENDS:
        yield from _ends(end, window, _of_others(end, window))
    for end, capital in ENDS.items():
        for name in INTERVALS:
            yield Rule(
                f"model:{name}_{end}:{window}",
                f"{capital} end of the 95 % interval of {name}, over {window}.",
                without("sum", "monitor", _recorded(end, name, window)),
            )


def _ends(end: str, window: str, named: Mapping[str, tuple[str, str]]) -> Iterable[Rule]:
    for name, (expr, how) in named.items():
        yield Rule(
            f"model:performance_{end}:{window}",
            f"{ENDS[end]} end for {name}: {how}. Over {window}.",
            f"clamp(\n{indent(expr)},\n  {-1 if name == 'matthews_correlation' else 0}, 1\n)",
            {"monitor": name},
        )


def _recorded(end: str, monitor: str, window: str) -> str:
    return f'model:performance_{end}:{window}{{monitor="{monitor}"}}'


def _of_shares(end: str, window: str) -> str:
    shares = (f'model:{of}:{window}{{monitor!="f1"}}' for of in ("successes", "trials"))
    return wilson(end, *shares)


def _of_f1(end: str, window: str) -> str:
    jaccard = (f'model:{of}:{window}{{monitor="f1"}}' for of in ("successes", "trials"))
    return f1_of_jaccard(unclamped_wilson(end, *jaccard))


def _of_others(end: str, window: str) -> Mapping[str, tuple[str, str]]:
    """Those that are made of other ends, and Matthews's correlation."""
    others = {
        "balanced_accuracy": (
            _of_balanced_accuracy(end, window),
            "square-and-add of those of recall and specificity (binary); that of recall, over the "
            "classes that occur (multiclass)",
        ),
        "matthews_correlation": (
            f"{end_of_phi(end, window)}\nor\n{_of_correlation(end, window)}",
            "from the variance of phi (binary), or by the delta method (multiclass)",
        ),
    }
    other_end = "upper" if end == "lower" else "lower"
    for rate, metric in (("false_positive_rate", "specificity"), ("false_negative_rate", "recall")):
        expr = without("sum", "monitor", f"1 - {_recorded(other_end, metric, window)}")
        others[rate] = multiclass(expr), f"1 less the other end of {metric} (multiclass)"
    return others


def _of_averages(end: str, window: str) -> Mapping[str, str]:
    """Square-and-add: the figure, and how far from it the ends of its parts are."""
    support = f"class:support:{window}"
    rows = without("sum", "class", support)
    classes = without("count", "class", occurring(window))

    def average(name: str, squares: str, divisor: str) -> str:
        total = without("sum", "class", squares)
        spread = f"sqrt(\n{indent(total)}\n)\n/ {divisor}"
        return multiclass(f"model:{name}:{window}\n{SIGNS[end]} {spread}")

    squares = {
        metric: _squared_distance(end, metric, window)
        for metric in ("precision", "recall", "specificity", "f1", "negative_predictive_value")
    }
    equal = {metric: average(metric, square, classes) for metric, square in squares.items()}
    by_support = {
        f"{metric}_weighted": average(
            f"{metric}_weighted", f"{support} ^ 2\n* {squares[metric]}", rows
        )
        for metric in ("precision", "f1")
    }
    return equal | by_support


def _squared_distance(end: str, metric: str, window: str) -> str:
    """The square of how far an end of a class's interval is from its figure."""
    support, predicted, hits, rejected = (
        f"class:{count}:{window}"
        for count in ("support", "predicted", "true_positives", "true_negatives")
    )
    figure = f"class:{metric}:{window}"
    if metric == "f1":
        end_of_f1 = f1_of_jaccard(
            unclamped_wilson(end, hits, f"({support} + {predicted} - {hits})")
        )
        # A mistake counts against two classes, whose F1 fall together.
        return f"(\n  {figure}\n  -\n{indent(end_of_f1)}\n) ^ 2\n* 2 / (2 - {figure})"
    if metric == "precision":
        return _squared_spread(end, figure, predicted)
    if metric == "recall":
        return _squared_spread(end, figure, support)
    if metric == "specificity":
        spread = _squared_spread(end, figure, f"({rows_but(support)})")
    else:
        trials = f"({rows_but(predicted)})"
        spread = _squared_spread(end, f"({rejected} / ({trials} > 0))", trials)
    return f"{spread}\nand\n{occurring(window)}"


def _squared_spread(end: str, share: str, trials: str) -> str:
    """The same for a share: Wilson's interval, less the share."""
    sign = {"lower": "+", "upper": "-"}[end]
    return f"""\
(
  (
    {Z_95!r} * sqrt({trials} * {share} * (1 - {share}) + {_Z2 / 4!r})
    {sign} {_Z2!r} * ({share} - 0.5)
  )
  / ({trials} + {_Z2!r})
) ^ 2"""


def _of_balanced_accuracy(end: str, window: str) -> str:
    halves = '{monitor=~"recall|specificity"}'
    distance = f"model:performance:{window}{halves}\n- model:performance_{end}:{window}{halves}"
    spread = without("sum", "monitor", f"(\n{indent(distance)}\n) ^ 2")
    of_halves = f"model:balanced_accuracy:{window}\n{SIGNS[end]} sqrt(\n{indent(spread)}\n) / 2"
    # Recall's mean is over the classes that were only predicted, too.
    of_recall = without("sum", "monitor", _recorded(end, "recall", window))
    some = without("count", "class", occurring(window))
    present = without("count", "class", f"class:support:{window} > 0")
    return f"{binary(of_halves)}\nor\n{multiclass(f'{of_recall} * {some} / {present}')}"


def end_of_phi(end: str, window: str, kind: str = "") -> str:
    """An end for phi, of outcomes whose names begin with a kind."""
    hits, false_alarms, misses, rejections = (f"model:{kind}{name}:{window}" for name in OUTCOMES)
    phi = f"model:matthews_correlation:{window}"
    if kind:
        phi = without(
            "sum",
            "monitor",
            f'model:{kind}performance:{window}{{monitor="matthews_correlation"}}',
        )

    def inequality(one: str, other: str) -> str:
        """How unequal two classes are."""
        return f"(({one} - {other}) / sqrt(({one}) * ({other})))"

    positives, negatives = f"({hits} + {misses})", f"({rejections} + {false_alarms})"
    predicted, rest = f"({hits} + {false_alarms})", f"({rejections} + {misses})"
    of_actual, of_predicted = inequality(positives, negatives), inequality(predicted, rest)
    variance = f"""\
(
  1
  - {phi} ^ 2
  + ({phi} + {phi} ^ 3 / 2)
  * {of_actual}
  * {of_predicted}
  - 0.75 * {phi} ^ 2
  * (
    {of_actual} ^ 2
    + {of_predicted} ^ 2
  )
)
/ ({positives} + {negatives})"""
    spread = f"{Z_95!r} * sqrt(clamp_min(\n{indent(variance)},\n  0\n))"
    return f"{phi}\n{SIGNS[end]} {spread}"


_INFLUENCES: Mapping[str, tuple[str, str]] = {
    "actual": ("support", "predicted"),
    "predicted": ("predicted", "support"),
}
"""The class of a row, its count, and that of the other one."""


def _diversity(of: str, window: str) -> str:
    return f"model:{of}_diversity:{window}"


def _influence(of: str, window: str) -> str:
    return f"class:{of}_influence:{window}"


def _influences(window: str) -> Iterable[Rule]:
    """What Matthews's correlation of several classes varies with."""
    rows = without("sum", "class", f"class:support:{window}")
    for of, (own, _) in _INFLUENCES.items():
        squares = without("sum", "class", f"class:{own}:{window} ^ 2")
        yield Rule(
            _diversity(of, window),
            f"How likely two labelled predictions are of different {of} classes (multiclass), over "
            f"{window}.",
            multiclass(f"1 - {squares} / {rows} ^ 2 > 0"),
        )
    correlation = f"model:matthews_correlation:{window}"
    on_class, rows = "ignoring (class) group_left ()", f"({rows} > 0)"
    varied = _varied(window)
    for of, (own, other) in _INFLUENCES.items():
        diversity = _diversity(of, window)
        yield Rule(
            _influence(of, window),
            f"By how much Matthews's correlation changes with the share of rows whose {of} class "
            f"it is (multiclass), over {window}.",
            f"class:{own}:{window}\n* {on_class} ({correlation} / {diversity} / {rows})\n"
            f"-\nclass:{other}:{window}\n* {on_class} (1 / {varied} / {rows})",
        )


def _varied(window: str) -> str:
    return f"sqrt({_diversity('actual', window)} * {_diversity('predicted', window)})"


def _of_correlation(end: str, window: str) -> str:
    """The mean of the squared influence of all rows, less the square of its mean."""
    hits, support, predicted = (
        f"class:{count}:{window}" for count in ("true_positives", "support", "predicted")
    )
    by_actual, by_predicted = (_influence(of, window) for of in ("actual", "predicted"))
    rows = f"({without('sum', 'class', support)} > 0)"
    varied = _varied(window)

    def total(expr: str) -> str:
        return without("sum", "class", expr)

    def of_cells(of: str) -> str:
        named = f'label_replace({_influence(of, window)}, "{of}", "$1", "class", "(.*)")'
        return without("sum", "class", named)

    cells = (
        f"{without('sum', 'correct', f'ml_outcomes_total:{window}')}\n"
        f"* ignoring (predicted) group_left ()\n{of_cells('actual')}\n"
        f"* ignoring (actual) group_left ()\n{of_cells('predicted')}"
    )
    both = without("sum", "actual, predicted", cells)
    by_class = total(f"{support} * {by_actual} + {predicted} * {by_predicted}")
    mean = f"{total(hits)} / {varied}\n+ {by_class}"
    squares = (
        f"{total(hits)} / {varied} ^ 2\n"
        f"+ {total(f'{support} * {by_actual} ^ 2 + {predicted} * {by_predicted} ^ 2')}\n"
        f"+ 2 * {total(f'{hits} * ({by_actual} + {by_predicted})')} / {varied}\n"
        f"+ 2 * {both}"
    )
    variance = (
        f"(\n{indent(squares)}\n)\n/ {rows}\n- (\n  (\n{indent(mean, 4)}\n  )\n  / {rows}\n) ^ 2\n"
        f"- {ROUNDING!r}"
    )
    spread = f"{Z_95!r} * sqrt(\n  clamp_min(\n{indent(variance, 4)},\n    0\n  )\n  / {rows}\n)"
    return f"model:matthews_correlation:{window}\n{SIGNS[end]} {spread}"
