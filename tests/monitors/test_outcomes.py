import math
from collections import Counter

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
)
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ml_exporter.baseline.baseline import Request
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import LABEL, PREDICTION, Batch
from ml_exporter.columns import Column
from ml_exporter.monitors.figures import baseline_performance
from ml_exporter.monitors.outcomes import Outcomes


def labelled(actual, predicted, delays=None):
    fields = {LABEL: Column(actual), PREDICTION: Column(predicted)}
    delays = None if delays is None else np.array(delays)
    return Batch(len(actual), fields, delays=delays)


def cells(outcomes):
    """Actual, predicted, correct -> rows."""
    family = outcomes.families[0]
    labels = (labels[2:] for labels in family.label_sets)
    return dict(zip(labels, family.values.tolist(), strict=True))


@pytest.fixture(scope="module", params=[load_breast_cancer, load_wine, load_digits])
def predictions(request):
    """What a real model says of real rows that it didn't see, and the truth."""
    data = request.param()
    x, x_test, y, y_test = train_test_split(data.data, data.target, random_state=0)
    model = GaussianNB() if request.param is load_digits else LogisticRegression(C=0.001)
    fitted = make_pipeline(StandardScaler(), model).fit(x, y)
    return y_test.tolist(), fitted.predict(x_test).tolist()


def assert_has(figures, expected):
    assert {name: figures[name] for name in expected} == pytest.approx(expected)


class TestRealData:
    def test_outcomes_are_the_confusion_matrix(self, predictions):
        actual, predicted = predictions
        outcomes = Outcomes("m", "1", classified=True, most=50)
        classes = sorted(set(actual))
        outcomes.expect([str(name) for name in classes])
        for start in range(0, len(actual), 100):
            portion = slice(start, start + 100)
            outcomes.update(labelled(actual[portion], predicted[portion]))
        found = cells(outcomes)
        matrix = confusion_matrix(actual, predicted, labels=classes)
        assert found == {
            (str(a), str(p), "true" if a == p else "false"): matrix[a, p]
            for a in classes
            for p in classes
        }
        assert outcomes.families[1].value() == len(actual)

    def test_figures_of_a_baseline_are_those_of_scikit_learn(self, predictions):
        actual, predicted = predictions
        request = Request(
            "m", None, {LABEL: "category", PREDICTION: "category"}, {}, bins=10, categories=50
        )
        baseline = build(lambda: [labelled(actual, predicted)], request)
        figures, by_class = baseline_performance(baseline, positive=None)
        macro = {"average": "macro", "zero_division": 0}
        assert_has(
            figures,
            {
                "accuracy": accuracy_score(actual, predicted),
                "precision": precision_score(actual, predicted, **macro),
                "recall": recall_score(actual, predicted, **macro),
                "f1": f1_score(actual, predicted, **macro),
            },
        )
        for name in sorted(set(actual)):
            of_class = {"labels": [name], "average": None, "zero_division": np.nan}
            expected = {
                "precision": precision_score(actual, predicted, **of_class)[0],
                "recall": recall_score(actual, predicted, **of_class)[0],
                "f1": f1_score(actual, predicted, **of_class)[0],
                "specificity": recall_score(np.array(actual) != name, np.array(predicted) != name),
                "support": actual.count(name),
            }
            defined = {key: value for key, value in expected.items() if not math.isnan(value)}
            assert by_class[str(name)] == pytest.approx(defined)

    def test_figures_of_a_binary_baseline_are_of_the_positive_class(self, predictions):
        actual, predicted = ([int(one == 1) for one in side] for side in predictions)
        request = Request(
            "m", None, {LABEL: "category", PREDICTION: "category"}, {}, bins=10, categories=50
        )
        baseline = build(lambda: [labelled(actual, predicted)], request)
        figures, _ = baseline_performance(baseline, positive="1")
        assert_has(
            figures,
            {
                "accuracy": accuracy_score(actual, predicted),
                "precision": precision_score(actual, predicted),
                "recall": recall_score(actual, predicted),
                "f1": f1_score(actual, predicted),
                "specificity": recall_score(actual, predicted, pos_label=0),
            },
        )


def test_expected_classes_are_born_at_zero():
    outcomes = Outcomes("m", "1", classified=True, most=50)
    outcomes.expect(["0", "1"])
    assert cells(outcomes) == {
        ("0", "0", "true"): 0,
        ("0", "1", "false"): 0,
        ("1", "0", "false"): 0,
        ("1", "1", "true"): 0,
    }
    assert outcomes.families[0].label_sets[0] == ("m", "1", "0", "0", "true")


def test_of_many_classes_only_pairs_that_occur_have_series():
    outcomes = Outcomes("m", "1", classified=True, most=50)
    outcomes.expect([str(number) for number in range(11)])
    assert cells(outcomes) == {}
    outcomes.update(labelled([3], [4]))
    assert cells(outcomes) == {("3", "4", "false"): 1}


def test_classes_are_alike_however_they_are_written():
    outcomes = Outcomes("m", "1", classified=True, most=50)
    outcomes.update(labelled([1, 1.0, "1", True], ["1", 1, 1.0, "true"]))
    assert cells(outcomes) == {("1", "1", "true"): 3, ("true", "true", "true"): 1}


def test_predictions_that_are_missing_or_invalid_are_wrong():
    outcomes = Outcomes("m", "1", classified=True, most=50)
    outcomes.update(labelled(["a", "a"], [None, []]))
    assert cells(outcomes) == {("a", "<missing>", "false"): 1, ("a", "<invalid>", "false"): 1}


def test_labels_that_are_no_class_are_no_truth():
    outcomes = Outcomes("m", "1", classified=True, most=50)
    outcomes.update(labelled(["a", math.nan, {}], ["a", "a", "a"]))
    assert cells(outcomes) == {("a", "a", "true"): 1}
    assert outcomes.families[1].value() == 1


def test_classes_have_an_end():
    names = [f"class {number}" for number in range(1000)]
    outcomes = Outcomes("m", "1", classified=True, most=5)
    outcomes.expect(["class 7"])
    outcomes.update(labelled(names, names))
    rows = Counter()
    for (actual, predicted, correct), count in cells(outcomes).items():
        assert (actual, correct) == (predicted, "true")
        rows[actual] += count
    assert rows == {**{f"class {n}": 1 for n in (0, 1, 2, 3, 7)}, "<other>": 995}


def test_of_a_regression_only_the_rows_are_counted():
    outcomes = Outcomes("m", "1", classified=False, most=50)
    outcomes.update(labelled([1.5, 2.5], [1.0, 2.0]))
    assert cells(outcomes) == {}
    assert outcomes.families[1].value() == 2


def test_delays():
    outcomes = Outcomes("m", "1", classified=True, most=50)
    outcomes.update(labelled(["a"] * 4, ["a"] * 4, delays=[0.5, 3600.0, 1e9, math.nan]))
    outcomes.update(labelled(["a"], ["a"]))
    delay = outcomes.families[2]
    samples = {
        (suffix, *labels[2:]): value
        for suffix, labels, value in zip(
            delay.suffixes, delay.label_sets, delay.values.tolist(), strict=True
        )
    }
    assert samples["_bucket", "1.0"] == samples["_bucket", "600.0"] == 1
    assert samples["_bucket", "3600.0"] == samples["_bucket", "7.776e+06"] == 2
    assert samples["_bucket", "+Inf"] == samples["_count",] == 3
    assert samples["_sum",] == 1e9 + 3600.5
