"""The report as SageMaker's constraint_violations.json."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ml_exporter.judgement.sagemaker_violations import (
    ConstraintViolation,
    constraint_violations,
    encode_violations,
)
from ml_exporter.report.judging import Report


def write(report: Report) -> str:
    return encode_violations(_violations(report)).decode()


def _violations(report: Report) -> Iterable[ConstraintViolation]:
    """Those of all versions; where there are several, each says which one it is of."""
    judged = [
        (model.verdict.name, version)
        for model in report.models
        for version in model.verdict.versions
    ]
    for name, version in judged:
        of = f"{name} {version.version}: " if len(judged) > 1 else ""
        for found in constraint_violations(version):
            yield replace(found, description=of + found.description)
