import pytest

from ml_exporter.statistics.schema import LIMITS, is_new, is_violation


@pytest.mark.parametrize(
    ("count", "rows", "usual", "expected"),
    [
        (0, 0, 0.0, False),
        (9, 9, 0.0, False),  # too few to speak of
        (10, 10, 0.0, True),
        (10, 200, 0.0, False),  # exactly the limit
        (11, 200, 0.0, True),
        (400, 1000, 0.4, False),
        (451, 1000, 0.4, True),
    ],
)
def test_rows_beyond_what_the_baseline_had(count, rows, usual, expected):
    assert is_violation(count, rows, usual, LIMITS["warning"]) is expected


@pytest.mark.parametrize(
    ("now", "earlier", "expected"),
    [
        ((100, 100), (0, 1000), True),
        ((100, 100), (1000, 1000), False),  # always there
        ((10, 100), (100, 1000), False),
        ((30, 100), (100, 1000), True),
        ((100, 100), (0, 0), False),  # nobody has looked before
        ((0, 0), (0, 1000), False),
        ((0, 100), (0, 1000), False),
    ],
)
def test_what_is_new_has_more_than_doubled(now, earlier, expected):
    assert is_new(*now, *earlier) is expected
