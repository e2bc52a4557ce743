"""How far estimates of performance without labels are from the truth, on real data.

`python benchmarks/estimation.py [--nannyml=PYTHON]`: real models (`estimation_data.py`), whose
production is cut into chunks; of each chunk figures are estimated from inputs and scores alone, and
compared with what came true. Beside the exporter's estimators are NannyML's CBPE and DLE, on the
same rows, in an interpreter that has it, and doing nothing: the baseline's figure. The difference
between the preferred estimator's errors and NannyML's is paired, chunk by chunk, with the standard
error of its mean.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import estimation_data as data
import numpy as np
import pandas as pd
from estimation_data import Answered, Asked
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from threadpoolctl import threadpool_limits

from ml_exporter.baseline.baseline import Baseline, Request
from ml_exporter.baseline.labelled_baseline import losses_of, score_counts, score_key
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import LABEL, PREDICTION, SCORE, Batch, Field
from ml_exporter.columns import Column
from ml_exporter.families import Family
from ml_exporter.monitors.estimates import Estimates
from ml_exporter.statistics import performance, scores
from ml_exporter.statistics.calibration import bin_statistic, critical_values, overall_z

CHUNK = 500
ESTIMATORS = ("nothing", "scores", "regions", "preferred", "NannyML")
OF_ONE = ("nothing", "preferred", "NannyML")  # where the preferred estimator alone expects anything
OF_BINS = ("roc_auc", "average_precision")
LOSSES = ("log_loss", "brier_score")
FIGURES = ("accuracy", "precision", "f1", "roc_auc", "average_precision", "log_loss", "brier_score")
FALSE_ALARMS = 0.01
MATERIAL = 0.025  # error of an estimate that `ConceptDrift` tells of

Figures = Mapping[str, float]


def batch_of(asked: Asked, rows: Answered) -> Batch:
    fields: dict[Field, Column] = {}
    for name, values in rows.features.items():
        listed = values.astype(object).where(values.notna(), None).tolist()
        fields[Field("feature", str(name))] = Column(listed)
    is_number = asked.case.task == "regression"
    predicted = rows.predicted.astype(float if is_number else str)
    fields[PREDICTION], fields[LABEL] = Column(predicted.tolist()), Column(rows.truth.tolist())
    if asked.case.task == "binary":
        fields[SCORE] = Column(rows.scores[:, 1].tolist())
    elif not is_number:
        for name, scores in zip(asked.classes, rows.scores.T.tolist(), strict=True):
            fields[Field("score", name)] = Column(scores)
    return Batch(len(rows.truth), fields)


def positive_of(asked: Asked) -> str | None:
    return asked.classes[1] if asked.case.task == "binary" else None


def baseline_of(asked: Asked) -> Baseline:
    rows = batch_of(asked, asked.baseline)
    kind: Any = "number" if asked.case.task == "regression" else "category"
    request = Request(
        model=asked.case.name,
        version="1",
        types={PREDICTION: kind, LABEL: kind},
        paths={},
        bins=10,
        categories=50,
        positive=positive_of(asked),
    )
    return build(lambda: [rows], request)


def came_true(asked: Asked, batch: Batch) -> Figures:
    if asked.case.task == "regression":
        predicted, actual = (batch.fields[key].numbers.values for key in (PREDICTION, LABEL))
        return {"mean_absolute_error": float(np.abs(predicted - actual).mean())}
    cells = batch.fields[LABEL].categories.cross(batch.fields[PREDICTION].categories)
    confusion = [[cells.get((a, p), 0) for p in asked.classes] for a in asked.classes]
    return performance.figures(confusion, asked.classes, positive_of(asked)) | of_scores(
        asked, batch
    )


def of_scores(asked: Asked, batch: Batch) -> Figures:
    """What scores turned out to be worth, by scikit-learn; macro averages of several classes."""
    positive = positive_of(asked)
    truth = np.array(batch.fields[LABEL].values)
    classes = [positive] if positive is not None else asked.classes
    areas: dict[str, list[float]] = {"roc_auc": [], "average_precision": []}
    for name in classes:
        is_class = truth == name
        if not 0 < is_class.sum() < is_class.size:
            continue
        scores = batch.fields[score_key(name, positive)].numbers.values
        areas["roc_auc"].append(float(roc_auc_score(is_class, scores)))
        areas["average_precision"].append(float(average_precision_score(is_class, scores)))
    log_losses, brier_scores = losses_of(batch, classes, positive)
    means = {name: float(np.mean(values)) for name, values in areas.items() if values}
    return means | {
        "log_loss": float(log_losses.mean()),
        "brier_score": float(brier_scores.mean()),
    }


def estimated(asked: Asked, baseline: Baseline, batch: Batch) -> dict[str, Figures]:
    """The figures that each estimator expects of a batch, from the monitor's own counters."""
    of = "m", "1", baseline, baseline.classes, positive_of(asked)
    monitor = Estimates(*of, score_bins=baseline.scores)
    unlabelled = {key: column for key, column in batch.fields.items() if key != LABEL}
    monitor.update(Batch(batch.rows, unlabelled))
    families = {family.name: family for family in monitor.families}
    found: dict[str, dict[str, float]] = {}
    if asked.case.task == "regression":
        errors = families["ml_estimated_absolute_error_total"].value("regions")
        rows = families["ml_estimated_predictions_total"].value("regions")
        found["regions"] = {"mean_absolute_error": errors / rows}
    else:
        outcomes = families["ml_estimated_outcomes_total"]
        for estimator in ("scores", "regions"):
            confusion = [
                [outcomes.value(estimator, a, p, str(a == p).lower()) for p in asked.classes]
                for a in asked.classes
            ]
            found[estimator] = performance.figures(confusion, asked.classes, positive_of(asked))
            found[estimator] |= expected_of_scores(families, baseline, estimator)
    regions = baseline.regions
    found["preferred"] = found["scores" if regions is None else regions.preferred]
    return found


def expected_of_scores(
    families: Mapping[str, Family], baseline: Baseline, estimator: str
) -> dict[str, float]:
    """By bins the preferred estimator expects something alone."""
    values = families["ml_estimated_score_values_total"]
    bins = [
        scores.ScoredRows(
            *(
                [values.value(estimator, one.name, actual, bin) for bin in one.bins]
                for actual in ("true", "false")
            ),
            one.ties or 0.0,
        )
        for one in baseline.scores
    ]
    rows = families["ml_estimated_scored_predictions_total"].value(estimator)
    losses = {
        name: families[f"ml_estimated_{name}_total"].value(estimator) / rows
        for name in ("log_loss", "brier_score")
    }
    return scores.figures(bins) | losses


def calibration_drift(asked: Asked, baseline: Baseline, batch: Batch) -> float:
    """Statistic over critical value of a chunk whose labels have come: above 1 is significant."""
    greatest = math.nan
    tests = 2 * len(baseline.scores) + 1
    for one in baseline.scores:
        values = batch.fields[score_key(one.name, positive_of(asked))].numbers.values
        is_class = np.array([label == one.name for label in batch.fields[LABEL].values])
        edges = np.array(one.edges)
        window = (score_counts(values[some], edges) for some in (is_class, ~is_class))
        counts = (*window, np.array(one.positives), np.array(one.negatives))
        bins = int(np.count_nonzero(counts[2] + counts[3]))
        critical = critical_values(bins, tests=tests, false_alarms=FALSE_ALARMS)
        found = (
            bin_statistic(*counts) / critical["bins"],
            abs(overall_z(*counts)) / critical["overall"],
        )
        greatest = float(np.fmax(greatest, np.fmax(*found)))
    return greatest


def export(folder: Path, name: str, asked: Asked) -> None:
    """The same rows as files, for another interpreter."""
    features = asked.case.features
    categories = [c for c in features if not pd.api.types.is_numeric_dtype(features[c])]
    about = {"task": asked.case.task, "classes": asked.classes, "categories": categories}
    (folder / f"{name}.json").write_text(json.dumps(about))
    for part, rows in (("baseline", asked.baseline), ("production", asked.production)):
        frame = rows.features.copy()
        for number in range(len(asked.classes)):
            frame[f"score {number}"] = rows.scores[:, number]
        frame["predicted"], frame["truth"] = rows.predicted, rows.truth
        frame.to_csv(folder / f"{name}-{part}.csv", index=False)


def of_nannyml(python: str, every: Sequence[Asked]) -> list[dict[str, list[float]]]:
    """Its estimates of each case, by figure, one a chunk."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, asked in enumerate(every):
            export(folder, f"{number:03}", asked)
        program = Path(__file__).with_name("estimation_nannyml.py")
        command = [python, str(program), str(folder), str(CHUNK)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return [
            json.loads((folder / f"nannyml/{number:03}.json").read_text())
            for number in range(len(every))
        ]


class Difference(NamedTuple):
    """A mean over chunks and its standard error."""

    mean: float
    error: float

    def __str__(self) -> str:
        text = f"{self.mean:+.2f} ± {self.error:.2f}"
        return f"**{text}**" if abs(self.mean) > 2 * self.error else text


class Result:
    """The errors of all estimators in all chunks of one case."""

    def __init__(self, asked: Asked, nannyml: Mapping[str, Sequence[float]] | None) -> None:
        self.case = asked.case
        baseline = baseline_of(asked)
        regions = baseline.regions
        self.preferred = "scores" if regions is None else regions.preferred
        usual = came_true(asked, batch_of(asked, asked.baseline))
        is_number = asked.case.task == "regression"
        self._errors: dict[tuple[str, str], list[float]] = {}
        self.flagged: list[bool] = []  # by calibration drift, of each chunk
        self.wrong: list[bool] = []  # accuracy is estimated materially wrongly
        for number in range(len(asked.production.truth) // CHUNK):
            chunk = asked.production.rows(number * CHUNK, (number + 1) * CHUNK)
            batch = batch_of(asked, chunk)
            truth = came_true(asked, batch)
            found = {"nothing": usual, **estimated(asked, baseline, batch)}
            if nannyml is not None:
                found["NannyML"] = {name: values[number] for name, values in nannyml.items()}
            for estimator, figures in found.items():
                for name in ("mean_absolute_error",) if is_number else FIGURES:
                    error = abs(figures.get(name, math.nan) - truth.get(name, math.nan))
                    of_truth = truth[name] if is_number else 1.0
                    self._errors.setdefault((estimator, name), []).append(100 * error / of_truth)
            if not is_number:
                missed = abs(found["preferred"]["accuracy"] - truth["accuracy"])
                self.wrong.append(missed > MATERIAL)
                self.flagged.append(calibration_drift(asked, baseline, batch) > 1)

    def error(self, estimator: str, figure: str) -> float:
        """In the mean over the chunks in which all know the figure; NaN without any."""
        errors = self._known(estimator, figure)
        return float(errors.mean()) if errors.size else math.nan

    def difference(self, figure: str) -> Difference | None:
        """How much greater the preferred estimator's errors are than NannyML's."""
        differences = self._known("preferred", figure) - self._known("NannyML", figure)
        if differences.size < 2 or np.isnan(differences).any():
            return None
        error = float(differences.std(ddof=1)) / math.sqrt(differences.size)
        return Difference(float(differences.mean()), error)

    def _known(self, estimator: str, figure: str) -> NDArray[np.float64]:
        """The errors in the chunks in which all that ever know the figure do."""
        every = np.array([errors for (_, name), errors in self._errors.items() if name == figure])
        known = ~np.isnan(every[~np.isnan(every).all(axis=1)]).any(axis=0)
        return np.array(self._errors.get((estimator, figure), [math.nan] * known.size))[known]


def table(
    results: Sequence[Result], figure: str, estimators: Sequence[str] = ESTIMATORS
) -> list[str]:
    rows = [[result.error(estimator, figure) for estimator in estimators] for result in results]
    differences = [result.difference(figure) for result in results]
    headings = [*estimators, *(["difference"] if any(differences) else [])]
    lines = [
        f"| data, order of production | {' | '.join(headings)} |",
        f"| --- |{' --- |' * len(headings)}",
    ]
    for result, errors, difference in zip(results, rows, differences, strict=True):
        cells = [f"{error:.2f}" if not math.isnan(error) else "" for error in errors]
        cells[estimators.index("preferred")] += f" ({result.preferred})"
        cells += [str(difference or "")] if any(differences) else []
        lines.append(f"| {result.case.name}, {result.case.note} | {' | '.join(cells)} |")
    means = [f"{mean:.2f}" if not math.isnan(mean) else "" for mean in np.mean(rows, axis=0)]
    means += [""] if any(differences) else []
    return [*lines, f"| *mean* | {' | '.join(means)} |"]


def flags(results: Sequence[Result]) -> list[str]:
    lines = [
        "| data | chunks | estimate is wrong by more than 2.5 points | flagged | of those wrong | "
        "of the others |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        wrong, flagged = np.array(result.wrong), np.array(result.flagged)
        shares = [f"{flagged[some].mean():.0%}" if some.any() else "" for some in (wrong, ~wrong)]
        cells = [len(wrong), wrong.sum(), flagged.sum(), *shares]
        lines.append(f"| {result.case.name} | {' | '.join(map(str, cells))} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--nannyml", metavar="PYTHON", help="an interpreter that has NannyML")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with threadpool_limits(1):
        every = [data.ask(case()) for case in data.CASES]
        theirs = of_nannyml(arguments.nannyml, every) if arguments.nannyml else None
        results = [
            Result(asked, theirs[number] if theirs else None) for number, asked in enumerate(every)
        ]
    classifiers = [result for result in results if result.case.task != "regression"]
    for figure in FIGURES:
        print(f"\nMean absolute error of estimated {figure}, in points\n")
        estimators = OF_ONE if figure in OF_BINS else ESTIMATORS
        print("\n".join(table(classifiers, figure, estimators[: -1 if figure in LOSSES else None])))
    regressions = [result for result in results if result.case.task == "regression"]
    print("\nMean relative error of the estimated mean absolute error, in %\n")
    print("\n".join(table(regressions, "mean_absolute_error")))
    print(
        f"\nWhether calibration drift tells of wrong estimates, chunk by chunk of {CHUNK} labels\n"
    )
    print("\n".join(flags(classifiers)))


if __name__ == "__main__":
    sys.exit(main())
