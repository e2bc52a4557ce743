import math

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import recall_score

from ml_exporter.statistics.fairness import (
    disparate_impact,
    equal_opportunity_difference,
    statistical_parity_difference,
)


@pytest.mark.parametrize(
    ("positives", "rows", "difference", "impact"),
    [
        ([30, 50], [100, 100], 0.2, 0.6),
        ([50, 30], [100, 100], 0.2, 0.6),
        ([30, 40, 50], [100, 100, 100], 0.2, 0.6),
        ([50, 50], [100, 100], 0.0, 1.0),
        ([0, 50], [100, 100], 0.5, 0.0),
        ([30, 50, 29], [100, 100, 29], 0.2, 0.6),  # of 29 rows nothing is said
        ([0, 0], [100, 100], 0.0, math.nan),
        ([30], [100], math.nan, math.nan),
        ([30, 1], [100, 2], math.nan, math.nan),
        ([], [], math.nan, math.nan),
    ],
)
def test_rates_of_groups(
    positives: list[int], rows: list[int], difference: float, impact: float
) -> None:
    assert statistical_parity_difference(positives, rows) == pytest.approx(difference, nan_ok=True)
    assert disparate_impact(positives, rows) == pytest.approx(impact, nan_ok=True)


def test_equal_opportunity_is_about_recall() -> None:
    data = load_breast_cancer()
    predicted = data.data[:, 0] < 14
    actual = data.target == 1
    group = np.digitize(data.data[:, 1], np.quantile(data.data[:, 1], [0.33, 0.66]))
    found = [int((predicted & actual & (group == one)).sum()) for one in range(3)]
    positives = [int((actual & (group == one)).sum()) for one in range(3)]
    recalls = [recall_score(actual[group == one], predicted[group == one]) for one in range(3)]
    assert equal_opportunity_difference(found, positives) == pytest.approx(
        max(recalls) - min(recalls), rel=1e-12
    )
