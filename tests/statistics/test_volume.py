import math

import pytest

from ml_exporter.statistics.volume import DAYS, Usual, change, usual


def test_the_second_least_and_greatest_of_a_week():
    earlier = {days: [100 + days, 90 + days, 120 + days] for days in range(1, 8)}
    earlier[3] = [0, 0, 500]  # an outage, and what came after it
    assert usual(earlier) == Usual(104, 91, 127)


def test_nothing_is_usual_before_a_week_has_passed():
    young = {days: [100] for days in DAYS if days < 7}
    assert all(math.isnan(one) for one in usual(young))
    assert math.isnan(change(0.1, usual(young)))
    alone = usual({7: [100]})
    assert alone.median == 100
    assert math.isnan(change(1, alone))


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1000, None),
        (450, None),
        (399, 0.399),
        (2400, None),
        (2401, 2.401),
        (0, None),  # is PredictionsAbsent's
    ],
)
def test_beyond_half_and_twice_the_usual(count, expected):
    found = change(count, Usual(1000, 800, 1200))
    assert found == expected if expected else math.isnan(found)


@pytest.mark.parametrize(("count", "usually"), [(3, 20), (10, 40), (60, 25)])
def test_few_predictions_vary_by_chance(count, usually):
    found = change(count, Usual(usually, usually, usually))
    assert math.isnan(found) == (abs(count - usually) <= 5 * math.sqrt(usually))
