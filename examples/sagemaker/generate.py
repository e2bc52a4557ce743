"""Makes the data of this example: `python examples/sagemaker/generate.py`.

The tumours are the Wisconsin Diagnostic Breast Cancer data (Wolberg, Street and Mangasarian, 1995;
CC BY 4.0), carried by scikit-learn. What SageMaker would write is written here as its pages
describe it: see docs/formats/sagemaker.md.
"""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).parent
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
FEATURES = 8


def statistics(names: list[str], rows: np.ndarray) -> dict:
    features = []
    for name, values in zip(names, rows.T, strict=True):
        bounds = np.linspace(values.min(), values.max(), 11)
        counts, _ = np.histogram(values, bounds)  # each bin without its upper bound, but the last
        buckets = [
            {"lower_bound": low, "upper_bound": high, "count": int(count)}
            for low, high, count in zip(bounds[:-1], bounds[1:], counts, strict=True)
        ]
        sketch = {"parameters": {"c": 0.64, "k": 2048.0}, "data": [values.tolist()]}
        features.append(
            {
                "name": name,
                "inferred_type": "Integral" if np.all(values % 1 == 0) else "Fractional",
                "numerical_statistics": {
                    "common": {"num_present": len(values), "num_missing": 0},
                    "mean": values.mean(),
                    "sum": values.sum(),
                    "std_dev": values.std(),
                    "min": values.min(),
                    "max": values.max(),
                    "distribution": {"kll": {"buckets": buckets, "sketch": sketch}},
                },
            }
        )
    return {"version": 0.0, "dataset": {"item_count": len(rows)}, "features": features}


def constraints(statistics: dict) -> dict:
    return {
        "version": 0.0,
        "features": [
            {
                "name": feature["name"],
                "inferred_type": feature["inferred_type"],
                "completeness": 1.0,
                "num_constraints": {"is_non_negative": True},
            }
            for feature in statistics["features"]
        ],
        "monitoring_config": {
            "evaluate_constraints": "Enabled",
            "emit_metrics": "Enabled",
            "datatype_check_threshold": 1.0,
            "domain_content_threshold": 1.0,
            "distribution_constraints": {
                "perform_comparison": "Enabled",
                "comparison_threshold": 0.1,
                "comparison_method": "Robust",
            },
        },
    }


def csv(rows: np.ndarray) -> str:
    return "".join(",".join(map(str, row.tolist())) + "\n" for row in rows)


def invocation(number: int, rows: np.ndarray, scores: np.ndarray, when: datetime) -> dict:
    about = {"eventId": f"{number:08x}-0000-4000-8000-000000000000"}
    if number % 3 == 0:  # these callers passed an id of their own
        about["inferenceId"] = f"biopsy-{number}"
    return {
        "captureData": {
            "endpointInput": {
                "observedContentType": "text/csv",
                "mode": "INPUT",
                "data": csv(rows),
                "encoding": "CSV",
            },
            "endpointOutput": {
                "observedContentType": "text/csv; charset=utf-8",
                "mode": "OUTPUT",
                "data": ",".join(f"{score:.6f}" for score in scores),
                "encoding": "CSV",
            },
        },
        "eventMetadata": about | {"inferenceTime": when.strftime("%Y-%m-%dT%H:%M:%SZ")},
        "eventVersion": "0",
    }


def ground_truth(id: str, labels: np.ndarray) -> dict:
    return {
        "groundTruthData": {"data": "\n".join(map(str, labels)), "encoding": "CSV"},
        "eventMetadata": {"eventId": id},
        "eventVersion": "0",
    }


def append(path: Path, record: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(record, separators=(",", ":")) + "\n")


def main() -> None:
    data = load_breast_cancer()
    order = np.random.default_rng(1).permutation(len(data.target))
    rows, malignant = data.data[order, :FEATURES], 1 - data.target[order]
    half = len(rows) // 2
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    model.fit(rows[:half], malignant[:half])
    scores = model.predict_proba(rows)[:, 1]

    for folder in ("baseline", "capture", "ground-truth"):
        shutil.rmtree(HERE / folder, ignore_errors=True)
    (HERE / "baseline").mkdir()
    names = ["malignant", *data.feature_names[:FEATURES].tolist()]
    known = statistics(names, np.column_stack((malignant[:half], rows[:half])).astype(float))
    for name, content in (("statistics", known), ("constraints", constraints(known))):
        (HERE / "baseline" / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")

    start, number = half, 0
    while start < len(rows):
        stop = min(start + (4 if number % 10 == 9 else 1), len(rows))
        when = START + timedelta(seconds=number * 30)
        record = invocation(number, rows[start:stop], scores[start:stop], when)
        hour = f"{when:%Y/%m/%d/%H}"
        append(HERE / f"capture/tumours/AllTraffic/{hour}/captured.jsonl", record)
        about = record["eventMetadata"]
        truth = ground_truth(about.get("inferenceId", about["eventId"]), malignant[start:stop])
        append(HERE / "ground-truth/2026/03/02/09/labels.jsonl", truth)
        start, number = stop, number + 1


if __name__ == "__main__":
    main()
