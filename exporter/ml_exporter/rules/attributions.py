"""Mean attributions of fields, their order against the baseline's, and an alert on it.

The twin is `ml_exporter.statistics.attribution`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ml_exporter.rules import counts
from ml_exporter.rules.annotations import ABOUT_MODEL, NAME, Builder, each, number
from ml_exporter.rules.counts import Counter
from ml_exporter.rules.groups import Alert, Group, Rule
from ml_exporter.rules.promql import gauge, indent, join_replicas, union, without
from ml_exporter.rules.timing import WINDOWS, Timing, duration
from ml_exporter.rules.versions import WARMING_UP
from ml_exporter.statistics.attribution import CUTOFF

LEAST_ATTRIBUTED = 100  # predictions that an order needs, to be judged
LEAST_NDCG: Mapping[str, float] = {"warning": 0.9, "critical": 0.8}  # 0.9 is SageMaker Clarify's

COUNTERS = (
    Counter(
        "ml_field_attribution_total",
        "ml_field_attribution_total",
        "Sum of the absolute attributions of a field",
    ),
    Counter(
        "ml_attributed_predictions_total",
        "model:attributed_predictions",
        "Predictions with attributions",
    ),
)

_BASELINE, _BASELINE_RANK = "field:baseline_attribution", "field:baseline_attribution_rank"
_EFFECT = "field:attribution_rank_effect:24h"
_LN_2 = "0.6931471805599453"


def groups(timing: Timing) -> Iterable[Group]:
    yield Group("ml-exporter-attributions", duration(timing.slow), tuple(_of_baseline(timing)))
    for window in WINDOWS:
        rules = (*counts.of_window(timing, COUNTERS, window), *_figures(window))
        yield Group(f"ml-exporter-attributions-{window}", timing.interval(window), rules)


def _of_baseline(timing: Timing) -> Iterable[Rule]:
    yield Rule(
        _BASELINE,
        "Mean absolute attribution of a field in the baseline; of several, their mean.",
        join_replicas("avg", gauge(timing, "ml_field_baseline_attribution")),
    )
    yield Rule(
        _BASELINE_RANK,
        f"Place of a field among the {CUTOFF} of the greatest attribution in the baseline.",
        _places(_BASELINE),
    )


def _figures(window: str) -> Iterable[Rule]:
    attribution, rank = f"field:attribution:{window}", f"field:attribution_rank:{window}"
    yield Rule(
        attribution,
        f"Mean absolute attribution of a field, over {window}.",
        f"ml_field_attribution_total:{window}\n/ ignoring (field) group_left ()\n"
        f"(model:attributed_predictions:{window} > 0)",
    )
    yield Rule(
        rank,
        f"Place of a field among the {CUTOFF} of the greatest attribution, over {window}.",
        _places(attribution),
    )
    ideal = without("sum", "field", _gain(_BASELINE_RANK))
    yield Rule(
        f"model:attribution_ndcg:{window}",
        f"Whether fields are in the baseline's order by attribution: NDCG@{CUTOFF}, 1 if they "
        f"are. Over {window}.",
        f"{without('sum', 'field', _gain(rank))}\n/ (\n{indent(ideal)}\n  > 0\n)",
    )

    if window == "24h":
        was, now = f"{_gain(_BASELINE_RANK)}", f"{_gain(rank)}"
        yield Rule(
            _EFFECT,
            "How much of the baseline's gain, in the sum that NDCG is of, a field has moved by its "
            f"change of place, over {window}.",
            f"abs(\n  {was}\n  - (\n    {now}\n    or\n    0 * {_BASELINE}\n  )\n) > 0",
        )


def _gain(rank: str) -> str:
    return f"{_BASELINE} / ln(1 + {rank}) * {_LN_2}"


def _places(values: str) -> str:
    """A field in the first place is among the first 1, 2, ... of its model, so often it counts."""
    first = {str(k): f"topk without (field) ({k}, {values})" for k in range(1, CUTOFF + 1)}
    return f"{CUTOFF + 1} - {without('count', 'first', union(first, 'first'))}"


def alerts(build: Builder, severity: str) -> Iterable[Alert]:
    least = LEAST_NDCG[severity]
    ndcg, predictions = "model:attribution_ndcg", "model:attributed_predictions"
    moved = each(
        f"topk(5, {_EFFECT}{{%s}})",
        "\n- {{ .Labels.field }}: "
        + _of_field(_BASELINE_RANK, f"place {number('%.0f')} in the baseline")
        + _of_field("field:attribution_rank:24h", f", now {number('%.0f')}")
        + _of_field(_BASELINE, f"; mean attribution {number('%.3g')}")
        + _of_field("field:attribution:24h", f", now {number('%.3g')}"),
    )
    yield build.alert(
        "AttributionDrift",
        severity,
        f"{ndcg}:24h < {least}\nand\n{predictions}:24h >= {LEAST_ATTRIBUTED}\n"
        f"unless (\n  {ndcg}:1h >= {least}\n  and\n"
        f"  {predictions}:1h >= {LEAST_ATTRIBUTED}\n)\nunless\n{WARMING_UP}",
        help="What predictions rest on has changed: the order of the features by attribution has "
        f"an NDCG below {LEAST_NDCG['warning']} against the baseline's (critical: "
        f"{LEAST_NDCG['critical']}) over 24h, of {LEAST_ATTRIBUTED} predictions or more, and over "
        "1h, if that has as many; and the version isn't new beside another one.",
        summary=f"{NAME}: predictions rest on other features than they did (NDCG "
        '{{ $value | printf "%.2f" }})',
        description=f"{ABOUT_MODEL}Features that changed their place by mean attribution over 24h, "
        f"those that mattered most first:{moved}",
    )


def _of_field(record: str, text: str) -> str:
    return each(f"{record}{{%s,field=%q}}", text, ".Labels.field")
