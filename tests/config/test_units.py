import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ml_exporter.config.units import parse_duration

SECONDS = {"y": 31_536_000, "w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}


@given(st.dictionaries(st.sampled_from(list(SECONDS)), st.integers(0, 40), min_size=1))
def test_a_duration_is_the_sum_of_its_parts(parts: dict[str, int]) -> None:
    text = "".join(f"{parts[unit]}{unit}" for unit in SECONDS if unit in parts)
    seconds = sum(amount * SECONDS[unit] for unit, amount in parts.items())
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-12)


@given(st.text(alphabet="0123456789ywdhms .-", max_size=8))
def test_whatever_else_is_no_duration(text: str) -> None:
    assume(not re.fullmatch(r"0|(?=.)(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?", text))
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("30d", 2_592_000),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("292y", 292 * 31_536_000),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "'' is not a duration such as 30d, 1h30m or 10s"),
        ("30", "'30' is not a duration such as 30d, 1h30m or 10s"),
        ("30m1h", "'30m1h' is not a duration such as 30d, 1h30m or 10s"),
        ("-1s", "'-1s' is not a duration such as 30d, 1h30m or 10s"),
        ("1.5h", "'1.5h' is not a duration such as 30d, 1h30m or 10s"),
        ("٣s", "'٣s' is not a duration such as 30d, 1h30m or 10s"),
        ("293y", "'293y' is too long a duration"),
        ("9" * 5000 + "s", f"'{'9' * 5000}s' is too long a duration"),
    ],
)
def test_bad_durations(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=re.escape(error)):
        parse_duration(text)
