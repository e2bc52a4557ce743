import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from ml_exporter.statistics import performance

NAN = math.nan


def predictions(load, model):
    """Labels of the rows that the model has not seen, and what it says of them."""
    data = load()
    actual = data.target[1::2].astype(str)
    predicted = model.fit(data.data[::2], data.target[::2]).predict(data.data[1::2]).astype(str)
    return actual, predicted


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((load_breast_cancer, GaussianNB()), id="breast_cancer"),
        pytest.param((load_wine, DecisionTreeClassifier(max_depth=1)), id="wine, one class never"),
        pytest.param((load_digits, GaussianNB()), id="digits"),
    ],
)
def predicted(request):
    actual, predicted = predictions(*request.param)
    classes = [*np.unique(actual), "never seen"]
    return actual, predicted, classes, metrics.confusion_matrix(actual, predicted, labels=classes)


class TestEqualToScikitLearn:
    def test_macro_averages(self, predicted):
        actual, said, classes, confusion = predicted
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            actual, said, average="macro", zero_division=0
        )
        assert performance.figures(confusion, classes) == pytest.approx(
            {
                "accuracy": metrics.accuracy_score(actual, said),
                "precision": precision,
                "recall": recall,
                "f1": f1,
                # The recall of "not this class".
                "specificity": np.mean(
                    [metrics.recall_score(actual != c, said != c) for c in classes[:-1]]
                ),
            }
        )

    def test_classes(self, predicted):
        actual, said, classes, confusion = predicted
        every = zip(
            *metrics.precision_recall_fscore_support(
                actual, said, labels=classes, zero_division=np.nan
            ),
            strict=True,
        )
        expected = {
            label: {
                "precision": precision,
                "recall": recall,
                "specificity": metrics.recall_score(actual != label, said != label),
                "f1": f1,
                "support": support,
            }
            for label, (precision, recall, f1, support) in zip(classes, every, strict=True)
        }
        figures = performance.class_figures(confusion, classes)
        for label, figure in figures.items():
            defined = {name: v for name, v in expected[label].items() if not np.isnan(v)}
            assert figure == pytest.approx(defined)

    @pytest.mark.parametrize("positive", ["0", "1"])
    def test_positive_class(self, positive):
        actual, said = predictions(load_breast_cancer, GaussianNB())
        confusion = metrics.confusion_matrix(actual, said)
        assert performance.figures(confusion, ["0", "1"], positive) == pytest.approx(
            {
                "accuracy": metrics.accuracy_score(actual, said),
                "precision": metrics.precision_score(actual, said, pos_label=positive),
                "recall": metrics.recall_score(actual, said, pos_label=positive),
                "specificity": metrics.recall_score(actual != positive, said != positive),
                "f1": metrics.f1_score(actual, said, pos_label=positive),
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
            },
            id="all defined",
        ),
        pytest.param(
            [[8, 0], [2, 0]],
            {"accuracy": 0.8, "recall": 0.0, "specificity": 1.0, "f1": 0.0},
            id="never predicted: no precision",
        ),
        pytest.param(
            [[8, 2], [0, 0]],
            {"accuracy": 0.8, "precision": 0.0, "specificity": 0.8, "f1": 0.0},
            id="never true: no recall",
        ),
        pytest.param(
            [[8, 0], [0, 0]], {"accuracy": 1.0, "specificity": 1.0}, id="all negative: no F1"
        ),
        pytest.param(
            [[0, 0], [0, 8]],
            {"accuracy": 1.0, "precision": 1.0, "recall": 1.0, "f1": 1.0},
            id="all positive: no specificity",
        ),
        pytest.param([[0, 0], [0, 0]], {}, id="no rows"),
    ],
)
def test_binary(confusion, expected):
    assert performance.figures(confusion, ["no", "yes"], "yes") == pytest.approx(expected)


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
            },
            id="a class that does not occur is left out",
        ),
        pytest.param(
            [[5, 0, 0], [0, 0, 0], [0, 0, 0]],
            {"accuracy": 1.0, "precision": 1.0, "recall": 1.0, "specificity": 0.0, "f1": 1.0},
            id="one class alone",
        ),
        pytest.param(np.zeros((3, 3)), {}, id="no rows"),
    ],
)
def test_macro(confusion, expected):
    assert performance.figures(confusion, ["a", "b", "c"]) == pytest.approx(expected)


def test_classes_leave_out_what_is_undefined():
    assert performance.class_figures([[3, 1, 0], [0, 4, 0], [0, 0, 0]], ["a", "b", "c"]) == {
        "a": {"precision": 1.0, "recall": 0.75, "specificity": 1.0, "f1": 6 / 7, "support": 4},
        "b": {"precision": 0.8, "recall": 1.0, "specificity": 0.75, "f1": 8 / 9, "support": 4},
        "c": {"specificity": 1.0, "support": 0},
    }


def test_a_positive_class_that_never_came():
    assert performance.figures([[7]], ["no"], "yes") == {"accuracy": 1.0, "specificity": 1.0}


@st.composite
def confusions(draw):
    size = draw(st.integers(1, 6))
    cells = st.lists(st.integers(0, 10**6), min_size=size * size, max_size=size * size)
    return np.array(draw(cells)).reshape(size, size)


class TestProperties:
    @given(confusions())
    def test_figures_are_shares(self, confusion):
        classes = [str(i) for i in range(len(confusion))]
        for positive in (None, "0"):
            figures = performance.figures(confusion, classes, positive)
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
        for label in classes:
            ahead = performance.one_vs_rest(confusion, classes, label)
            swapped = performance.one_vs_rest(confusion.T, classes, label)
            assert ahead.precision == pytest.approx(swapped.recall, nan_ok=True)
            assert ahead.f1 == pytest.approx(swapped.f1, nan_ok=True)

    @given(st.integers(1, 10**9), st.data(), st.floats(0.1, 6))
    def test_the_wilson_interval_holds_the_share(self, trials, data, z):
        successes = data.draw(st.integers(0, trials))
        low, high = performance.wilson_interval(successes, trials, z)
        assert 0 <= low <= successes / trials + 1e-12
        assert successes / trials - 1e-12 <= high <= 1


class TestWilsonInterval:
    @pytest.mark.parametrize(
        ("successes", "trials"), [(0, 1), (1, 1), (0, 40), (40, 40), (3, 10), (940, 1000)]
    )
    @pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
    def test_equals_scipy(self, successes, trials, level):
        expected = stats.binomtest(successes, trials).proportion_ci(level, method="wilson")
        z = stats.norm.isf((1 - level) / 2)
        interval = performance.wilson_interval(successes, trials, z)
        assert interval == pytest.approx((expected.low, expected.high), abs=1e-12)

    def test_no_trials(self):
        assert np.isnan(performance.wilson_interval(0, 0, 1.96)).all()
