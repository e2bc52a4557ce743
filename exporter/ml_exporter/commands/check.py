"""Validates a configuration and every file it names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ml_exporter.baseline.baseline import Baseline, BaselineError
from ml_exporter.batch import LABEL, Field
from ml_exporter.config.config import Config, ConfigError, Model
from ml_exporter.config.proxy_settings import ProxySettings
from ml_exporter.formats.rows import Layout
from ml_exporter.pipeline.given_baselines import baseline_paths, default_version, load_baseline
from ml_exporter.pipeline.pipeline import Pipeline
from ml_exporter.pipeline.streams import prediction_layout
from ml_exporter.pipeline.version import Budget
from ml_exporter.store.store import Store


@dataclass
class Report:
    """A line for each model that is in order, and what is wrong with the others."""

    lines: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)  # as FILE:LINE: KEY: text


def check(config: Config) -> Report:
    """Look at the baselines that a valid configuration names, and count the series to come."""
    report = Report()
    budget = Budget(config.limits.series)
    for model in config.models:
        given, errors = _baselines(config, model)
        report.errors += errors
        if errors:
            continue
        try:
            report.lines.append(_line(config, model, given, budget))
        except ConfigError as error:
            report.errors += error.errors
    if config.proxy is not None:
        report.errors += _of_proxy(config.path, config.proxy)
    if budget.suppressed:
        report.errors.append(
            f"{config.path}:1: limits.series: {budget.suppressed} series are beyond the limit of"
            f" {config.limits.series}; raise it, or watch fewer features"
        )
    for key, log in (("notable_log", config.notable_log), ("dead_letters", config.dead_letters)):
        if log is not None and log.path is not None and not log.path.parent.is_dir():
            folder = log.path.parent
            report.errors.append(f"{config.path}:1: {key}.path: {folder} is no folder")
    return report


def _of_proxy(path: Path, settings: ProxySettings) -> list[str]:
    """What is wrong with the files of the proxy."""
    from ml_exporter.proxy.front import make_front
    from ml_exporter.proxy.upstream_tls import upstream_context

    errors: list[str] = []
    web = settings.web_config
    if web is not None and not web.exists():
        errors.append(f"{path}:{settings.web_config_line}: proxy.web_config: no such file: '{web}'")
    else:
        try:
            make_front(web)
        except ConfigError as error:
            errors += error.errors
    try:
        if settings.upstream.is_tls:
            upstream_context(settings.upstream_tls)
    except ConfigError as error:
        errors += [f"{path}:{settings.upstream_tls.line}: {text}" for text in error.errors]
    return errors


def _baselines(config: Config, model: Model) -> tuple[dict[str | None, Baseline], list[str]]:
    given: dict[str | None, Baseline] = {}
    errors: list[str] = []

    for version, path in baseline_paths(model).items():
        name = "baseline" if version is None else f"baseline.{version}"
        try:
            baseline = given[version] = load_baseline(path, model, version, config.limits)
        except BaselineError as problem:
            errors.append(model.error(name, str(problem)))
            continue
        for field_name, text in _contradictions(model, baseline):
            errors.append(model.error(field_name, f"{text} in {path}"))
    return given, errors


def _contradictions(model: Model, baseline: Baseline) -> list[tuple[str, str]]:
    """Settings that can't be had with a baseline that was made without them."""
    found = []
    for name, type in model.types.items():
        known = baseline.by_key.get(Field("feature", name))
        if known is not None and known.type != type:
            found.append((f"types.{name}", f"is a {known.type}, not a {type},"))
    layout = prediction_layout(model, baseline)
    if model.fields.features is None:
        found += _unread(model, layout)
    for key in layout.fields:
        if key.role != "feature":
            continue
        known = baseline.by_key.get(key)
        if known is None:
            found.append((f"fields.features.{key.name}", "isn't a feature"))
        elif known.extractor is not None and known.extractor != layout.extracted.get(key):
            of = layout.extracted.get(key, "the value itself")
            text = f"is {known.extractor} of {known.path!r}, not {of},"
            found.append((f"fields.features.{key.name}", text))
    classes = baseline.classes
    if model.positive is not None and classes and model.positive not in classes:
        found.append(("positive", f"{model.positive!r} is none of the classes {classes}"))
    return found


def _unread(model: Model, layout: Layout) -> list[tuple[str, str]]:
    read = {key.name for key in layout.fields if key.role in ("feature", "prediction")}
    read |= {"score" for key in layout.fields if key.role == "score"}
    named = [
        (f"constraints.{constraint.field}", name)
        for constraint in model.constraints
        for name in constraint.fields
    ]
    told = model.notable.values if model.notable is not None else ()
    named += [("notable.values", name) for name in told if name != "id"]
    return [(key, f"{name!r} isn't a feature") for key, name in named if name not in read]


def _line(
    config: Config, model: Model, given: Mapping[str | None, Baseline], budget: Budget
) -> str:
    """What is known of a model before any of its rows are read."""
    store = Store(None)
    pipeline = Pipeline(
        model, config.limits, store, given, follow=False, start="start", budget=budget
    )
    series = sum(len(family) for family in pipeline.families)
    store.close()
    version = default_version(model, given)
    baseline = " ".join(one.id for one in given.values()) or f"learn {model.learn_rows} rows"
    layout = prediction_layout(model, next(iter(given.values()), None))
    fields = {key for key in layout.fields if key.role != "completion"}
    fields |= {LABEL} if model.labels else set()
    number = "discovered" if layout.discover else len(fields)
    return (
        f"{model.name}: task={model.task} version={version} fields={number}"
        f" baseline={baseline} series={series}"
    )
