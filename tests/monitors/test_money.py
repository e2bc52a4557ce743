import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.metrics import confusion_matrix

from ml_exporter.batch import LABEL, PREDICTION, Batch
from ml_exporter.columns import Column
from ml_exporter.config.outcome_values import OutcomeValues
from ml_exporter.monitors.money import OutcomeValue

LOAN = OutcomeValues(
    "EUR",
    {"true_positive": 0.0, "false_positive": -5.0, "true_negative": 2.5, "false_negative": -120.0},
    positive="1",
)
ANIMALS = OutcomeValues("USD", cells={("cat", "cat"): 1.0, ("cat", "dog"): -3.0})
STOCK = OutcomeValues("EUR", {"overprediction": -0.1, "underprediction": -2.0})


def worth(values, actual, predicted, size=3):
    """Gain, loss and rows, counted in several batches."""
    money = OutcomeValue("m", "1", values)
    for start in range(0, len(actual), size):
        fields = {
            LABEL: Column(actual[start:][:size]),
            PREDICTION: Column(predicted[start:][:size]),
        }
        money.update(Batch(len(actual[start:][:size]), fields))
    value, rows = money.families
    gain, loss = (value.value(sign, values.currency) for sign in ("gain", "loss"))
    return gain, loss, rows.value(values.currency)


@pytest.mark.parametrize(
    ("values", "actual", "predicted", "expected"),
    [
        (LOAN, [1, 1, 0, 0, 0], [1, 0, 1, 0, 0], (5, 125, 5)),
        (LOAN, ["1", "0"], [1, 1.0], (0, 5, 2)),
        (LOAN, [1, 0], [None, {}], (2.5, 120, 2)),  # what is no class is not positive
        (LOAN, [None, {}], [1, 0], (0, 0, 0)),  # and is no truth
        (LOAN, [], [], (0, 0, 0)),
        (ANIMALS, ["cat", "cat", "dog", "cow"], ["cat", "dog", "cat", "?"], (1, 3, 4)),
        (STOCK, [10, 10, 10], [15, 10, 7.5], (0, 0.5 + 5, 3)),
        (STOCK, [10, "ten", None, 10], [15, 10, 1, float("nan")], (0, 0.5, 1)),
        (OutcomeValues("EUR", {"underprediction": 3.0}), [10.0, 10.0], [4.0, 20.0], (18, 0, 2)),
    ],
)
def test_a_few_rows(values, actual, predicted, expected):
    assert worth(values, actual, predicted) == pytest.approx(expected)


def test_both_signs_are_born_at_zero():
    value, rows = OutcomeValue("m", "1", LOAN).families
    assert [labels[2:] for labels in value.label_sets] == [("gain", "EUR"), ("loss", "EUR")]
    assert [*value.values, *rows.values] == [0, 0, 0]


def test_all_prices_times_the_confusion_matrix():
    rng = np.random.default_rng(1)
    actual, predicted = rng.integers(0, 2, (2, 5000))
    [[tn, fp], [fn, tp]] = confusion_matrix(actual, predicted)
    gain, loss, rows = worth(LOAN, actual.tolist(), predicted.tolist(), size=700)
    assert (gain, loss, rows) == (2.5 * tn, 5 * fp + 120 * fn, tn + fp + fn + tp)


def test_real_errors():
    x, y = load_diabetes(return_X_y=True)
    predicted = LinearRegression().fit(x[:200], y[:200]).predict(x)
    errors = predicted - y
    gain, loss, rows = worth(STOCK, y.tolist(), predicted.tolist(), size=100)
    expected = 0.1 * errors[errors > 0].sum() - 2 * errors[errors < 0].sum()
    assert (gain, loss, rows) == (0, pytest.approx(expected, rel=1e-12), 442)


def test_a_batch_without_predictions():
    money = OutcomeValue("m", "1", LOAN)
    money.update(Batch(1, {LABEL: Column([1])}))
    assert money.families[1].values.tolist() == [0]
