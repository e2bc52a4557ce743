"""What each monitor adds to a row, in nanoseconds of CPU time, and how many series it has.

    python benchmarks/monitors.py

The rows are those of the ingestion benchmark's model, in memory: a binary classifier with 25
features, its score, and the label on the row. What is estimated of a regression is of the same
features.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ml_exporter.baseline.baseline import Baseline, Request
from ml_exporter.baseline.calibrated_scores import Expectation
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import LABEL, PREDICTION, SCORE, Batch, Field, FieldType
from ml_exporter.carried import Scores
from ml_exporter.columns import Column
from ml_exporter.config.config import Constraint, Fields, FileSource, Limits, Model
from ml_exporter.config.segments import Segment
from ml_exporter.labels.join import labelled
from ml_exporter.monitors.estimated_scores import ExpectedLosses, ExpectedScores
from ml_exporter.monitors.estimates import Estimates
from ml_exporter.pipeline.version import Budget, Version
from ml_exporter.statistics.bins import binned

_LEAST_SECONDS = 0.2


def rows_of(number: int, seed: int) -> Batch:
    """Rows of a model that is right more often where the first feature is large."""
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(20, number))
    names = random.choice(list("abcdefgh"), size=(5, number))
    chance = 1 / (1 + np.exp(-numbers[0] - numbers[1] * (numbers[0] > 0)))
    truth = random.random(number) < chance
    score = 1 / (1 + np.exp(-numbers[0]))
    columns: dict[Field, list[object]] = {
        **{Field("feature", f"n{i}"): values.tolist() for i, values in enumerate(numbers)},
        **{Field("feature", f"c{i}"): values.tolist() for i, values in enumerate(names)},
        PREDICTION: np.where(score > 0.5, "1", "0").tolist(),
        SCORE: score.tolist(),
        LABEL: np.where(truth, "1", "0").tolist(),
    }
    timestamps = np.full(number, time.time())
    return Batch(number, {k: Column(v) for k, v in columns.items()}, timestamps=timestamps)


def anew(batch: Batch) -> Batch:
    """The same rows, whose numbers are in no bins yet: a batch remembers in which they are."""
    fields = {
        key: Scores(column.numbers.values) if float in column.types else column
        for key, column in batch.fields.items()
    }
    return replace(batch, fields=fields)


def nanoseconds(work: Callable[[], object], rows: int) -> float:
    """The least CPU time that work took, by row."""
    best, spent = np.inf, 0.0
    while spent < _LEAST_SECONDS:
        start = time.process_time()
        work()
        took = time.process_time() - start
        best, spent = min(best, took), spent + took
    return best / rows * 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=16_384, help="of one batch")
    rows = parser.parse_args().rows
    model = Model(
        name="model",
        task="binary",
        source=FileSource("model.jsonl", "jsonl"),
        fields=Fields(prediction="p", label="y", scores={"1": "s"}),
        positive="1",
        segments=(Segment(("c0",)), Segment(("c1", "c2"))),
        constraints=(
            Constraint("n0", min=-3, max=3, required=True),
            Constraint("n1", comparisons=(("above", "n2"),)),
            Constraint("c0", values=frozenset("abcdefg")),
            Constraint("c1", pattern="[a-g]+"),
        ),
    )
    limits = Limits()
    version = Version(model, "1", None, limits, Budget(limits.series))
    types: dict[Field, FieldType] = {PREDICTION: "category", LABEL: "category"}
    request = Request("model", "1", types, {}, 10, 50, positive="1", segments=model.segments)
    reference = rows_of(20_000, 1)
    baseline = build(lambda: [reference], request)
    version.judge_by(baseline, "file")
    batch = rows_of(rows, 2)
    for column in batch.fields.values():
        assert column.numbers or column.categories  # told by formats, once for all monitors
    annotated = version.annotated(batch)
    outcomes = labelled(annotated)
    print(f"{rows} rows at once\n\n{'':24} {'ns a row':>9}  {'series':>6}")
    annotating = nanoseconds(lambda: version.annotated(anew(batch)), rows)
    print(f"{'segments and regions':24} {annotating:9.0f}")
    numbers = [
        (batch.column(one.key).numbers.values, np.array(one.edges))
        for one in baseline.fields
        if one.edges is not None
    ]
    binning = nanoseconds(lambda: [binned(*one) for one in numbers], rows)
    print(f"{'bins, for all monitors':24} {binning:9.0f}")
    own, judged = version.selections
    for of_rows, monitors in (
        (annotated, (*own.of_predictions, *judged.of_predictions)),
        (outcomes, (*own.of_labelled, *judged.of_labelled)),
    ):
        for monitor in monitors:
            series = sum(len(family) for family in monitor.families)
            took = nanoseconds(lambda m=monitor, b=of_rows: m.update(b), rows)
            print(f"{type(monitor).__name__:24} {took:9.0f}  {series:6}")
    parts = parts_of_estimates(baseline, batch) | parts_of_a_regression(reference, batch)
    for name, part in parts.items():
        print(f"{name:24} {nanoseconds(part, rows):9.0f}")


def parts_of_estimates(baseline: Baseline, batch: Batch) -> dict[str, Callable[[], object]]:
    """What `Estimates` does for the figures of scores."""
    known = Expectation(baseline.classes, "1", baseline.scores, {})
    scores = known.scores(batch)
    assert scores is not None
    chances = known.of_positive(scores[:, 0])[:, None]
    losses = ExpectedLosses("ml_estimated", {}, ["scores"], "Predictions")
    bins = ExpectedScores({}, "scores", baseline.scores, [0])
    return {
        "ExpectedLosses": lambda: losses.add("scores", chances, scores),
        "ExpectedScores": lambda: bins.add(chances, scores),
    }


def parts_of_a_regression(reference: Batch, batch: Batch) -> dict[str, Callable[[], object]]:
    """What is estimated of one that says the first feature, and is wronger the greater the next."""

    def predicted(rows: Batch) -> Batch:
        first, second = (
            rows.column(Field("feature", name)).numbers.values for name in ("n0", "n1")
        )
        noise = np.random.default_rng(3).normal(size=rows.rows)
        columns = {PREDICTION: first, LABEL: first + np.exp(second / 2) * noise}
        fields = {key: column for key, column in rows.fields.items() if key.role == "feature"}
        told = {key: Column(values.tolist()) for key, values in columns.items()}
        return Batch(rows.rows, {**fields, **told})

    known, rows = predicted(reference), predicted(batch)
    types: dict[Field, FieldType] = {PREDICTION: "number", LABEL: "number"}
    baseline = build(lambda: [known], Request("model", "1", types, {}, 10, 50))
    regions = baseline.regions
    assert regions is not None

    annotated = replace(rows, fields={**rows.fields, **regions.columns(rows)})
    estimates = Estimates("model", "1", baseline, [], None)
    return {
        "expected errors": lambda: regions.expected_errors(anew(rows)),
        "Estimates of errors": lambda: estimates.update(annotated),
    }


if __name__ == "__main__":
    main()
