"""Multivariate drift: components that have drifted, judged as fields are, and an alert on them.

`ml_exporter.statistics.components` says what they are; `drift` has the twins of what judges them.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules import thresholds
from ml_exporter.rules.annotations import ABOUT_MODEL, NAME, Builder, each, number
from ml_exporter.rules.groups import Alert, Rule
from ml_exporter.rules.promql import gauge, indent, join_replicas, without
from ml_exporter.rules.timing import Timing
from ml_exporter.rules.versions import WARMING_UP

_THRESHOLD = "model:multivariate_drift_threshold"
_LOADING = "component:loading"


def baseline(timing: Timing) -> Iterable[Rule]:
    """What components are made of, and what their significance must exceed."""
    for name, what in (
        ("loading", "What a feature, or a category (`bin`) of it, counts in a component."),
        ("variance", "Variance of a component in the baseline: below 1 it is a relation."),
    ):
        of_replica = gauge(timing, f"ml_component_{name}")
        yield Rule(f"component:{name}", what, join_replicas("max", of_replica))
    for severity in thresholds.SEVERITIES:
        yield Rule(
            _THRESHOLD,
            "What the significance of a component must exceed, by `severity`: the lower of "
            "replicas.",
            thresholds.of_model(timing, "multivariate_drift", severity),
            {"severity": severity},
        )


def figures(window: str) -> Iterable[Rule]:
    """Multivariate drift over a window, from `field:significance`."""
    significance = f'field:significance:{window}{{role="component"}}'
    yield Rule(
        f"model:multivariate_drift:{window}",
        "The greatest significance of a component: above 1, features go together otherwise than in "
        f"the baseline by more than chance explains. Over {window}.",
        without("max", "role, field, baseline_id", significance),
    )


def alerts(build: Builder, severity: str) -> Iterable[Alert]:
    drifted = f'field:drift:24h{{severity="{severity}",role="component"}}'
    threshold = f'{_THRESHOLD}{{severity="{severity}"}}'
    significant = "\nand\n".join(
        f"model:multivariate_drift:{window} > ignoring (severity) {threshold}"
        for window in ("24h", "1h")
    )
    of_model = f"max by (field) (field:drift:24h{{severity='{severity}',role='component',%s}})"
    feature = "{{ .Labels.field }}{{ with .Labels.bin }} ({{ . }}){{ end }}"
    made_of = each(
        f"topk(2, max by (field, bin) (abs({_LOADING}{{%s,component=%q}})))",
        f", {feature}",
        ".Labels.field",
    )
    loadings = each(
        f"sort_desc(max by (field, bin) ({_LOADING}{{%s,component=%q}}))",
        f", {feature} {number('%+.2f')}",
        ".Labels.field",
    )
    significance = each(
        "max(field:significance:24h{%s,role='component',field=%q})",
        f", significance {number('%.1f')}",
        ".Labels.field",
    )
    every = "count(group by (field) (field:significance:24h{role='component',%s}))"
    of_all = each(every, "{{ .Value }}")
    worst = each(
        f"topk(1, {of_model})",
        f"{{{{ .Labels.field }}}} most (PSI {number('%.2f')}{made_of})",
    )
    components = each(
        f"topk(5, {of_model})",
        f"\n- {{{{ .Labels.field }}}}: PSI {number('%.3f')}{significance}{loadings}",
    )
    yield build.alert(
        "MultivariateDrift",
        severity,
        f"{without('count', 'role, field, baseline_id', drifted)} > 0\n"
        f"and ignoring (severity) (\n{indent(significant)}\n)\n"
        f"unless ignoring (severity)\n{WARMING_UP}",
        help="Features go together otherwise than in the baseline: a principal component of "
        "them, or the Mahalanobis distance, differs from it significantly (more than chance "
        "explains) and materially (PSI, location shift or another effect above its threshold), "
        "over 24h and over 1h. A new version beside another one is waited for, until it is a day "
        "old or has half of the traffic.",
        summary=f"{ABOUT_MODEL}{NAME}: {{{{ $value }}}} of {of_all} components of the features "
        f"drifted, {worst}",
        description=f"{ABOUT_MODEL}Components that differ from the baseline over the last 24h and "
        f"the last hour, the most first, with what counts most in them:{components}",
    )
