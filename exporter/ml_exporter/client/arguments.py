"""The arguments of a Monitor as the configuration of a model, read as a file is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ml_exporter.baseline.baseline import Baseline, BaselineError
from ml_exporter.client import paths
from ml_exporter.config.config import ConfigError, Model, read_model
from ml_exporter.config.yaml_nodes import Document, Node
from ml_exporter.formats import Layout
from ml_exporter.pipeline.given_baselines import given_baselines
from ml_exporter.pipeline.streams import prediction_layout

_TAG = "tag:yaml.org,2002:"
_JOINED = ("wait", "settle")  # what may be said of labels that come later


@dataclass(frozen=True)
class _Mark:
    line: int = 0


@dataclass
class _Raw:
    """A Python value in the shape of a YAML node."""

    id: str
    tag: str
    value: Any
    style: str | None = None
    start_mark: Any = _Mark()


class _Arguments(Document):
    """Errors name the argument, which has no line."""

    def message(self, line: int, key: str, text: str) -> str:
        return ": ".join((self.name, key, text))


def model_of(name: str, arguments: Mapping[str, object]) -> Model:
    """The model that a Monitor is told of; None stands for what isn't said.

    The baseline is read: it says which features and scores there are where the arguments don't.
    Raises ValueError with a line for each argument that is wrong.
    """
    model = _read(name, arguments)
    known = _baseline(model)
    if known is None:
        if arguments.get("attributions") is True and model.fields.features is None:
            raise ValueError("Monitor: attributions: needs the names of features, or a baseline")
        return model
    if arguments.get("score") is None and (scores := _scores(model, known)):
        model = _read(name, {**arguments, "score": scores})
    if model.fields.features is None:
        # A log may have had them elsewhere; here each is under its name, or under that of the text,
        # list or time of which something is watched.
        features = [field for field in known.fields if field.role == "feature"]
        extracted = {one.name: one.extractor for one in features if one.extractor}
        names = {one.name: one.name for one in features}
        names |= {
            one.name: one.path.rpartition(".")[2] for one in features if one.extractor and one.path
        }
        model = replace(model, fields=replace(model.fields, features=names, extracted=extracted))
        if arguments.get("attributions") is True:
            attributions = {name: f"{paths.ATTRIBUTIONS}.{name}" for name in names}
            model = replace(model, fields=replace(model.fields, attributions=attributions))
    return model


def _read(name: str, arguments: Mapping[str, object]) -> Model:
    document = _Arguments("Monitor")
    said = {key: value for key, value in arguments.items() if value is not None}
    joined = said.pop("labels", None)
    fields: dict[str, object] = {"prediction": paths.PREDICTION, "timestamp": paths.TIME}
    if "features" in said:
        fields["features"] = said.pop("features")
    if (score := said.pop("score", None)) is not None and score is not False:
        fields["score"] = _score(document, said.get("task"), score)
    if attributions := said.pop("attributions", None):
        fields |= _attributions(document, attributions, "features" in fields)
    if ranked := said.pop("ranked", None):
        fields["ranked"] = {"path": paths.RANKED} | ({} if ranked is True else {"depth": ranked})
    if said.get("version") == {"field": "version"}:
        said["version"] = {"field": paths.VERSION}
    if joined is None or joined is False:
        fields["label"] = paths.LABEL
    else:
        fields["id"] = paths.ID
        said["labels"] = _labels(document, joined)
    section = {"name": name, **said, "fields": fields, "source": {"type": "events"}}
    return _checked(document, section)


def _checked(document: Document, section: Mapping[str, object]) -> Model:
    """A model's section as a file would have it; raises ValueError with all that is wrong."""
    model = read_model(Node(document, "", 1, _raw(document, "", section)), Path.cwd())
    try:
        document.check()
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return model


def layout_of(model: Model, fields: Mapping[str, object] | None, format: str) -> Layout:
    """What is read of requests and responses of a format, which `fields` lead into.

    Where they don't say it, everything is at the top of the bodies under its name. Raises
    ValueError.
    """
    document = _Arguments("MonitorMiddleware")
    request, response = ("request.", "response.") if format == "json" else ("", "")
    said: dict[str, object] = {"prediction": f"{response}prediction"}
    if model.task == "binary" and model.fields.scores:
        said["score"] = f"{response}score"
    elif classes := list(model.fields.scores):
        said["score"] = {"path": f"{response}scores", "classes": classes}
    if model.fields.features is not None:
        extracted = model.fields.extracted
        said["features"] = {
            name: {extracted[name]: request + path} if name in extracted else request + path
            for name, path in model.fields.features.items()
        }
    section: dict[str, object] = {
        "name": model.name,
        "task": model.task,
        "source": {"type": "file", "path": "bodies", "format": format},
    }
    if model.positive is not None:
        section["positive"] = model.positive
    if model.fields.attributions:
        said["attributions"] = {
            name: f"{response}attributions.{name}" for name in model.fields.attributions
        }
    if depth := len(model.fields.ranked):
        said["ranked"] = {"path": f"{response}ranked", "depth": depth}
    if model.labels is not None:
        said["id"] = f"{response}id"
        section["labels"] = _labels(document, True)
    section["fields"] = {**said, **(fields or {})}
    return prediction_layout(_checked(document, section), None)


def _score(document: Document, task: object, score: object) -> object:
    """Where the scores are: of a binary model that of the positive class, or those of classes."""
    if score is True and task != "multiclass":
        return paths.SCORE
    if isinstance(score, Sequence) and not isinstance(score, str) and task != "binary":
        return {"path": paths.SCORE, "classes": score}
    wanted = "true" if task == "binary" else "a list of the classes, in the order of their scores"
    Node(document, "score", 1, None).error(f"must be {wanted}")
    return paths.SCORE if task == "binary" else {"path": paths.SCORE, "classes": ["", " "]}


def _attributions(document: Document, said: object, are_named: bool) -> dict[str, object]:
    """Where attributions are: those of all features, if these have names already, or of some."""
    if said is True:
        return {"attributions": paths.ATTRIBUTIONS} if are_named else {}
    if isinstance(said, Sequence) and not isinstance(said, str):
        return {"attributions": {name: f"{paths.ATTRIBUTIONS}.{name}" for name in said}}
    text = "must be true, or a list of the features that have one"
    Node(document, "attributions", 1, None).error(text)
    return {}


def _labels(document: Document, joined: object) -> dict[str, object]:
    said: dict[str, object] = {}
    if isinstance(joined, Mapping):
        said = dict(joined)
        for key in ("source", "fields", "redis"):
            if key in said:
                text = f"has no meaning here; known: {', '.join(_JOINED)}"
                Node(document, f"labels.{key}", 1, None).error(text)
    elif joined is not True:
        Node(document, "labels", 1, None).error("must be a mapping, such as {'wait': '30d'}")
    fields = {"id": paths.ID, "label": paths.LABEL, "timestamp": paths.TIME}
    return {**said, "source": {"type": "events"}, "fields": fields}


def _raw(document: Document, key: str, value: object) -> _Raw:
    match value:
        case None:
            return _Raw("scalar", f"{_TAG}null", "")
        case bool():
            return _Raw("scalar", f"{_TAG}bool", "true" if value else "false")
        case int():
            return _Raw("scalar", f"{_TAG}int", str(value))
        case float():
            return _Raw("scalar", f"{_TAG}float", repr(value))
        case str() | os.PathLike():
            return _Raw("scalar", f"{_TAG}str", os.fspath(value), style="'")
        case Mapping():
            pairs = [
                (_raw(document, key, name), _raw(document, f"{key}.{name}", item))
                for name, item in value.items()
            ]
            return _Raw("mapping", f"{_TAG}map", pairs)
        case list() | tuple() | set() | frozenset():
            items = [_raw(document, key, item) for item in value]
            return _Raw("sequence", f"{_TAG}seq", items)
        case _ if hasattr(value, "tolist"):  # of NumPy
            return _raw(document, key, value.tolist())
    Node(document, key.removeprefix("."), 1, None).error(
        f"can't be a {type(value).__name__}; write it as text, a number, a list or a mapping"
    )
    return _Raw("scalar", f"{_TAG}null", "")


def _baseline(model: Model) -> Baseline | None:
    try:
        return next(iter(given_baselines(model).values()), None)
    except BaselineError as error:
        raise ValueError(f"Monitor: baseline: {error}") from None


def _scores(model: Model, baseline: Baseline) -> bool | list[str]:
    """The scores that a baseline has: of a model with several classes, of which ones."""
    names = [field.name for field in baseline.fields if field.role == "score"]
    return bool(names) if model.task == "binary" else names
