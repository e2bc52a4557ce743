"""The alerts: one a model and severity, whose description lists the worst fields or figures."""

from __future__ import annotations

from collections.abc import Iterable

from ml_exporter.rules import (
    attributions,
    baselines,
    best_constant,
    comparisons,
    completions,
    components,
    constancy,
    error_rates,
    estimation_alerts,
    labels,
    requests,
    root_cause,
    schema,
    segments,
    signals,
    sources,
    versions,
    volume,
)
from ml_exporter.rules.annotations import (
    ABOUT_MODEL,
    ABOUT_VERSIONS,
    NAME,
    Builder,
    beyond_thresholds,
    each,
    number,
)
from ml_exporter.rules.degradation import LEAST_LABELLED
from ml_exporter.rules.groups import Alert, Group, Rule
from ml_exporter.rules.integrity import REJECTED, violations
from ml_exporter.rules.links import Links
from ml_exporter.rules.promql import indent, join_replicas, without
from ml_exporter.rules.thresholds import SEVERITIES
from ml_exporter.rules.timing import Timing, duration, span

LEAST_PREDICTIONS = 100  # predictions that a model had, to be missed
_UNSAVED = 5  # minutes without saving
_UNSEEN_SHARE = 0.01  # of predictions, for figures to be incomplete


def groups(timing: Timing, links: Links) -> Iterable[Group]:
    build = Builder(timing, links)
    minute = duration(timing.minute)
    for concern, make in (
        ("performance", _performance),
        ("constant", best_constant.alerts),
        ("drift", _drift),
        ("components", components.alerts),
        ("integrity", _integrity),
        ("schema", schema.alerts),
        ("constancy", constancy.alerts),
        ("predictions", _predictions),
        ("volume", volume.alerts),
        ("labels", labels.alerts),
        ("requests", requests.alerts),
        ("completions", completions.alerts),
        ("estimates", estimation_alerts.estimates),
        ("calibration", estimation_alerts.calibration),
        ("errors", error_rates.alerts),
        ("attributions", attributions.alerts),
        ("segments", segments.alerts),
        ("versions", versions.alerts),
        ("comparisons", comparisons.alerts),
        ("signals", signals.alerts),
        ("exporter", _exporter),
        ("sources", sources.alerts),
        ("baselines", baselines.alerts),
    ):
        rules = [rule for severity in SEVERITIES for rule in make(build, severity)]
        yield Group(f"ml-exporter-alerts-{concern}", minute, tuple(rules))


def _performance(build: Builder, severity: str) -> Iterable[Alert]:
    short = f'model:shortfall{{severity="{severity}"}}'
    value = each("model:judged_performance{%s,monitor=%q}", number("%.3f"), ".Labels.monitor")
    window = each("model:judged_window{%s}", "{{ .Labels.window }}")
    worst, every = beyond_thresholds("model:shortfall", severity, value)
    yield build.alert(
        "ModelPerformanceDegraded",
        severity,
        f"{without('max', 'monitor', short)} > 0",
        help="A figure of the labelled predictions is beyond its threshold, and worse than the "
        "baseline's (or than the threshold, if that is configured) by more than chance explains: "
        f"over 24h, or 7d where labels come seldom. It rests on {LEAST_LABELLED} labels or more, "
        "and the last hour, if it has as many, agrees.",
        summary=f"{ABOUT_MODEL}{NAME}: {worst}, beyond its threshold",
        description=f"{ABOUT_MODEL}Beyond their thresholds over the last {window}, by arrival of "
        f"the label:{every}{segments.explanation()}",
    )


def _drift(build: Builder, severity: str) -> Iterable[Rule | Alert]:
    significant, material = (
        "\nand\n".join(f"field:{of}:{window}{{}} > 1" for window in ("24h", "1h"))
        for of in ("significance", "materiality")
    )
    selector = f'{{severity="{severity}"}}'
    yield Rule(
        "field:drift:24h",
        f"PSI over 24h of a field whose shift is significant, and material by its {severity} "
        "threshold, over 24h and over 1h.",
        f"field:psi:24h\nand (\n{indent(significant.format('', ''))}\n)\n"
        f"and ignoring (severity) (\n{indent(material.format(selector, selector))}\n)",
        {"severity": severity},
    )
    for name, roles, what in (
        ("FeatureDrift", "feature", "feature"),
        ("PredictionDrift", "prediction|score", "prediction or score"),
    ):
        drifted = f'field:drift:24h{{severity="{severity}",role=~"{roles}"}}'
        of_model = f"field:drift:24h{{severity='{severity}',role=~'{roles}',%s}}"
        features = "count(group by (role, field) (field:significance:24h{role='feature',%s}))"
        how_many = f"{{{{ $value }}}} of {each(features, '{{ .Value }}')} features drifted, "
        worst = each(
            f"topk(1, max by (field) ({of_model}))",
            f"{{{{ .Labels.field }}}} most (PSI {number('%.2f')})",
        )
        if name == "PredictionDrift":
            how_many, worst = "", worst.replace("}} most", "}} drifted")
        shift = each(
            "max(field:location_shift:24h{%s,role=%q,field=%q})",
            f", location shift {number('%+.3f')}",
            ".Labels.role",
            ".Labels.field",
        )
        significance = each(
            "max(field:significance:24h{%s,role=%q,field=%q})",
            f", significance {number('%.1f')}",
            ".Labels.role",
            ".Labels.field",
        )
        cause = root_cause.of_field(build.timing)
        fields = each(
            f"topk(5, max by (role, field, baseline_id) ({of_model}))",
            f"\n- {{{{ .Labels.field }}}}{root_cause.ABOUT_FIELD}: PSI {number('%.3f')}"
            f"{shift}{significance}{cause}",
        )
        accuracy = each("model:accuracy:24h{%s}", f"\nAccuracy over 24h: {number('%.3f')}")
        yield build.alert(
            name,
            severity,
            f"{without('count', 'role, field, baseline_id', drifted)} > 0\n"
            f"unless ignoring (severity)\n{versions.WARMING_UP}",
            help=f"The distribution of a {what} differs from the baseline significantly (more "
            "than chance explains) and materially (PSI, location shift or another effect above "
            "its threshold), over 24h and over 1h. A new version beside another one is waited "
            "for, until it is a day old or has half of the traffic.",
            summary=f"{ABOUT_MODEL}{NAME}: {how_many}{worst}",
            description=f"{ABOUT_MODEL}Differ from the baseline over the last 24h and the last "
            f"hour, the most first:{fields}{root_cause.more_rows()}{accuracy}",
        )


def _integrity(build: Builder, severity: str) -> Iterable[Rule | Alert]:
    yield from violations(severity)
    roles = "feature|prediction|score|"  # constraints have no role
    fields = f'field:violation_ratio:1h{{severity="{severity}",role=~"{roles}"}}'
    rows = f'model:violation_ratio:1h{{severity="{severity}"}}'
    of_fields = f"field:violation_ratio:1h{{severity='{severity}',role=~'{roles}',%s}}"
    of_model = f"model:violation_ratio:1h{{severity='{severity}',%s}}"
    share = (
        '{{ with .Labels.constraint }}violate {{ . | reReplaceAll "_" " " }}{{ else }}'
        '{{ .Labels.monitor | reReplaceAll "_ratio" "" | reReplaceAll "_" " " }}{{ end }}'
    )
    percent = "{{ .Value | humanizePercentage }}"
    by_field = f"max by (role, field, monitor, constraint) ({of_fields})"
    of_field = f"{{{{ .Labels.field }}}} {percent} {share}"
    of_rows = (
        f'{percent} of rows {{{{ .Labels.monitor | reReplaceAll "_ratio" "" | '
        'reReplaceAll "duplicate" "come twice" | reReplaceAll "future" "from the future" }}'
    )
    summary = each(f"topk(1, {by_field})", of_field) + each(f"topk(1, {of_model})", of_rows)
    description = each(f"topk(5, {by_field})", f"\n- {of_field}") + each(
        f"sort_desc({of_model})", f"\n- {of_rows}"
    )
    yield build.alert(
        "DataIntegrityViolations",
        severity,
        without(
            "count",
            "role, field, baseline_id, monitor, constraint",
            f"{fields}\nor\n{rows}",
        )
        + " > 0",
        help="The share of missing, invalid, out-of-range or unseen values of a field is above "
        "its threshold in the last hour and has grown by more than chance explains, or the share "
        "of rows in which a field violates a constraint is above its threshold, or the share "
        "of rows that are rejected, come twice or are from the future is above "
        f"{REJECTED['warning']:.0%} (critical: {REJECTED['critical']:.0%}).",
        summary=f"{ABOUT_MODEL}{NAME}: {summary}"
        "{{ if gt $value 1.0 }}, one of {{ $value }} data integrity violations{{ end }}",
        description=f"{ABOUT_MODEL}Above their thresholds in the last hour, the greatest first:"
        f"{description}",
    )


def _predictions(build: Builder, severity: str) -> Iterable[Alert]:
    now, before = {"warning": ("1h", "24h"), "critical": ("24h", "7d")}[severity]
    earlier = each(f"sum(model:predictions:{before}{{%s}})", number("%.0f"))
    yield build.alert(
        "PredictionsAbsent",
        severity,
        f"{without('sum', 'version', f'model:predictions:{now}')} == 0\n"
        f"and\n{without('sum', 'version', f'model:predictions:{before}')} >= {LEAST_PREDICTIONS}",
        help="An exporter that is up has seen no prediction of a model, of whatever version, for "
        f"1h (critical: 24h), after {LEAST_PREDICTIONS} or more within 24h (7d).",
        summary=f"{NAME}: no predictions in the last {now}",
        description=f"{ABOUT_VERSIONS}The exporter is up and has seen no prediction for {now}, "
        f"after {earlier} in the last {before}.",
    )


def _exporter(build: Builder, severity: str) -> Iterable[Alert]:
    down = build.timing.down
    # Which models a target feeds is known from when it was last up.
    feeds = without(
        "group",
        "version, task, positive",
        f"last_over_time(ml_model_info[{span(build.timing.target_memory)}])",
    )
    is_down = join_replicas("count", f"{feeds}\nand on (job, instance)\nup == 0")
    is_up = join_replicas("group", f"{feeds}\nand on (job, instance)\nup == 1")
    never_up = f'up{{job=~".*ml-exporter.*"}} == 0\nunless on (job, instance)\n{feeds}'
    if severity == "warning":
        unknown = join_replicas("count", f"{never_up}\nand on (job)\nup == 1")
        expr = f"{is_down}\nand\n{is_up}\nor\n{unknown}"
    else:
        unknown = join_replicas("count", f"{never_up}\nunless on (job)\nup == 1")
        expr = f"{is_down}\nunless\n{is_up}\nor\n{unknown}"
    yield build.alert(
        "ExporterDown",
        severity,
        expr,
        help="An exporter that fed a model, or has ml-exporter in the name of its job, can't be "
        "scraped, though another replica of it can (critical: and no other one can).",
        summary="{{ with $labels.model }}{{ . }}{{ else }}{{ $labels.job }}{{ end }}: "
        + (
            "{{ $value }} of the exporter's replicas can't be scraped, others can"
            if severity == "warning"
            else "the exporter can't be scraped"
        ),
        description="Down: {{ $value }} target{{ if gt $value 1.0 }}s{{ end }} of job "
        "{{ $labels.job }}{{ with $labels.namespace }} in namespace {{ . }}{{ end }}. "
        + (
            "Rows that they have seen are missing from all figures until they are back."
            if severity == "warning"
            else "Nothing is known of the model until one is back: its other alerts are silenced."
        ),
        pending=down,
        keep_firing=False,
    )
    if severity == "critical":
        return
    yield build.alert(
        "ExporterConfigReloadFailed",
        severity,
        join_replicas("count", "ml_exporter_config_last_reload_successful == 0"),
        help="An exporter runs on with its old configuration, since the new one is invalid.",
        summary="{{ $labels.job }}: an exporter could not reload its configuration",
        description="{{ $value }} of its replicas run{{ if eq $value 1.0 }}s{{ end }} with the "
        "configuration from before their file changed; their logs say what is wrong with it.",
        keep_firing=False,
    )
    saved = "ml_exporter_state_last_save_timestamp_seconds"
    age = duration(_UNSAVED * build.timing.minute)
    yield build.alert(
        "ExporterStateNotPersisted",
        severity,
        join_replicas("count", f"time() - {saved} > {_UNSAVED * build.timing.minute:g}"),
        help=f"An exporter has not been able to save its state for {age}: the disk is full, or "
        "can't be written to.",
        summary="{{ $labels.job }}: an exporter can't save its state",
        description="{{ $value }} of its replicas {{ if eq $value 1.0 }}has{{ else }}have"
        f"{{{{ end }}}} not saved offsets and counters for {age}. Counting goes on in memory; "
        "after a crash, counters begin at 0 and what was not saved is counted again.",
        pending=build.timing.down,
        keep_firing=False,
    )
    unseen = "model:unseen_rows:24h"
    yield build.alert(
        "FiguresIncomplete",
        severity,
        f"{unseen}\n/\n({unseen} + model:predictions:24h)\n> {_UNSEEN_SHARE}",
        help=f"More than {_UNSEEN_SHARE:.0%} of the predictions of the last 24h are in none of "
        "the recorded figures: an outage was longer than an hour, or rules were not evaluated.",
        summary=f"{NAME}: {{{{ $value | humanizePercentage }}}} of predictions are in no figure",
        description="The counters saw rows in the last 24h that the recording rules did not, "
        "after an outage of over an hour or missed evaluations. Figures of 24h and 7d lack them.",
        keep_firing=False,
    )
