"""Times, however a log writes them."""

import math

import pytest

from ml_exporter.columns import ABSENT, Column
from ml_exporter.formats.timestamps import parse_timestamps

NOON = 1711972800.0  # 2024-04-01T12:00:00Z


class TestTimestamps:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("2024-04-01T12:00:00Z", NOON),
            ("2024-04-01T14:00:00+02:00", NOON),
            ("2024-04-01T07:30:00-0430", NOON),
            ("2024-04-01T12:00:00", NOON),  # UTC
            ("2024-04-01 12:00:00", NOON),
            ("2024-04-01T12:00", NOON),
            ("2024-04-01T12:00:00.250Z", NOON + 0.25),
            ("2024-04-01T12:00:00.123456789Z", NOON + 0.123456),
            ("20240401T120000Z", NOON),
            ("2024-W14-1T12:00:00Z", NOON),
            ("2024-04-01", NOON - 43200),
            ("20240401", NOON - 43200),
            ("0001-01-01T00:00:00+23:59", -62135683140.0),
            (1711972800, NOON),
            (1711972800.25, NOON + 0.25),
            (1711972800250, NOON + 0.25),
            (1711972800250000, NOON + 0.25),
            (1711972800250000000, NOON + 0.25),
            (0, 0.0),
            (-86400, -86400.0),
            ("1711972800", NOON),
            ("1711972800.25", NOON + 0.25),
            ("1712010112345", 1712010112.345),  # which is no 1st of January 1712, 23:45
            ("1711972800250000", NOON + 0.25),
            ("1711972800250000000", NOON + 0.25),
            ("99999999", 99999999.0),
        ],
    )
    @pytest.mark.parametrize("neighbour", [None, "2024-04-01T12:00:00Z", 1, "1711972800", "bad"])
    def test_alone_and_beside_others(self, value, seconds, neighbour):
        parsed, bad = parse_timestamps(Column([value, neighbour]))
        assert parsed[0] == pytest.approx(seconds, abs=1e-6)
        assert bad == ([1] if neighbour == "bad" else [])
        if isinstance(value, str) and isinstance(neighbour, str):
            parsed, _ = parse_timestamps(Column([value, neighbour], text=True))
            assert parsed[0] == pytest.approx(seconds, abs=1e-6)

    @pytest.mark.parametrize("value", [None, ABSENT, ""])
    def test_none_is_no_error(self, value):
        parsed, bad = parse_timestamps(Column([value, 1]))
        assert math.isnan(parsed[0])
        assert bad == []

    @pytest.mark.parametrize(
        "value",
        [
            *("yesterday", " ", "2024-13-01", "2024-02-30T00:00:00Z", "12:00", "1_000", "nan"),
            *("inf", "1e999", math.nan, math.inf, -math.inf, 10**400, True, [], {}),
        ],
    )
    def test_bad(self, value):
        for neighbours in ([], [1], ["2024-04-01T12:00:00Z"], [None]):
            parsed, bad = parse_timestamps(Column([value, *neighbours]))
            assert math.isnan(parsed[0])
            assert bad == [0]

    def test_texts_of_numbers_alone(self):
        texts = ["1711972800", "1711972800250", "1.7119728e9"]
        parsed, bad = parse_timestamps(Column(texts, text=True))
        assert parsed.tolist() == [NOON, NOON + 0.25, NOON]
        assert bad == []
