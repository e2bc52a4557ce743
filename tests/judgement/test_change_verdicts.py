"""The status page tells apart what kind of change it is, from counters of real rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ml_exporter.baseline.baseline import Request
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import LABEL, PREDICTION, SCORE, Batch
from ml_exporter.columns import Column
from ml_exporter.config.config import Fields, FileSource, Limits, Model
from ml_exporter.families import freeze
from ml_exporter.judgement.advice import advise
from ml_exporter.judgement.judgement import judge
from ml_exporter.judgement.verdicts import ModelVerdict
from ml_exporter.monitors.selection import for_baseline, for_model
from ml_exporter.statistics.concept_drift import Kind

ROWS = 4000
RANDOM = np.random.default_rng(1)


def scored() -> tuple[np.ndarray, np.ndarray]:
    """Scores of tumours by a model that hasn't seen them, and what they are."""
    data, truth = load_breast_cancer(return_X_y=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.001))
    scores = cross_val_predict(model, data[:, :5], truth, method="predict_proba")[:, 1]
    return scores, truth


SCORES, TRUTH = scored()


def rows(of: np.ndarray, flipped: float = 0.0) -> Batch:
    """Some of them, of which a share has the other outcome."""
    truth = np.where(RANDOM.random(len(of)) < flipped, 1 - TRUTH[of], TRUTH[of])
    columns = {
        SCORE: Column(SCORES[of].tolist()),
        PREDICTION: Column([str(int(score > 0.5)) for score in SCORES[of]]),
        LABEL: Column([str(label) for label in truth]),
    }
    return Batch(len(of), columns)


def verdict(window: Batch) -> ModelVerdict:
    model = Model(
        name="m",
        task="binary",
        source=FileSource("m.jsonl", "jsonl"),
        fields=Fields(prediction="p", label="y", scores={"1": "s"}),
        positive="1",
    )
    usual = rows(RANDOM.integers(0, len(TRUTH), ROWS))
    types = {PREDICTION: "category", LABEL: "category"}
    baseline = build(lambda: [usual], Request("m", "1", types, {}, 10, 50, positive="1"))
    own = for_model(model, "1", Limits())
    judged = for_baseline(model, "1", "file", baseline, None, lambda series: True)
    monitors = [*own.of_predictions, *judged.of_predictions, *own.of_labelled, *judged.of_labelled]
    for monitor in monitors:
        monitor.update(window)
    (found,) = judge(freeze([family for monitor in monitors for family in monitor.families]))
    return found


@pytest.mark.parametrize(
    ("window", "kinds", "said"),
    [
        (rows(RANDOM.integers(0, len(TRUTH), ROWS)), set(), ""),
        (rows(RANDOM.integers(0, len(TRUTH), ROWS), flipped=0.2), {"relation"}, "no longer"),
        # Half as many are benign, of the same scores.
        (
            rows(
                np.concatenate(
                    [
                        RANDOM.choice(np.flatnonzero(TRUTH == 1), ROWS // 3),
                        RANDOM.choice(np.flatnonzero(TRUTH == 0), ROWS * 2 // 3),
                    ]
                )
            ),
            {"classes"},
            "only the mix of classes",
        ),
        # Too few labels to tell.
        (rows(RANDOM.integers(0, len(TRUTH), 90), flipped=0.5), set(), ""),
    ],
    ids=["nothing", "relation", "classes", "few labels"],
)
def test_kinds(window: Batch, kinds: set[Kind], said: str) -> None:
    found = verdict(window)
    (version,) = found.versions
    assert version.change_kinds == kinds
    assert said in " ".join(advise(found, version))
