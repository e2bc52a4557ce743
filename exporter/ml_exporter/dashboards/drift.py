"""Drift on the overview: which fields have moved, by how much, and how they look now."""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.dashboards.panels import (
    ORANGE,
    STATES,
    About,
    Column,
    Panel,
    Query,
    bars_panel,
    table_panel,
    timeseries_panel,
)
from ml_exporter.dashboards.selectors import FIELD, MODEL, union

_OF_FIELD = "version, role, field"
_SIGNIFICANT = ((1, ORANGE),)
_MOST = 5
_NO_COMPONENTS = "The baseline has no components: it has too few rows or features"


def drift() -> Iterable[Panel]:
    yield _fields()
    yield timeseries_panel(
        About(
            "Drifted fields",
            "Fields whose values have moved from the baseline significantly (more than chance "
            "explains) and materially (by more than a threshold). One field is often a broken "
            "feed; many at once are a new population or a wrong baseline. Components are fields, "
            "too.",
            height=10,
            steps=((1, ORANGE),),
        ),
        Query(
            f"max by (version) (model:drifted_fields:${{window}}{{{MODEL}}})",
            "{{version}}",
        ),
    )
    yield _worst(
        "psi",
        About(
            f"PSI of the {_MOST} fields that moved most",
            "Population stability index against the baseline: how large the change is, not "
            "whether it is chance. Dashed are the lowest thresholds of any field.",
            width=12,
            height=8,
            decimals=3,
            unit="none",
        ),
        Query(
            f'min by (severity) (field:threshold{{{MODEL},monitor="psi"}})',
            "{{severity}} threshold",
        ),
    )
    yield _worst(
        "significance",
        About(
            f"Significance of the {_MOST} most significant fields",
            "The greatest of each field's test statistics over its critical value: above 1 (the "
            "dashed line) it is more than chance. Sessions of similar rows exceed it without "
            "drift where the baseline's rows have no time, so alerts need a material change as "
            "well.",
            width=12,
            height=8,
            decimals=1,
            unit="none",
            steps=_SIGNIFICANT,
        ),
    )
    yield _distribution()
    measures = union(
        {
            "PSI": f"field:psi:${{window}}{{{FIELD}}}",
            "location shift": f"field:location_shift:${{window}}{{{FIELD}}}",
        },
        "measure",
    )
    yield timeseries_panel(
        About(
            "Shift of $field",
            "PSI of the chosen field, and its location shift (numbers only): by how much a value "
            "of now is more likely than not to exceed one of the baseline, from -0.5 to 0.5.",
            height=9,
            unit="none",
            decimals=3,
        ),
        Query(f"max by (version, measure) (\n{measures}\n)", "{{measure}} {{version}}"),
        low=None,
    )
    yield _components()
    yield timeseries_panel(
        About(
            "Multivariate drift",
            "The greatest significance of a component: above 1 (the dashed line) features go "
            "together otherwise than in the baseline, by more than chance explains.",
            height=9,
            unit="none",
            decimals=1,
            steps=_SIGNIFICANT,
            no_value=_NO_COMPONENTS,
        ),
        Query(
            f"max by (version) (model:multivariate_drift:${{window}}{{{MODEL}}})",
            "{{version}}",
        ),
        limits=True,
    )


def _fields() -> Panel:
    def of_field(series: str, matchers: str = "") -> str:
        return f"max by ({_OF_FIELD}) ({series}:${{window}}{{{MODEL}{matchers}}})"

    significance = of_field("field:significance")
    material = f"field:materiality:${{window}}{{{MODEL},severity="
    drifted = f'2 * ({material}"critical"}} > bool 1)\n  or {material}"warning"}} > bool 1'
    return table_panel(
        About(
            "Fields",
            "Every field, the worst first. Its state is that of its thresholds, if the change is "
            "significant. Significance above 1 is more than chance; PSI and location shift say "
            "how much it matters. Choose a field above to see its distribution.",
            width=16,
            height=10,
        ),
        {"version": "Version", "role": "Role", "field": "Field"},
        Column(
            "State",
            f"({significance} > bool 1)\n* max by ({_OF_FIELD}) (\n  {drifted}\n)\n"
            f"or 0 * {significance}",
            states=STATES,
            width=90,
        ),
        Column("Significance", significance, "none", _SIGNIFICANT, decimals=1),
        Column("PSI", of_field("field:psi"), "none", decimals=3),
        Column(
            "Location shift",
            of_field("field:location_shift"),
            "none",
            decimals=3,
        ),
        Column(
            "Of its threshold",
            of_field("field:materiality", ',severity="warning"'),
            "percentunit",
            ((1, ORANGE),),
            decimals=0,
        ),
        Column("Rows", f"sum by ({_OF_FIELD}) (field:rows:${{window}}{{{MODEL}}})"),
        worst=("State", "Significance"),
    )


def _components() -> Panel:
    of_loading = "version, component, field, bin"
    loading = f"max by ({of_loading}) (component:loading{{{MODEL}}})"

    def joined(series: str) -> str:
        return f"0 * {loading}\n+ on (version, component) group_left ()\n{series}"

    def of_field(series: str) -> str:
        # A component is the field of its figures; what counts in it is the field of a loading.
        figure = f'{series}{{{MODEL},role="component"}}'
        named = f'label_replace({figure}, "component", "$1", "field", "(.+)")'
        return joined(f"max by (version, component) ({named})")

    return table_panel(
        About(
            "Components",
            "What goes together in the features: principal components of the baseline, with the "
            "features that count most in each. One with a variance below 1 is a relation that used "
            "to hold: of its two largest loadings, opposite signs go together, and have parted if "
            "it is significant (above 1) and its PSI large. The Mahalanobis distance over all of "
            "them is among the fields.",
            width=16,
            height=9,
            no_value=_NO_COMPONENTS,
        ),
        {"version": "Version", "component": "Component", "field": "Feature", "bin": "Category"},
        Column("Loading", loading, "none", decimals=2),
        Column(
            "Variance",
            joined(f"max by (version, component) (component:variance{{{MODEL}}})"),
            "none",
            decimals=2,
        ),
        Column(
            "Significance",
            of_field("field:significance:${window}"),
            "none",
            _SIGNIFICANT,
            decimals=1,
        ),
        Column("PSI", of_field("field:psi:${window}"), "none", decimals=3),
        worst=("Significance",),
    )


def _worst(metric: str, about: About, *also: Query) -> Panel:
    series = f"field:{metric}:${{window}}{{{MODEL}}}"
    return timeseries_panel(
        about,
        Query(
            f"max by ({_OF_FIELD}) ({series})\nand on (role, field)\n"
            f"topk({_MOST}, max by (role, field) ({series} @ end()))",
            "{{field}} ({{role}}, {{version}})",
        ),
        *also,
        limits=bool(about.steps),
        references=bool(also),
    )


def _distribution() -> Panel:
    baseline = f"field:baseline_count{{{FIELD}}}"
    share = f"sum by (bin) ({baseline})\n/ on () group_left () sum({baseline})"
    values = f"ml_field_values_total:${{window}}{{{FIELD}}}"
    return bars_panel(
        About(
            "Distribution of $field",
            "The share of values in each bin, in the baseline and in the window. A number's bin is "
            "named by its upper edge; `<below>` and `<above>` are outside the baseline's range, "
            "`<other>` is a category that it doesn't name. Choose one version: each has bins of "
            "its own.",
            "percentunit",
            width=16,
            height=9,
        ),
        "bin",
        # Numbers by rank, then what has none: categories by how frequent they were.
        f"max by (bin) (field:baseline_rank{{{FIELD}}})\nor 2 - (\n  {share}\n)",
        Column("Baseline", share),
        Column("Now", f"sum by (bin) ({values})\n/ on () group_left () sum({values})"),
    )
