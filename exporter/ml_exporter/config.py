"""The configuration file as types.

docs/configuration.md says what each key means to the user.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from ml_exporter import constraints, outcome_values, roles, segments, source_settings, thresholds
from ml_exporter.batch import FieldType, Role
from ml_exporter.constraints import Constraint, read_constraints
from ml_exporter.outcome_values import OutcomeValues, read_outcome_values
from ml_exporter.roles import Access, Token, UserRole, read_access
from ml_exporter.segments import Segment, read_segments
from ml_exporter.source_settings import (
    EventSource,
    FileSource,
    KafkaSource,
    SourceSettings,
    SqlSource,
    format_of,
    read_source,
)
from ml_exporter.thresholds import Threshold, read_thresholds
from ml_exporter.yaml_file import read_yaml
from ml_exporter.yaml_nodes import ConfigError, Node, Section, suggestion

__all__ = [
    "KEYS",
    "Access",
    "Config",
    "ConfigError",
    "Constraint",
    "EventSource",
    "FieldType",
    "Fields",
    "FileSource",
    "KafkaSource",
    "LabelFields",
    "Labels",
    "Limits",
    "Model",
    "OutcomeValues",
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
]

RANKED_DEPTH = 10
_OPPOSITES = {"1": "0", "0": "1", "true": "false", "false": "true", "yes": "no", "no": "yes"}

Task = Literal["binary", "multiclass", "regression"]

# Every key of every section; docs/configuration.md has a section of the same name for each.
KEYS: dict[str, tuple[str, ...]] = {
    "config": ("models", "access", "limits", "state"),
    "model": (
        *("name", "version", "task", "positive", "baseline", "learn", "source", "fields", "types"),
        *("labels", "bins", "segments", "constraints", "outcome_values", "false_alarms"),
        "thresholds",
    ),
    "version": ("field",),
    "learn": ("rows",),
    **source_settings.KEYS,
    "fields": (
        *("id", "timestamp", "prediction", "score", "label", "features"),
        *("attributions", "ranked"),
    ),
    "scores": ("path", "classes"),
    "ranked": ("path", "depth"),
    "labels": ("source", "fields", "wait", "settle", "redis"),
    "label_fields": ("id", "label", "timestamp"),
    **segments.KEYS,
    **constraints.KEYS,
    **outcome_values.KEYS,
    **thresholds.KEYS,
    **roles.KEYS,
    "limits": ("series", "versions", "categories", "pending", "pending_size"),
    "state": ("path",),
}
# Keys that a file may have already; each is reported in `Config.notes`.
LATER_KEYS: dict[str, tuple[str, ...]] = {
    "config": ("proxy",),
}


@dataclass(frozen=True)
class Fields:
    """Paths of a prediction's fields in its row."""

    prediction: str
    id: str | None = None
    timestamp: str | None = None
    # class -> path; binary: of the positive class; {path: p, classes: [a, b]} is {a: p.0, b: p.1}
    scores: Mapping[str, str] = field(default_factory=dict)
    # Where `prediction` leads to the scores: classes, the likeliest of which is the prediction.
    # Of a binary model, the other one and the positive one.
    decided_by: tuple[str, ...] = ()
    label: str | None = None
    features: Mapping[str, str] | None = None  # name -> path; None: the baseline's, else learned
    attributions: Mapping[str, str] = field(default_factory=dict)  # feature -> path
    ranked: tuple[str, ...] = ()  # paths of the items that were recommended, the best one first


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
    limits: Limits = Limits()
    access: Access = field(default_factory=Access)
    state: Path | None = None  # absolute
    notes: tuple[str, ...] = ()  # each as `FILE:LINE: KEY: text`


def load(path: str | Path, environment: Mapping[str, str] | None = None) -> Config:
    """Read a configuration file.

    `environment` is what `${VAR}` is taken from; by default, the process's. Raises ConfigError
    with everything that is wrong in the file; whether the files it names exist isn't looked at.
    """
    root = read_yaml(str(path), os.environ if environment is None else environment)
    if root is None:
        raise ConfigError([f"{path}: is empty"])
    section = root.mapping()
    section.check_keys(KEYS["config"], LATER_KEYS["config"])
    folder = Path(path).parent.absolute()
    config = Config(
        path=Path(path),
        models=_models(section.require("models"), folder),
        limits=section.read("limits", _limits, Limits()),
        access=section.read("access", read_access, Access()),
        state=section.read("state", lambda node: _state(node, folder), None),
        notes=root.document.notes(),
    )
    root.document.check()
    return config


def _models(node: Node, folder: Path) -> tuple[Model, ...]:
    models: list[Model] = []
    for item in node.items():
        model = _model(item, folder)
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


def _model(node: Node, folder: Path) -> Model:
    section = node.mapping()
    section.check_keys(KEYS["model"])
    task = section.require("task").choice(get_args(Task))
    positive = _positive(section, task)
    fields = _fields(section.require("fields"), task, positive)
    thresholds, off = section.read(
        "thresholds", lambda node: read_thresholds(node, _field_names(fields)), ((), frozenset())
    )
    return Model(
        name=section.require("name").text(),
        task=task or "binary",
        source=read_source(section.require("source"), folder),
        fields=fields,
        version=section.read("version", _version, None),
        positive=positive,
        baseline=section.read("baseline", lambda node: _baseline(node, folder), None),
        learn_rows=section.read("learn", _learn, Model.learn_rows),
        types=section.read("types", lambda node: _types(node, _field_names(fields)), {}),
        labels=section.read("labels", lambda node: _labels(node, folder, fields), None),
        bins=section.read("bins", lambda node: node.integer(2, 100), Model.bins),
        segments=section.read(
            "segments", lambda node: read_segments(node, _feature_names(fields)), ()
        ),
        constraints=section.read(
            "constraints", lambda node: read_constraints(node, _predicted_names(fields)), ()
        ),
        outcome_values=section.read(
            "outcome_values", lambda node: read_outcome_values(node, task, positive), None
        ),
        false_alarms=section.read(
            "false_alarms", lambda node: node.number(0, 1), Model.false_alarms
        ),
        thresholds=thresholds,
        thresholds_off=off,
        lines={name: key.line for name, (key, _) in section.entries.items()},
        place=(node.document.name, node.key),
    )


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


def _fields(node: Node, task: Task | None, positive: str | None) -> Fields:
    section = node.mapping()
    section.check_keys(KEYS["fields"])
    prediction = section.require("prediction")
    path = prediction.text()
    features = section.read("features", _features, None)
    scores = section.read("score", lambda node: _scores(node, task, positive), {})
    return Fields(
        prediction=path,
        id=section.read("id", Node.text, None),
        timestamp=section.read("timestamp", Node.text, None),
        scores={name: path for name, path in scores.items() if positive in (None, name)},
        decided_by=_decided_by(prediction, path, scores, positive),
        label=section.read("label", Node.text, None),
        features=features,
        attributions=section.read("attributions", lambda node: _attributions(node, features), {}),
        ranked=section.read("ranked", lambda node: _ranked(node, task), ()),
    )


def _attributions(node: Node, features: Mapping[str, str] | None) -> Mapping[str, str]:
    """The path of each feature's attribution; one path alone is that of all, by their names."""
    if node.kind == "a mapping":
        return _features(node)
    if features is None:
        node.error("needs 'fields.features', whose names are looked for under this path")
    return {name: f"{node.text()}.{name}" for name in features or ()}


def _ranked(node: Node, task: Task | None) -> tuple[str, ...]:
    if task is not None and task != "multiclass":
        node.error(f"only a multiclass model recommends items, and the task is {task}")
    section = node.mapping()
    section.check_keys(KEYS["ranked"])
    path = section.require("path").text()
    depth = section.read("depth", lambda node: node.integer(2, 100), RANKED_DEPTH)
    return tuple(f"{path}.{place}" for place in range(depth))


def _features(node: Node) -> Mapping[str, str]:
    if node.kind == "a mapping":
        return {name.text(): path.text() for name, path in node.mapping()}
    if node.kind != "a list":
        node.error("must be a mapping of names to paths, or a list of names")
        return {}
    features: dict[str, str] = {}
    for item in node.items():
        name = item.text()
        if name in features:
            item.error(f"{name!r} is already in the list")
        features[name] = name
    return features


def _feature_names(fields: Fields) -> Sequence[str] | None:
    return None if fields.features is None else list(fields.features)


def _predicted_names(fields: Fields) -> Sequence[str] | None:
    """What is known of a prediction before its label comes."""
    if fields.features is None:
        return None
    return [*fields.features, "prediction", *(["score"] if fields.scores else [])]


def _field_names(fields: Fields) -> Sequence[str] | None:
    """What `types` and `thresholds` may name; None: the baseline will say."""
    if fields.features is None:
        return None
    return [*fields.features, "prediction", "score", "label"]


def _scores(node: Node, task: Task | None, positive: str | None) -> Mapping[str, str]:
    """The path of each class's score."""
    if task == "regression":
        node.error("a regression model has no score")
    if node.kind != "a mapping":
        if task == "multiclass":
            node.error("must give a path for each class, or {path, classes}")
        return {positive or "": node.text()}
    section = node.mapping()
    if section.entries and set(section.entries) <= set(KEYS["scores"]):
        path = section.require("path").text()
        classes = [item.class_name() for item in section.require("classes").items()]
        paths = [f"{path}.{i}" for i in range(len(classes))]
        if not classes:
            return {}
    else:
        classes = [name.class_name() for name, _ in section]
        paths = [path.text() for _, path in section]
    scores = dict(zip(classes, paths, strict=True))
    if len(scores) < len(classes):
        node.error("names a class twice")
    elif len(scores) < 2 and task == "multiclass":
        node.error("must have at least two classes")
    elif positive and positive not in scores:
        node.error(f"has no path for the positive class {positive!r}")
    return scores


def _decided_by(
    prediction: Node, path: str, scores: Mapping[str, str], positive: str | None
) -> tuple[str, ...]:
    """The classes whose scores stand where the prediction is said to be."""
    if not path or not scores or not all(f"{p}.".startswith(f"{path}.") for p in scores.values()):
        return ()
    if positive is None:
        return tuple(scores)
    if len(scores) == 2:
        return tuple(sorted(scores, key=lambda name: name == positive))
    if len(scores) > 2:
        prediction.error(f"is where {len(scores)} scores are, and a binary model has two classes")
    elif positive not in _OPPOSITES:
        prediction.error(
            f"is the score's own path, which doesn't say what a row is called that isn't"
            f" {positive!r}; name the path of the class itself"
        )
    return (_OPPOSITES.get(positive, ""), positive)


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
    return Labels(
        source=read_source(section.require("source"), folder),
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
