"""Real models with a baseline that has estimators, and production whose labels are known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression, Ridge

from ml_exporter.baseline.baseline import Baseline, Request
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import LABEL, PREDICTION, SCORE, Batch, Field
from ml_exporter.columns import Column


@dataclass(frozen=True)
class Known:
    name: str
    task: str
    positive: str | None
    baseline: Baseline
    rows: Batch  # of the baseline
    production: Batch

    @property
    def classes(self) -> list[str]:
        return self.baseline.classes

    @property
    def estimators(self) -> list[str]:
        has_regions = self.baseline.regions is not None
        return (["scores"] if self.baseline.scores else []) + (["regions"] if has_regions else [])

    @property
    def labelled_baseline_rows(self) -> int:
        if self.classes:
            return sum(cell.count for cell in self.baseline.confusion)
        return sum(region.rows for region in self.baseline.regions.regions)  # type: ignore[union-attr]


def known(
    name: str, task: str, positive: str | None, columns: dict[Field, list[Any]], cut: int
) -> Known:
    """The first rows are the baseline."""
    batch = Batch(len(columns[LABEL]), {key: Column(values) for key, values in columns.items()})
    rows = batch.take(range(cut))
    kind = "number" if task == "regression" else "category"
    types: dict[Field, Any] = {PREDICTION: kind, LABEL: kind}
    request = Request(name, "1", types, {}, bins=10, categories=50, positive=positive)
    made = build(lambda: [rows], request)
    return Known(name, task, positive, made, rows, batch.take(range(cut, batch.rows)))


def features(data: Any, names: list[int]) -> dict[Field, list[Any]]:
    return {Field("feature", f"x{n}"): data[:, n].tolist() for n in names}


@cache
def tumours() -> Known:
    data = load_breast_cancer()
    order = np.random.default_rng(0).permutation(data.target.size)
    x, target = data.data[order], data.target[order]
    weak = [4, 8, 9]
    model = LogisticRegression(C=1e4).fit(x[:100][:, weak], target[:100])
    scores = model.predict_proba(x[100:][:, weak])[:, 1]
    columns: dict[Field, list[Any]] = {
        **features(x[100:], [0, 1, 4, 8, 9, 12]),
        SCORE: scores.tolist(),
        PREDICTION: ["benign" if score > 0.6 else "malignant" for score in scores],
        LABEL: ["benign" if truth else "malignant" for truth in target[100:]],
    }
    return known("tumours", "binary", "benign", columns, 300)


@cache
def digits() -> Known:
    data = load_digits(n_class=4)
    model = LogisticRegression(C=1e-5).fit(data.data[:100], data.target[:100])
    scores = model.predict_proba(data.data[100:])
    columns: dict[Field, list[Any]] = {
        **features(data.data[100:], [10, 20, 21, 28, 36, 42]),
        PREDICTION: [f"digit {n}" for n in model.predict(data.data[100:])],
        LABEL: [f"digit {n}" for n in data.target[100:]],
    }
    for n, column in enumerate(scores.T.tolist()):
        columns[Field("score", f"digit {n}")] = column
    return known("digits", "multiclass", None, columns, 400)


@cache
def progression() -> Known:
    data = load_diabetes()
    model = Ridge().fit(data.data[:100], data.target[:100])
    columns: dict[Field, list[Any]] = {
        **features(data.data[100:], [0, 1, 2, 3, 8]),
        PREDICTION: model.predict(data.data[100:]).tolist(),
        LABEL: data.target[100:].tolist(),
    }
    return known("progression", "regression", None, columns, 230)
