"""NannyML's estimates of the same rows, in an interpreter that has it: `FOLDER CHUNK_ROWS`.

The folder has, of each case, `NAME.json` with its task, classes and categorical features, and
`NAME-baseline.csv` and `NAME-production.csv`. Writes `FOLDER/nannyml/NAME.json`: the estimates of
each case by metric, one a chunk, by CBPE of a classifier and DLE of a regression.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"

METRICS = {
    "accuracy": "accuracy",
    "precision": "precision",
    "f1": "f1",
    "roc_auc": "roc_auc",
    "average_precision": "average_precision",
    "mean_absolute_error": "mae",
}


def estimates(folder: Path, name: str, chunk: int) -> dict[str, list[float]]:
    import nannyml
    import pandas as pd

    about = json.loads((folder / f"{name}.json").read_text())
    classes, categories = about["classes"], about["categories"]
    text = dict.fromkeys(categories, str)
    if classes:
        text |= {"predicted": str, "truth": str}
    baseline, production = (
        pd.read_csv(
            folder / f"{name}-{part}.csv", dtype=text, keep_default_na=False, na_values=[""]
        )
        for part in ("baseline", "production")
    )
    metrics = ["mae"] if not classes else ["accuracy", "precision", "f1", "roc_auc"]
    if about["task"] == "binary":
        metrics.append("average_precision")  # which it has of two classes alone
    if not classes:
        features = [f for f in baseline if f not in ("predicted", "truth")]
        for frame in (baseline, production):
            frame[categories] = frame[categories].astype("category")
        estimator: Any = nannyml.DLE(
            feature_column_names=features,
            y_pred="predicted",
            y_true="truth",
            metrics=metrics,
            chunk_size=chunk,
        )
    elif about["task"] == "binary":
        for frame in (baseline, production):
            for column in ("predicted", "truth"):
                frame[column] = (frame[column] == classes[1]).astype(int)
        estimator = nannyml.CBPE(
            y_pred_proba="score 1",
            y_pred="predicted",
            y_true="truth",
            metrics=metrics,
            problem_type="classification_binary",
            chunk_size=chunk,
        )
    else:
        estimator = nannyml.CBPE(
            y_pred_proba={c: f"score {number}" for number, c in enumerate(classes)},
            y_pred="predicted",
            y_true="truth",
            metrics=metrics,
            problem_type="classification_multiclass",
            chunk_size=chunk,
        )
    estimator.fit(baseline)
    found = estimator.estimate(production).filter(period="analysis").to_df()
    return {
        metric: [float(value) for value in found[(theirs, "value")]]
        for metric, theirs in METRICS.items()
        if theirs in metrics
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable()
    folder, chunk = Path(sys.argv[1]), int(sys.argv[2])
    names = sorted(path.stem for path in folder.glob("*.json"))
    (folder / "nannyml").mkdir(exist_ok=True)
    for name in names:
        found = estimates(folder, name, chunk)
        (folder / "nannyml" / f"{name}.json").write_text(json.dumps(found))
