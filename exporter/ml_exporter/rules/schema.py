"""How rows depart from the schema: fields that are gone, new, renamed, or of another type.

The twin is `ml_exporter.statistics.schema`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules.annotations import ABOUT_MODEL, NAME, Builder, each
from ml_exporter.rules.drift import BASELINE_ROWS
from ml_exporter.rules.groups import Alert, Rule
from ml_exporter.rules.promql import indent, without
from ml_exporter.rules.timing import Timing, span
from ml_exporter.statistics.schema import LEAST_ROWS, LIMITS

VIOLATIONS = "ml_schema_violations_total"
# Of which share of a field's values in the baseline the rows of a violation are a part.
_USUAL = {"missing_field": "missing", "wrong_type": "invalid"}
_SAID = {"missing_field": "gone", "extra_field": "new", "wrong_type": "of another type"}


def violation_ratio(window: str) -> Rule:
    return Rule(
        f"field:schema_violation_ratio:{window}",
        f"Share of rows in which a field is gone, of another type, or not expected, over {window}.",
        f"{VIOLATIONS}:{window}\n/ ignoring (field, violation) group_left ()\n"
        f"(model:predictions:{window} > 0)",
    )


def change() -> Iterable[Rule]:
    """What is new of the violations of the last hour."""
    before, rows_before = (
        f"clamp_min({name}:24h - {name}:1h, 0)" for name in (VIOLATIONS, "model:predictions")
    )
    yield Rule(
        "field:earlier_schema_violation_ratio:24h",
        "Share of rows in which a field was gone, of another type, or not expected, over 24h but "
        "for the last hour.",
        f"{before}\n/ ignoring (field, violation) group_left ()\n({rows_before} > 0)",
    )
    yield Rule(
        "field:schema_change:1h",
        "Share of rows in which a field is gone, of another type, or not expected, where it is "
        "more than twice that of the day before, over 1h.",
        "field:schema_violation_ratio:1h\n> 2 * field:earlier_schema_violation_ratio:24h",
    )


def violations(timing: Timing, severity: str) -> Rule:
    """Shares above what the baseline had, by more than the limit; of unknown fields, new ones."""
    limit = LIMITS[severity]
    too_many = [
        _beyond_baseline(timing, violation, share, limit) for violation, share in _USUAL.items()
    ]
    if severity == "warning":
        too_many.append(f'field:schema_change:1h{{violation="extra_field"}} > {limit}')
    return Rule(
        "field:schema_violation:1h",
        "Share of rows in which a field is gone or of another type, where it is more than its "
        f"{severity} limit of {limit} above what is missing or invalid in the baseline, or a field "
        f"is new, and there are {LEAST_ROWS} of them or more, over 1h.",
        "(\n" + indent("\nor\n".join(too_many)) + f"\n)\nand {VIOLATIONS}:1h >= {LEAST_ROWS}",
        {"severity": severity},
    )


def _beyond_baseline(timing: Timing, violation: str, share: str, limit: float) -> str:
    judged = 'role=~"feature|prediction|score"'
    # A target that has gone has violations for another hour, and its baseline not as long.
    known = f"last_over_time({BASELINE_ROWS}{{{judged}}}[{span(2 * timing.lengths['1h'])}])"
    ratio = f'field:schema_violation_ratio:1h{{violation="{violation}"}}'
    usual = without(
        "max",
        "role, baseline_id",
        f"field:baseline_{share}_count{{{judged}}} / {BASELINE_ROWS}{{{judged}}}",
    )
    return (
        f"{ratio}\n> ignoring (violation) group_left ()\n({usual} + {limit})\n"
        # Of a field without a baseline, none are expected.
        f"or\n(\n  {ratio} > {limit}\n  unless ignoring (violation, role, baseline_id)\n"
        f"  {known}\n)"
    )


def alerts(build: Builder, severity: str) -> Iterable[Rule | Alert]:
    yield violations(build.timing, severity)
    violation = f"field:schema_violation:1h{{severity='{severity}',%s}}"
    change = f"field:schema_change:1h{{%s}} > {LIMITS['warning']}"
    summary = "".join(
        _fields(violation, of, f"{{{{ .Labels.field }}}} is {what}; ") for of, what in _SAID.items()
    )
    share = "{{ .Value | humanizePercentage }} of rows"
    lines = "".join(
        _fields(violation, of, f"\n- {{{{ .Labels.field }}}} is {what}, in {share}")
        for of, what in _SAID.items()
    )
    gone, new = ("missing_field", "extra_field")
    both = "\nand on (model)\n".join(
        f"group by (model) ({_of(change, of).replace('%s', '%[1]s')})" for of in (gone, new)
    ).replace("\n", " ")
    renamed = each(
        both,
        "\nGone and new within the same day, and so most likely renamed:"
        f"{_fields(change, gone, ' {{ .Labels.field }}')} to"
        f"{_fields(change, new, ' {{ .Labels.field }}')}.",
    )
    yield build.alert(
        "SchemaViolations",
        severity,
        without("count", "field, violation", f'field:schema_violation:1h{{severity="{severity}"}}')
        + " > 0",
        help="A field of the baseline is gone from the rows of the last hour, or of another type, "
        f"in {LIMITS['warning']:.0%} of them more than in the baseline (critical: "
        f"{LIMITS['critical']:.0%}), or (warning) a field that nobody expects is new in "
        f"{LIMITS['warning']:.0%} of them.",
        summary=f"{ABOUT_MODEL}{NAME}: {summary}"
        "{{ $value }} departure{{ if gt $value 1.0 }}s{{ end }} from the schema",
        description=f"{ABOUT_MODEL}In the last hour:{lines}{renamed}",
    )


def _of(series: str, violation: str) -> str:
    """The series of one kind of violation, `%s` being what else they are about."""
    return series.replace("%s", f"violation='{violation}',%s")


def _fields(series: str, violation: str, text: str) -> str:
    return each(f"topk(5, {_of(series, violation)})", text)
