"""A model on a real log, watched on a clock of its own: what page and judgement stand on."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ml_exporter.baseline import baseline
from ml_exporter.commands.training import profile
from ml_exporter.config import config
from ml_exporter.families import freeze
from ml_exporter.judgement.history import History
from ml_exporter.pipeline.given_baselines import given_baselines
from ml_exporter.pipeline.pipeline import Pipeline
from ml_exporter.pipeline.version import Budget
from ml_exporter.publication import Edition
from ml_exporter.store.store import Store

START = 1_700_000_000.0
FEATURES = ("mean radius", "mean texture", "mean smoothness", "mean symmetry")

CONFIG = """\
models:
  - name: tumours
    version: "3"
    task: binary
    positive: malignant
    baseline: baseline.json
    source: {type: file, path: log.jsonl}
    fields:
      prediction: predicted
      score: probability
      label: actual
      features: [mean radius, mean texture, mean smoothness, mean symmetry]
    thresholds: {accuracy: {warning: 0.9, critical: 0.8}}
"""

Row = dict[str, Any]


@cache
def tumours() -> tuple[Row, ...]:
    """The breast cancer data set of scikit-learn with a model's predictions, as rows of a log."""
    data = load_breast_cancer()
    columns = [list(data.feature_names).index(name) for name in FEATURES]
    features, malignant = data.data[:, columns], data.target == 0
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(features, malignant)
    name = {True: "malignant", False: "benign"}
    return tuple(
        dict(zip(FEATURES, values, strict=True))
        | {
            "probability": round(float(score), 6),
            "predicted": name[bool(score > 0.5)],
            "actual": name[bool(truth)],
        }
        for values, score, truth in zip(
            features.tolist(), model.predict_proba(features)[:, 1], malignant, strict=True
        )
    )


def sample(rows: int, seed: int = 1) -> list[Row]:
    """So many of the tumours at random, some more than once."""
    picked = np.random.default_rng(seed).integers(len(tumours()), size=rows)
    return [dict(tumours()[index]) for index in picked]


class Watch:
    """An exporter without its clock and its server: `append` rows, let time `pass_by`."""

    def __init__(
        self, folder: Path, text: str = CONFIG, training: Sequence[Mapping[str, Any]] | None = None
    ) -> None:
        path = folder / "ml-exporter.yml"
        path.write_text(text)
        self.folder = folder
        self.log = folder / "log.jsonl"
        self.log.touch()
        self.config = config.load(path)
        if "baseline:" in text:
            write(folder / "training.jsonl", tumours() if training is None else training)
            for model in self.config.models:
                if model.baseline is None:
                    continue
                made, _ = profile(
                    model, self.config.limits, str(folder / "training.jsonl"), "jsonl"
                )
                (folder / "baseline.json").write_bytes(baseline.encode(made))
        self.history = History()
        self.now = START
        self._number = 0
        self._store = Store(None)
        self.pipelines: list[Pipeline] = []
        self.load()

    def load(self) -> None:
        """Read the configuration anew, as a reload does; the log goes on where it was."""
        for pipeline in self.pipelines:
            pipeline.close()
        self.config = config.load(self.config.path)
        budget = Budget(self.config.limits.series)
        self.pipelines = [
            Pipeline(
                model,
                self.config.limits,
                self._store,
                given_baselines(model),
                follow=True,
                start="start",
                budget=budget,
                now=lambda: self.now,
            )
            for model in self.config.models
        ]
        self.publish()

    def close(self) -> None:
        for pipeline in self.pipelines:
            pipeline.close()
        self._store.close()

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        write(self.log, rows)
        self.count()

    def count(self) -> None:
        for pipeline in self.pipelines:
            while pipeline.step(births_wait=False) != "idle":
                pass
            pipeline.save()
        self.publish()

    def pass_by(self, seconds: float, rows: Sequence[Mapping[str, Any]] = ()) -> None:
        """Let time go by, second by second at most every five, while rows come in evenly."""
        steps = max(int(seconds // 5), 1)
        for step in range(steps):
            self.now += seconds / steps
            write(self.log, rows[len(rows) * step // steps : len(rows) * (step + 1) // steps])
            self.count()

    @property
    def edition(self) -> Edition:
        families = [family for one in self.pipelines for family in one.families]
        return Edition(self._number, freeze(families))

    def publish(self) -> None:
        self._number += 1
        self.history.add(self.edition, self.now)


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("a") as log:
        log.writelines(json.dumps(row) + "\n" for row in rows)
