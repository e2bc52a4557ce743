import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from ml_exporter.baseline.labelled_baseline import ScoreBins
from ml_exporter.batch import EXPECTED_ERROR, LABEL, PREDICTION, REGION, SCORE, Batch, Field
from ml_exporter.columns import Column
from ml_exporter.monitors.estimates import Estimates, EstimatorInfo
from tests.estimating import digits, progression, tumours

CLASSIFIERS = pytest.mark.parametrize("make", [tumours, digits])
MODELS = pytest.mark.parametrize("make", [tumours, digits, progression])


def monitor(known, baseline=None, labelled=False):
    baseline = baseline or known.baseline
    return Estimates("m", "1", baseline, known.classes, known.positive, labelled)


def samples(monitor):
    """Name and labels besides model, version and baseline -> value."""
    return {
        (family.name, *labels[3:]): value
        for family in monitor.families
        for labels, value in zip(family.label_sets, family.values.tolist(), strict=True)
    }


def without(batch, *keys):
    return replace(batch, fields={k: v for k, v in batch.fields.items() if k not in keys})


@MODELS
def test_are_born_at_zero(make):
    known = make()
    found = monitor(known)
    assert set(samples(found).values()) == {0.0}
    before = samples(found).keys()
    found.update(known.production)
    assert samples(found).keys() == before


@MODELS
def test_series_are_as_many_as_the_docs_say(make):
    known = make()
    of = ("m", "1", known.baseline, known.classes, known.positive)
    bins = known.baseline.scores
    parts = (
        Estimates(*of, score_bins=bins),
        Estimates(*of, labelled=True),
        EstimatorInfo(*of, false_alarms=0.01),
    )
    series = sum(len(family) for part in parts for family in part.families)
    if not known.classes:
        assert series == 9
        return
    of_bins = 4 * sum(len(one.edges) for one in bins)
    assert series == 4 * (len(known.classes) ** 2 + 2) + 20 + 2 * len(bins) + of_bins
    assert series == 250 or known.positive is None


@CLASSIFIERS
def test_outcomes_add_up_to_predictions(make):
    known = make()
    found = monitor(known)
    found.update(without(known.production, LABEL))
    counted = samples(found)
    predicted = known.production.fields[PREDICTION].categories.counts
    for estimator in ("scores", "regions"):
        assert counted["ml_estimated_predictions_total", estimator] == known.production.rows
        for guess in known.classes:
            expected = sum(
                value
                for (name, of, *cell), value in counted.items()
                if name == "ml_estimated_outcomes_total" and of == estimator and cell[1] == guess
            )
            assert expected == pytest.approx(predicted.get(guess, 0))


def test_scores_are_calibrated_as_scikit_learn_would():
    known = tumours()
    found = monitor(known)
    found.update(known.production)
    (bins,) = known.baseline.scores
    rows = np.add(bins.positives, bins.negatives)
    some = rows > 0
    means, shares = (np.array(sums)[some] / rows[some] for sums in (bins.sums, bins.positives))
    peer = IsotonicRegression(out_of_bounds="clip").fit(means, shares, rows[some])
    calibrated = peer.predict(known.production.fields[SCORE].numbers.values)
    benign = np.array([one == "benign" for one in known.production.fields[PREDICTION].values])
    outcomes = {
        cell[2:]: n for cell, n in samples(found).items() if cell[1] == "scores" and cell[2:]
    }
    assert outcomes == pytest.approx(
        {
            ("benign", "benign", "true"): calibrated[benign].sum(),
            ("malignant", "benign", "false"): (1 - calibrated[benign]).sum(),
            ("benign", "malignant", "false"): calibrated[~benign].sum(),
            ("malignant", "malignant", "true"): (1 - calibrated[~benign]).sum(),
        },
        abs=1e-9,
    )


@MODELS
def test_of_the_baseline_itself_regions_know_how_often_it_is_right(make):
    known = make()
    found = monitor(known)
    found.update(known.rows)
    counted = samples(found)
    predicted, actual = (known.rows.fields[key] for key in (PREDICTION, LABEL))
    if known.classes:
        right = sum(
            n for (name, of, *cell), n in counted.items()
            if name == "ml_estimated_outcomes_total" and of == "regions" and cell[2] == "true"
        )  # fmt: skip
        truth = sum(a == b for a, b in zip(actual.values, predicted.values, strict=True))
        assert right == pytest.approx(truth, rel=0.03)
        return
    errors = np.abs(predicted.numbers.values - actual.numbers.values)
    assert counted["ml_estimated_absolute_error_total", "regions"] == pytest.approx(errors.sum())
    squared = np.square(errors).sum()
    assert counted["ml_estimated_squared_error_total", "regions"] == pytest.approx(squared)


def test_without_trees_of_errors_a_region_has_the_errors_of_its_rows():
    known = progression()
    older = replace(known.baseline.regions, trees=[])
    found = monitor(known, replace(known.baseline, regions=older))
    found.update(known.production)
    means = older.errors[older.codes(known.production)].sum(axis=0)
    assert samples(found) == pytest.approx(
        {
            ("ml_estimated_predictions_total", "regions"): known.production.rows,
            ("ml_estimated_absolute_error_total", "regions"): means[0],
            ("ml_estimated_squared_error_total", "regions"): means[1],
        }
    )


def test_errors_are_not_expected_where_there_is_no_prediction():
    known = progression()
    found = monitor(known)
    some = {
        **known.production.fields,
        PREDICTION: Column([None] * (known.production.rows - 1) + [99.0]),
    }
    found.update(replace(known.production, fields=some))
    (*_, expected) = known.baseline.regions.expected_errors(replace(known.production, fields=some))
    counted = samples(found)
    assert counted["ml_estimated_predictions_total", "regions"] == 1
    assert counted["ml_estimated_absolute_error_total", "regions"] == pytest.approx(expected)


@MODELS
@pytest.mark.parametrize("size", [1, 50])
def test_do_not_depend_on_how_rows_come(make, size):
    known = make()
    at_once, bit_by_bit = monitor(known), monitor(known)
    at_once.update(known.production)
    for start in range(0, known.production.rows, size):
        bit_by_bit.update(known.production.slice(start, start + size))
    assert samples(bit_by_bit) == pytest.approx(samples(at_once))


@MODELS
def test_of_labelled_rows_are_the_same_by_what_was_carried(make):
    known = make()
    found, labelled = monitor(known), monitor(known, labelled=True)
    found.update(known.production)
    carried = {
        key: column
        for key, column in known.production.fields.items()
        if key.role in ("score", "prediction", "label")
    }
    # As a store gives it back.
    for key, column in known.baseline.regions.columns(known.production).items():
        carried[key] = Column(list(column.values))
    labelled.update(replace(known.production, fields=carried))
    assert {("ml_labelled" + n[2:], *of): v for (n, *of), v in samples(found).items()} == (
        pytest.approx(samples(labelled))
    )


@MODELS
def test_labelled_rows_from_before_the_baseline_are_not_counted(make):
    known = make()
    labelled = monitor(known, labelled=True)
    labelled.update(
        without(known.production, *(k for k in known.production.fields if k.role == "score"))
    )
    assert set(samples(labelled).values()) == {0.0}
    rows = known.production.rows
    blank = {key: Column([None] * rows) for key in (REGION, EXPECTED_ERROR)}
    labelled.update(replace(known.production, fields={**known.production.fields, **blank}))
    assert samples(labelled)["ml_labelled_estimated_predictions_total", "regions"] == 0


def test_rows_that_nothing_is_known_of_are_not_counted():
    known = tumours()
    found = monitor(known)
    fields = {
        PREDICTION: Column(["benign", "malignant", "unheard of", None, "benign", "benign"]),
        SCORE: Column([0.7, 0.1, 0.5, 0.5, None, math.nan]),
    }
    found.update(Batch(6, fields))
    assert samples(found)["ml_estimated_predictions_total", "scores"] == 2
    assert samples(found)["ml_estimated_predictions_total", "regions"] == 2


def test_scores_on_no_scale_are_taken_for_the_nearest():
    known = tumours()
    far, near = monitor(known), monitor(known)
    for found, scores in ((far, [-7.0, 1e300]), (near, [0.0, 1.0])):
        fields = {PREDICTION: Column(["benign"] * 2), SCORE: Column(scores)}
        found.update(Batch(2, fields))
    outcomes = "ml_estimated_outcomes_total"
    assert [(k, n) for k, n in samples(far).items() if k[0] == outcomes] == [
        (k, n) for k, n in samples(near).items() if k[0] == outcomes
    ]


def test_without_scores_regions_begin_at_the_confusion_matrix():
    known = tumours()
    baseline = replace(known.baseline, scores=[])
    found = monitor(known, baseline)
    found.update(without(known.production, SCORE))
    assert {of for _, of, *_ in samples(found)} == {"regions"}
    assert samples(found)["ml_estimated_predictions_total", "regions"] == known.production.rows


@MODELS
def test_a_baseline_without_labels_has_no_estimators(make):
    known = make()
    bare = replace(known.baseline, scores=[], regions=None, confusion=[])
    found = monitor(known, bare)
    found.update(known.production)
    assert samples(found) == {}
    info = EstimatorInfo("m", "1", bare, known.classes, known.positive, 0.01)
    assert all(len(family) == 0 for family in info.families)


def test_of_many_classes_each_has_three_cells():
    names = [f"c{number:02}" for number in range(30)]
    bins = [ScoreBins(name, [0.0, 0.5, 1.0], [1, 9, 0], [9, 1, 0]) for name in names]
    known = digits()
    baseline = replace(known.baseline, classes=names, confusion=[], scores=bins, regions=None)
    found = Estimates("m", "1", baseline, names, None)
    scores = np.random.default_rng(1).dirichlet(np.ones(30), 500)
    fields = {Field("score", name): Column(scores[:, n].tolist()) for n, name in enumerate(names)}
    fields[PREDICTION] = Column([names[n] for n in scores.argmax(axis=1)])
    found.update(Batch(500, fields))
    counted = samples(found)
    losses = 5
    assert len(counted) == 3 * 30 + 1 + losses
    right, missed, false = (
        sum(v for k, v in counted.items() if k[0] == "ml_estimated_outcomes_total" and pick(*k[2:]))
        for pick in (
            lambda actual, predicted, correct: correct == "true",
            lambda actual, predicted, correct: predicted == "<other>",
            lambda actual, predicted, correct: actual == "<other>",
        )
    )
    assert missed == pytest.approx(false)
    assert right + missed == pytest.approx(500)


class TestInfo:
    @MODELS
    def test_says_which_estimator_is_better(self, make):
        known = make()
        info = EstimatorInfo("m", "1", known.baseline, known.classes, known.positive, 0.01)
        best = known.baseline.regions.preferred
        found = {labels[3:] for labels in info.families[0].label_sets}
        assert found == {(one, "true" if one == best else "false") for one in known.estimators}
        assert info.families[2].value() == known.labelled_baseline_rows

    def test_says_when_calibration_has_broken(self):
        known = digits()
        info = EstimatorInfo("m", "1", known.baseline, known.classes, None, 0.01)
        critical = {
            labels[3:]: value
            for labels, value in zip(
                info.families[1].label_sets, info.families[1].values.tolist(), strict=True
            )
        }
        assert critical.keys() == {
            *((name, test) for name in known.classes for test in ("bins", "overall")),
            ("", "error"),
        }
        assert critical["", "error"] == critical["digit 0", "overall"] > 4
        assert critical["digit 0", "bins"] > 20
