"""Where the fields of a prediction stand in its row.

docs/configuration.md says what each key means to the user.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ml_exporter.config.extractors import Extractor, read_feature
from ml_exporter.config.yaml_nodes import Node

RANKED_DEPTH = 10
_OPPOSITES = {"1": "0", "0": "1", "true": "false", "false": "true", "yes": "no", "no": "yes"}

Task = Literal["binary", "multiclass", "regression"]

KEYS: dict[str, tuple[str, ...]] = {
    "fields": (
        *("id", "timestamp", "prediction", "score", "label", "features"),
        *("attributions", "ranked", "trace"),
    ),
    "scores": ("path", "classes"),
    "ranked": ("path", "depth"),
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
    extracted: Mapping[str, Extractor] = field(default_factory=dict)  # what of features is watched
    attributions: Mapping[str, str] = field(default_factory=dict)  # feature -> path
    ranked: tuple[str, ...] = ()  # paths of the items that were recommended, the best one first
    trace: str | None = None


def read_fields(node: Node, task: Task | None, positive: str | None) -> Fields:
    section = node.mapping()
    section.check_keys(KEYS["fields"])
    prediction = section.require("prediction")
    path = prediction.text()
    features, extracted = section.read("features", _features, (None, {}))
    scores = section.read("score", lambda node: _scores(node, task, positive), {})
    return Fields(
        prediction=path,
        id=section.read("id", Node.text, None),
        timestamp=section.read("timestamp", Node.text, None),
        scores={name: path for name, path in scores.items() if positive in (None, name)},
        decided_by=_decided_by(prediction, path, scores, positive),
        label=section.read("label", Node.text, None),
        features=features,
        extracted=extracted,
        attributions=section.read("attributions", lambda node: _attributions(node, features), {}),
        ranked=section.read("ranked", lambda node: _ranked(node, task), ()),
        trace=section.read("trace", Node.text, None),
    )


def _attributions(node: Node, features: Mapping[str, str] | None) -> Mapping[str, str]:
    """The path of each feature's attribution; one path alone is that of all, by their names."""
    if node.kind == "a mapping":
        return {name.text(): path.text() for name, path in node.mapping()}
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


def _features(node: Node) -> tuple[Mapping[str, str], Mapping[str, Extractor]]:
    """The path of each feature, and what is extracted of the value there, where it isn't that."""
    if node.kind == "a mapping":
        found = {name.text(): read_feature(feature) for name, feature in node.mapping()}
        return (
            {name: path for name, (path, _) in found.items()},
            {name: extractor for name, (_, extractor) in found.items() if extractor},
        )
    if node.kind != "a list":
        node.error("must be a mapping of names to paths, or a list of names")
        return {}, {}
    features: dict[str, str] = {}
    for item in node.items():
        name = item.text()
        if name in features:
            item.error(f"{name!r} is already in the list")
        features[name] = name
    return features, {}


def feature_names(fields: Fields) -> Sequence[str] | None:
    return None if fields.features is None else list(fields.features)


def predicted_names(fields: Fields) -> Sequence[str] | None:
    """What is known of a prediction before its label comes."""
    if fields.features is None:
        return None
    return [*fields.features, "prediction", *(["score"] if fields.scores else [])]


def field_names(fields: Fields) -> Sequence[str] | None:
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
