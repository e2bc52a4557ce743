import math

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from ml_exporter.statistics.attribution import CUTOFF, ndcg, ranks

COLLEGE = {"SAT": 0.7, "GPA": 0.5, "rank": 0.05}  # the example of SageMaker's documentation


@pytest.mark.parametrize("fields", [2, 5, CUTOFF, 40])
@pytest.mark.parametrize("seed", range(5))
def test_is_scikit_learns(fields, seed):
    """Which is what SageMaker Clarify calls."""
    rng = np.random.default_rng(seed)
    baseline, live = rng.exponential(size=(2, fields))
    named = [dict(zip(map(str, range(fields)), values, strict=True)) for values in (live, baseline)]
    expected = ndcg_score([baseline], [live], k=CUTOFF)
    assert ndcg(*named) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        (COLLEGE, 1),
        ({name: 1e-9 * value for name, value in COLLEGE.items()}, 1),
        ({"SAT": 0.1, "GPA": 0.2, "rank": 0.7}, 0.68764),
        ({"SAT": 0.7, "GPA": 0.01, "rank": 0.02}, 0.94337),
        ({"new": 9.0, **COLLEGE}, 0.68545),
        ({"new": 9.0}, 0),
        ({}, math.nan),
    ],
)
def test_by_hand(live, expected):
    assert ndcg(live, COLLEGE) == pytest.approx(expected, abs=1e-5, nan_ok=True)


@pytest.mark.parametrize("baseline", [{}, {"SAT": 0.0}])
def test_without_a_baseline_it_is_unknown(baseline):
    assert math.isnan(ndcg(COLLEGE, baseline))


def test_ranks():
    assert ranks({"a": 0.1, "b": 3.0, "c": 0.2}) == {"b": 1, "c": 2, "a": 3}
    assert len(ranks({str(n): float(n) for n in range(30)})) == CUTOFF
