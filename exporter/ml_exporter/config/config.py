"""The configuration file as types.

docs/configuration.md says what each key means to the user.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

from ml_exporter.batch import FieldType, Role
from ml_exporter.config import (
    completions,
    constraints,
    extractors,
    field_paths,
    line_log,
    mutes,
    notable,
    outcome_values,
    proxy_settings,
    roles,
    segments,
    source_settings,
    thresholds,
)
from ml_exporter.config.constraints import Constraint, read_constraints
from ml_exporter.config.field_paths import (
    Fields,
    Task,
    feature_names,
    field_names,
    predicted_names,
    read_fields,
)
from ml_exporter.config.line_log import DeadLetters, LineLog, read_dead_letters, read_notable_log
from ml_exporter.config.mutes import Mute, read_mutes
from ml_exporter.config.notable import Notable, read_notable
from ml_exporter.config.outcome_values import OutcomeValues, read_outcome_values
from ml_exporter.config.proxy_settings import ProxySettings, read_proxy
from ml_exporter.config.roles import Access, Token, UserRole, read_access
from ml_exporter.config.segments import Segment, read_segments
from ml_exporter.config.source_settings import (
    EventSource,
    FileSource,
    KafkaSource,
    ProxySource,
    SourceSettings,
    SqlSource,
    format_of,
    read_source,
)
from ml_exporter.config.thresholds import Threshold, read_thresholds
from ml_exporter.config.yaml_nodes import ConfigError, Node, Section, suggestion

__all__ = [
    "KEYS",
    "Access",
    "Config",
    "ConfigError",
    "Constraint",
    "DeadLetters",
    "EventSource",
    "FieldType",
    "Fields",
    "FileSource",
    "KafkaSource",
    "LabelFields",
    "Labels",
    "Limits",
    "LineLog",
    "Model",
    "Mute",
    "Notable",
    "OutcomeValues",
    "ProxySettings",
    "ProxySource",
    "Role",
    "Segment",
    "SourceSettings",
    "SqlSource",
    "Task",
    "Threshold",
    "Token",
    "UserRole",
    "VersionField",
    "format_of",
    "load",
    "read_model",
]

# Every key of every section; docs/configuration.md has a section of the same name for each.
KEYS: dict[str, tuple[str, ...]] = {
    "config": ("models", "proxy", "access", "limits", "state", "notable_log", "dead_letters"),
    "model": (
        *("name", "version", "task", "positive", "baseline", "learn", "source", "fields", "types"),
        *("labels", "bins", "segments", "constraints", "outcome_values", "false_alarms"),
        *("thresholds", "mute", "wait", "notable"),
    ),
    "version": ("field",),
    "learn": ("rows",),
    **source_settings.KEYS,
    **field_paths.KEYS,
    **extractors.KEYS,
    "labels": ("source", "fields", "wait", "settle", "redis"),
    "label_fields": ("id", "label", "timestamp"),
    **segments.KEYS,
    **constraints.KEYS,
    **outcome_values.KEYS,
    **thresholds.KEYS,
    **mutes.KEYS,
    **notable.KEYS,
    **line_log.KEYS,
    **proxy_settings.KEYS,
    **roles.KEYS,
    "limits": ("series", "versions", "categories", "pending", "pending_size"),
    "state": ("path",),
}


@dataclass(frozen=True)
class LabelFields:
    """Paths of a label's fields in its row."""

    id: str
    label: str
    timestamp: str | None = None


@dataclass(frozen=True)
class Labels:
    """Ground truth that comes later, joined by id."""

    source: SourceSettings
    fields: LabelFields
    wait: float = 30 * 86400.0  # seconds
    settle: float = 0.0  # seconds
    redis: str | None = None  # where replicas share what waits; None: each keeps its own


@dataclass(frozen=True)
class VersionField:
    """The version of the model stands in each row, at this path."""

    path: str


@dataclass(frozen=True)
class Model:
    """One model to watch. Names of classes are as `batch.category_name` writes them."""

    name: str
    task: Task
    source: SourceSettings
    fields: Fields
    version: str | VersionField | None = None
    positive: str | None = None  # binary: the positive class; else None
    baseline: Path | Mapping[str, Path] | None = None  # absolute; by version if a mapping
    learn_rows: int = 2000
    types: Mapping[str, FieldType] = field(default_factory=dict)
    labels: Labels | None = None
    bins: int = 10
    segments: tuple[Segment, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    outcome_values: OutcomeValues | None = None
    false_alarms: float = 0.01
    thresholds: tuple[Threshold, ...] = ()
    thresholds_off: frozenset[str] = frozenset()  # monitors set to false
    mutes: tuple[Mute, ...] = ()
    wait: float = 0.0  # seconds that a version is known for, before there are alerts about it
    notable: Notable | None = None  # None: nobody looks which predictions are
    # Where in the file its keys stand.
    lines: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)
    place: tuple[str, str] = field(default=("", ""), compare=False, repr=False)  # file and key

    def error(self, key: str, text: str) -> str:
        """What is wrong with one of its keys: `FILE:LINE: KEY: text`."""
        file, model = self.place
        return f"{file}:{self.lines.get(key.partition('.')[0], 1)}: {model}.{key}: {text}"


@dataclass(frozen=True)
class Limits:
    """How much one process may expose."""

    series: int = 40_000
    versions: int = 5
    categories: int = 50
    pending: int = 10_000_000  # predictions that may wait for their label, of each model
    pending_size: int = 4 << 30  # bytes of them


@dataclass(frozen=True)
class Config:
    """A configuration file; `notes` says what was understood but has no effect in this version."""

    path: Path
    models: tuple[Model, ...]
    proxy: ProxySettings | None = None
    limits: Limits = Limits()
    access: Access = field(default_factory=Access)
    state: Path | None = None  # absolute
    notable_log: LineLog | None = None
    dead_letters: DeadLetters | None = None
    notes: tuple[str, ...] = ()  # each as `FILE:LINE: KEY: text`


def load(path: str | Path, environment: Mapping[str, str] | None = None) -> Config:
    """Read a configuration file.

    `environment` is what `${VAR}` is taken from; by default, the process's. Raises ConfigError
    with everything that is wrong in the file; whether the files it names exist isn't looked at.
    """
    from ml_exporter.config.yaml_file import read_yaml  # whoever has no file needs no YAML

    root = read_yaml(str(path), os.environ if environment is None else environment)
    if root is None:
        raise ConfigError([f"{path}: is empty"])
    section = root.mapping()
    section.check_keys(KEYS["config"])
    folder = Path(path).parent.absolute()
    notable_log = section.read("notable_log", lambda node: read_notable_log(node, folder), None)
    config = Config(
        path=Path(path),
        models=_models(
            section.require("models"), folder, None if notable_log is None else Notable()
        ),
        proxy=section.read("proxy", lambda node: read_proxy(node, folder), None),
        limits=section.read("limits", _limits, Limits()),
        access=section.read("access", read_access, Access()),
        state=section.read("state", lambda node: _state(node, folder), None),
        notable_log=notable_log,
        dead_letters=section.read(
            "dead_letters", lambda node: read_dead_letters(node, folder), None
        ),
        notes=root.document.notes(),
    )
    root.document.check()
    return config


def _models(node: Node, folder: Path, notable: Notable | None) -> tuple[Model, ...]:
    models: list[Model] = []
    for item in node.items():
        model = read_model(item, folder, notable)
        for i, other in enumerate(models):
            if model.name and other.name == model.name:
                name = item.mapping().require("name")
                name.error(
                    f"{model.name!r} is already the name of models[{i}], line {other.lines['name']}"
                )
        models.append(model)
    if not models and node.kind == "a list":
        node.error("must have at least one model")
    return tuple(models)


def read_model(node: Node, folder: Path, notable: Notable | None = None) -> Model:
    """The model that a section describes; relative paths are under `folder`.

    `notable` is what is worth a look where the section doesn't say it.
    """
    section = node.mapping()
    section.check_keys(KEYS["model"])
    task = section.require("task").choice(get_args(Task))
    positive = _positive(section, task)
    fields = read_fields(section.require("fields"), task, positive)
    name = section.require("name").text()
    source = _source(section.require("source"), folder, fields)
    if source.format == completions.FORMAT and fields.features is None:
        features, extracted = completions.FEATURES, completions.EXTRACTED
        fields = replace(fields, features=features, extracted=extracted)
    thresholds, off = section.read(
        "thresholds", lambda node: read_thresholds(node, field_names(fields)), ((), frozenset())
    )
    return Model(
        name=name,
        task=task or "binary",
        source=source,
        fields=fields,
        version=section.read("version", _version, None),
        positive=positive,
        baseline=section.read("baseline", lambda node: _baseline(node, folder), None),
        learn_rows=section.read("learn", _learn, Model.learn_rows),
        types=section.read("types", lambda node: _types(node, field_names(fields)), {}),
        labels=section.read("labels", lambda node: _labels(node, folder, fields), None),
        bins=section.read("bins", lambda node: node.integer(2, 100), Model.bins),
        segments=section.read(
            "segments", lambda node: read_segments(node, feature_names(fields)), ()
        ),
        constraints=section.read(
            "constraints", lambda node: read_constraints(node, predicted_names(fields)), ()
        ),
        outcome_values=section.read(
            "outcome_values", lambda node: read_outcome_values(node, task, positive), None
        ),
        false_alarms=section.read(
            "false_alarms", lambda node: node.number(0, 1), Model.false_alarms
        ),
        thresholds=thresholds,
        thresholds_off=off,
        mutes=section.read("mute", lambda node: read_mutes(node, field_names(fields)), ()),
        wait=section.read("wait", Node.duration, Model.wait),
        notable=section.read(
            "notable",
            lambda node: read_notable(
                node,
                predicted_names(fields),
                has_scores=bool(fields.scores),
                has_labels=section.get("labels") is not None,
            ),
            notable,
        ),
        lines={name: key.line for name, (key, _) in section.entries.items()},
        place=(node.document.name, node.key),
    )


def _source(node: Node, folder: Path, fields: Fields) -> SourceSettings:
    source = read_source(node, folder)
    if isinstance(source, ProxySource) and source.probe_rate:
        if fields.attributions:
            node.error(
                "'probe_rate' is for a model that logs no attributions: leave out it, or"
                " 'fields.attributions'"
            )
        if source.format == completions.FORMAT:
            node.error("'probe_rate' is for a model that gives the same answer to the same request")
    return source


def _positive(section: Section, task: Task | None) -> str | None:
    if task == "binary":
        return section.require("positive").class_name()
    if task is not None and (positive := section.get("positive")):
        positive.error(f"only a binary model has a positive class, and the task is {task}")
    return None


def _version(node: Node) -> str | VersionField:
    if node.kind != "a mapping":
        return node.text()
    section = node.mapping()
    section.check_keys(KEYS["version"])
    return VersionField(section.require("field").text())


def _baseline(node: Node, folder: Path) -> Path | Mapping[str, Path]:
    if node.kind != "a mapping":
        return folder / node.text()
    baselines = {version.text(): folder / path.text() for version, path in node.mapping()}
    if not baselines:
        node.error("must have at least one version")
    return baselines


def _learn(node: Node) -> int:
    section = node.mapping()
    section.check_keys(KEYS["learn"])
    return section.require("rows").integer(50)


def _types(node: Node, names: Sequence[str] | None) -> Mapping[str, FieldType]:
    types: dict[str, FieldType] = {}
    for key, value in node.mapping():
        name = key.text()
        if names is not None and name not in names:
            key.error(f"unknown field{suggestion(name, names)}")
        types[name] = value.choice(get_args(FieldType)) or "number"
    return types


def _labels(node: Node, folder: Path, prediction: Fields) -> Labels:
    section = node.mapping()
    section.check_keys(KEYS["labels"])
    if prediction.id is None:
        node.error("needs 'fields.id' of the model, to join labels to predictions")
    if prediction.label is not None:
        node.error("can't be used together with 'fields.label', a label on the same row")
    fields = section.require("fields").mapping()
    fields.check_keys(KEYS["label_fields"])
    source = read_source(section.require("source"), folder)
    if isinstance(source, ProxySource):
        section.require("source").error("labels don't pass through the proxy; post them as events")
    return Labels(
        source=source,
        fields=LabelFields(
            id=fields.require("id").text(),
            label=fields.require("label").text(),
            timestamp=fields.read("timestamp", Node.text, None),
        ),
        wait=section.read("wait", Node.duration, Labels.wait),
        settle=section.read("settle", Node.duration, Labels.settle),
        redis=section.read("redis", Node.text, None),
    )


def _limits(node: Node) -> Limits:
    section = node.mapping()
    section.check_keys(KEYS["limits"])
    return Limits(
        series=section.read("series", lambda node: node.integer(1), Limits.series),
        versions=section.read("versions", lambda node: node.integer(1), Limits.versions),
        categories=section.read("categories", lambda node: node.integer(1), Limits.categories),
        pending=section.read("pending", lambda node: node.integer(1), Limits.pending),
        pending_size=section.read("pending_size", Node.size, Limits.pending_size),
    )


def _state(node: Node, folder: Path) -> Path:
    section = node.mapping()
    section.check_keys(KEYS["state"])
    return folder / section.require("path").text()
