import math

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from ml_exporter.statistics.importance import uncertainty_coefficient


def test_is_mutual_information_less_its_bias_over_entropy() -> None:
    table = np.array([[30, 10, 0], [5, 40, 7], [2, 3, 60], [0, 0, 0]])
    rows = table.sum()
    expected = mutual_info_score(None, None, contingency=table[:3]) - 4 / (2 * rows)
    assert uncertainty_coefficient(table) == pytest.approx(expected / entropy(table.sum(axis=0)))


def test_a_copy_tells_all_and_chance_nothing() -> None:
    assert uncertainty_coefficient(np.diag([5000, 5000])) == pytest.approx(1, abs=1e-3)
    generator = np.random.default_rng(1)
    found = [
        uncertainty_coefficient(generator.multinomial(500, [1 / 20] * 20).reshape(10, 2))
        for _ in range(200)
    ]
    assert np.mean(found) < 0.005  # 0.013 with the bias


@pytest.mark.parametrize("table", [np.zeros((3, 2)), [[5, 0], [7, 0]], np.zeros((0, 2))])
def test_nothing_is_told_of_what_is_always_the_same(table: np.ndarray) -> None:
    assert math.isnan(uncertainty_coefficient(table))
