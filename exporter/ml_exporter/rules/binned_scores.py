"""Areas under curves in PromQL, from rows counted by the bin of their score.

Replicas with different baselines have different bins: each figure is made of each baseline's own
rows, and these are then averaged by rows. The ends of intervals are averaged likewise, over
baselines and over classes, as if all erred together: no interval is too narrow for it. The twin is
`ml_exporter.statistics.scores`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ml_exporter.rules.groups import Rule
from ml_exporter.rules.promql import gauge, indent, join_replicas, without
from ml_exporter.rules.shares import SIGNS
from ml_exporter.rules.timing import Timing, span
from ml_exporter.statistics.scores import HARMONIC_SHIFT
from ml_exporter.statistics.significance import Z_95

MEANS: Mapping[str, str] = {
    "roc_auc": "Area under the ROC curve",
    "roc_auc_lower": "Lower end of the 95 % interval of the area under the ROC curve",
    "roc_auc_upper": "Upper end of the 95 % interval of the area under the ROC curve",
    "average_precision": "Average precision",
    "average_precision_lower": "Lower end of the 95 % interval of average precision",
    "average_precision_upper": "Upper end of the 95 % interval of average precision",
}

TIES = "score:baseline_ties"


def baseline_ties(timing: Timing) -> Rule:
    """How tied scores are in each bin: absent where they hardly are.

    A baseline's are always the same. They are remembered for as long as there are rows of it, for
    figures of a week would else change as soon as it is replaced.
    """
    known = join_replicas("max", gauge(timing, "ml_score_baseline_ties"))
    before = f"last_over_time({TIES}[{span(timing.memory)}])"
    rows = "(ml_labelled_score_values_total:7d or ml_estimated_score_values_total:7d)"
    return Rule(
        TIES,
        "How likely two rows of the baseline with a score in the bin have the same one; absent "
        "where that is rare.",
        f"{known}\nor\n(\n  {before}\n  and ignoring (actual, estimator)\n  {rows}\n)",
    )


@dataclass(frozen=True)
class BinnedScores:
    """Rows of each class over a window, by the bin of their score and by whether they are of it.

    `counter` has the rows of each bin, by `bin`. `cumulative` has those of it and of all below, by
    `bin`, or by `le` if that is `by_le`. Records are named with `prefix` after their level.
    """

    window: str
    counter: str
    cumulative: str
    rows_of: str  # what they are, in words
    prefix: str = ""
    by_le: bool = False

    @property
    def positives(self) -> str:
        return self.record("positives")

    @property
    def negatives(self) -> str:
        return self.record("negatives")

    @property
    def rows(self) -> str:
        return f"({self.positives} + {self.negatives} > 0)"

    def record(self, figure: str) -> str:
        """Of one class and baseline."""
        return f"score:{self.prefix}{figure}:{self.window}"

    def in_bin(self, actual: str = "") -> str:
        """Rows of a bin, by `bin`; all of them, or those that are of the class or aren't."""
        return without("sum", "actual", f"{self.counter}:{self.window}{_of(actual)}")

    def up_to_bin(self, actual: str = "") -> str:
        """Rows of a bin and of all below, by `bin`."""
        cumulative = f"{self.cumulative}:{self.window}{_of(actual)}"
        if not self.by_le:
            return without("sum", "actual", cumulative)
        named = f'label_replace({cumulative}, "bin", "$1", "le", "(.+)")'
        return without("sum", "actual, le", named)

    def by_baseline(self) -> Iterable[Rule]:
        """Rows, areas and their intervals, of each class and baseline."""
        window, positives, negatives = self.window, self.positives, self.negatives
        for record, actual, which in ((positives, "true", "are"), (negatives, "false", "aren't")):
            yield Rule(
                record,
                f"{self.rows_of} that {which} of the class and have a score, over {window}.",
                without("sum", "bin", self.in_bin(actual)),
            )
        auc = self.record("roc_auc")
        below = f"{self.up_to_bin('false')}\n- {self.in_bin('false')} / 2"
        pairs = f"{self.in_bin('true')}\n* (\n{indent(below)}\n)"
        yield Rule(
            auc,
            "Area under the ROC curve of a class, by the bins of one baseline: how likely a row of "
            f"the class has the higher score. Over {window}.",
            f"{without('sum', 'bin', pairs)}\n/ ({positives} * {negatives} > 0)",
        )
        variance = (
            f"(\n  {auc} * (1 - {auc})\n"
            f"  + ({positives} - 1) * ({auc} / (2 - {auc}) - {auc} ^ 2)\n"
            f"  + ({negatives} - 1) * (2 * {auc} ^ 2 / (1 + {auc}) - {auc} ^ 2)\n)\n"
            f"/ ({positives} * {negatives})"
        )
        spread = f"{Z_95!r} * sqrt(clamp_min(\n{indent(variance)},\n  0\n))"
        for end, clamp, sign, limit in (
            ("lower", "clamp_min", "-", 0),
            ("upper", "clamp_max", "+", 1),
        ):
            yield Rule(
                self.record(f"roc_auc_{end}"),
                f"{end.capitalize()} end of that area's 95 % interval (Hanley & McNeil 1982), over "
                f"{window}.",
                f"{clamp}(\n  {auc}\n  {sign} {indent(spread).lstrip()},\n  {limit}\n)",
            )
        precision = self.record("average_precision")
        yield Rule(
            precision,
            f"Average precision of a class, by the bins of one baseline, over {window}.",
            f"{without('sum', 'bin', self._precision_of_bins())}\n/ ({positives} > 0)",
        )
        odds = f"{precision}\n/ (1 - {precision} > 0)"
        error = f"sqrt({positives} * {precision} * (1 - {precision}) > 0)"
        for end, sign in SIGNS.items():
            yield Rule(
                self.record(f"average_precision_{end}"),
                f"{end.capitalize()} end of its 95 % interval, on the scale of its logit (Boyd, "
                f"Eng & Page 2013), over {window}.",
                f"1 / (\n  1\n  + 1 / (\n{indent(odds, 4)}\n"
                f"    * exp({sign}{Z_95!r} / {error})\n  )\n)",
            )

    def of_classes(self, means: Mapping[str, str]) -> Iterable[Rule]:
        """Figures of each class: the mean over baselines, by rows."""
        for metric, what in means.items():
            figure = self.record(metric)
            yield Rule(
                self.of_class(metric),
                f"{what} of a class against the rest, over {self.window}.",
                f"{without('sum', 'baseline_id', f'{figure} * {self.rows}')}\n"
                f"/ {without('sum', 'baseline_id', f'{self.rows} and {figure}')}",
            )

    def of_class(self, metric: str) -> str:
        return f"class:{self.prefix}{metric}:{self.window}"

    def of_model(self, metric: str) -> str:
        """Binary: of the positive class. Multiclass: the mean over the classes that have it."""
        return without("avg", "class", self.of_class(metric))

    def _precision_of_bins(self) -> str:
        """Rows of the class in each bin, times their mean precision on the way down through it.

        A bin has p of the class among n rows, and above it are A among B. With harmonic numbers H
        and s = (p - 1) / (n - 1), it is s + (A + 1 - (B + 1) s) / n (H(B + n) - H(B)); if all of
        the bin's scores are the same, (A + p) / (B + n).
        """

        def above(total: str, actual: str = "") -> str:
            up_to = self.up_to_bin(actual)
            return f"(\n  {total}\n  - ignoring (bin) group_right ()\n{indent(up_to)}\n)"

        of_class, rows = self.in_bin("true"), f"({self.in_bin()} > 0)"
        of_rest = self.in_bin("false")
        others = f"clamp_min(1 - {of_rest} / clamp_min({rows} - 1, 1), 0)"
        hits_above, all_above = above(self.positives, "true"), above(self.rows)
        below = indent(all_above, 6).lstrip()
        none = f"0 * {of_class}"
        known = f"{none}\n+ ignoring (estimator) group_left ()\n{TIES}"
        ties = f"(\n{indent(known)}\n  or\n  {none}\n)"
        hits, every = indent(f"{hits_above}\n+ {of_class}"), indent(f"{all_above}\n+ {rows}")
        at_the_end = f"(\n{hits}\n)\n/ (\n{every}\n)"
        in_any_order = (
            f"(\n{indent(others)}\n"
            f"  + (\n{indent(hits_above, 4)}\n    + 1\n"
            f"    - ({below} + 1)\n    * {indent(others, 4).lstrip()}\n  )\n"
            f"  / {rows}\n"
            f"  * ln(\n"
            f"    (({below} + {rows} + 0.5) ^ 2 + {HARMONIC_SHIFT!r})\n"
            f"    / (({below} + 0.5) ^ 2 + {HARMONIC_SHIFT!r})\n"
            f"  ) / 2\n)"
        )
        return (
            f"{of_class}\n* (\n  {indent(ties).lstrip()}\n  * {indent(at_the_end).lstrip()}\n"
            f"  + (1 - {indent(ties).lstrip()})\n  * {indent(in_any_order).lstrip()}\n)"
        )


def _of(actual: str) -> str:
    return f'{{actual="{actual}"}}' if actual else ""
