"""Reads what Model Monitor knows of a training set as a baseline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ml_exporter.baseline import baseline as baselines
from ml_exporter.baseline.baseline import Baseline, BaselineError, BaselineField, Request
from ml_exporter.baseline.sagemaker.columns import counted
from ml_exporter.baseline.sagemaker.files import (
    CONSTRAINTS,
    STATISTICS,
    Constraints,
    Statistics,
    convert,
    parse,
    whole_count,
)
from ml_exporter.batch import LABEL, PREDICTION, SCORE, Field
from ml_exporter.config.config import Model
from ml_exporter.statistics.bins import ANY, INVALID, MISSING, OTHER

_KEYS = {"dataset", "features"}


def load(path: Path, request: Request, roles: Mapping[str, Field]) -> Baseline:
    """Read a baseline file of ours, a statistics.json, or the one in a folder.

    `roles` are the columns of a statistics.json that aren't features. Raises BaselineError with
    the file's name and what is wrong in it.
    """
    if path.is_dir():
        path = path / STATISTICS
    with baselines.naming(path):
        data = path.read_bytes()
        if not _is_statistics(data):
            return baselines.decode(data)
        beside = path.with_name(CONSTRAINTS)
        constraints = beside.read_bytes() if beside.is_file() else None
        return decode(data, constraints, request, roles)


def roles(model: Model) -> dict[str, Field]:
    """The columns of a statistics.json that aren't features of a model, by their names."""
    names = model.fields
    # A prediction that scores decide on has no path of its own.
    found = {"prediction" if names.decided_by else names.prediction: PREDICTION}
    for name, path in names.scores.items():
        found[path] = SCORE if model.task == "binary" else Field("score", name)
    if names.label is not None:
        found[names.label] = LABEL
    if model.labels is not None:
        found[model.labels.fields.label] = LABEL
    return found


def decode(
    statistics: bytes, constraints: bytes | None, request: Request, roles: Mapping[str, Field]
) -> Baseline:
    """The baseline that a statistics.json describes; raises BaselineError.

    Numbers get quantile bins where the file has their sketch, else its own buckets. `request`
    has the last word on types; else a column that the constraints call a String is a category,
    and any other is what was inferred.
    """
    found = convert(statistics, Statistics)
    rows = whole_count(found.dataset.item_count)
    texts = set() if constraints is None else _texts(constraints)
    fields: dict[Field, BaselineField] = {}
    for number, feature in enumerate(found.features):
        key = _key(feature.name, request, roles)
        if key is None:
            continue
        try:
            if key in fields:
                raise BaselineError("occurs twice")
            # Columns of text are told by their statistics: whether they differ too much, too.
            is_corrected = feature.name in texts and feature.string_statistics is None
            type = request.types.get(key) or ("category" if is_corrected else None)
            edges, counts = counted(feature, type, rows, request)
        except BaselineError as error:
            raise BaselineError(f"features[{number}] ({feature.name}): {error}") from None
        fields[key] = BaselineField(
            role=key.role,
            name=key.name,
            type="category" if edges is None else "number",
            path=request.paths.get(key, feature.name) if key.role == "feature" else None,
            edges=edges,
            counts=counts,
        )
    if not rows or not fields:
        raise BaselineError("dataset.item_count is 0" if fields else "there are no features")
    return Baseline(
        format=baselines.FORMAT,
        model=request.model,
        version=request.version,
        rows=rows,
        fields=list(fields.values()),
        classes=_classes(fields),
    )


def _is_statistics(data: bytes) -> bool:
    try:
        found = parse(data)
    except BaselineError:
        return False
    return isinstance(found, dict) and "format" not in found and not _KEYS.isdisjoint(found)


def _texts(constraints: bytes) -> set[str]:
    """The columns that constraints call a String: that is where their users correct types."""
    try:
        found = convert(constraints, Constraints)
    except BaselineError as error:
        raise BaselineError(f"{CONSTRAINTS} beside it: {error}") from None
    return {one.name for one in found.features if one.inferred_type == "String"}


def _key(name: str, request: Request, roles: Mapping[str, Field]) -> Field | None:
    """What a column is; None where features are configured, and it is none of them."""
    if name in roles:
        return roles[name]
    key = Field("feature", name)
    if not request.paths:
        return key
    by_path = {path: key for key, path in request.paths.items() if key not in request.extracted}
    return by_path.get(name) or (key if key in request.paths else None)


def _classes(fields: Mapping[Field, BaselineField]) -> list[str]:
    of = [fields[key] for key in (LABEL, PREDICTION) if key in fields]
    special = (ANY, OTHER, MISSING, INVALID)
    names = {name for field in of if field.edges is None for name in field.counts}
    return sorted(names.difference(special))
