"""Charts of scores: ROC, precision-recall, gain, lift, calibration, and how outcomes spread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ml_exporter.dashboards.charts import REFERENCE, Axis, curves_panel
from ml_exporter.dashboards.figures import OF_SCORES, Figure, course
from ml_exporter.dashboards.panels import About, Column, Panel, bars_panel
from ml_exporter.dashboards.selectors import MODEL
from ml_exporter.rules.promql import indent

CLASSES = "score:positives:24h"
"""A series for each class that has scores."""

_OF_CLASS = f'{MODEL},class=~"$class"'
_POSITIVES, _NEGATIVES = (
    f"score:{which}:${{window}}{{{_OF_CLASS}}}" for which in ("positives", "negatives")
)
_PREVALENCE = (
    f"sum by (class) ({_POSITIVES})\n"
    f"/ (sum by (class) ({_POSITIVES}) + sum by (class) ({_NEGATIVES}) > 0)"
)
_WIDTH, _HEIGHT = 8, 10


@dataclass(frozen=True)
class _Chart:
    """A chart of two series, and the dashed line of points (x, y); y may be a query by class."""

    title: str
    description: str
    x: tuple[str, str]
    y: tuple[str, str]
    reference: Sequence[tuple[float, float | str]]
    unit: str = "percentunit"
    high: float | None = 1
    order: str = "gain:population"  # from the highest score down
    from_first_row: bool = False  # whether the point above all rows is left out: it has no value


_CHARTS = (
    _Chart(
        "ROC curve",
        "Of each class, how many are above a score (true positives), against how many of the rest "
        "are (false positives). The further up and left, the better; the dashed diagonal is "
        "chance. Of two versions, one that lies above the other everywhere is better at any cut.",
        ("False-positive rate", "curve:false_positive_rate"),
        ("True-positive rate", "gain:captured"),
        ((0, 0), (1, 1)),
    ),
    _Chart(
        "Precision and recall",
        "Of those above a score, how many are of the class (precision), against how many of the "
        "class are above it (recall). Dashed is the share of the class among all: what guessing "
        "has. Read off what a cut for more recall would cost in precision.",
        ("Recall", "gain:captured"),
        ("Precision", "curve:precision"),
        ((0, _PREVALENCE), (1, _PREVALENCE)),
        from_first_row=True,
    ),
    _Chart(
        "Calibration",
        "Of those with a score in a bin, which share turned out to be of the class, against their "
        "mean score. On the dashed diagonal, scores are probabilities. Below it the model "
        "promises too much, above it too little.",
        ("Mean score", "calibration:mean_score"),
        ("Share that is of the class", "calibration:observed"),
        ((0, 0), (1, 1)),
        order="calibration:mean_score",
    ),
    _Chart(
        "Cumulative gain",
        "Taking rows from the highest score down: which share of the class is found among so many "
        "rows. It says how many calls, checks or letters a goal needs. Dashed is taking rows at "
        "random.",
        ("Share of rows", "gain:population"),
        ("Share of the class", "gain:captured"),
        ((0, 0), (1, 1)),
    ),
    _Chart(
        "Lift",
        "How many times as many of the class there are among the rows of the highest scores as "
        "among all. At 1 (dashed) scores say nothing. If it sinks on the left, the model no longer "
        "finds its surest cases.",
        ("Share of rows", "gain:population"),
        ("Lift", "gain:lift"),
        ((0, 1), (1, 1)),
        unit="none",
        high=None,
        from_first_row=True,
    ),
)


def score_charts() -> Iterable[Panel]:
    for chart in _CHARTS:
        yield _curves(chart)
    yield course(
        Figure(
            "expected_calibration_error",
            "Expected calibration error",
            "How far scores are from the share that comes true, in the mean over score bins. If it "
            "rises, scores can't be read as probabilities, and estimates without labels are off.",
            high=None,
            no_value=OF_SCORES,
            has_interval=False,
        ),
        width=_WIDTH,
    )
    yield _outcomes_by_score()
    yield _shares_by_score()


def _curves(chart: _Chart) -> Panel:
    on_x = _reference(x for x, _ in chart.reference)
    x, y, order = (
        _points(curve, chart.from_first_row) for curve in (chart.x[1], chart.y[1], chart.order)
    )
    return curves_panel(
        About(
            chart.title,
            chart.description,
            width=_WIDTH,
            height=_HEIGHT,
            decimals=2,
            no_value=OF_SCORES,
        ),
        Axis(chart.x[0], f"{x}\nor\n{on_x}", high=1),
        Axis(
            chart.y[0],
            f"{y}\nor\n{_reference(y for _, y in chart.reference)}",
            chart.unit,
            chart.high,
        ),
        "curve",
        f"{order}\nor\n{on_x}",
    )


def _points(curve: str, from_first_row: bool) -> str:
    """The points of curves as (curve, at), by the bins of the baseline that has most rows."""
    label = "bin" if curve.startswith("calibration:") else "le"
    of_class = "version, class, baseline_id"
    rows = f"sum by ({of_class}) ({_POSITIVES} + {_NEGATIVES})"
    chosen = f"{curve}:${{window}}{{{_OF_CLASS}}}"
    if from_first_row:
        chosen += f"\nand gain:population:${{window}}{{{_OF_CLASS}}} > 0"
    chosen += f"\nand on ({of_class})\ntopk by (version, class) (1, {rows})"
    at = f'label_replace(\n{indent(chosen)},\n  "at", "$1", "{label}", "(.+)"\n)'
    named = f'label_join(\n{indent(at)},\n  "curve", " ", "version", "class"\n)'
    return f"max by (curve, at) (\n{indent(named)}\n)"


def _reference(values: Iterable[float | str]) -> str:
    """The points of a dashed line, as long as there is a curve."""
    points = []
    for number, value in enumerate(values):
        of_class = value
        if not isinstance(value, str):
            of_class = f"0 * group by (class) ({_POSITIVES}) + {value:g}"
        at = f'label_replace(\n{indent(str(of_class))},\n  "at", "{number}", "", ""\n)'
        named = f'label_replace(\n{indent(at)},\n  "curve", "{REFERENCE} $1", "class", "(.+)"\n)'
        points.append(f"max by (curve, at) (\n{indent(named)}\n)")
    return "\nor\n".join(points)


def _in_bins(actual: str) -> str:
    return (
        "sum by (class, bin) (\n  ml_labelled_score_values_total:${window}"
        f'{{{_OF_CLASS},actual="{actual}"}}\n)'
    )


def _by_class(expr: str) -> str:
    """An expression by class and bin, under one name for both."""
    return (
        f'sum by (score) (\n  label_join(\n{indent(expr, 4)},\n    "score", " ", "class", "bin")\n)'
    )


def _order() -> str:
    return _by_class(
        f"max by (class, bin) (\n  label_replace(\n    1 - gain:population:${{window}}"
        f'{{{_OF_CLASS}}}, "bin", "$1", "le", "(.+)")\n)'
    )


def _outcomes_by_score() -> Panel:
    def share(actual: str) -> str:
        rows = _in_bins(actual)
        return _by_class(f"{rows}\n/ on (class) group_left ()\n(sum by (class) ({rows}) > 0)")

    return bars_panel(
        About(
            "Scores by outcome",
            "How the scores of rows that are of the class spread over score bins (named by their "
            "upper edge), and of those that aren't. The less the two overlap, the better scores "
            "tell them apart. Bins are of equal size in the baseline. Choose one class and "
            "version.",
            "percentunit",
            width=12,
            height=9,
            no_value=OF_SCORES,
        ),
        "score",
        _order(),
        Column("Of the class", share("true")),
        Column("Not of it", share("false")),
    )


def _shares_by_score() -> Panel:
    def baseline(which: str = "") -> str:
        return f"sum by (class, bin) (\n  class:calibration_baseline_rows{{{_OF_CLASS}{which}}}\n)"

    positives = baseline(',actual="true"')
    of_class, rest = _in_bins("true"), _in_bins("false")
    return bars_panel(
        About(
            "Share of the class by score",
            "Of those with a score in the bin, which share is of the class, in the baseline and "
            "now. If the bars part, the same score no longer means the same: concept drift. "
            "If they agree and only figures moved, the population did. Choose one class and "
            "version.",
            "percentunit",
            width=12,
            height=9,
            no_value=OF_SCORES,
        ),
        "score",
        _order(),
        Column("Baseline", _by_class(f"{positives}\n/ ({baseline()} > 0)")),
        Column("Now", _by_class(f"{of_class}\n/ ({of_class}\n  + {rest} > 0)")),
    )
