import math

import pytest

from ml_exporter.statistics.completions import cut_off, cut_off_rise, per, shares


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({}, {}),
        ({"stop": 0, "length": 0}, {}),
        ({"stop": 3, "length": 1}, {"stop": 0.75, "length": 0.25}),
    ],
)
def test_shares_are_of_all_answers(counts, expected):
    assert shares(counts) == expected


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({}, 0),
        ({"stop": 5, "tool_calls": 2}, 0),
        ({"stop": 5, "length": 2, "content_filter": 1}, 3),
    ],
)
def test_answers_are_cut_off_for_two_reasons(counts, expected):
    assert cut_off(counts) == expected


@pytest.mark.parametrize(("total", "count", "expected"), [(12, 4, 3), (0, 4, 0), (0, 0, None)])
def test_a_mean_is_of_something(total, count, expected):
    found = per(total, count)
    assert math.isnan(found) if expected is None else found == expected


@pytest.mark.parametrize(
    ("now", "earlier", "rise"),
    [
        ((30, 100), (100, 1000), 0.2),
        ((15, 100), (100, 1000), None),  # chance
        ((10, 100), (100, 1000), None),
        ((0, 100), (100, 1000), None),
        ((9, 9), (0, 1000), None),  # too few
        ((10, 10), (0, 1000), 1.0),
        ((50, 100), (0, 0), None),  # nobody has looked before
        ((0, 0), (100, 1000), None),
    ],
)
def test_a_share_rises_by_more_than_chance(now, earlier, rise):
    found = cut_off_rise(*now, *earlier)
    assert math.isnan(found) if rise is None else found == pytest.approx(rise)
