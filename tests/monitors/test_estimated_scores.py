"""What is expected of scores is what scikit-learn makes of rows that are of each class in part."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from ml_exporter.baseline.calibrated_scores import Expectation
from ml_exporter.baseline.labelled_baseline import score_key
from ml_exporter.batch import LABEL, REGION, SCORE
from ml_exporter.columns import Column
from ml_exporter.monitors.estimates import Estimates
from ml_exporter.statistics import scores as twins
from tests.estimating import digits, progression, tumours

CLASSIFIERS = pytest.mark.parametrize("make", [tumours, digits])


def counted(known, labelled=False, bins=True, batch=None):
    """Name and labels besides model, version and baseline -> value."""
    baseline = known.baseline
    score_bins = baseline.scores if bins else ()
    of = ("m", "1", baseline, known.classes, known.positive)
    found = Estimates(*of, labelled, score_bins=score_bins)
    batch = batch or known.production
    regions = baseline.regions.of(batch)
    found.update(replace(batch, fields={**batch.fields, REGION: regions}))
    return {
        (family.name, *labels[3:]): value
        for family in found.families
        for labels, value in zip(family.label_sets, family.values.tolist(), strict=True)
    }


def chances(known):
    """Of each row and class, as the scores of the baseline have it."""
    of = Expectation(known.classes, known.positive, known.baseline.scores, {})
    return of, of.of_scores(of.scores(known.production))


def by_scores(known):
    """The same baseline, whose scores are the better estimator."""
    regions = replace(known.baseline.regions, preferred="scores")
    return replace(known, baseline=replace(known.baseline, regions=regions))


@CLASSIFIERS
def test_areas_are_those_of_rows_in_parts(make):
    known = by_scores(make())
    of, expected = chances(known)
    sums = counted(known)
    for one in known.baseline.scores:
        p = expected[:, of.classes.index(one.name)]
        scores = known.production.fields[score_key(one.name, known.positive)].numbers.values
        sides = [
            np.array(
                [
                    sums["ml_estimated_score_values_total", "scores", one.name, actual, bin]
                    for bin in one.bins
                ]
            )
            for actual in ("true", "false")
        ]
        cumulative = [
            sums["ml_estimated_score_cumulative_total", "scores", one.name, "true", bin]
            for bin in one.bins
        ]
        assert cumulative == pytest.approx(np.cumsum(sides[0]))
        assert [side.sum() for side in sides] == pytest.approx([p.sum(), (1 - p).sum()])
        truth, twice = np.repeat([1, 0], p.size), np.tile(scores, 2)
        weights = np.concatenate((p, 1 - p))
        auc = roc_auc_score(truth, twice, sample_weight=weights)
        assert twins.roc_auc(*sides) == pytest.approx(auc, abs=5e-3)
        outcomes = np.random.default_rng(0).random((300, p.size)) < p
        precision = np.mean([average_precision_score(drawn, scores) for drawn in outcomes])
        assert twins.average_precision(*sides) == pytest.approx(precision, abs=5e-3)


@CLASSIFIERS
def test_losses_are_those_of_rows_in_parts(make):
    known = make()
    of, expected = chances(known)
    sums = counted(known)
    rows = sums["ml_estimated_scored_predictions_total", "scores"]
    assert rows == known.production.rows
    scores = of.scores(known.production)
    if known.positive:
        scores = np.column_stack((scores, 1 - scores))
        expected = expected[:, [of.classes.index(known.positive), 1 - of.classes.index("benign")]]
    classes = range(scores.shape[1])
    truth = np.repeat(classes, len(scores))
    weights = expected.T.ravel()
    mean = log_loss(
        truth, np.tile(scores, (len(classes), 1)), sample_weight=weights, labels=list(classes)
    )
    assert sums["ml_estimated_log_loss_total", "scores"] / rows == pytest.approx(mean, rel=1e-12)
    brier = sum(
        (np.square(scores - np.eye(len(classes))[one]).sum(axis=1) @ expected[:, one])
        for one in classes
    ) / (2 if known.positive else 1)
    assert sums["ml_estimated_brier_score_total", "scores"] == pytest.approx(brier, rel=1e-12)
    for name in ("log_loss", "brier_score"):
        total = sums[f"ml_estimated_{name}_total", "regions"]
        squared = sums[f"ml_estimated_{name}_squared_total", "regions"]
        assert squared >= total**2 / rows


@CLASSIFIERS
def test_labelled_rows_have_losses_alone(make):
    found = {
        name.replace("labelled_", ""): value
        for (name, *labels), value in counted(make(), labelled=True, bins=False).items()
        if labels == ["regions"] and "predictions" not in name
    }
    assert found == pytest.approx(
        {
            name: value
            for (name, *labels), value in counted(make()).items()
            if labels == ["regions"] and "predictions" not in name
        }
    )


def test_a_score_that_is_none_has_a_bin_and_no_loss():
    known = tumours()
    batch = known.production.slice(0, 4)
    odd = replace(batch, fields={**batch.fields, SCORE: Column([0.5, 1.5, -7.0, None])})
    sums = counted(known, batch=odd)
    assert sums["ml_estimated_scored_predictions_total", "regions"] == 1
    in_bins = sum(v for (name, *_), v in sums.items() if name == "ml_estimated_score_values_total")
    assert in_bins == pytest.approx(3)


def test_a_regression_has_no_scores():
    names = {name for name, *_ in counted(progression())}
    assert not any("score" in name or "loss" in name for name in names)


@CLASSIFIERS
def test_an_estimate_is_near_the_truth(make):
    """Of calm production."""
    known = make()
    sums = counted(known)
    best = known.baseline.regions.preferred
    truth = known.production.fields[LABEL].values
    for one in known.baseline.scores:
        scores = known.production.fields[score_key(one.name, known.positive)].numbers.values
        auc = roc_auc_score([label == one.name for label in truth], scores)
        sides = [
            [
                sums["ml_estimated_score_values_total", best, one.name, actual, bin]
                for bin in one.bins
            ]
            for actual in ("true", "false")
        ]
        assert twins.roc_auc(*sides) == pytest.approx(auc, abs=0.06)
