"""The baselines that the configuration of a model names, and what one of it is to have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ml_exporter.baseline import baseline as baselines
from ml_exporter.baseline import sagemaker as sagemaker_baseline
from ml_exporter.baseline.baseline import Baseline
from ml_exporter.batch import LABEL, PREDICTION, Field, FieldType
from ml_exporter.config.config import Limits, Model
from ml_exporter.formats.rows import UNVERSIONED

_LIMITS = Limits()


def default_version(model: Model, given: Mapping[str | None, Baseline]) -> str:
    """The version of rows that don't say it themselves."""
    if isinstance(model.version, str):
        return model.version
    baseline = given.get(None)
    if model.version is None and baseline is not None and baseline.version:
        return baseline.version
    return UNVERSIONED


def baseline_paths(model: Model) -> dict[str | None, Path]:
    """The baseline files that the configuration names, by version; None is all versions."""
    if model.baseline is None:
        return {}
    if isinstance(model.baseline, Path):
        return {None: model.baseline}
    return dict(model.baseline.items())


def given_baselines(model: Model, limits: Limits = _LIMITS) -> dict[str | None, Baseline]:
    """The baselines that the configuration names, by version; raises BaselineError."""
    return {
        version: load_baseline(path, model, version, limits)
        for version, path in baseline_paths(model).items()
    }


def load_baseline(path: Path, model: Model, version: str | None, limits: Limits) -> Baseline:
    """Read a baseline of a model, whatever wrote it; raises BaselineError."""
    wanted = request(model, version, limits)
    return sagemaker_baseline.load(path, wanted, sagemaker_baseline.roles(model))


def request(model: Model, version: str | None, limits: Limits) -> baselines.Request:
    """What a baseline of a model is to have."""
    classification: FieldType = "number" if model.task == "regression" else "category"
    types: dict[Field, FieldType] = {PREDICTION: classification, LABEL: classification}
    types |= {Field("feature", name): type for name, type in model.types.items()}
    features = model.fields.features or {}
    return baselines.Request(
        model=model.name,
        version=version,
        types=types,
        paths={Field("feature", name): path for name, path in features.items()},
        extracted={Field("feature", name): one for name, one in model.fields.extracted.items()},
        bins=model.bins,
        categories=limits.categories,
        positive=model.positive,
        segments=model.segments,
    )
